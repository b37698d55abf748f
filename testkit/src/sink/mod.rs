//! Checks of sinks: writer, committer and operators by hand, and the whole under the deterministic host.

mod committer;
mod crash;
mod hand;
mod operator;
mod state;
mod support;
mod sweep;
mod weather;
mod whole;
mod writer;

use connector_api::sink::SinkPlan;

use crate::capability::{Capabilities, Capability};
use crate::check::Check;
use crate::context::SinkContext;
use crate::fs::PowerCut;
use crate::lab::Subject;
use crate::surroundings::{Death, Surroundings};

/// All checks of sinks.
pub fn checks<C: SinkContext>() -> Vec<Check<C>> {
    [
        writer::checks(),
        committer::checks(),
        operator::checks(),
        sweep::checks(),
        state::checks(),
        whole::checks(),
        crash::checks(),
    ]
    .concat()
}

/// What the author declared, what the context shows, and what the plan says. Call within a runtime.
pub fn capabilities<C: SinkContext>(context: &mut C) -> Capabilities {
    let mut capabilities = context.capabilities();
    // Files of the environment are broken by testkit.
    if context.faults().is_some() || capabilities.has(Capability::Files) {
        capabilities = capabilities.with(Capability::Breaks);
    }
    if context.expiry().is_some() {
        capabilities = capabilities.with(Capability::Expires);
    }
    if context.crash_points().is_some() {
        capabilities = capabilities.with(Capability::CrashPoints);
    }
    let around = Surroundings::simulated(1);
    if context.variants(around.env()).is_ok_and(|variants| variants.len() > 1) {
        capabilities = capabilities.with(Capability::Variants);
    }
    // A sink without a plan fails in every check, by name.
    let Ok(plan) = context.sink(around.env()).and_then(|sink| sink.plan()) else { return capabilities };
    let SinkPlan { has_state, pre_commit, committer, post_commit, sweep, .. } = plan;
    let found = [
        (has_state, Capability::WriterState),
        (!pre_commit.is_empty(), Capability::PreCommit),
        (committer.is_some(), Capability::Committer),
        (!post_commit.is_empty(), Capability::PostCommit),
        (sweep.is_some(), Capability::Sweep),
    ];
    let found = found.into_iter().filter(|(is_there, _)| *is_there);
    found.fold(capabilities, |all, (_, capability)| all.with(capability))
}

/// The ways in which a process of this subject can die.
fn deaths<C: SinkContext>(subject: &Subject<C>) -> Vec<Death> {
    if subject.context.capabilities().has(Capability::Files) {
        let torn = PowerCut::Seeded(subject.seed);
        vec![Death::Crash, Death::PowerCut(PowerCut::SyncedOnly), Death::PowerCut(torn)]
    } else {
        vec![Death::Crash]
    }
}
