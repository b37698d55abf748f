//! Checks of the stages in front of the committer and behind it, and of the plan.

use std::collections::BTreeSet;

use connector_api::sink::{Flush, SinkPlan};

use super::hand::{Job, Opening, lingering, plan, rows, texts, visible};
use super::support::{judge, publishes_nothing};
use crate::broken::{Broken, Verdict};
use crate::capability::Capability;
use crate::check::Check;
use crate::context::SinkContext;
use crate::ensure;
use crate::history::at_least_once;
use crate::lab::{Lab, Subject};
use crate::surroundings::Death;

pub(super) fn checks<C: SinkContext>() -> Vec<Check<C>> {
    vec![
        Check {
            name: "sink::operator::a_stage_publishes_nothing",
            rules: &["O-1"],
            source: "FLIP-191: pre-commit topologies; file compaction of FileSink",
            failure: "readers see what a stage made before its checkpoint is complete",
            needs: &[Capability::PreCommit],
            run: publishes_nothing_itself,
        },
        Check {
            name: "sink::operator::work_is_repeatable_from_the_state",
            rules: &["O-2"],
            source: "FLINK-13940: work after the checkpoint must not consume what the checkpoint needs",
            failure: "a job that died behind a merge can't be restored, or loses or doubles rows",
            needs: &[Capability::PreCommit],
            run: repeatable,
        },
        Check {
            name: "sink::operator::what_is_held_back_is_in_the_state",
            rules: &["O-3"],
            source: "FileSink's CompactCoordinatorStateHandler; FLINK-36530",
            failure: "rows that wait in a stage are lost when the process dies",
            needs: &[Capability::PreCommit],
            run: held_back,
        },
        Check {
            name: "sink::operator::a_notice_that_was_missed_is_made_good_by_the_next",
            rules: &["O-4"],
            source: "CheckpointListener: notifications may be lost, and subsume earlier ones",
            failure: "rows wait for ever in a stage, and the job never ends",
            needs: &[Capability::PreCommit],
            run: missed_notices,
        },
        Check {
            name: "sink::operator::the_end_of_the_input_releases_everything",
            rules: &["O-5"],
            source: "FLINK-26403, FLINK-24530, FLINK-38614",
            failure: "the last rows of a bounded job stay hidden for ever",
            needs: &[Capability::PreCommit],
            run: the_end_releases,
        },
        Check {
            name: "sink::post_commit::the_same_again_changes_nothing",
            rules: &["O-6"],
            source: "FLIP-191: post-commit topologies; FLINK-25920",
            failure: "a job that died behind a commit can't be restored",
            needs: &[Capability::PostCommit],
            run: post_commit_again,
        },
        Check {
            name: "sink::plan::what_is_left_out_is_said",
            rules: &["O-7"],
            source: "FileSink: disableCompact() must be called once compaction was on, or hidden files stay hidden",
            failure: "rows that wait in a stage stay hidden for ever when the stage is switched off",
            needs: &[Capability::Variants],
            run: left_out,
        },
    ]
}

/// Enough checkpoints to let a stage work on something.
const CHECKPOINTS: u64 = 6;

fn publishes_nothing_itself<C: SinkContext>(lab: &Lab<C>) -> Verdict {
    lab.once(async |subject| {
        let mut job = Job::open(subject, Opening::fresh(2)).await?;
        for k in 0..CHECKPOINTS {
            for writer in [0, 1] {
                job.write(writer, &rows(writer as u32, k * 3..k * 3 + 3)).await?;
            }
            let point = job.checkpoint(Flush::Checkpoint).await?;
            // The stages are told, the committer is not: its notice is late.
            job.notify(point.id).await?;
            subject.env().clock.sleep(std::time::Duration::from_secs(1)).await;
            publishes_nothing("O-1", "work of a stage", subject).await?;
        }
        job.end().await?;
        publishes_nothing("O-1", "the end of the input", subject).await?;
        job.close().await
    })
}

fn repeatable<C: SinkContext>(lab: &Lab<C>) -> Verdict {
    // At each checkpoint the process dies some checkpoints later, and all that it did since is done again.
    for lost in 1..=4 {
        lab.once(async |subject| {
            let mut expected = Vec::new();
            let mut job = Job::open(subject, Opening::fresh(2)).await?;
            for k in 0..CHECKPOINTS {
                expected.extend(write_both(&mut job, k).await?);
                let point = job.checkpoint(Flush::Checkpoint).await?;
                job.complete(point.id).await?;
                for again in 0..lost {
                    job.write(0, &rows(9, k * 20 + again * 2..k * 20 + again * 2 + 2)).await?;
                    let never = job.checkpoint(Flush::Checkpoint).await?;
                    // The stages hear of it, so that they go on; no committer does.
                    if again % 2 == 0 {
                        job.notify(point.id.max(never.id - 1)).await?;
                    }
                    subject.env().clock.sleep(std::time::Duration::from_secs(1)).await;
                }
                job.die(subject, Death::Crash);
                job = Job::open(subject, Opening::from(&point, 2)).await?;
            }
            job.finish().await?;
            judge("O-2", subject, &expected).await
        })?;
    }
    Ok(())
}

async fn write_both<C: SinkContext>(job: &mut Job<C>, k: u64) -> Result<Vec<String>, Broken> {
    let (a, b) = (rows(0, k * 3..k * 3 + 3), rows(1, k * 2..k * 2 + 2));
    job.write(0, &a).await?;
    job.write(1, &b).await?;
    Ok(texts(&[&a, &b]))
}

fn held_back<C: SinkContext>(lab: &Lab<C>) -> Verdict {
    for checkpoints in 1..=CHECKPOINTS {
        lab.once(async |subject| {
            let mut expected = Vec::new();
            let mut job = Job::open(subject, Opening::fresh(2)).await?;
            let mut point = job.checkpoint(Flush::Checkpoint).await?;
            for k in 0..checkpoints {
                job.complete(point.id).await?;
                expected.extend(write_both(&mut job, k).await?);
                point = job.checkpoint(Flush::Savepoint).await?;
                let pending: usize = point.stages.values().map(Vec::len).sum();
                if pending == 0 {
                    job.complete(point.id).await?;
                    let seen = visible(subject).await?;
                    at_least_once("O-3", &expected, &seen).map_err(|broken| Broken {
                        what: format!(
                            "no stage holds anything, and everything is committed: {}",
                            broken.what
                        ),
                        ..broken
                    })?;
                }
            }
            job.die(subject, Death::Crash);
            let mut job = Job::open(subject, Opening::from(&point, 1)).await?;
            job.finish().await?;
            judge("O-3", subject, &expected).await
        })?;
    }
    Ok(())
}

fn missed_notices<C: SinkContext>(lab: &Lab<C>) -> Verdict {
    lab.once(async |subject| {
        let mut expected = Vec::new();
        let mut job = Job::open(subject, Opening::fresh(2)).await?;
        for k in 0..3 * CHECKPOINTS {
            expected.extend(write_both(&mut job, k).await?);
            let point = job.checkpoint(Flush::Savepoint).await?;
            if k % 3 == 2 {
                job.complete(point.id).await?;
                subject.env().clock.sleep(std::time::Duration::from_secs(1)).await;
            }
        }
        // Nothing of the first rows waits for a notice that does not come.
        let seen = visible(subject).await?;
        ensure!(
            "O-4",
            !seen.is_empty(),
            "{CHECKPOINTS} of {} completions were told, and no row is visible",
            3 * CHECKPOINTS
        );
        job.finish().await?;
        judge("O-4", subject, &expected).await
    })
}

fn the_end_releases<C: SinkContext>(lab: &Lab<C>) -> Verdict {
    for (checkpoints, rows_each) in [(0, 1), (1, 0), (1, 1), (2, 1), (4, 1)] {
        lab.once(async |subject| {
            let mut expected = Vec::new();
            let mut job = Job::open(subject, Opening::fresh(1)).await?;
            let part = rows(0, 0..1);
            job.write(0, &part).await?;
            expected.extend(texts(&[&part]));
            for k in 0..checkpoints {
                let point = job.checkpoint(Flush::Checkpoint).await?;
                job.complete(point.id).await?;
                if rows_each > 0 {
                    let part = rows(0, k + 1..k + 2);
                    job.write(0, &part).await?;
                    expected.extend(texts(&[&part]));
                }
            }
            job.finish().await?;
            judge("O-5", subject, &expected).await
        })?;
    }
    Ok(())
}

fn post_commit_again<C: SinkContext>(lab: &Lab<C>) -> Verdict {
    lab.once(async |subject| {
        let mut expected = Vec::new();
        let mut job = Job::open(subject, Opening::fresh(2)).await?;
        for k in 0..CHECKPOINTS {
            expected.extend(write_both(&mut job, k).await?);
            let point = job.checkpoint(Flush::Checkpoint).await?;
            job.complete(point.id).await?;
        }
        let last = job.end().await?;
        job.complete(last.id).await?;
        job.after_commit(last.committables.clone()).await?;
        let before = (visible(subject).await?, lingering(subject).await?);
        job.die(subject, Death::Crash);
        // It died before it knew, and does it all again.
        let mut job = Job::open(subject, Opening::from(&last, 1)).await?;
        job.after_commit(last.committables).await?;
        job.finish().await?;
        judge("O-6", subject, &expected).await?;
        let after = (visible(subject).await?, lingering(subject).await?);
        ensure!("O-6", before == after, "the same again changed {before:?} to {after:?}");
        Ok(())
    })
}

fn uids<C: SinkContext>(plan: &SinkPlan<C::Batch>) -> Vec<String> {
    plan.pre_commit.iter().chain(&plan.post_commit).map(|stage| stage.uid.clone()).collect()
}

fn left_out<C: SinkContext>(lab: &Lab<C>) -> Verdict {
    lab.once(async |subject: &mut Subject<C>| {
        let (first, second) = (plan(subject)?, plan(subject)?);
        let (uids_now, again) = (uids::<C>(&first), uids::<C>(&second));
        ensure!("O-7", uids_now == again, "two plans of one sink have stages {uids_now:?} and {again:?}");
        let distinct: BTreeSet<&String> = uids_now.iter().collect();
        let sane = distinct.len() == uids_now.len() && uids_now.iter().all(|uid| !uid.is_empty());
        ensure!("O-7", sane, "stages are not told apart: {uids_now:?}");
        let env = subject.env();
        let variants =
            subject.context.variants(&env).map_err(Broken::by("O-7", "making the sink's variants"))?;
        let plans = variants.iter().map(|sink| sink.plan()).collect::<Result<Vec<_>, _>>();
        let mut plans = plans.map_err(Broken::by("O-7", "making the plan of a variant"))?;
        plans.push(first);
        let all: BTreeSet<String> = plans.iter().flat_map(uids::<C>).collect();
        for plan in &plans {
            let here = uids::<C>(plan);
            for uid in all.iter().filter(|uid| !here.contains(uid)) {
                let hint = plan.absent.get(uid).map(String::as_str).unwrap_or_default();
                ensure!(
                    "O-7",
                    !hint.trim().is_empty(),
                    "a plan with the stages {here:?} does not say what becomes of `{uid}`"
                );
            }
            let both = here.iter().find(|uid| plan.absent.contains_key(*uid));
            ensure!("O-7", both.is_none(), "stage {both:?} is there, and said to be absent");
        }
        Ok(())
    })
}
