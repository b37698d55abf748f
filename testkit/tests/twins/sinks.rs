//! Sinks that break a rule.

use std::collections::BTreeSet;

use testkit::reference::{LedgerContext, SinkFlaw};
use testkit::{sim, sink};

use super::{Twin, rejecting};

fn run(flaw: SinkFlaw) -> BTreeSet<&'static str> {
    let capabilities = sim::run(async { sink::capabilities(&mut LedgerContext::new(flaw)) });
    rejecting(sink::checks(), |_| LedgerContext::new(flaw), &capabilities)
}

pub(crate) fn twins() -> Vec<Twin> {
    vec![
        Twin { name: "sound_sink", rules: &[], rejected_by: &[], run: || run(SinkFlaw::None) },
        Twin {
            name: "sink_publishes_before_the_commit",
            rules: &["W-4"],
            rejected_by: &[
                "sink::whole::rows_are_visible_exactly_once_when_nothing_goes_wrong",
                "sink::whole::rows_are_visible_exactly_once_whatever_goes_wrong",
            ],
            run: || run(SinkFlaw::PublishesEarly),
        },
    ]
}
