//! Checks of checkpoints and commits while a job runs.

use std::collections::BTreeSet;
use std::time::Duration;

use super::job::{HostContext, HostEnd};
use super::journal::{Party, Settled, What};
use super::judge;
use super::play::{Play, Ran, Terms, nth};
use super::script::{Script, Shape};
use crate::broken::Verdict;
use crate::capability::Capability;
use crate::check::Check;
use crate::ensure;
use crate::fs::PowerCut;
use crate::lab::Lab;
use crate::surroundings::Death;

const SINK_V2: &str = "SinkV2 (FLIP-191), field-semantics.md B";
const CUT: Death = Death::PowerCut(PowerCut::SyncedOnly);

pub(super) fn checks<C: HostContext>() -> Vec<Check<C>> {
    vec![
        Check {
            name: "host::checkpoint::a_writer_is_flushed_prepared_and_snapshotted",
            rules: &["H-20"],
            source: SINK_V2,
            failure: "rows fall between what is staged and what is in the state",
            needs: &[],
            run: writer_order,
        },
        Check {
            name: "host::checkpoint::committables_are_in_the_state_of_their_checkpoint",
            rules: &["H-21"],
            source: "FLINK-25726, FLINK-30238: committables in the wrong checkpoint",
            failure: "staged rows are never committed after a restore, or committed before they are safe",
            needs: &[],
            run: committables,
        },
        Check {
            name: "host::checkpoint::completion_follows_all_snapshots",
            rules: &["H-22"],
            source: "CheckpointListener, FLIP-191",
            failure: "rows become visible that a restore reads again",
            needs: &[],
            run: completion,
        },
        Check {
            name: "host::checkpoint::a_commit_follows_a_durable_checkpoint",
            rules: &["H-22"],
            source: "CheckpointListener; ALICE (OSDI 2014) on fsync and rename",
            failure: "a power failure after the first commit doubles the rows of a whole checkpoint",
            needs: &[],
            run: durable,
        },
        Check {
            name: "host::checkpoint::the_high_water_mark_is_durable_before_the_first_commit",
            rules: &["H-23"],
            source: "decision 5 of the design; no peer does it",
            failure: "going back to an older savepoint doubles rows without a word",
            needs: &[Capability::Savepoints],
            run: high_water,
        },
        Check {
            name: "host::checkpoint::commits_are_oldest_first",
            rules: &["H-24"],
            source: SINK_V2,
            failure: "later rows become visible before earlier ones",
            needs: &[],
            run: oldest_first,
        },
        Check {
            name: "host::checkpoint::an_aborted_checkpoint_undoes_nothing",
            rules: &["H-25"],
            source: "FLINK-28758, FLINK-37747",
            failure: "rows that were staged for an aborted checkpoint are never committed",
            needs: &[Capability::Aborts],
            run: aborted,
        },
        Check {
            name: "host::checkpoint::a_retry_holds_no_barrier",
            rules: &["H-26"],
            source: "FLINK-30238; FLIP-191 retries in the committer",
            failure: "one commit that waits stops all checkpoints, and with them the job's progress",
            needs: &[],
            run: retry,
        },
        Check {
            name: "host::checkpoint::a_commit_that_waits_is_in_the_next_snapshot",
            rules: &["H-26", "H-21"],
            source: "FLINK-29627",
            failure: "a commit that was to be tried again is forgotten by a restart",
            needs: &[],
            run: retry_is_stored,
        },
        Check {
            name: "host::checkpoint::a_loss_ends_the_job_at_once",
            rules: &["H-27"],
            source: "field-semantics.md B 47: silent loss in the peers",
            failure: "rows are lost silently, or the job restarts for ever",
            needs: &[],
            run: loss,
        },
        Check {
            name: "host::checkpoint::a_fatal_commit_ends_the_job_past_every_restart",
            rules: &["H-27"],
            source: "field-semantics.md B 47",
            failure: "the job restarts for ever on a commit that can't succeed",
            needs: &[Capability::Restarts],
            run: fatal,
        },
        Check {
            name: "host::checkpoint::a_loss_is_skipped_when_the_user_says_so",
            rules: &["H-27"],
            source: "field-semantics.md B 47",
            failure: "a user who chose to go on after a loss can't, or loses more than was lost",
            needs: &[],
            run: skipped,
        },
        Check {
            name: "host::checkpoint::a_savepoint_is_left_alone",
            rules: &["H-29"],
            source: "Flink: savepoints belong to the user",
            failure: "the state that a user kept to go back to is gone",
            needs: &[Capability::Savepoints],
            run: savepoint,
        },
    ]
}

fn often() -> Terms {
    Terms { interval: Duration::from_millis(15), ..Terms::default() }
}

fn writer_order<C: HostContext>(lab: &Lab<C>) -> Verdict {
    lab.each_seed(async |subject| {
        let play = Play::new(subject, Script::of(4, 60))?;
        play.finish("H-20", &often()).await?;
        judge::writers_are_called_in_order(&play.world.journal())
    })
}

fn committables<C: HostContext>(lab: &Lab<C>) -> Verdict {
    lab.each_seed(async |subject| {
        let k = 2 + (subject.seed % 6) as u32;
        let mut play = Play::new(subject, Script::of(4, 60))?;
        play.die_at("H-21", &often(), Death::Crash, nth(k, |e| matches!(e.what, What::Commit { .. })))
            .await?;
        play.finish("H-21", &often()).await?;
        let journal = play.world.journal();
        judge::committables_keep_their_checkpoint(&journal)?;
        judge::restored_commits_are_made(&journal, "H-21", false)
    })
}

fn completion<C: HostContext>(lab: &Lab<C>) -> Verdict {
    lab.each_seed(async |subject| {
        let script = Script { slow_flushes: (9, Duration::from_millis(4)), ..Script::of(4, 60) };
        let play = Play::new(subject, script.shape(Shape::Staged))?;
        play.finish("H-22", &often()).await?;
        judge::completion_follows_all_snapshots(&play.world.journal())
    })
}

fn durable<C: HostContext>(lab: &Lab<C>) -> Verdict {
    lab.each_seed(async |subject| {
        let k = 1 + (subject.seed % 4) as u32;
        let mut play = Play::new(subject, Script::of(4, 60))?;
        play.die_at("H-22", &often(), CUT, nth(k, |e| matches!(e.what, What::Commit { .. }))).await?;
        let told = play.world.journal().iter().rev().find_map(|entry| match entry.what {
            What::Commit { checkpoint, .. } => Some(checkpoint),
            _ => None,
        });
        play.finish("H-22", &often()).await?;
        let restored = judge::restored(&play.world.journal());
        let from = restored.into_iter().find(|((process, _), _)| *process == 2).map(|(_, number)| number);
        ensure!("H-22", from >= told, "checkpoint {told:?} was being committed when the power failed; the next start went on from {from:?}");
        play.exactly_once("H-22")
    })
}

/// Counts commits of the process that lives, and is true at the `k`th.
fn commit_in(process: u32, k: u32) -> impl FnMut(&super::journal::Entry) -> bool + Send {
    nth(k, move |entry| entry.process == process && matches!(entry.what, What::Commit { .. }))
}

fn high_water<C: HostContext>(lab: &Lab<C>) -> Verdict {
    lab.each_seed(async |subject| {
        let k = 1 + (subject.seed % 3) as u32;
        let mut play = Play::new(subject, Script::of(4, 200))?;
        let savepoint = play.stop_at("H-29", &often(), commit_in(1, 1)).await?;
        // The commits of the savepoint itself are no progress.
        let mut named = BTreeSet::new();
        let before: BTreeSet<Vec<String>> = play.world.journal().iter().filter_map(names_of).collect();
        let when = nth(k, move |entry| {
            entry.process == 2
                && names_of(entry).is_some_and(|names| !before.contains(&names) && named.insert(names))
        });
        play.die_at("H-23", &often(), CUT, when).await?;
        let what = "an older savepoint, when commits of a later checkpoint had begun,";
        play.refused("H-23", &Terms::from(&savepoint), what).await.map(drop)
    })
}

fn names_of(entry: &super::journal::Entry) -> Option<Vec<String>> {
    match &entry.what {
        What::Commit { names, .. } => Some(names.clone()),
        _ => None,
    }
}

fn oldest_first<C: HostContext>(lab: &Lab<C>) -> Verdict {
    lab.each_seed(async |subject| {
        // Commits pile up behind one that is retried.
        let script = Script { retries: (4, Duration::from_millis(25)), ..Script::of(4, 60) };
        let mut play = Play::new(subject, script)?;
        let when = nth(5, |e| matches!((&e.party, &e.what), (Party::Reader(0), What::Complete(_))));
        play.die_at("H-24", &often(), Death::Crash, when).await?;
        play.finish("H-24", &often()).await?;
        judge::commits_are_oldest_first(&play.world.journal())
    })
}

fn aborted<C: HostContext>(lab: &Lab<C>) -> Verdict {
    lab.each_seed(async |subject| {
        let script = Script { slow_flushes: (3, Duration::from_millis(60)), ..Script::of(4, 80) };
        let play = Play::new(subject, script)?;
        let terms = Terms { timeout: Duration::from_millis(25), ..often() };
        play.finish("H-25", &terms).await?;
        let was_aborted = play.world.journal().iter().any(|e| matches!(e.what, What::Aborted(_)));
        ensure!("H-25", was_aborted, "a checkpoint that took twice its time-out was not aborted");
        play.exactly_once("H-25")
    })
}

fn retry<C: HostContext>(lab: &Lab<C>) -> Verdict {
    lab.once(async |subject| {
        let script = Script { retries: (8, Duration::from_millis(50)), ..Script::of(2, 800) };
        let play = Play::new(subject, script)?;
        play.finish("H-26", &often()).await?;
        let journal = play.world.journal();
        let is_retry = |what: &What| matches!(what, What::Commit { settled: Settled::Retry, .. });
        let first = journal.iter().position(|entry| is_retry(&entry.what));
        let last = journal.iter().rposition(|entry| is_retry(&entry.what));
        let (Some(first), Some(last)) = (first, last) else {
            return Err(play.tell("H-26", "nothing was committed"));
        };
        let complete = journal[first..last]
            .iter()
            .filter(|e| e.party == Party::Reader(0) && matches!(e.what, What::Complete(_)))
            .count();
        ensure!(
            "H-26",
            complete >= 3,
            "in 350 ms in which a commit waited, with a checkpoint every 15 ms, {complete} were complete"
        );
        play.exactly_once("H-26")
    })
}

fn retry_is_stored<C: HostContext>(lab: &Lab<C>) -> Verdict {
    lab.each_seed(async |subject| {
        let script = Script { retries: (u32::MAX, Duration::from_millis(30)), ..Script::of(2, 200) };
        let mut play = Play::new(subject, script)?;
        let k = 3 + (subject_seed(&play) % 4) as u32;
        let when = nth(k, |e| matches!((&e.party, &e.what), (Party::Reader(0), What::Complete(_))));
        play.die_at("H-26", &often(), Death::Crash, when).await?;
        play.world.change(|script| script.retries.0 = 0);
        play.finish("H-26", &often()).await?;
        play.exactly_once("H-26")
    })
}

fn subject_seed<C>(play: &Play<'_, C>) -> u64 {
    play.subject.seed
}

/// The attempts that opened a writer.
fn attempts<C: HostContext>(play: &Play<'_, C>) -> usize {
    let journal = play.world.journal();
    journal.iter().filter(|e| e.party == Party::Writer(0) && matches!(e.what, What::Made { .. })).count()
}

async fn ends_at_once<C: HostContext>(play: &Play<'_, C>, terms: &Terms, what: &str) -> Verdict {
    match play.run(terms).await {
        Ran::Ended(Err(_)) => {}
        other => return Err(play.tell("H-27", &format!("{what}, and the job ended as {other:?}"))),
    }
    let attempts = attempts(play);
    ensure!("H-27", attempts == 1, "{what}, and the job was started {attempts} times");
    Ok(())
}

fn loss<C: HostContext>(lab: &Lab<C>) -> Verdict {
    lab.once(async |subject| {
        let restarts = u32::from(subject.context.capabilities().has(Capability::Restarts)) * 3;
        let play = Play::new(subject, Script { losses: 1, ..Script::of(4, 60) })?;
        ends_at_once(&play, &Terms { restarts, ..often() }, "a committable was lost").await
    })
}

fn fatal<C: HostContext>(lab: &Lab<C>) -> Verdict {
    lab.once(async |subject| {
        let play = Play::new(subject, Script { fatal: 1, ..Script::of(4, 60) })?;
        let terms = Terms { skip_lost: true, ..Terms::restarting(3) };
        ends_at_once(&play, &terms, "a commit said `Fatal`").await
    })
}

fn skipped<C: HostContext>(lab: &Lab<C>) -> Verdict {
    lab.once(async |subject| {
        let play = Play::new(subject, Script { losses: 1, ..Script::of(4, 60) })?;
        play.finish("H-27", &Terms { skip_lost: true, ..often() }).await?;
        let journal = play.world.journal();
        let lost = journal.iter().find_map(|entry| match &entry.what {
            What::Commit { names, settled: Settled::Lost, .. } => Some(names.clone()),
            _ => None,
        });
        let lost = lost.unwrap_or_default();
        for (at, entry) in journal.iter().enumerate() {
            let again = matches!(&entry.what, What::Commit { names, .. } if *names == lost);
            let first = journal.iter().position(|e| names_of(e).as_ref() == Some(&lost));
            ensure!("H-27", !again || first == Some(at), "{lost:?} was skipped, and tried again");
        }
        let visible = play.world.visible();
        let all = play.world.lock().script.all_rows();
        let others: BTreeSet<String> = journal.iter().filter_map(names_of).flatten().collect();
        let committed = play.world.lock().outside.committed.clone();
        let dropped: Vec<_> =
            others.iter().filter(|name| !lost.contains(name) && !committed.contains(*name)).collect();
        ensure!("H-27", dropped.is_empty(), "not committed, beside what was lost: {dropped:?}");
        let is_part = visible.len() < all.len() && visible.iter().all(|row| all.contains(row));
        ensure!("H-27", is_part, "{} of {} rows are visible after a loss", visible.len(), all.len());
        Ok(())
    })
}

fn savepoint<C: HostContext>(lab: &Lab<C>) -> Verdict {
    lab.once(async |subject| {
        let mut play = Play::new(subject, Script::of(4, 150))?;
        let savepoint = play.stop_at("H-29", &often(), commit_in(1, 2)).await?;
        let read = |play: &Play<'_, C>| play.fs().map(|fs| fs.content(&savepoint).ok());
        let before = read(&play)?;
        ensure!("H-29", before.is_some(), "the savepoint {} is not there", savepoint.display());
        let end = play.run(&often()).await;
        let finished = matches!(end, Ran::Ended(Ok(HostEnd::Finished)));
        ensure!("H-29", finished, "went on from the savepoint and ended as {end:?}");
        let after = read(&play)?;
        ensure!("H-29", before == after, "the savepoint {} was changed or removed", savepoint.display());
        play.exactly_once("H-29")
    })
}
