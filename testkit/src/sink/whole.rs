//! Checks of the whole sink under the deterministic host.

use super::support::run_whole;
use crate::capability::Capability;
use crate::check::{Check, Verdict};
use crate::context::SinkContext;
use crate::lab::Lab;
use crate::lockstep::Options;

pub(super) fn checks<C: SinkContext>() -> Vec<Check<C>> {
    vec![
        Check {
            name: "sink::whole::rows_are_visible_exactly_once_when_nothing_goes_wrong",
            rules: &["W-1", "W-4", "C-3"],
            source: "SinkV2 (FLIP-191); flink-connector-test-utils testBasicSink",
            failure: "rows are lost, doubled or visible too early in a run in which nothing goes wrong",
            needs: &[Capability::Committer],
            run: calm,
        },
        Check {
            name: "sink::whole::rows_are_visible_exactly_once_whatever_goes_wrong",
            rules: &["W-1", "W-4", "W-5", "W-6", "W-8", "W-9", "C-1", "C-2", "O-3", "O-4"],
            source: "SinkV2 (FLIP-191); FLINK-29627, FLINK-29509, FLINK-37747",
            failure: "rows are lost or doubled after a failure, a restart or a rescale",
            needs: &[Capability::Committer],
            run: adverse,
        },
    ]
}

fn calm<C: SinkContext>(lab: &Lab<C>) -> Verdict {
    lab.each_seed(async |subject| run_whole(subject, "W-1", Options::calm(subject.seed)).await.map(drop))
}

fn adverse<C: SinkContext>(lab: &Lab<C>) -> Verdict {
    lab.each_seed(async |subject| run_whole(subject, "W-1", Options::adverse(subject.seed)).await.map(drop))
}
