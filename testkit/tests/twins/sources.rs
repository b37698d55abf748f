//! Sources that break a rule.

use std::collections::BTreeSet;

use testkit::reference::{NumbersContext, SourceFlaw};
use testkit::source;

use super::{Twin, rejecting};

fn run(flaw: SourceFlaw) -> BTreeSet<&'static str> {
    let capabilities = source::capabilities(&mut NumbersContext::new(flaw));
    rejecting(source::checks(), |_| NumbersContext::new(flaw), &capabilities)
}

pub(crate) fn twins() -> Vec<Twin> {
    vec![
        Twin { name: "sound_source", rules: &[], rejected_by: &[], run: || run(SourceFlaw::None) },
        Twin {
            name: "source_forgets_pending_splits",
            rules: &["E-2"],
            rejected_by: &["source::whole::rows_arrive_exactly_once_whatever_goes_wrong"],
            run: || run(SourceFlaw::ForgetsPending),
        },
    ]
}
