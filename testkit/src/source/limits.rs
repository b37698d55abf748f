//! Checks of a reader by itself: what it holds, how it fails and how it is closed.

use std::time::Duration;

use connector_api::Error;
use connector_api::source::{ReaderEvent, Split};

use super::reading::{QUIET, Reading, Whole, rows_of, texts};
use super::support::{break_system, heal};
use crate::broken::{Broken, Verdict};
use crate::capability::Capability;
use crate::check::Check;
use crate::context::SourceContext;
use crate::drive::{DriveError, SILENCE};
use crate::ensure;
use crate::lab::{Lab, Subject};
use crate::meter::Meter;
use crate::rows::TestRow;

/// How often a reader may wake its host per event, and per second in which it has none.
const WAKES: u64 = 20;
/// What was started just before the close may still run so long, in blocking work that nobody can stop.
const GRACE: Duration = Duration::from_secs(5);

pub(super) fn checks<C: SourceContext>() -> Vec<Check<C>> {
    vec![
        Check {
            name: "source::reader::an_error_names_the_split_and_says_that_it_may_pass",
            rules: &["R-11", "F-1", "F-2"],
            source: "design: errors tell what to do",
            failure: "nobody can tell what is broken, or a job ends for good over a short outage",
            needs: &[Capability::Breaks],
            run: errors,
        },
        Check {
            name: "source::reader::after_an_error_nothing_is_lost",
            rules: &["R-2", "R-11"],
            source: "FLIP-27; the Kafka reader's skipped partitions",
            failure: "an outage of the system loses rows",
            needs: &[Capability::Breaks],
            run: after_errors,
        },
        Check {
            name: "source::reader::closing_ends_and_gives_everything_up",
            rules: &["R-12"],
            source: "FLINK-40660, FLINK-36585, FLINK-35924",
            failure: "each restart of a job leaves tasks, files or connections behind, until there are none left",
            needs: &[],
            run: closing,
        },
        Check {
            name: "source::reader::nothing_is_read_ahead_without_bound",
            rules: &["R-14"],
            source: "bounded memory; the Pravega reader's endless batch",
            failure: "a slow sink makes the process run out of memory",
            needs: &[Capability::ReadAhead],
            run: read_ahead,
        },
        Check {
            name: "source::reader::waiting_costs_no_polls",
            rules: &["R-15"],
            source: "Flink's RateLimitedSourceReader spins while it waits",
            failure: "an idle job burns a processor",
            needs: &[],
            run: idle_polls,
        },
    ]
}

fn errors<C: SourceContext>(lab: &Lab<C>) -> Verdict {
    lab.once(async |subject| {
        let whole = Whole::read(subject).await?;
        let split = whole.some(1);
        break_system(subject).await?;
        let mut reading = Reading::of(subject, split.clone())?;
        let error = loop {
            match reading.drive.next_within(SILENCE).await {
                Ok(Some(ReaderEvent::Batch { .. } | ReaderEvent::SplitFinished(_)) | None) => {
                    return Err(Broken::new("R-11", "the system is broken, and the reader gives no error"));
                }
                Ok(Some(_)) => {}
                Err(DriveError::Broken(broken)) => return Err(broken),
                Err(DriveError::Reader(error)) => break error,
            }
        };
        let names = split.iter().any(|split| error.to_string().contains(split.id().as_str()));
        ensure!("R-11", names, "the error does not name the split: {error}");
        ensure!("F-2", error.is_retryable(), "the system may come back, and the error is final: {error}");
        heal(subject).await
    })
}

fn after_errors<C: SourceContext>(lab: &Lab<C>) -> Verdict {
    lab.once(async |subject| {
        let whole = Whole::read(subject).await?;
        let splits = whole.some(2);
        let mut reading = Reading::of(subject, splits.clone())?;
        let (first, batch) = reading.batch().await?;
        let mut rows = super::reading::Rows::from([(first, texts(&batch.rows)?)]);
        let mut snapshot = reading.snapshot(0)?;
        break_system(subject).await?;
        // What was read before may still come; then an error does, or nothing.
        let failed: Option<Error> = loop {
            match reading.drive.next_within(QUIET).await {
                Ok(Some(ReaderEvent::Batch { split, batch })) => {
                    rows.entry(split).or_default().extend(texts(&batch.rows)?);
                    snapshot = reading.snapshot(0)?;
                }
                Ok(Some(_)) => {}
                Ok(None) => break None,
                Err(DriveError::Reader(error)) => break Some(error),
                Err(DriveError::Broken(broken)) => return Err(broken),
            }
        };
        if failed.is_none() {
            snapshot = reading.snapshot(0)?;
        }
        reading.close().await?;
        heal(subject).await?;
        let left = whole.size(&splits) - rows.values().map(Vec::len).sum::<usize>();
        for (id, more) in rows_of(subject, snapshot, left).await? {
            rows.entry(id).or_default().extend(more);
        }
        whole.compare("R-2", &splits, &rows, "read on after an error")
    })
}

/// Waits until the process holds no more than before.
async fn given_up<C: SourceContext>(
    subject: &Subject<C>,
    meter: &Meter,
    before: (usize, u64),
    when: &str,
) -> Verdict {
    let clock = subject.env().clock;
    let until = clock.monotonic() + GRACE;
    loop {
        let (tasks, files) = (meter.tasks(), meter.open_files());
        if tasks.len() <= before.0 && files <= before.1 {
            return Ok(());
        }
        if clock.monotonic() >= until {
            let what = format!("closed {when}: tasks {tasks:?} and {files} open files are left");
            return Err(Broken::new("R-12", what));
        }
        clock.sleep(Duration::from_millis(10)).await;
    }
}

fn closing<C: SourceContext>(lab: &Lab<C>) -> Verdict {
    lab.each_seed(async |subject| {
        let whole = Whole::read(subject).await?;
        let meter = subject.around.meter().clone();
        let before = (meter.tasks().len(), meter.open_files());
        for (when, batches) in [
            ("before it had a split", None),
            ("right after it was given splits", Some(0)),
            ("after a batch", Some(1)),
            ("after two batches", Some(2)),
        ] {
            let mut reading = Reading::open(subject)?;
            if let Some(batches) = batches {
                reading.add(whole.splits.clone())?;
                for _ in 0..batches {
                    reading.batch().await?;
                }
                if batches > 1 {
                    // Rows are on their way, and nobody takes them.
                    subject.env().clock.sleep(Duration::from_millis(200)).await;
                }
            }
            reading.close().await?;
            given_up(subject, &meter, before, when).await?;
            drop(reading);
        }
        let mut reading = Reading::of(subject, whole.splits.clone())?;
        reading.rest(whole.count()).await?;
        reading.close().await?;
        given_up(subject, &meter, before, "when all was read").await
    })
}

fn read_ahead<C: SourceContext>(lab: &Lab<C>) -> Verdict {
    lab.once(async |subject| {
        let Some(bound) = subject.context.read_ahead() else {
            return Err(Broken::new("R-14", "the capability is declared, and no bound is stated"));
        };
        // Rows of 1 KiB, more than four times the bound.
        let count = (bound * 4 / 1024).max(64);
        let row = |mut row: TestRow| {
            row.text.push_str(&"x".repeat(1024 - row.text.len().min(1024)));
            row
        };
        let rows: Vec<TestRow> = TestRow::range(0, 0..count).into_iter().map(row).collect();
        let env = subject.env();
        let appended = subject.context.append(&env, 0, &rows).await;
        appended.map_err(Broken::by("R-14", "appending test data"))?;
        let splits = super::desk::all_splits(subject).await?;
        let meter = subject.around.meter().clone();
        let before = subject.context.bytes_read(&meter);
        let splits: Vec<_> = splits.into_iter().take(1).collect();
        let mut reading = Reading::of(subject, splits)?;
        let mut taken = 0;
        for _ in 0..2 {
            let (_, batch) = reading.batch().await?;
            taken += texts(&batch.rows)?.iter().map(|text| text.len() as u64 + 1).sum::<u64>();
            // From here on nobody takes anything for a while.
            env.clock.sleep(QUIET).await;
            let ahead = (subject.context.bytes_read(&meter) - before).saturating_sub(taken);
            ensure!("R-14", ahead <= bound, "{ahead} bytes were read ahead, and {bound} are stated");
        }
        reading.close().await
    })
}

fn idle_polls<C: SourceContext>(lab: &Lab<C>) -> Verdict {
    lab.once(async |subject| {
        let whole = Whole::read(subject).await?;
        let clock = subject.env().clock;
        let began = clock.monotonic();
        let mut reading = Reading::open(subject)?;
        let mut events = 0;
        // Without a split, with splits, and when they are read.
        for splits in [Vec::new(), whole.splits.clone(), Vec::new()] {
            if !splits.is_empty() {
                reading.add(splits)?;
            }
            while reading.within(QUIET * 2).await?.is_some() {
                events += 1;
            }
        }
        let seconds = (clock.monotonic() - began).as_secs() + 1;
        let (wakes, most) = (reading.drive.wakes(), WAKES * (events + seconds));
        let what = format!("{wakes} wake-ups for {events} events in {seconds} s");
        ensure!("R-15", wakes <= most, "{what}, and {most} are enough");
        reading.close().await
    })
}
