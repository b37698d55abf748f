//! Checks of a source that is restored: enumerator and readers under the deterministic host.

use super::support::{run_whole, with_log};
use crate::check::{Check, Verdict};
use crate::context::SourceContext;
use crate::history;
use crate::lab::Lab;
use crate::lockstep::Options;

pub(super) fn checks<C: SourceContext>() -> Vec<Check<C>> {
    vec![
        Check {
            name: "source::whole::rows_arrive_exactly_once_when_nothing_goes_wrong",
            rules: &["R-1", "R-5", "R-6", "E-7"],
            source: "FLIP-27; flink-connector-test-utils testMultipleSplits",
            failure: "rows are lost or doubled in a run in which nothing goes wrong, or it never ends",
            needs: &[],
            run: calm,
        },
        Check {
            name: "source::whole::rows_arrive_exactly_once_whatever_goes_wrong",
            rules: &["E-2", "E-4", "E-8", "R-2", "R-3", "R-4", "R-10"],
            source: "FLIP-27; FLINK-38453, FLINK-20290, FLINK-17268",
            failure: "rows are lost or doubled after a failure, a restart or a rescale",
            needs: &[],
            run: adverse,
        },
    ]
}

fn calm<C: SourceContext>(lab: &Lab<C>) -> Verdict {
    lab.each_seed(async |subject| {
        let ran = run_whole(subject, "R-5", Options::calm(subject.seed)).await?;
        with_log(history::order(&ran.history), &ran)
    })
}

fn adverse<C: SourceContext>(lab: &Lab<C>) -> Verdict {
    lab.each_seed(async |subject| {
        let ran = run_whole(subject, "R-2", Options::adverse(subject.seed)).await?;
        with_log(history::order(&ran.history), &ran)
    })
}
