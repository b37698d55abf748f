//! Checks of what a source stores.

use connector_api::Result;
use connector_api::id::ReaderId;
use connector_api::source::SourceReader;
use connector_api::source::{DynSplit, DynState, EnumeratorSetup, ReaderCommand, ReaderContext, Split};

use super::support::run_whole;
use crate::broken::{Broken, Verdict};
use crate::check::Check;
use crate::context::SourceContext;
use crate::ensure;
use crate::envelope;
use crate::lab::{Lab, Subject};
use crate::lockstep::{Adversity, Options};

/// States that are damaged in every way; what is seen beyond them is only opened.
const DAMAGED: usize = 3;

pub(super) fn checks<C: SourceContext>() -> Vec<Check<C>> {
    vec![
        Check {
            name: "source::state::everything_is_in_the_envelope",
            rules: &["S-1"],
            source: "design: state outlives versions",
            failure: "damage goes unnoticed, and the next version can't tell what it reads",
            needs: &[],
            run: enveloped,
        },
        Check {
            name: "source::state::a_later_version_is_refused_by_name",
            rules: &["S-2"],
            source: "design: state outlives versions",
            failure: "a rollback of the software reads state that it does not understand",
            needs: &[],
            run: later,
        },
        Check {
            name: "source::state::damage_is_an_error",
            rules: &["S-3", "F-4"],
            source: "design: state outlives versions",
            failure: "a damaged checkpoint kills the process, or loses data in silence",
            needs: &[],
            run: damage,
        },
        Check {
            name: "source::state::splits_and_states_differ_in_kind",
            rules: &["S-4"],
            source: "design: state outlives versions",
            failure: "one is read as the other",
            needs: &[],
            run: kinds,
        },
    ]
}

/// The states that a run with aborts leaves in its checkpoints.
async fn seen<C: SourceContext>(subject: &mut Subject<C>) -> Result<(Vec<DynSplit>, Vec<DynState>), Broken> {
    let adversity = Adversity { aborts: 20, parts: 40, ..Adversity::NONE };
    let ran = run_whole(subject, "R-2", Options { adversity, ..Options::calm(subject.seed) }).await?;
    let (mut splits, mut states): (Vec<DynSplit>, Vec<DynState>) = (Vec::new(), Vec::new());
    for stored in ran.checkpoints {
        splits.extend(stored.splits);
        states.push(stored.enumerator);
    }
    ensure!("S-1", !splits.is_empty() && !states.is_empty(), "no checkpoint holds anything");
    Ok((splits, states))
}

fn enveloped<C: SourceContext>(lab: &Lab<C>) -> Verdict {
    lab.once(async |subject| {
        let (splits, states) = seen(subject).await?;
        for split in splits {
            envelope::kind(&format!("split {}", split.id()), split.bytes())?;
        }
        states.iter().try_for_each(|state| envelope::kind("the enumerator's state", &state.0).map(drop))
    })
}

fn kinds<C: SourceContext>(lab: &Lab<C>) -> Verdict {
    lab.once(async |subject| {
        let (splits, states) = seen(subject).await?;
        for (split, state) in splits.iter().zip(&states) {
            let kinds = (envelope::kind("a split", split.bytes())?, envelope::kind("a state", &state.0)?);
            ensure!("S-4", kinds.0 != kinds.1, "split and enumerator are stored as `{}`", kinds.0);
        }
        Ok(())
    })
}

/// Runs `judge` with the decoders of splits and of the enumerator's state.
async fn decoded<C: SourceContext>(
    subject: &mut Subject<C>,
    judge: fn(&str, &[u8], &envelope::Decode<'_>) -> Verdict,
) -> Verdict {
    let (splits, states) = seen(subject).await?;
    let (env, attempt) = (subject.env(), subject.around.next_attempt());
    let source = subject.context.source(&env).map_err(Broken::by("K-4", "making the source"))?;
    for split in splits.iter().rev().take(DAMAGED) {
        let decode = |bytes: &[u8]| {
            let (env, parallelism) = (env.clone(), 1);
            let context = ReaderContext { env, reader: ReaderId(0), parallelism, attempt };
            let mut reader = source.reader(context)?;
            reader.handle(ReaderCommand::AddSplits(vec![envelope::split(&split.id(), bytes)?]))
        };
        judge(&format!("split {}", split.id()), split.bytes(), &decode)?;
    }
    for state in states.iter().take(DAMAGED) {
        let decode = |bytes: &[u8]| {
            let setup = EnumeratorSetup { env: env.clone(), parallelism: 1, attempt };
            source.enumerator(setup, Some(DynState(bytes.to_vec().into()))).map(drop)
        };
        judge("the enumerator's state", &state.0, &decode)?;
    }
    Ok(())
}

fn later<C: SourceContext>(lab: &Lab<C>) -> Verdict {
    lab.once(async |subject| decoded(subject, envelope::refuses_later).await)
}

fn damage<C: SourceContext>(lab: &Lab<C>) -> Verdict {
    lab.once(async |subject| decoded(subject, envelope::refuses_damage).await)
}
