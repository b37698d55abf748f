//! Checks of how a host drives enumerators and readers.

use std::num::NonZeroUsize;
use std::time::Duration;

use super::job::{HostContext, HostEnd};
use super::journal::{Entry, Party, Token, What};
use super::judge;
use super::play::{Play, Ran, Terms, nth};
use super::script::{Dealing, Script};
use super::world::Then;
use crate::broken::{Broken, Verdict};
use crate::capability::Capability;
use crate::check::Check;
use crate::ensure;
use crate::lab::Lab;
use crate::surroundings::Death;

const HOUR: Duration = Duration::from_secs(3600);
const FLIP_27: &str = "FLIP-27: SplitEnumerator, SourceReader";

pub(super) fn checks<C: HostContext>() -> Vec<Check<C>> {
    vec![
        Check {
            name: "host::source::a_poll_follows_every_command_to_a_reader",
            rules: &["H-1"],
            source: "FLINK-18128, FLINK-20033: readers that are never woken",
            failure: "a source stands still until something else happens to wake it",
            needs: &[],
            run: polls_readers,
        },
        Check {
            name: "host::source::a_poll_follows_every_command_to_an_enumerator",
            rules: &["H-1"],
            source: FLIP_27,
            failure: "splits that were found wait until something else wakes the enumerator",
            needs: &[],
            run: polls_enumerators,
        },
        Check {
            name: "host::source::actions_arrive_in_order",
            rules: &["H-2"],
            source: FLIP_27,
            failure: "a reader gets a message before the split that it is about, or after it has ended",
            needs: &[],
            run: order,
        },
        Check {
            name: "host::source::assignments_keep_their_side_of_the_barrier",
            rules: &["H-2", "H-4"],
            source: "FLINK-20290, FLINK-21996: splits lost or doubled around a checkpoint",
            failure: "a split is in both the enumerator's and the reader's state, or in neither: read twice or never",
            needs: &[],
            run: barrier,
        },
        Check {
            name: "host::source::rows_keep_their_side_of_the_barrier",
            rules: &["H-11"],
            source: "Chandy and Lamport 1985; Carbone et al. 2015",
            failure: "rows are lost or doubled by every restore",
            needs: &[],
            run: rows,
        },
        Check {
            name: "host::source::rows_of_a_part_keep_their_side_of_the_barrier",
            rules: &["H-11", "R-2"],
            source: "field-semantics.md: Flink's mailbox emits a batch in parts",
            failure: "the rest of a batch is lost when a checkpoint falls into it",
            needs: &[Capability::PartialBatches],
            run: parts,
        },
        Check {
            name: "host::source::uncheckpointed_assignments_are_given_back",
            rules: &["H-3"],
            source: "FLINK-19253, SplitAssignmentTracker",
            failure: "splits that were assigned shortly before a failure are never read",
            needs: &[Capability::Restarts],
            run: given_back,
        },
        Check {
            name: "host::source::assignments_of_an_aborted_checkpoint_are_given_back",
            rules: &["H-5"],
            source: "FLINK-28758 and SplitAssignmentTracker",
            failure: "splits are lost when a failure follows an aborted checkpoint",
            needs: &[Capability::Restarts, Capability::Aborts],
            run: given_back_after_abort,
        },
        Check {
            name: "host::source::no_more_splits_is_said_again",
            rules: &["H-7"],
            source: "FLINK-23128: bounded jobs that hang after a failover",
            failure: "a bounded job hangs for ever after a restart",
            needs: &[Capability::Restarts],
            run: no_more_again,
        },
        Check {
            name: "host::source::readers_without_splits_end",
            rules: &["H-7", "H-28"],
            source: "FLINK-20114; E-7",
            failure: "a job with more readers than splits, or an empty source, hangs",
            needs: &[],
            run: idle_readers,
        },
        Check {
            name: "host::source::an_enumerator_error_fails_the_job",
            rules: &["H-10"],
            source: FLIP_27,
            failure: "discovery dies silently and the job goes on without new splits",
            needs: &[],
            run: enumerator_error,
        },
        Check {
            name: "host::source::a_failed_enumerator_is_made_anew",
            rules: &["H-10"],
            source: FLIP_27,
            failure: "a broken enumerator is used again, or its splits are lost",
            needs: &[Capability::Restarts],
            run: enumerator_anew,
        },
        Check {
            name: "host::source::a_stuck_writer_stops_the_readers",
            rules: &["H-12"],
            source: "credit-based flow control; E 14 of peers: unbounded queues",
            failure: "memory grows without bound while the sink is slow",
            needs: &[],
            run: backpressure,
        },
        Check {
            name: "host::source::everything_is_closed_at_the_end",
            rules: &["H-13"],
            source: "FLINK-27489: leaks of readers and clients",
            failure: "files, connections and tasks leak with every job",
            needs: &[],
            run: closed_at_end,
        },
        Check {
            name: "host::source::everything_is_closed_after_a_failure",
            rules: &["H-13"],
            source: "FLINK-27489: leaks of readers and clients",
            failure: "files, connections and tasks leak with every restart",
            needs: &[],
            run: closed_after_failure,
        },
    ]
}

fn polls_readers<C: HostContext>(lab: &Lab<C>) -> Verdict {
    lab.each_seed(async |subject| {
        // No pause: the reader never uses a waker. No checkpoint pokes the host either.
        let script = Script { pause: None, ..Script::of(5, 20) };
        let play = Play::new(subject, script)?;
        let terms = Terms { interval: HOUR, ..Terms::default() };
        play.finish("H-1", &terms).await?;
        play.exactly_once("H-1")
    })
}

fn polls_enumerators<C: HostContext>(lab: &Lab<C>) -> Verdict {
    lab.each_seed(async |subject| {
        let script = Script { answers_in_poll: true, ..Script::of(5, 20) };
        let play = Play::new(subject, script)?;
        let terms = Terms { interval: HOUR, ..Terms::default() };
        play.finish("H-1", &terms).await?;
        play.exactly_once("H-1")
    })
}

fn busy(splits: u32, rows: u64) -> Script {
    Script { sends: true, ..Script::of(splits, rows) }.dealing(Dealing::Every(Duration::from_millis(7)))
}

fn order<C: HostContext>(lab: &Lab<C>) -> Verdict {
    lab.each_seed(async |subject| {
        let play = Play::new(subject, busy(9, 12))?;
        play.finish("H-2", &Terms::default()).await?;
        judge::actions_arrive_in_order(&play.world.journal())
    })
}

fn barrier<C: HostContext>(lab: &Lab<C>) -> Verdict {
    lab.each_seed(async |subject| {
        let play = Play::new(subject, busy(30, 12))?;
        let terms = Terms { interval: Duration::from_millis(10), ..Terms::default() };
        play.finish("H-4", &terms).await?;
        judge::barriers_divide_assignments(&play.world.journal())
    })
}

fn rows<C: HostContext>(lab: &Lab<C>) -> Verdict {
    lab.each_seed(async |subject| {
        let play = Play::new(subject, Script::of(6, 60))?;
        let terms = Terms { interval: Duration::from_millis(10), readers: 3, ..Terms::default() };
        play.finish("H-11", &terms).await?;
        judge::barriers_divide_rows(&play.world.journal())
    })
}

fn parts<C: HostContext>(lab: &Lab<C>) -> Verdict {
    lab.each_seed(async |subject| {
        let script = Script { batch: 16, ..Script::of(4, 120) };
        let mut play = Play::new(subject, script)?;
        let max_rows = NonZeroUsize::new(3);
        let terms = Terms { interval: Duration::from_millis(10), max_rows, ..Terms::default() };
        // At the first commit behind a snapshot that fell into a batch.
        let mut seen = None;
        let when = move |entry: &Entry| match entry.what {
            What::Snapshot { checkpoint, unemitted, .. } if unemitted > 0 => {
                seen = seen.or(Some(checkpoint));
                false
            }
            What::Commit { checkpoint, .. } => seen.is_some_and(|seen| checkpoint >= seen),
            _ => false,
        };
        play.world.trap(when, Then::Die);
        match play.run(&terms).await {
            Ran::Died => {
                play.next_process(Death::Crash)?;
                play.finish("H-11", &terms).await?;
            }
            Ran::Ended(Ok(HostEnd::Finished)) => {}
            other => return Err(play.tell("H-11", &format!("ended as {other:?}"))),
        }
        judge::barriers_divide_rows(&play.world.journal())?;
        play.exactly_once("H-11")
    })
}

fn is_given_split(entry: &Entry) -> bool {
    matches!(&entry.what, What::Given(tokens) if tokens.iter().any(|token| matches!(token, Token::Split(_))))
}

fn given_back<C: HostContext>(lab: &Lab<C>) -> Verdict {
    lab.each_seed(async |subject| {
        let k = 2 + (subject.seed % 5) as u32;
        let play = Play::new(subject, busy(12, 30))?;
        // A reader fails while it has splits that no checkpoint holds.
        play.world.trap(nth(k, is_given_split), Then::Fail);
        play.finish("H-3", &Terms::restarting(3)).await?;
        play.exactly_once("H-3")
    })
}

fn given_back_after_abort<C: HostContext>(lab: &Lab<C>) -> Verdict {
    lab.each_seed(async |subject| {
        let script = Script { slow_flushes: (2, Duration::from_millis(60)), ..busy(12, 30) };
        let play = Play::new(subject, script)?;
        let mut aborted = false;
        let when = move |entry: &Entry| {
            aborted |= matches!(entry.what, What::Aborted(_));
            // Before the next checkpoint, which would be able to hold the splits, is complete.
            aborted && matches!(entry.what, What::Emitted { .. })
        };
        play.world.trap(when, Then::Fail);
        let terms = Terms { timeout: Duration::from_millis(20), ..Terms::restarting(3) };
        play.finish("H-5", &terms).await?;
        let was_aborted = play.world.journal().iter().any(|e| matches!(e.what, What::Aborted(_)));
        ensure!("H-5", was_aborted, "a checkpoint that took three times its time-out was not aborted");
        play.exactly_once("H-5")
    })
}

fn no_more_again<C: HostContext>(lab: &Lab<C>) -> Verdict {
    lab.each_seed(async |subject| {
        let play = Play::new(subject, Script::of(2, 120).dealing(Dealing::AtOnce))?;
        // Both readers have heard it, and a checkpoint holds their splits.
        let mut heard = 0;
        let when = move |entry: &Entry| {
            heard += u32::from(matches!(&entry.what, What::Given(t) if t.contains(&Token::NoMore)));
            heard >= 2 && matches!((&entry.party, &entry.what), (Party::Reader(_), What::Complete(_)))
        };
        play.world.trap(when, Then::Fail);
        play.finish("H-7", &Terms::restarting(3)).await?;
        play.exactly_once("H-7")
    })
}

fn idle_readers<C: HostContext>(lab: &Lab<C>) -> Verdict {
    for splits in [0, 1, 2] {
        lab.once(async |subject| {
            let play = Play::new(subject, Script::of(splits, 20))?;
            let terms = Terms { readers: 4, writers: 3, ..Terms::default() };
            play.finish("H-7", &terms).await?;
            play.exactly_once("H-7")
        })?;
    }
    Ok(())
}

fn fails_enumerating(script: &mut Script) {
    script.enumerator_fails = true;
}

fn enumerator_error<C: HostContext>(lab: &Lab<C>) -> Verdict {
    lab.once(async |subject| {
        let play = Play::new(subject, Script::of(6, 30))?;
        let when = nth(3, |entry| matches!(entry.what, What::Emitted { .. }));
        play.world.trap(when, Then::Change(Box::new(fails_enumerating)));
        match play.run(&Terms::default()).await {
            Ran::Ended(Err(_)) => Ok(()),
            other => {
                Err(play.tell("H-10", &format!("the enumerator failed, and the job ended as {other:?}")))
            }
        }
    })
}

fn enumerator_anew<C: HostContext>(lab: &Lab<C>) -> Verdict {
    lab.each_seed(async |subject| {
        let k = 3 + (subject.seed % 20) as u32;
        let play = Play::new(subject, Script::of(6, 30))?;
        let when = nth(k, |entry| matches!(entry.what, What::Emitted { .. }));
        play.world.trap(when, Then::Change(Box::new(fails_enumerating)));
        play.finish("H-10", &Terms::restarting(3)).await?;
        let mut failed = None;
        for entry in play.world.journal().iter().filter(|entry| entry.party == Party::Enumerator) {
            ensure!("H-10", failed != Some(entry.instance), "used after its failure: {entry}");
            if entry.what == What::Failed {
                failed = Some(entry.instance);
            }
        }
        ensure!("H-10", failed.is_some(), "the enumerator was never called again, so it could not fail");
        play.exactly_once("H-10")
    })
}

/// More than any host has a good reason to hold between one reader and its writers.
const MOST_BATCHES: usize = 100;

fn backpressure<C: HostContext>(lab: &Lab<C>) -> Verdict {
    lab.once(async |subject| {
        let script = Script { writers_stuck: true, ..Script::of(2, 4000) };
        let play = Play::new(subject, script)?;
        let world = play.world.clone();
        let clock = play.subject.env().clock.clone();
        let watching = async {
            clock.sleep(Duration::from_secs(5)).await;
            let emitted = world.journal().iter().filter(|e| matches!(e.what, What::Emitted { .. })).count();
            world.change(|script| script.writers_stuck = false);
            emitted
        };
        // No checkpoint comes in between: only the channels hold the readers back.
        let terms = Terms { interval: HOUR, ..Terms::default() };
        let (emitted, finished) = futures::join!(watching, play.finish("H-12", &terms));
        finished?;
        ensure!("H-12", emitted <= 2 * MOST_BATCHES, "{emitted} batches were read while no writer took any");
        play.exactly_once("H-12")
    })
}

fn closed_at_end<C: HostContext>(lab: &Lab<C>) -> Verdict {
    lab.each_seed(async |subject| {
        let play = Play::new(subject, Script::of(4, 30).shape(super::script::Shape::Staged))?;
        play.finish("H-13", &Terms::default()).await?;
        judge::everything_is_closed(&play.world.journal())?;
        play.nothing_is_left("H-13").await
    })
}

fn closed_after_failure<C: HostContext>(lab: &Lab<C>) -> Verdict {
    lab.each_seed(async |subject| {
        let k = 3 + (subject.seed % 9) as u32;
        let play = Play::new(subject, Script::of(4, 60).shape(super::script::Shape::Staged))?;
        let what: fn(&Entry) -> bool = match play.subject.seed % 3 {
            0 => |entry| matches!(entry.what, What::Written(_)),
            1 => |entry| matches!(entry.what, What::Emitted { .. }),
            _ => |entry| matches!(entry.what, What::StagePrepared(_)),
        };
        play.world.trap(nth(k, what), Then::Fail);
        match play.run(&Terms { interval: Duration::from_millis(10), ..Terms::default() }).await {
            Ran::Ended(Err(_)) => {}
            other => {
                return Err(Broken::new("H-13", format!("a call failed, and the job ended as {other:?}")));
            }
        }
        judge::everything_is_closed(&play.world.journal())?;
        play.nothing_is_left("H-13").await
    })
}
