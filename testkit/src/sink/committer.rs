//! Checks of committers by hand.

use std::panic::AssertUnwindSafe;

use bytes::Bytes;
use connector_api::id::CheckpointId;
use connector_api::sink::{DynCommitter, Flush, Outcome, Restored, WriterContext};
use futures::FutureExt;

use super::hand::{Job, Opening, context, expect_committed, plan, requests, rows, sound, texts, visible};
use super::support::{break_system, expire, heal_system, judge};
use crate::broken::{Broken, Verdict};
use crate::capability::Capability;
use crate::check::Check;
use crate::context::SinkContext;
use crate::ensure;
use crate::fs::PowerCut;
use crate::history::at_least_once;
use crate::lab::{Lab, Subject};
use crate::surroundings::Death;

pub(super) fn checks<C: SinkContext>() -> Vec<Check<C>> {
    vec![
        Check {
            name: "sink::committer::bytes_alone_are_enough",
            rules: &["C-1"],
            source: "SinkV2 (FLIP-191): committables outlive their writer; FLINK-37747",
            failure: "a job can't be restored on another machine, or with another number of writers",
            needs: &[Capability::Committer],
            run: bytes_alone,
        },
        Check {
            name: "sink::committer::committing_again_changes_nothing",
            rules: &["C-2"],
            source: "SinkV2: Committer.commit is retried; Iceberg #16008",
            failure: "rows are doubled, or a restart fails for ever, after a crash behind the commit",
            needs: &[Capability::Committer],
            run: again,
        },
        Check {
            name: "sink::committer::what_is_committed_is_visible",
            rules: &["C-3"],
            source: "design: a commit has an outcome, and silence is none; FLINK-26304",
            failure: "rows are reported as committed and appear later or never",
            needs: &[Capability::Committer],
            run: is_visible,
        },
        Check {
            name: "sink::committer::what_is_committed_survives_a_power_cut",
            rules: &["C-3"],
            source: "ALICE (Pillai et al., OSDI 2014)",
            failure: "rows that were committed are gone when the machine has lost its power",
            needs: &[Capability::Committer, Capability::Files],
            run: survives_a_power_cut,
        },
        Check {
            name: "sink::committer::a_death_in_the_commit_is_repaired_by_committing_again",
            rules: &["C-3", "C-7"],
            source: "ALICE (Pillai et al., OSDI 2014): what is found visible need not be durable",
            failure: "rows are lost, or lost with the power, when the process died while it committed",
            needs: &[Capability::Committer, Capability::CrashPoints],
            run: found_is_durable,
        },
        Check {
            name: "sink::committer::a_memory_is_no_proof",
            rules: &["C-4"],
            source: "PulsarCommitter reports InvalidTxnStatus as already committed",
            failure: "a commit that failed counts as done when it is tried again: rows are lost without a word",
            needs: &[Capability::Committer, Capability::Breaks, Capability::Expires],
            run: no_memory,
        },
        Check {
            name: "sink::committer::what_is_gone_is_lost",
            rules: &["C-5"],
            source: "KafkaCommitter drops expired transactions with a log line; Pravega and Pulsar do as well",
            failure: "rows of an expired transaction or a removed file are lost without a word",
            needs: &[Capability::Committer, Capability::Expires],
            run: gone_is_lost,
        },
        Check {
            name: "sink::committer::going_back_is_no_loss",
            rules: &["C-5"],
            source: "FLINK-40626; LocalRecoverableFsDataOutputStream.commitAfterRecovery",
            failure: "a job can't be restored from an older checkpoint, or doubles rows that were committed as they are",
            needs: &[Capability::Committer],
            run: going_back,
        },
        Check {
            name: "sink::committer::a_broken_system_is_a_reason_to_try_again",
            rules: &["C-6"],
            source: "FLINK-36455, FLINK-30068",
            failure: "a short outage of the system ends the job for good, or loses what was staged",
            needs: &[Capability::Committer, Capability::Breaks],
            run: tries_again,
        },
    ]
}

/// Rows of two writers, staged and merged and not committed: what committers get. The process is dead.
pub(super) async fn staged<C: SinkContext>(
    subject: &mut Subject<C>,
) -> Result<(Vec<(CheckpointId, Bytes)>, Vec<String>), Broken> {
    let (a, b, c) = (rows(0, 0..5), rows(1, 0..30), rows(0, 5..9));
    let mut job = Job::open(subject, Opening::fresh(2)).await?;
    job.write(0, &a).await?;
    job.write(1, &b).await?;
    job.checkpoint(Flush::Checkpoint).await?;
    job.write(0, &c).await?;
    let point = job.end().await?;
    job.close().await?;
    job.die(subject, Death::Crash);
    Ok((point.committables, texts(&[&a, &b, &c])))
}

/// A committer that has nothing to do with those that were before.
pub(super) async fn committer<C: SinkContext>(
    subject: &mut Subject<C>,
    going_back: bool,
) -> Result<Box<dyn DynCommitter>, Broken> {
    let attempt = subject.around.next_attempt();
    let restored = Restored { checkpoint: CheckpointId(99), going_back };
    let context = WriterContext { subtask: 3, ..context(subject, attempt, 5, Some(restored)) };
    let Some(open) = plan(subject)?.committer else {
        return Err(Broken::new("C-1", "the plan has no committer any more"));
    };
    sound("C-1", "opening a committer", open(context)).await
}

/// Commits; there is an outcome for each.
pub(super) async fn commit(
    committer: &mut dyn DynCommitter,
    due: &[(CheckpointId, Bytes)],
) -> Result<Vec<Outcome<Bytes>>, Broken> {
    let outcomes =
        sound("C-3", "Committer::commit", async { Ok(committer.commit(requests(due)).await) }).await?;
    let (given, asked) = (outcomes.len(), due.len());
    ensure!("C-3", given == asked, "{asked} committables, {given} outcomes");
    Ok(outcomes)
}

async fn commit_all(committer: &mut dyn DynCommitter, due: &[(CheckpointId, Bytes)]) -> Verdict {
    commit(committer, due).await?.iter().try_for_each(expect_committed)
}

fn bytes_alone<C: SinkContext>(lab: &Lab<C>) -> Verdict {
    lab.once(async |subject| {
        let (due, expected) = staged(subject).await?;
        let mut committer = committer(subject, false).await?;
        for outcome in commit(&mut *committer, &due).await? {
            let is_new = matches!(outcome, Outcome::Committed);
            ensure!("C-1", is_new, "the first commit, in another process, was answered by {outcome:?}");
        }
        judge("C-1", subject, &expected).await
    })
}

fn again<C: SinkContext>(lab: &Lab<C>) -> Verdict {
    lab.once(async |subject| {
        let (due, expected) = staged(subject).await?;
        let mut first = committer(subject, false).await?;
        let twice: Vec<_> = due.iter().flat_map(|one| [one.clone(), one.clone()]).collect();
        commit_all(&mut *first, &twice[..1]).await?;
        commit_all(&mut *first, &twice).await?;
        commit_all(&mut *first, &due).await?;
        judge("C-2", subject, &expected).await?;
        subject.around.die(Death::Crash);
        let mut second = committer(subject, false).await?;
        commit_all(&mut *second, &due).await?;
        commit_all(&mut *second, &twice).await?;
        judge("C-2", subject, &expected).await
    })?;
    // Two committers at once: a host that is slow to die, and the one that takes its place.
    lab.once(async |subject| {
        let (due, expected) = staged(subject).await?;
        let mut first = committer(subject, false).await?;
        let mut second = committer(subject, false).await?;
        let both = futures::future::join(commit(&mut *first, &due), commit(&mut *second, &due)).await;
        for outcome in both.0?.into_iter().chain(both.1?) {
            let is_loss = matches!(outcome, Outcome::Lost { .. });
            ensure!("C-2", !is_loss, "of two commits at once one was answered by {outcome:?}");
        }
        commit_all(&mut *second, &due).await?;
        judge("C-2", subject, &expected).await
    })
}

fn is_visible<C: SinkContext>(lab: &Lab<C>) -> Verdict {
    lab.once(async |subject| {
        let (due, expected) = staged(subject).await?;
        let mut committer = committer(subject, false).await?;
        commit_all(&mut *committer, &due).await?;
        judge("C-3", subject, &expected).await
    })
}

fn survives_a_power_cut<C: SinkContext>(lab: &Lab<C>) -> Verdict {
    lab.once(async |subject| {
        let (due, expected) = staged(subject).await?;
        let mut first = committer(subject, false).await?;
        commit_all(&mut *first, &due).await?;
        subject.around.die(Death::PowerCut(PowerCut::SyncedOnly));
        judge("C-3", subject, &expected).await
    })
}

/// At each crash point of a commit the process dies; another one commits again; then the power fails.
fn found_is_durable<C: SinkContext>(lab: &Lab<C>) -> Verdict {
    let points = lab.at(lab.first_seed(), &async |subject: &mut Subject<C>| {
        let (due, _) = staged(subject).await?;
        commit_all(&mut *committer(subject, false).await?, &due).await?;
        Ok(subject.around.crash().every_hit())
    })?;
    ensure!("C-7", !points.is_empty(), "a commit reaches no crash point");
    for (point, k) in points {
        lab.once(async |subject| {
            let (due, expected) = staged(subject).await?;
            let mut first = committer(subject, false).await?;
            subject.around.die_at(point, k);
            // It unwinds, or the work in the background does.
            drop(AssertUnwindSafe(first.commit(requests(&due))).catch_unwind().await);
            ensure!("C-7", subject.around.is_dead(), "crash point `{point}` ({k}) was not reached again");
            subject.around.die(Death::Crash);
            let mut second = committer(subject, false).await?;
            commit_all(&mut *second, &due).await?;
            judge("C-7", subject, &expected).await?;
            if subject.context.capabilities().has(Capability::Files) {
                subject.around.die(Death::PowerCut(PowerCut::SyncedOnly));
                judge("C-3", subject, &expected).await?;
            }
            Ok(())
        })?;
    }
    Ok(())
}

fn no_memory<C: SinkContext>(lab: &Lab<C>) -> Verdict {
    lab.once(async |subject| {
        let (due, _) = staged(subject).await?;
        let mut committer = committer(subject, false).await?;
        break_system(subject).await?;
        drop(commit(&mut *committer, &due).await?);
        heal_system(subject).await?;
        expire(subject).await?;
        let seen = visible(subject).await?;
        ensure!("C-6", seen.is_empty(), "{} rows became visible while the system was broken", seen.len());
        for outcome in commit(&mut *committer, &due).await? {
            let is_lost = matches!(outcome, Outcome::Lost { .. });
            ensure!("C-4", is_lost, "what was tried once and is gone was answered by {outcome:?}");
        }
        Ok(())
    })
}

fn gone_is_lost<C: SinkContext>(lab: &Lab<C>) -> Verdict {
    lab.once(async |subject| {
        let (due, _) = staged(subject).await?;
        expire(subject).await?;
        let mut committer = committer(subject, false).await?;
        for outcome in commit(&mut *committer, &due).await? {
            let is_lost = matches!(outcome, Outcome::Lost { .. });
            ensure!("C-5", is_lost, "what is neither staged nor visible was answered by {outcome:?}");
        }
        Ok(())
    })
}

fn going_back<C: SinkContext>(lab: &Lab<C>) -> Verdict {
    // Back to a checkpoint whose committables were committed: by themselves, or merged with later ones.
    for more in [0, 1, 4] {
        lab.once(async |subject| {
            let a = rows(0, 0..5);
            let mut written = texts(&[&a]);
            let mut job = Job::open(subject, Opening::fresh(1)).await?;
            job.write(0, &a).await?;
            let old = job.checkpoint(Flush::Savepoint).await?;
            for k in 0..more {
                let part = rows(0, 5 + k * 3..8 + k * 3);
                job.write(0, &part).await?;
                written.extend(texts(&[&part]));
                let point = job.checkpoint(Flush::Checkpoint).await?;
                job.complete(point.id).await?;
            }
            job.finish().await?;
            judge("C-5", subject, &written).await?;
            job.die(subject, Death::Crash);
            let mut job = Job::open(subject, Opening::back_to(&old, 1)).await.map_err(as_loss)?;
            job.finish().await.map_err(as_loss)?;
            let seen = visible(subject).await?;
            at_least_once("C-5", &written, &seen)?;
            let doubled = texts(&[&a]).into_iter().find(|row| seen.iter().filter(|r| *r == row).count() > 1);
            ensure!("C-5", doubled.is_none(), "after going back {doubled:?} was committed again");
            Ok(())
        })?;
    }
    Ok(())
}

fn as_loss(broken: Broken) -> Broken {
    Broken::new("C-5", format!("after going back: {broken}"))
}

fn tries_again<C: SinkContext>(lab: &Lab<C>) -> Verdict {
    lab.once(async |subject| {
        let (mut due, expected) = staged(subject).await?;
        let mut committer = committer(subject, false).await?;
        break_system(subject).await?;
        let outcomes = commit(&mut *committer, &due).await?;
        heal_system(subject).await?;
        for (outcome, (_, committable)) in outcomes.into_iter().zip(&mut due) {
            match outcome {
                Outcome::Retry { updated, .. } => *committable = updated.unwrap_or(committable.clone()),
                other => {
                    return Err(Broken::new(
                        "C-6",
                        format!("a system that is broken was answered by {other:?}"),
                    ));
                }
            }
        }
        commit_all(&mut *committer, &due).await?;
        judge("C-6", subject, &expected).await
    })
}
