//! Checks of sweeps of orphans.

use bytes::Bytes;
use connector_api::id::{AttemptId, RunId};
use connector_api::sink::{Flush, References};
use connector_api::state::{Envelope, seal};

use super::hand::{Job, Opening, Point, context, in_time, lingering, plan, rows, texts, visible};
use super::support::judge;
use crate::broken::{Broken, Verdict};
use crate::capability::Capability;
use crate::check::Check;
use crate::context::SinkContext;
use crate::ensure;
use crate::lab::{Lab, Subject};
use crate::surroundings::Death;

pub(super) fn checks<C: SinkContext>() -> Vec<Check<C>> {
    let needs = &[Capability::Sweep, Capability::Committer];
    vec![
        Check {
            name: "sink::sweep::orphans_of_earlier_attempts_are_removed",
            rules: &["X-1"],
            source: "FLINK-10963, FLINK-23854: leftovers cost space, or block readers",
            failure: "each death leaves files or transactions behind for ever",
            needs,
            run: orphans_go,
        },
        Check {
            name: "sink::sweep::what_references_name_stays",
            rules: &["X-1"],
            source: "FLINK-13941, FLINK-40595: cleaning must not delete what a retained checkpoint needs",
            failure: "a checkpoint can't be restored: what it counts on was removed",
            needs,
            run: referenced_stays,
        },
        Check {
            name: "sink::sweep::what_other_runs_made_stays",
            rules: &["X-1"],
            source: "FLINK-37612: two jobs with one prefix",
            failure: "a job destroys what another one staged",
            needs,
            run: others_stay,
        },
        Check {
            name: "sink::sweep::what_later_attempts_made_stays",
            rules: &["X-1"],
            source: "a process that was thought dead must not remove what its successor stages",
            failure: "an old process that wakes up destroys what the running one staged",
            needs,
            run: later_stays,
        },
        Check {
            name: "sink::sweep::what_is_visible_stays",
            rules: &["X-2"],
            source: "design: a sweep never touches what readers see",
            failure: "rows disappear that were committed",
            needs,
            run: visible_stays,
        },
        Check {
            name: "sink::sweep::a_reference_that_can_t_be_decoded_removes_nothing",
            rules: &["X-3"],
            source: "FLINK-13940; state of a newer build",
            failure: "after a downgrade, or with damaged state, rows are destroyed that could have been saved",
            needs,
            run: undecodable,
        },
    ]
}

/// Two writers, two checkpoints, a third that is under way; then the process dies.
async fn leave<C: SinkContext>(
    subject: &mut Subject<C>,
    attempt: AttemptId,
    split: u32,
) -> Result<(Point, Vec<String>), Broken> {
    let (a, b, c) = (rows(split, 0..4), rows(split + 1, 0..20), rows(split, 4..6));
    let mut job = Job::open_as(subject, Opening::fresh(2), attempt).await?;
    job.write(0, &a).await?;
    job.write(1, &b).await?;
    job.checkpoint(Flush::Checkpoint).await?;
    job.write(0, &c).await?;
    let point = job.checkpoint(Flush::Checkpoint).await?;
    job.write(0, &rows(split + 8, 0..20)).await?;
    job.checkpoint(Flush::Savepoint).await?;
    job.write(1, &rows(split + 9, 0..2)).await?;
    job.die(subject, Death::Crash);
    Ok((point, texts(&[&a, &b, &c])))
}

/// Sweeps as this attempt.
async fn sweep<C: SinkContext>(
    subject: &Subject<C>,
    attempt: AttemptId,
    references: Vec<Bytes>,
) -> Result<connector_api::Result<u64>, Broken> {
    let Some(sweep) = plan(subject)?.sweep else {
        return Err(Broken::new("X-1", "the plan has no sweep any more"));
    };
    let context = context(subject, attempt, 2, None);
    in_time("the sweep of orphans", sweep.sweep(context, References::new(references))).await
}

/// What a host does when the job has ended: what dead attempts left may hide what is visible otherwise, as an open transaction does.
pub(super) async fn sweep_at_the_end<C: SinkContext>(subject: &mut Subject<C>) -> Verdict {
    if plan(subject)?.sweep.is_none() {
        return Ok(());
    }
    let above = subject.around.next_attempt();
    sweep_well(subject, above, Vec::new()).await
}

async fn sweep_well<C: SinkContext>(
    subject: &Subject<C>,
    attempt: AttemptId,
    references: Vec<Bytes>,
) -> Verdict {
    let swept = sweep(subject, attempt, references).await?;
    swept.map(drop).map_err(Broken::by("X-1", "the sweep of orphans"))
}

async fn restore<C: SinkContext>(subject: &mut Subject<C>, point: &Point) -> Verdict {
    let mut job = Job::open(subject, Opening::from(point, 2)).await?;
    job.finish().await
}

fn orphans_go<C: SinkContext>(lab: &Lab<C>) -> Verdict {
    lab.once(async |subject| {
        let attempt = subject.around.next_attempt();
        leave(subject, attempt, 0).await?;
        let next = subject.around.next_attempt();
        sweep_well(subject, next, Vec::new()).await?;
        let left = lingering(subject).await?;
        ensure!("X-1", left.is_empty(), "no checkpoint names {left:?}, which a dead attempt left behind");
        Ok(())
    })
}

fn referenced_stays<C: SinkContext>(lab: &Lab<C>) -> Verdict {
    lab.once(async |subject| {
        let attempt = subject.around.next_attempt();
        let (point, expected) = leave(subject, attempt, 0).await?;
        let next = subject.around.next_attempt();
        sweep_well(subject, next, point.references()).await?;
        restore(subject, &point).await.map_err(|broken| Broken::new("X-1", broken.to_string()))?;
        judge("X-1", subject, &expected).await?;
        // And what nothing names went.
        sweep_well(subject, AttemptId { number: next.number + 100, ..next }, Vec::new()).await?;
        let left = lingering(subject).await?;
        ensure!("X-1", left.is_empty(), "the job has ended, and {left:?} is left");
        judge("X-1", subject, &expected).await
    })
}

fn others_stay<C: SinkContext>(lab: &Lab<C>) -> Verdict {
    lab.once(async |subject| {
        let ours = subject.around.next_attempt();
        let theirs = AttemptId { run: RunId(ours.run.0 ^ 0xff00), number: 1 };
        let (point, expected) = leave(subject, theirs, 0).await?;
        let next = subject.around.next_attempt();
        sweep_well(subject, next, Vec::new()).await?;
        // The other run goes on: ours may rightly refuse to start beside it.
        let again = AttemptId { number: 2, ..theirs };
        let restored = Job::open_as(subject, Opening::from(&point, 2), again).await;
        let finished = async { restored?.finish().await }.await;
        finished.map_err(|broken| Broken::new("X-1", broken.to_string()))?;
        judge("X-1", subject, &expected).await
    })
}

fn later_stays<C: SinkContext>(lab: &Lab<C>) -> Verdict {
    lab.once(async |subject| {
        let (old, new) = (subject.around.next_attempt(), subject.around.next_attempt());
        let (point, expected) = leave(subject, new, 0).await?;
        sweep_well(subject, old, Vec::new()).await?;
        sweep_well(subject, new, Vec::new()).await?;
        restore(subject, &point).await.map_err(|broken| Broken::new("X-1", broken.to_string()))?;
        judge("X-1", subject, &expected).await
    })
}

fn visible_stays<C: SinkContext>(lab: &Lab<C>) -> Verdict {
    lab.once(async |subject| {
        let attempt = subject.around.next_attempt();
        let (point, expected) = leave(subject, attempt, 0).await?;
        restore(subject, &point).await?;
        judge("X-2", subject, &expected).await?;
        let before = visible(subject).await?;
        let next = subject.around.next_attempt();
        sweep_well(subject, next, point.references()).await?;
        sweep_well(subject, next, Vec::new()).await?;
        let after = visible(subject).await?;
        ensure!("X-2", before == after, "{} rows were visible, and {} are", before.len(), after.len());
        Ok(())
    })
}

fn undecodable<C: SinkContext>(lab: &Lab<C>) -> Verdict {
    lab.once(async |subject| {
        let attempt = subject.around.next_attempt();
        let (point, expected) = leave(subject, attempt, 0).await?;
        let before = lingering(subject).await?;
        let references = point.references();
        for k in 0..references.len() {
            let opened = Envelope::open(&references[k]).map_err(Broken::by("S-1", "opening state"))?;
            let later =
                seal(opened.kind, u16::MAX, opened.payload).map_err(Broken::by("S-1", "sealing state"))?;
            let mut flipped = references[k].to_vec();
            let last = flipped.len() - 1;
            flipped[last] ^= 1;
            for damaged in [later, flipped.into(), references[k].slice(..last)] {
                let mut references = references.clone();
                references[k] = damaged;
                let next = subject.around.next_attempt();
                // An error, or nothing done: both leave the choice to the user.
                drop(sweep(subject, next, references).await?);
                let after = lingering(subject).await?;
                ensure!(
                    "X-3",
                    before == after,
                    "reference {k} can't be decoded, and of {before:?} {after:?} is left"
                );
            }
        }
        restore(subject, &point).await.map_err(|broken| Broken::new("X-3", broken.to_string()))?;
        judge("X-3", subject, &expected).await
    })
}
