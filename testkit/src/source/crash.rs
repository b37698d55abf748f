//! Checks that let the process die at every crash point of the source.

use super::support::run_whole;
use crate::broken::{Broken, Verdict};
use crate::capability::Capability;
use crate::check::Check;
use crate::context::SourceContext;
use crate::crash::{pairs, singles};
use crate::lab::{Lab, Subject};
use crate::lockstep::{Options, Ran};
use crate::reference::LEDGER_CRASH_POINTS;
use crate::surroundings::Death;

pub(super) fn checks<C: SourceContext>() -> Vec<Check<C>> {
    vec![
        Check {
            name: "source::crash::a_death_at_any_crash_point_loses_and_doubles_nothing",
            rules: &["W-1", "C-1", "C-2", "R-2", "O-2"],
            source: "enumerated, after ALICE (Pillai et al., OSDI 2014)",
            failure: "a process that is killed, or a machine that loses power, at the named point loses or doubles rows",
            needs: &[Capability::CrashPoints],
            run: once,
        },
        Check {
            name: "source::crash::a_second_death_while_the_first_is_recovered_from_loses_and_doubles_nothing",
            rules: &["C-2", "R-2", "O-2"],
            source: "enumerated; FLINK-20290 is such a failure",
            failure: "a process that is killed again while it recovers loses or doubles rows",
            needs: &[Capability::CrashPoints],
            run: twice,
        },
        Check {
            name: "source::crash::what_is_seen_after_a_death_is_what_the_readme_says",
            rules: &["W-4", "R-2"],
            source: "design: guarantees are tables that tests execute",
            failure: "the connector's crash-point table is wrong, or a crash point is never reached",
            needs: &[Capability::CrashPoints],
            run: table,
        },
    ]
}

/// The source in a run of its own; dying is all that goes wrong.
async fn body<C: SourceContext>(subject: &mut Subject<C>, death: Death) -> Result<Ran, Broken> {
    run_whole(subject, "R-2", Options::dying(subject.seed, death)).await
}

fn once<C: SourceContext>(lab: &Lab<C>) -> Verdict {
    lab.at(lab.first_seed(), &async |subject: &mut Subject<C>| Ok(super::deaths(subject))).and_then(
        |deaths| lab.campaigns().singles.run(|| singles(&lab.without(LEDGER_CRASH_POINTS), &deaths, body)),
    )
}

fn twice<C: SourceContext>(lab: &Lab<C>) -> Verdict {
    lab.at(lab.first_seed(), &async |subject: &mut Subject<C>| Ok(super::deaths(subject))).and_then(
        |deaths| {
            let deaths = &deaths[..deaths.len().min(2)];
            lab.campaigns().pairs.run(|| pairs(&lab.without(LEDGER_CRASH_POINTS), deaths, body))
        },
    )
}

fn table<C: SourceContext>(lab: &Lab<C>) -> Verdict {
    let documented =
        lab.at(lab.first_seed(), &async |subject: &mut Subject<C>| Ok(subject.context.crash_points()))?;
    let Some(documented) = documented else {
        return Err(Broken::new("R-2", "the capability is declared, and there is no table"));
    };
    let campaigns = lab.campaigns();
    let mut observed =
        campaigns.singles.look(|| singles(&lab.without(LEDGER_CRASH_POINTS), &[Death::Crash], body))?;
    // On the real system a second death may show what the first one had left on its way.
    if !lab.is_real() {
        let pairs = || pairs(&lab.without(LEDGER_CRASH_POINTS), &[Death::Crash], body);
        observed.merge(campaigns.pairs.look(pairs)?);
    }
    match lab.is_sparing() {
        true => observed.compare_part("R-2", &documented),
        false => observed.compare("R-2", &documented),
    }
}
