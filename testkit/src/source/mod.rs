//! Checks of sources: the enumerator alone, the reader alone, both under the deterministic host.

mod commands;
mod crash;
mod desk;
mod enumerator;
mod limits;
mod reader;
mod reading;
mod state;
mod support;
mod whole;

use crate::capability::{Capabilities, Capability};
use crate::check::Check;
use crate::context::SourceContext;
use crate::fs::PowerCut;
use crate::lab::Subject;
use crate::surroundings::Death;

/// All checks of sources.
pub fn checks<C: SourceContext>() -> Vec<Check<C>> {
    [
        enumerator::checks(),
        reader::checks(),
        commands::checks(),
        limits::checks(),
        whole::checks(),
        crash::checks(),
        state::checks(),
    ]
    .concat()
}

/// What the author declared, and what the context shows.
pub fn capabilities<C: SourceContext>(context: &mut C) -> Capabilities {
    let files = context.capabilities().has(Capability::Files);
    let shown = [
        // In simulated files testkit breaks and heals by itself.
        (files || context.faults().is_some(), Capability::Breaks),
        (context.read_ahead().is_some(), Capability::ReadAhead),
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
