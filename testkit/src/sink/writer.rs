//! Checks of writers by hand.

use std::time::Duration;

use connector_api::sink::Flush;

use super::hand::{Job, Opening, Trouble, in_time, rows, sound, texts, visible};
use super::support::{break_system, heal_system, judge, nothing_is_held, publishes_nothing};
use crate::broken::{Broken, Verdict};
use crate::capability::Capability;
use crate::check::Check;
use crate::context::SinkContext;
use crate::ensure;
use crate::fs::PowerCut;
use crate::history::at_least_once;
use crate::lab::{Lab, Subject};
use crate::rows::batch_of;
use crate::surroundings::Death;

pub(super) fn checks<C: SinkContext>() -> Vec<Check<C>> {
    vec![
        Check {
            name: "sink::writer::what_was_flushed_survives_the_process",
            rules: &["W-1"],
            source: "SinkV2 (FLIP-191): flush; FLINK-31620",
            failure: "rows that a completed checkpoint counts on are lost when the process dies behind it",
            needs: &[],
            run: survives_a_death,
        },
        Check {
            name: "sink::writer::what_was_flushed_survives_a_power_cut",
            rules: &["W-1"],
            source: "ALICE (Pillai et al., OSDI 2014); object_store's local store does not sync",
            failure: "rows that a completed checkpoint counts on are lost when the machine loses its power behind it",
            needs: &[Capability::Files],
            run: survives_a_power_cut,
        },
        Check {
            name: "sink::writer::a_flush_reports_every_earlier_failure",
            rules: &["W-1", "F-5"],
            source: "FLINK-31305, FLINK-35749, FLINK-5701; PulsarWriter.flush never checks",
            failure: "a checkpoint completes although the system did not take rows: they are lost without a word",
            needs: &[Capability::Breaks],
            run: failures_surface,
        },
        Check {
            name: "sink::writer::a_savepoint_stays_valid_when_the_job_goes_on",
            rules: &["W-2"],
            source: "FLIP-203; FileSink rolls its parts at savepoints",
            failure: "a savepoint, or a checkpoint behind it, can't be restored without loss once the other was",
            needs: &[Capability::Committer],
            run: savepoint_stays,
        },
        Check {
            name: "sink::writer::nothing_is_left_at_the_end_of_the_input",
            rules: &["W-3"],
            source: "FLIP-147: final checkpoints",
            failure: "the last rows of a bounded job never become visible, or the job never ends",
            needs: &[],
            run: nothing_left,
        },
        Check {
            name: "sink::writer::nothing_is_visible_before_the_commit",
            rules: &["W-4"],
            source: "SinkV2 (FLIP-191): two-phase commit",
            failure: "readers see rows that are taken back, or come a second time, after a failure",
            needs: &[Capability::Committer],
            run: nothing_visible,
        },
        Check {
            name: "sink::writer::attempts_do_not_share_names",
            rules: &["W-5"],
            source: "FLINK-23854; FLINK-40626",
            failure: "what a dead attempt staged is published with the rows of the next one, or hides them",
            needs: &[Capability::Committer],
            run: attempts_apart,
        },
        Check {
            name: "sink::writer::writers_do_not_share_names",
            rules: &["W-5"],
            source: "FLINK-29509: wrong subtask ids after a restore",
            failure: "of two writers that run side by side one overwrites what the other one staged",
            needs: &[Capability::Committer],
            run: writers_apart,
        },
        Check {
            name: "sink::writer::any_number_of_states_is_taken",
            rules: &["W-6"],
            source: "FLINK-29627: several states of one subtask",
            failure: "rows are lost when a job is restored with fewer or more writers",
            needs: &[Capability::WriterState],
            run: any_number_of_states,
        },
        Check {
            name: "sink::writer::idle_may_be_dropped_at_any_time",
            rules: &["W-7"],
            source: "cancel safety; FLINK-38096",
            failure: "rows are lost or doubled when input comes while the writer works on its own",
            needs: &[],
            run: idle_is_dropped,
        },
        Check {
            name: "sink::writer::what_an_aborted_checkpoint_staged_comes_with_the_next",
            rules: &["W-8"],
            source: "SinkV2: subsumed checkpoints",
            failure: "rows are lost when a checkpoint is aborted",
            needs: &[Capability::Committer],
            run: aborted,
        },
        Check {
            name: "sink::writer::closing_publishes_nothing",
            rules: &["W-9"],
            source: "FLINK-39786",
            failure: "a failed attempt publishes rows that the next one writes again",
            needs: &[Capability::Committer],
            run: closing_publishes_nothing,
        },
        Check {
            name: "sink::writer::closing_gives_up_what_is_held",
            rules: &["W-10"],
            source: "FLINK-37612, FLINK-37613, FLINK-36441: producers leak",
            failure: "each restart leaves tasks, files or connections behind",
            needs: &[],
            run: gives_up,
        },
    ]
}

fn survives_a_death<C: SinkContext>(lab: &Lab<C>) -> Verdict {
    lab.once(async |subject| survives(subject, Death::Crash).await)
}

fn survives_a_power_cut<C: SinkContext>(lab: &Lab<C>) -> Verdict {
    lab.once(async |subject| survives(subject, Death::PowerCut(PowerCut::SyncedOnly)).await)
}

/// Two checkpoints with rows of two writers; the process dies before anything is committed.
async fn survives<C: SinkContext>(subject: &mut Subject<C>, death: Death) -> Verdict {
    let (a, b, c, d) = (rows(0, 0..7), rows(1, 0..3), rows(0, 7..9), rows(1, 3..20));
    let mut job = Job::open(subject, Opening::fresh(2)).await?;
    job.write(0, &a).await?;
    job.write(1, &b).await?;
    job.checkpoint(Flush::Checkpoint).await?;
    job.write(0, &c).await?;
    job.write(1, &d).await?;
    let point = job.checkpoint(Flush::Checkpoint).await?;
    job.die(subject, death);
    let mut job = Job::open(subject, Opening::from(&point, 2)).await?;
    job.finish().await?;
    judge("W-1", subject, &texts(&[&a, &b, &c, &d])).await
}

fn failures_surface<C: SinkContext>(lab: &Lab<C>) -> Verdict {
    // Broken before, between and behind the writes; with and without work in the background meanwhile.
    for (breaks_at, idles) in [(0, false), (1, false), (2, false), (0, true), (1, true), (2, true)] {
        lab.once(async |subject| {
            let (a, b) = (rows(0, 0..4), rows(0, 4..9));
            let mut job = Job::open(subject, Opening::fresh(1)).await?;
            job.write(0, &rows(1, 0..2)).await?;
            let before = job.checkpoint(Flush::Checkpoint).await?;
            job.complete(before.id).await?;
            let mut failed = false;
            for (k, part) in [&a, &b].into_iter().enumerate() {
                if breaks_at == k {
                    break_system(subject).await?;
                }
                let batch = batch_of::<C::Batch>(part).map_err(Broken::by("W-1", "making test data"))?;
                failed = failed || in_time("SinkWriter::write", job.writers[0].write(batch)).await?.is_err();
                if idles {
                    let idling = tokio::time::timeout(Duration::from_secs(1), job.writers[0].idle());
                    failed = failed || idling.await.is_ok_and(|done| done.is_err());
                }
            }
            if breaks_at == 2 {
                break_system(subject).await?;
            }
            let point = if failed { None } else { made(job.try_checkpoint(Flush::Checkpoint).await)? };
            heal_system(subject).await?;
            // An error ended the writer, which is as good as any rule asks. No error: then the rows are safe.
            let Some(point) = point else { return Ok(()) };
            job.die(subject, Death::Crash);
            let mut job = Job::open(subject, Opening::from(&point, 1)).await?;
            job.finish().await?;
            judge("W-1", subject, &texts(&[&a, &b, &rows(1, 0..2)])).await
        })?;
    }
    Ok(())
}

/// None for an error of the connector.
fn made<T>(result: Result<T, Trouble>) -> Result<Option<T>, Broken> {
    match result {
        Ok(made) => Ok(Some(made)),
        Err(Trouble::Error(_)) => Ok(None),
        Err(Trouble::Broken(broken)) => Err(broken),
    }
}

fn savepoint_stays<C: SinkContext>(lab: &Lab<C>) -> Verdict {
    lab.once(async |subject| {
        let (a, b) = (rows(0, 0..3), rows(0, 3..7));
        let mut job = Job::open(subject, Opening::fresh(1)).await?;
        job.write(0, &a).await?;
        let savepoint = job.checkpoint(Flush::Savepoint).await?;
        job.complete(savepoint.id).await?;
        job.write(0, &b).await?;
        let later = job.checkpoint(Flush::Checkpoint).await?;
        job.die(subject, Death::Crash);
        // The savepoint is tried, and given up again for the checkpoint behind it.
        let mut job = Job::open(subject, Opening::back_to(&savepoint, 1)).await?;
        job.finish().await?;
        drop(job);
        let seen = visible(subject).await?;
        let lost = texts(&[&a]).into_iter().find(|row| !seen.contains(row));
        ensure!("W-2", lost.is_none(), "the savepoint was restored, and lost {lost:?}");
        subject.around.die(Death::Crash);
        let mut job = Job::open(subject, Opening::back_to(&later, 1)).await?;
        job.finish().await?;
        let seen = visible(subject).await?;
        at_least_once("W-2", &texts(&[&a, &b]), &seen)
    })
}

fn nothing_left<C: SinkContext>(lab: &Lab<C>) -> Verdict {
    // With rows since the last checkpoint, without, and without any.
    for (before, after) in [(3, 6), (3, 3), (0, 0), (0, 2)] {
        lab.once(async |subject| {
            let (a, b) = (rows(0, 0..before), rows(0, before..after));
            let mut job = Job::open(subject, Opening::fresh(2)).await?;
            if !a.is_empty() {
                job.write(0, &a).await?;
            }
            let point = job.checkpoint(Flush::Checkpoint).await?;
            job.complete(point.id).await?;
            if !b.is_empty() {
                job.write(0, &b).await?;
            }
            job.finish().await?;
            judge("W-3", subject, &texts(&[&a, &b])).await
        })?;
    }
    Ok(())
}

fn nothing_visible<C: SinkContext>(lab: &Lab<C>) -> Verdict {
    lab.once(async |subject| {
        let mut job = Job::open(subject, Opening::fresh(2)).await?;
        for k in 0..4 {
            for writer in [0, 1] {
                job.write(writer, &rows(writer as u32, k * 20..k * 20 + 20)).await?;
                publishes_nothing("W-4", "a write", subject).await?;
                let idling = tokio::time::timeout(Duration::from_secs(1), job.writers[writer].idle());
                drop(idling.await);
                publishes_nothing("W-4", "work of a writer's own", subject).await?;
            }
            let why = if k == 2 { Flush::Savepoint } else { Flush::Checkpoint };
            job.checkpoint(why).await?;
            publishes_nothing("W-4", "a checkpoint that is not complete", subject).await?;
        }
        job.write(0, &rows(2, 0..1)).await?;
        job.checkpoint(Flush::EndOfInput).await?;
        publishes_nothing("W-4", "the end of the input", subject).await
    })
}

fn attempts_apart<C: SinkContext>(lab: &Lab<C>) -> Verdict {
    // The first attempt dies before its checkpoint completes; the second one has the same numbers, and other rows.
    lab.once(async |subject| {
        let (a, b) = (rows(0, 0..5), rows(1, 0..5));
        let mut job = Job::open(subject, Opening::fresh(2)).await?;
        job.write(0, &rows(7, 0..4)).await?;
        job.write(1, &rows(8, 0..6)).await?;
        job.checkpoint(Flush::Savepoint).await?;
        job.write(0, &rows(7, 4..8)).await?;
        job.die(subject, Death::Crash);
        let mut job = Job::open(subject, Opening::fresh(2)).await?;
        job.write(0, &a).await?;
        job.write(1, &b).await?;
        let point = job.checkpoint(Flush::Savepoint).await?;
        job.complete(point.id).await?;
        job.finish().await?;
        drop(job);
        super::sweep::sweep_at_the_end(subject).await?;
        judge("W-5", subject, &texts(&[&a, &b])).await
    })?;
    // What the first attempt committed does not stand for what the second one stages under the same number.
    lab.once(async |subject| {
        let (a, b) = (rows(0, 0..5), rows(1, 0..5));
        for part in [&a, &b] {
            let mut job = Job::open(subject, Opening::fresh(1)).await?;
            job.write(0, part).await?;
            job.finish().await?;
            drop(job);
            subject.around.die(Death::Crash);
        }
        judge("W-5", subject, &texts(&[&a, &b])).await
    })
}

fn writers_apart<C: SinkContext>(lab: &Lab<C>) -> Verdict {
    lab.once(async |subject| {
        let (a, b, c) = (rows(0, 0..5), rows(1, 0..5), rows(2, 0..5));
        let mut job = Job::open(subject, Opening::fresh(3)).await?;
        // One after the other, then side by side.
        for (writer, part) in [(0, &a), (1, &b)] {
            job.write(writer, part).await?;
            let point = job.checkpoint(Flush::Savepoint).await?;
            job.complete(point.id).await?;
        }
        let (d, e) = (rows(0, 5..9), rows(1, 5..9));
        for (writer, part) in [(0, &d), (1, &e), (2, &c)] {
            job.write(writer, part).await?;
        }
        job.finish().await?;
        judge("W-5", subject, &texts(&[&a, &b, &c, &d, &e])).await
    })
}

fn any_number_of_states<C: SinkContext>(lab: &Lab<C>) -> Verdict {
    for (before, after) in [(3, 1), (1, 3), (3, 2), (2, 2)] {
        lab.once(async |subject| {
            let mut expected = Vec::new();
            let mut job = Job::open(subject, Opening::fresh(before)).await?;
            for writer in 0..before {
                let part = rows(writer, 0..3);
                job.write(writer as usize, &part).await?;
                expected.extend(texts(&[&part]));
            }
            let point = job.checkpoint(Flush::Checkpoint).await?;
            job.die(subject, Death::Crash);
            let mut job = Job::open(subject, Opening::from(&point, after)).await?;
            for writer in 0..after {
                let part = rows(writer, 3..5);
                job.write(writer as usize, &part).await?;
                expected.extend(texts(&[&part]));
            }
            job.finish().await?;
            judge("W-6", subject, &expected).await
        })?;
    }
    Ok(())
}

fn idle_is_dropped<C: SinkContext>(lab: &Lab<C>) -> Verdict {
    lab.each_seed(async |subject| {
        let all = rows(0, 0..60);
        let env = subject.env();
        let mut job = Job::open(subject, Opening::fresh(1)).await?;
        for part in all.chunks(3) {
            job.write(0, part).await?;
            for _ in 0..env.random.next_u64() % 3 {
                // No time at all: one poll.
                let wait = Duration::from_millis(env.random.next_u64() % 8);
                if let Ok(done) = tokio::time::timeout(wait, job.writers[0].idle()).await {
                    done.map_err(Broken::by("W-7", "SinkWriter::idle"))?;
                }
            }
            if env.random.next_u64() % 5 == 0 {
                let point = job.checkpoint(Flush::Checkpoint).await?;
                job.complete(point.id).await?;
            }
        }
        job.finish().await?;
        judge("W-7", subject, &texts(&[&all])).await
    })
}

fn aborted<C: SinkContext>(lab: &Lab<C>) -> Verdict {
    lab.once(async |subject| {
        let (a, b, c) = (rows(0, 0..4), rows(0, 4..8), rows(0, 8..9));
        let mut job = Job::open(subject, Opening::fresh(1)).await?;
        for part in [&a, &b] {
            job.write(0, part).await?;
            // Never completes.
            job.checkpoint(Flush::Savepoint).await?;
        }
        job.write(0, &c).await?;
        let point = job.checkpoint(Flush::Savepoint).await?;
        job.complete(point.id).await?;
        job.finish().await?;
        judge("W-8", subject, &texts(&[&a, &b, &c])).await
    })
}

fn closing_publishes_nothing<C: SinkContext>(lab: &Lab<C>) -> Verdict {
    for (flushed, closed) in [(false, true), (true, true), (false, false), (true, false)] {
        lab.once(async |subject| {
            let mut job = Job::open(subject, Opening::fresh(1)).await?;
            job.write(0, &rows(0, 0..40)).await?;
            let idling = tokio::time::timeout(Duration::from_secs(1), job.writers[0].idle());
            drop(idling.await);
            if flushed {
                sound("W-1", "SinkWriter::flush", job.writers[0].flush(Flush::Checkpoint)).await?;
            }
            if closed {
                job.close().await?;
            }
            drop(job);
            let env = subject.env();
            env.clock.sleep(Duration::from_millis(200)).await;
            publishes_nothing("W-9", "giving up a writer", subject).await
        })?;
    }
    Ok(())
}

fn gives_up<C: SinkContext>(lab: &Lab<C>) -> Verdict {
    for (flushed, closed) in [(false, true), (true, true), (false, false), (true, false)] {
        lab.once(async |subject| {
            let mut job = Job::open(subject, Opening::fresh(2)).await?;
            for writer in [0, 1] {
                job.write(writer, &rows(writer as u32, 0..40)).await?;
            }
            if flushed {
                let point = job.checkpoint(Flush::Checkpoint).await?;
                job.complete(point.id).await?;
                job.write(0, &rows(0, 40..50)).await?;
            }
            if closed {
                job.close().await?;
            }
            drop(job);
            nothing_is_held("W-10", subject).await
        })?;
    }
    Ok(())
}
