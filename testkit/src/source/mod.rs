//! Checks of sources: the enumerator alone, the reader alone, both under the deterministic host.

mod crash;
mod restore;
mod support;

use crate::capability::{Capabilities, Capability};
use crate::check::Check;
use crate::context::SourceContext;
use crate::fs::PowerCut;
use crate::lab::Subject;
use crate::surroundings::Death;

/// All checks of sources.
pub fn checks<C: SourceContext>() -> Vec<Check<C>> {
    [restore::checks(), crash::checks()].concat()
}

/// What the author declared, and what the context shows.
pub fn capabilities<C: SourceContext>(context: &mut C) -> Capabilities {
    let shown = [
        (context.faults().is_some(), Capability::Breaks),
        (context.crash_points().is_some(), Capability::CrashPoints),
    ];
    let shown = shown.into_iter().filter(|(is_there, _)| *is_there);
    shown.fold(context.capabilities(), |all, (_, capability)| all.with(capability))
}

/// The ways in which a process of this subject can die.
fn deaths<C: SourceContext>(subject: &Subject<C>) -> Vec<Death> {
    if subject.context.capabilities().has(Capability::Files) {
        let torn = PowerCut::Seeded(subject.seed);
        vec![Death::Crash, Death::PowerCut(PowerCut::SyncedOnly), Death::PowerCut(torn)]
    } else {
        vec![Death::Crash]
    }
}
