//! Checks of an enumerator by itself.

use connector_api::id::{ReaderId, SplitId};
use connector_api::source::{DynSplit, DynState, EnumeratorCommand, Split};

use super::desk::{Desk, all_splits, ids};
use super::reading::{Reading, rows_of};
use super::support::{ROWS, fill, fill_split};
use crate::broken::{Broken, Verdict};
use crate::capability::Capability;
use crate::check::Check;
use crate::context::SourceContext;
use crate::ensure;
use crate::lab::{Lab, Subject};

/// How often it is waited for an enumerator to find what appeared: minutes of virtual time.
const DISCOVERY: u32 = 150;

pub(super) fn checks<C: SourceContext>() -> Vec<Check<C>> {
    vec![
        Check {
            name: "source::enumerator::every_split_has_an_id_of_its_own",
            rules: &["E-1"],
            source: "FLIP-27",
            failure: "two splits share their state: one of them is lost or read twice",
            needs: &[],
            run: unique_ids,
        },
        Check {
            name: "source::enumerator::a_snapshot_at_any_moment_holds_what_no_reader_has",
            rules: &["E-2"],
            source: "FLIP-27; FLINK-38453, FLINK-20290, FLINK-6006; the Pulsar connector's SplitAssignerImpl",
            failure: "a checkpoint at an unlucky moment loses splits or hands them out twice",
            needs: &[],
            run: any_moment,
        },
        Check {
            name: "source::enumerator::a_split_that_came_back_is_stored_with_its_position",
            rules: &["E-2", "E-4"],
            source: "FLINK-38453",
            failure: "after a failure a split begins anew, or where the data ends now",
            needs: &[],
            run: positions_are_stored,
        },
        Check {
            name: "source::enumerator::no_call_blocks",
            rules: &["E-3"],
            source: "FLIP-27; the Pravega connector blocks its coordinator for 5 s in each checkpoint",
            failure: "the whole job stands still while the enumerator waits",
            needs: &[],
            run: no_blocking,
        },
        Check {
            name: "source::enumerator::splits_come_back_at_any_time",
            rules: &["E-4"],
            source: "FLIP-27, FLINK-20290",
            failure: "what a dead reader had is lost",
            needs: &[],
            run: come_back,
        },
        Check {
            name: "source::enumerator::a_split_may_be_reported_finished_twice",
            rules: &["E-5"],
            source: "after a restore readers repeat what they said since the checkpoint; FLINK-37416",
            failure: "a job fails when it recovers",
            needs: &[Capability::Bounded],
            run: finished_twice,
        },
        Check {
            name: "source::enumerator::a_request_of_a_reader_that_is_gone_loses_nothing",
            rules: &["E-6"],
            source: "FLIP-27; Flink's SourceCoordinator drops such requests, other hosts need not",
            failure: "a reader that dies while it asks takes a split with it, or hangs the enumerator",
            needs: &[],
            run: gone_readers,
        },
        Check {
            name: "source::enumerator::every_reader_hears_that_no_more_splits_come",
            rules: &["E-7"],
            source: "flink-connector-test-utils testIdleReader",
            failure: "with more readers than splits, or after a failure, the job never ends",
            needs: &[Capability::Bounded],
            run: no_more,
        },
        Check {
            name: "source::enumerator::a_restore_with_other_readers_hands_out_everything",
            rules: &["E-8"],
            source: "flink-connector-test-utils testScaleUp, testScaleDown",
            failure: "splits are never read after a rescale",
            needs: &[],
            run: rescaled,
        },
        Check {
            name: "source::enumerator::nothing_is_touched_before_the_start",
            rules: &["E-9"],
            source: "design: making things does no input or output",
            failure: "merely describing a job reaches for its systems",
            needs: &[],
            run: before_start,
        },
        Check {
            name: "source::enumerator::unassigned_splits_are_reported",
            rules: &["E-10"],
            source: "FLIP-33 (unassignedSplits)",
            failure: "nobody sees how much is left",
            needs: &[],
            run: reported,
        },
        Check {
            name: "source::enumerator::splits_that_appear_while_it_runs_are_found_once",
            rules: &["E-1", "E-3"],
            source: "FLIP-27, FLINK-29757",
            failure: "new data is never read, or read twice",
            needs: &[Capability::Discovery],
            run: discovery,
        },
    ]
}

fn unique_ids<C: SourceContext>(lab: &Lab<C>) -> Verdict {
    lab.once(async |subject| {
        let written = fill(subject, 0..ROWS).await?;
        let splits = all_splits(subject).await?;
        let mut desk = Desk::open(subject, 1, None).await?;
        desk.hand_out_all().await?;
        let again = ids(desk.assignments.iter().map(|(_, split)| split));
        ensure!("E-1", again == ids(&splits), "another enumerator over the same data has other ids");
        let rows = rows_of(subject, splits, written.len()).await?;
        let found: usize = rows.values().map(Vec::len).sum();
        ensure!(
            "E-1",
            found >= written.len(),
            "the splits that have ids hold {found} of {} rows",
            written.len()
        );
        Ok(())
    })
}

/// Everything that an enumerator goes through, with a snapshot after each step.
async fn life<C: SourceContext>(subject: &mut Subject<C>) -> Result<Desk, Broken> {
    let mut desk = Desk::new(subject, 2, None)?;
    desk.moments = Some(Vec::new());
    desk.tell("E-9", EnumeratorCommand::Start)?;
    desk.settle("E-3").await?;
    desk.add_reader(0)?;
    desk.request(0)?;
    desk.settle("E-3").await?;
    desk.request(0)?;
    let had = desk.remove_reader(0)?;
    desk.give_back(had)?;
    desk.add_reader(1)?;
    desk.request(1)?;
    desk.add_reader(0)?;
    desk.hand_out_all().await?;
    Ok(desk)
}

fn any_moment<C: SourceContext>(lab: &Lab<C>) -> Verdict {
    lab.once(async |subject| {
        fill(subject, 0..ROWS).await?;
        let mut desk = life(subject).await?;
        let all = desk.held.keys().cloned().collect();
        for moment in desk.moments.take().unwrap_or_default() {
            let mut restored = Desk::open(subject, 2, Some(moment.state)).await?;
            restored.hand_out_all().await?;
            let found = restored.held.keys().cloned().collect();
            if let Some(lost) = missing(&all, &[&moment.assigned, &found]) {
                let what = format!("a snapshot after {} has lost split {lost}", moment.after);
                return Err(Broken::new("E-2", what));
            }
            if let Some(double) = moment.assigned.intersection(&found).next() {
                let what =
                    format!("a snapshot after {} holds split {double}, which a reader has", moment.after);
                return Err(Broken::new("E-2", what));
            }
        }
        Ok(())
    })
}

type Ids = std::collections::BTreeSet<SplitId>;

fn missing<'a>(all: &'a Ids, among: &[&Ids]) -> Option<&'a SplitId> {
    all.iter().find(|id| among.iter().all(|ids| !ids.contains(*id)))
}

/// A split that was begun, and the rows that it has left.
async fn begun<C: SourceContext>(
    subject: &mut Subject<C>,
    split: DynSplit,
) -> Result<(DynSplit, Vec<String>), Broken> {
    let id = split.id();
    let mut reading = Reading::open(subject)?;
    reading.add([split])?;
    reading.batch().await?;
    let snapshot = reading.snapshot(0)?;
    let then = snapshot.into_iter().find(|split| split.id() == id);
    let Some(then) = then else {
        return Err(Broken::new("R-3", format!("split {id} is not in the snapshot of its reader")));
    };
    let mut rest = rows_of(subject, vec![then.clone()], 0).await?;
    Ok((then, rest.remove(&id).unwrap_or_default()))
}

/// Gives a begun split back; whatever happens then, it must go on where it was.
async fn comes_back<C: SourceContext>(
    subject: &mut Subject<C>,
    rule: &'static str,
    meanwhile: impl AsyncFn(&mut Subject<C>, Desk) -> Result<Desk, Broken>,
) -> Verdict {
    fill(subject, 0..ROWS).await?;
    let mut desk = Desk::open(subject, 1, None).await?;
    desk.hand_out_all().await?;
    let Some((_, first)) = desk.assignments.first().cloned() else {
        return Err(Broken::new("E-1", "no split is handed out"));
    };
    let id = first.id();
    let (then, rest) = begun(subject, first).await?;
    desk.remove_reader(0)?;
    desk.give_back(vec![then])?;
    let mut desk = meanwhile(subject, desk).await?;
    desk.add_reader(0)?;
    desk.hand_out_all().await?;
    let Some((_, again)) = desk.held.get(&id) else {
        return Err(Broken::new(rule, format!("split {id} came back, and is not handed out again")));
    };
    let rows = rows_of(subject, vec![again.clone()], rest.len()).await?.remove(&id).unwrap_or_default();
    let (last, first) = (rest.first(), rows.first());
    ensure!(rule, rows == rest, "split {id} came back before row {last:?}, and goes on with {first:?}");
    Ok(())
}

fn positions_are_stored<C: SourceContext>(lab: &Lab<C>) -> Verdict {
    lab.once(async |subject| {
        comes_back(subject, "E-2", async |subject: &mut Subject<C>, mut desk| {
            let state = desk.snapshot()?;
            Desk::open(subject, 0, Some(state)).await
        })
        .await
    })
}

fn come_back<C: SourceContext>(lab: &Lab<C>) -> Verdict {
    lab.once(async |subject| comes_back(subject, "E-4", async |_: &mut Subject<C>, desk| Ok(desk)).await)
}

fn no_blocking<C: SourceContext>(lab: &Lab<C>) -> Verdict {
    lab.once(async |subject| {
        fill(subject, 0..ROWS).await?;
        let desk = life(subject).await?;
        drop(desk);
        match subject.around.meter().blocking_calls().first() {
            Some(call) => Err(Broken::new("E-3", format!("work that blocks in {call}"))),
            None => Ok(()),
        }
    })
}

fn finished_twice<C: SourceContext>(lab: &Lab<C>) -> Verdict {
    lab.once(async |subject| {
        fill(subject, 0..ROWS).await?;
        let all = ids(&all_splits(subject).await?);
        let mut desk = Desk::open(subject, 1, None).await?;
        desk.request(0)?;
        desk.settle("E-3").await?;
        let done: Vec<SplitId> = desk.held.keys().cloned().collect();
        let state = desk.snapshot()?;
        for _ in 0..2 {
            finish(&mut desk, &done)?;
        }
        let mut restored = Desk::open(subject, 1, Some(state)).await?;
        for desk in [&mut desk, &mut restored] {
            finish(desk, &done)?;
            desk.hand_out_all().await?;
            let found = desk.held.keys().cloned().collect();
            if let Some(lost) = missing(&all, &[&found, &done.iter().cloned().collect()]) {
                return Err(Broken::new("E-5", format!("split {lost} is lost when {done:?} finish twice")));
            }
        }
        Ok(())
    })
}

fn finish(desk: &mut Desk, done: &[SplitId]) -> Verdict {
    let mut done = done.iter();
    done.try_for_each(|id| desk.tell("E-5", EnumeratorCommand::SplitFinished(ReaderId(0), id.clone())))
}

fn gone_readers<C: SourceContext>(lab: &Lab<C>) -> Verdict {
    lab.once(async |subject| {
        fill(subject, 0..ROWS).await?;
        let all = ids(&all_splits(subject).await?);
        let mut desk = Desk::new(subject, 3, None)?;
        desk.tell("E-9", EnumeratorCommand::Start)?;
        // Nobody is there yet, and what a dead attempt asked for arrives.
        desk.request(2)?;
        desk.add_reader(0)?;
        desk.add_reader(1)?;
        desk.request(0)?;
        let had = desk.remove_reader(0)?;
        desk.request(0)?;
        desk.settle("E-3").await?;
        desk.give_back(had)?;
        desk.request(0)?;
        desk.hand_out_all().await?;
        // It comes again, and asks again.
        desk.add_reader(0)?;
        desk.hand_out_all().await?;
        let found = desk.held.keys().cloned().collect();
        match missing(&all, &[&found]) {
            Some(lost) => Err(Broken::new("E-6", format!("split {lost} was given to nobody who is there"))),
            None => Ok(()),
        }
    })
}

fn no_more<C: SourceContext>(lab: &Lab<C>) -> Verdict {
    lab.once(async |subject| {
        fill(subject, 0..ROWS).await?;
        let readers = u32::try_from(all_splits(subject).await?.len()).unwrap_or(u32::MAX).saturating_add(3);
        let mut desk = Desk::open(subject, readers, None).await?;
        desk.hand_out_all().await?;
        all_told(&desk, readers)?;
        // One without a split and one with a split die, and are added anew.
        for reader in [readers - 1, 0] {
            desk.remove_reader(reader)?;
            desk.add_reader(reader)?;
            desk.hand_out_all().await?;
            all_told(&desk, readers)?;
        }
        Ok(())
    })
}

fn all_told(desk: &Desk, readers: u32) -> Verdict {
    let untold = (0..readers).find(|reader| !desk.told.contains(&ReaderId(*reader)));
    match untold {
        Some(reader) => Err(Broken::new("E-7", format!("reader {reader} is never told that no more come"))),
        None => Ok(()),
    }
}

fn rescaled<C: SourceContext>(lab: &Lab<C>) -> Verdict {
    lab.once(async |subject| {
        fill(subject, 0..ROWS).await?;
        let all = ids(&all_splits(subject).await?);
        let state = at_four_readers(subject).await?;
        for readers in [1, 7] {
            let mut desk = Desk::open(subject, readers, Some(state.clone())).await?;
            desk.hand_out_all().await?;
            let found = desk.held.keys().cloned().collect();
            if let Some(lost) = missing(&all, &[&found]) {
                let what = format!("stored with 4 readers, restored with {readers}: split {lost} is lost");
                return Err(Broken::new("E-8", what));
            }
        }
        Ok(())
    })
}

/// The state of an enumerator that had four readers and gave away nothing, or got it back.
async fn at_four_readers<C: SourceContext>(subject: &mut Subject<C>) -> Result<DynState, Broken> {
    let mut desk = Desk::open(subject, 4, None).await?;
    let mut had = Vec::new();
    for reader in 0..4 {
        had.extend(desk.remove_reader(reader)?);
    }
    if !had.is_empty() {
        desk.give_back(had)?;
    }
    desk.snapshot()
}

fn before_start<C: SourceContext>(lab: &Lab<C>) -> Verdict {
    lab.once(async |subject| {
        fill(subject, 0..ROWS).await?;
        let state = at_four_readers(subject).await?;
        for restored in [None, Some(state)] {
            let meter = subject.around.meter().clone();
            // What an enumerator that is gone had under way ends first.
            for _ in 0..50 {
                subject.env().clock.sleep(std::time::Duration::from_millis(100)).await;
                if meter.tasks().is_empty() {
                    break;
                }
            }
            let before = (meter.file_system_calls(), meter.tasks());
            let desk = Desk::new(subject, 2, restored)?;
            subject.env().clock.sleep(std::time::Duration::from_millis(100)).await;
            ensure!("E-9", meter.file_system_calls() == before.0, "files were touched before `Start`");
            ensure!("E-9", meter.tasks() == before.1, "tasks before `Start`: {:?}", meter.tasks());
            drop(desk);
        }
        Ok(())
    })
}

fn reported<C: SourceContext>(lab: &Lab<C>) -> Verdict {
    lab.once(async |subject| {
        fill(subject, 0..ROWS).await?;
        let all = all_splits(subject).await?.len() as u64;
        let mut desk = Desk::open(subject, 1, None).await?;
        loop {
            let left = all - desk.held.len() as u64;
            let said = desk.context().unassigned();
            ensure!("E-10", said == Some(left), "{left} splits are unassigned, and it says {said:?}");
            if left == 0 || desk.held.len() as u64 == all {
                return Ok(());
            }
            desk.request(0)?;
            desk.settle("E-3").await?;
        }
    })
}

fn discovery<C: SourceContext>(lab: &Lab<C>) -> Verdict {
    lab.once(async |subject| {
        let count = subject.context.splits();
        let mut written = 0;
        for split in 0..count / 2 {
            written += fill_split(subject, split, 0..ROWS).await?.len();
        }
        let mut desk = Desk::open(subject, 2, None).await?;
        desk.hand_out_all().await?;
        let before: Vec<DynSplit> = desk.assignments.iter().map(|(_, split)| split.clone()).collect();
        for split in count / 2..count {
            written += fill_split(subject, split, 0..ROWS).await?.len();
        }
        // Nobody does anything: it finds them by itself, for the readers that wait.
        for _ in 0..DISCOVERY {
            desk.settle("E-3").await?;
            if desk.assignments.len() > before.len() {
                break;
            }
        }
        let found = desk.assignments.len() > before.len();
        ensure!("E-3", found, "splits appeared, and none of them is found");
        desk.hand_out_all().await?;
        let all: Vec<DynSplit> = desk.assignments.iter().map(|(_, split)| split.clone()).collect();
        let rows = rows_of(subject, all, written).await?;
        let found: usize = rows.values().map(Vec::len).sum();
        ensure!("E-1", found == written, "{written} rows are there, and the splits hold {found}");
        Ok(())
    })
}
