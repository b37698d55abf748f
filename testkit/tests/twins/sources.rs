//! Sources that break a rule.

mod enumerators;
mod readers;
mod stored;

use std::collections::BTreeSet;

use testkit::reference::{NumbersContext, SourceFlaw};
use testkit::source;

use super::{Twin, rejecting};

fn run(flaw: SourceFlaw) -> BTreeSet<&'static str> {
    let capabilities = source::capabilities(&mut NumbersContext::new(flaw));
    rejecting(source::checks(), |_| NumbersContext::new(flaw), &capabilities)
}

fn run_unbounded(flaw: SourceFlaw) -> BTreeSet<&'static str> {
    let capabilities = source::capabilities(&mut NumbersContext::unbounded(flaw));
    rejecting(source::checks(), |_| NumbersContext::unbounded(flaw), &capabilities)
}

pub(crate) fn twins() -> Vec<Twin> {
    let sound = vec![
        Twin { name: "sound_source", rules: &[], rejected_by: &[], run: || run(SourceFlaw::None) },
        Twin {
            name: "sound_unbounded_source",
            rules: &[],
            rejected_by: &[],
            run: || run_unbounded(SourceFlaw::None),
        },
    ];
    [sound, enumerators::twins(), readers::twins(), stored::twins()].concat()
}
