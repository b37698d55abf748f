//! Checks of a reader by itself: batches, positions, ends.

use std::collections::BTreeSet;

use connector_api::id::{CheckpointId, SplitId};
use connector_api::source::{ReaderCommand, ReaderEvent, Split};

use super::reading::{QUIET, Reading, Rows, Whole, rows_of, texts};
use super::support::ROWS;
use crate::broken::{Broken, Verdict};
use crate::capability::Capability;
use crate::check::Check;
use crate::context::SourceContext;
use crate::ensure;
use crate::history::{self, Event, History};
use crate::lab::{Lab, Subject};
use crate::rows::TestRow;

pub(super) fn checks<C: SourceContext>() -> Vec<Check<C>> {
    vec![
        Check {
            name: "source::reader::a_batch_holds_rows_of_one_split_in_order",
            rules: &["R-1"],
            source: "FLIP-27",
            failure: "rows are counted for the wrong split, or overtake each other",
            needs: &[],
            run: batches,
        },
        Check {
            name: "source::reader::the_position_stands_behind_what_was_emitted",
            rules: &["R-2", "R-3"],
            source: "FLIP-27; FLINK-17268",
            failure: "rows are lost or doubled after a failure between two batches",
            needs: &[],
            run: positions,
        },
        Check {
            name: "source::reader::rows_that_the_host_still_holds_are_not_counted",
            rules: &["R-2"],
            source: "Flink emits a batch row by row, with checkpoints between the rows",
            failure: "rows are lost or doubled after a checkpoint in the middle of a batch",
            needs: &[],
            run: unemitted,
        },
        Check {
            name: "source::reader::a_snapshot_holds_every_split_that_is_not_finished",
            rules: &["R-3"],
            source: "FLIP-27",
            failure: "a split that was assigned and not begun is lost with the reader",
            needs: &[],
            run: all_in_snapshot,
        },
        Check {
            name: "source::reader::a_finished_split_is_stored_once_more_and_ends_again_at_once",
            rules: &["R-4"],
            source: "FLINK-37416",
            failure: "a split that ended between two checkpoints is read again from its beginning",
            needs: &[Capability::Bounded],
            run: finished,
        },
        Check {
            name: "source::reader::all_rows_come_before_the_end_of_their_split",
            rules: &["R-5"],
            source: "FLINK-35924",
            failure: "the last rows of a split are lost",
            needs: &[Capability::Bounded],
            run: before_the_end,
        },
        Check {
            name: "source::reader::the_end_of_input_is_said_when_it_is_due",
            rules: &["R-6"],
            source: "FLINK-18128, FLINK-19223",
            failure: "a bounded job never ends, or ends before everything is read",
            needs: &[Capability::Bounded],
            run: end_of_input,
        },
        Check {
            name: "source::reader::nothing_is_said_after_the_end_of_input",
            rules: &["R-6"],
            source: "FLIP-27",
            failure: "a host that has let go of the reader's output is handed more",
            needs: &[Capability::Bounded],
            run: last_word,
        },
        Check {
            name: "source::reader::event_times_are_those_of_the_rows",
            rules: &["R-16"],
            source: "FLIP-27 (record timestamps)",
            failure: "windows get the wrong rows",
            needs: &[Capability::EventTimes],
            run: event_times,
        },
        Check {
            name: "source::reader::a_watermark_is_never_ahead_of_a_later_row",
            rules: &["R-13"],
            source: "FLIP-27; FLINK-26018",
            failure: "rows count as late that are not",
            needs: &[Capability::Watermarks],
            run: watermarks,
        },
    ]
}

fn batches<C: SourceContext>(lab: &Lab<C>) -> Verdict {
    lab.once(async |subject| {
        let whole = Whole::read(subject).await?;
        // Together each split gives what it gave alone.
        let together = rows_of(subject, whole.splits.clone(), whole.count()).await?;
        whole.compare("R-1", &whole.splits, &together, "read together with the others")?;
        let mut history = History::new();
        for (split, rows) in together {
            history.push(Event::Emitted { split: split.to_string(), rows, times: Vec::new() });
        }
        history::order(&history)
    })
}

/// What was emitted of each split so far, and a snapshot that says so.
struct Cut {
    snapshot: Vec<connector_api::source::DynSplit>,
    emitted: Rows,
    when: String,
}

/// Reads some splits and snapshots after each batch, with the rows unemitted that `held` says for a number of rows.
async fn cuts<C: SourceContext>(
    subject: &mut Subject<C>,
    whole: &Whole,
    held: fn(usize) -> BTreeSet<usize>,
) -> Result<Vec<Cut>, Broken> {
    let splits = whole.some(2);
    let (mut cuts, mut emitted, mut count) = (Vec::new(), Rows::new(), 0);
    let mut reading = Reading::of(subject, splits.clone())?;
    while count < whole.size(&splits) {
        let (split, batch) = reading.batch().await?;
        let rows = texts(&batch.rows)?;
        count += rows.len();
        // From all of them to none, as a host gets rid of them.
        for held in held(rows.len()).into_iter().rev() {
            let snapshot = reading.snapshot(held)?;
            let mut emitted: Rows = emitted.clone();
            emitted.entry(split.clone()).or_default().extend_from_slice(&rows[..rows.len() - held]);
            let when = format!("restored after row {count}, with {held} rows of the last batch unemitted");
            cuts.push(Cut { snapshot, emitted, when });
        }
        emitted.entry(split).or_default().extend(rows);
    }
    reading.close().await?;
    Ok(cuts)
}

async fn continues<C: SourceContext>(subject: &mut Subject<C>, whole: &Whole, cuts: Vec<Cut>) -> Verdict {
    let splits = whole.some(2);
    for Cut { snapshot, mut emitted, when } in cuts {
        let left = whole.size(&splits) - emitted.values().map(Vec::len).sum::<usize>();
        for (id, rows) in rows_of(subject, snapshot, left).await? {
            emitted.entry(id).or_default().extend(rows);
        }
        whole.compare("R-2", &splits, &emitted, &when)?;
    }
    Ok(())
}

fn positions<C: SourceContext>(lab: &Lab<C>) -> Verdict {
    lab.once(async |subject| {
        let whole = Whole::read(subject).await?;
        let cuts = cuts(subject, &whole, |_| BTreeSet::from([0])).await?;
        continues(subject, &whole, cuts).await
    })
}

fn unemitted<C: SourceContext>(lab: &Lab<C>) -> Verdict {
    lab.once(async |subject| {
        let whole = Whole::read(subject).await?;
        let cuts = cuts(subject, &whole, |rows| BTreeSet::from([1.min(rows), rows / 2, rows])).await?;
        continues(subject, &whole, cuts).await
    })
}

fn all_in_snapshot<C: SourceContext>(lab: &Lab<C>) -> Verdict {
    lab.once(async |subject| {
        let whole = Whole::read(subject).await?;
        // The driver compares each snapshot with what was added, finished and removed.
        let mut reading = Reading::of(subject, whole.splits.clone())?;
        reading.snapshot(0)?;
        let paused: Vec<SplitId> = whole.splits.iter().take(1).map(Split::id).collect();
        reading.tell("R-8", ReaderCommand::Pause(paused.clone()))?;
        reading.snapshot(0)?;
        for _ in 0..3 {
            reading.batch().await?;
            reading.snapshot(0)?;
        }
        reading.tell("R-8", ReaderCommand::Resume(paused))?;
        reading.snapshot(0)?;
        reading.close().await
    })
}

fn finished<C: SourceContext>(lab: &Lab<C>) -> Verdict {
    lab.once(async |subject| {
        let whole = Whole::read(subject).await?;
        let mut reading = Reading::of(subject, whole.some(2))?;
        let done = loop {
            match reading.next().await? {
                Some(ReaderEvent::SplitFinished(split)) => break split,
                Some(_) => {}
                None => return Err(Broken::new("R-5", "no split is ever finished")),
            }
        };
        // The driver compares: it must be there.
        let snapshot = reading.snapshot(0)?;
        reading.close().await?;
        let done: Vec<_> = snapshot.into_iter().filter(|split| split.id() == done).collect();
        let mut again = Reading::of(subject, done.clone())?;
        again.no_more()?;
        let mut ended = false;
        while let Some(event) = again.next().await? {
            match event {
                ReaderEvent::Batch { split, .. } => {
                    return Err(Broken::new(
                        "R-4",
                        format!("split {split} had finished, and has rows again"),
                    ));
                }
                ReaderEvent::SplitFinished(_) => ended = true,
                _ => {}
            }
        }
        ensure!("R-4", ended, "a finished split that was added again does not say its end again");
        again.close().await
    })
}

fn before_the_end<C: SourceContext>(lab: &Lab<C>) -> Verdict {
    lab.once(async |subject| {
        let written = super::support::fill(subject, 0..ROWS).await?;
        let splits = super::desk::all_splits(subject).await?;
        let mut reading = Reading::of(subject, splits.clone())?;
        reading.no_more()?;
        let (mut rows, mut ends) = (Vec::new(), 0);
        // Rows of a split that has ended, and a second end, are the driver's to find.
        while let Some(event) = reading.next().await? {
            match event {
                ReaderEvent::Batch { batch, .. } => rows.extend(texts(&batch.rows)?),
                ReaderEvent::SplitFinished(_) => ends += 1,
                _ => {}
            }
        }
        ensure!("R-5", ends == splits.len(), "{ends} of {} splits were said to be finished", splits.len());
        history::exactly_once("R-5", &written, &rows)
    })
}

async fn until_quiet<B: crate::TestBatch>(reading: &mut Reading<B>) -> Result<bool, Broken> {
    while let Some(event) = reading.within(QUIET).await? {
        if matches!(event, ReaderEvent::EndOfInput) {
            return Ok(true);
        }
    }
    Ok(false)
}

fn end_of_input<C: SourceContext>(lab: &Lab<C>) -> Verdict {
    lab.once(async |subject| {
        let whole = Whole::read(subject).await?;
        // Too early is the driver's to find; here it is whether it comes at all.
        let mut without_splits = Reading::open(subject)?;
        let early = until_quiet(&mut without_splits).await?;
        ensure!("R-6", !early, "the end of the input, and nobody said that no more splits come");
        without_splits.no_more()?;
        ensure!("R-6", until_quiet(&mut without_splits).await?, "without splits the end never comes");

        let mut said_last = Reading::of(subject, whole.some(2))?;
        let early = until_quiet(&mut said_last).await?;
        ensure!("R-6", !early, "the end of the input, and nobody said that no more splits come");
        said_last.no_more()?;
        ensure!("R-6", until_quiet(&mut said_last).await?, "said last, `NoMoreSplits` does not end it");

        let mut said_first = Reading::of(subject, whole.some(2))?;
        said_first.no_more()?;
        ensure!(
            "R-6",
            until_quiet(&mut said_first).await?,
            "all splits are finished, and the end never comes"
        );
        Ok(())
    })
}

fn last_word<C: SourceContext>(lab: &Lab<C>) -> Verdict {
    lab.once(async |subject| {
        let whole = Whole::read(subject).await?;
        let mut reading = Reading::of(subject, whole.some(1))?;
        reading.no_more()?;
        while reading.next().await?.is_some() {}
        reading.snapshot(0)?;
        reading.tell("R-10", ReaderCommand::CheckpointComplete(CheckpointId(1)))?;
        for _ in 0..3 {
            let said = reading.drive.poll().map_err(|error| error.as_broken("R-6"))?;
            ensure!("R-6", said.is_none(), "an event after the end of the input");
        }
        reading.close().await
    })
}

fn event_times<C: SourceContext>(lab: &Lab<C>) -> Verdict {
    lab.once(async |subject| {
        let whole = Whole::read(subject).await?;
        let splits = whole.some(2);
        let (mut count, size) = (0, whole.size(&splits));
        let mut reading = Reading::of(subject, splits)?;
        while count < size {
            let (split, batch) = reading.batch().await?;
            let rows = texts(&batch.rows)?;
            count += rows.len();
            let expected: Vec<i64> = rows.iter().filter_map(|row| time_of(row)).collect();
            let found = &batch.timestamps;
            ensure!("R-16", *found == expected, "split {split}: {rows:?} have the times {found:?}");
        }
        reading.close().await
    })
}

fn time_of(text: &str) -> Option<i64> {
    TestRow::parse(text).map(|(split, index)| TestRow::of(split, index).millis)
}

fn watermarks<C: SourceContext>(lab: &Lab<C>) -> Verdict {
    lab.once(async |subject| {
        let whole = Whole::read(subject).await?;
        let (mut history, mut count, mut said) = (History::new(), 0, 0);
        let mut reading = Reading::of(subject, whole.splits.clone())?;
        while let Some(event) = reading.within(QUIET).await? {
            match event {
                ReaderEvent::Batch { split, batch } => {
                    let rows = texts(&batch.rows)?;
                    count += rows.len();
                    let times = rows.iter().filter_map(|row| time_of(row)).collect();
                    history.push(Event::Emitted { split: split.to_string(), rows, times });
                }
                ReaderEvent::Watermark { split, millis } => {
                    said += 1;
                    let split = split.map(|split| split.to_string());
                    history.push(Event::SplitWatermark { split, reader: 0, millis });
                }
                _ => {}
            }
        }
        let (found, expected) = (count, whole.count());
        ensure!("R-5", found == expected, "{found} of {expected} rows came");
        ensure!("R-13", said > 0, "the capability is declared, and no watermark was said");
        history::watermarks(&history)
    })
}
