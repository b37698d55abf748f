//! Checks of a reader by itself: what it is told, and who wakes whom.

use std::time::Duration;

use connector_api::id::{CheckpointId, SplitId};
use connector_api::source::{ReaderCommand, ReaderEvent, Split};

use super::reading::{QUIET, Reading, Rows, Whole, texts};
use super::support::{ROWS, fill_split};
use crate::broken::{Broken, Verdict};
use crate::capability::Capability;
use crate::check::Check;
use crate::context::SourceContext;
use crate::ensure;
use crate::lab::{Lab, Subject};

pub(super) fn checks<C: SourceContext>() -> Vec<Check<C>> {
    vec![
        Check {
            name: "source::reader::a_reader_that_waits_is_woken",
            rules: &["R-7"],
            source: "design: a waker instead of availability futures; FLINK-37663",
            failure: "the job stands still for ever",
            needs: &[],
            run: woken,
        },
        Check {
            name: "source::reader::no_call_blocks",
            rules: &["R-7"],
            source: "FLIP-27 (mailbox thread)",
            failure: "checkpoints and other splits wait for this one",
            needs: &[],
            run: no_blocking,
        },
        Check {
            name: "source::reader::rows_that_are_appended_later_are_read",
            rules: &["R-7"],
            source: "FLIP-27",
            failure: "new rows are not read until something else happens",
            needs: &[Capability::Unbounded, Capability::Growth],
            run: appended,
        },
        Check {
            name: "source::reader::a_paused_split_is_silent_and_goes_on_where_it_was",
            rules: &["R-8"],
            source: "FLIP-217; FLINK-40093, Iceberg #9308",
            failure: "watermark alignment loses rows, or has no effect",
            needs: &[],
            run: paused,
        },
        Check {
            name: "source::reader::commands_for_unknown_splits_are_ignored",
            rules: &["R-8"],
            source: "FLINK-39728",
            failure: "the job fails because a split ended while the host paused it",
            needs: &[],
            run: unknown,
        },
        Check {
            name: "source::reader::a_removed_split_is_forgotten",
            rules: &["R-9"],
            source: "FLINK-39514; FLIP-537",
            failure: "two readers read one split",
            needs: &[],
            run: removed,
        },
        Check {
            name: "source::reader::notices_may_be_skipped_repeated_and_late",
            rules: &["R-10"],
            source: "Flink's notifyCheckpointComplete is best effort; FLINK-40326, the Pulsar reader's cursors",
            failure: "a job fails or hangs because one message was lost",
            needs: &[],
            run: notices,
        },
        Check {
            name: "source::reader::an_aborted_checkpoint_undoes_nothing",
            rules: &["R-10", "R-2"],
            source: "FLIP-27",
            failure: "rows come twice whenever a checkpoint takes too long",
            needs: &[],
            run: aborted,
        },
    ]
}

fn woken<C: SourceContext>(lab: &Lab<C>) -> Verdict {
    lab.each_seed(async |subject| {
        // Everything is read by polling only when woken.
        let whole = Whole::read(subject).await?;
        let mut reading = Reading::of(subject, whole.splits.clone())?;
        let rows = reading.rest(whole.count()).await?;
        whole.compare("R-7", &whole.splits, &rows, "polled only when woken")
    })
}

fn no_blocking<C: SourceContext>(lab: &Lab<C>) -> Verdict {
    lab.once(async |subject| {
        let whole = Whole::read(subject).await?;
        let mut reading = Reading::of(subject, whole.splits.clone())?;
        reading.batch().await?;
        reading.snapshot(0)?;
        reading.close().await?;
        let calls = subject.around.meter().blocking_calls();
        match calls.iter().find(|call| call.starts_with("SourceReader")) {
            Some(call) => Err(Broken::new("R-7", format!("work that blocks in {call}"))),
            None => Ok(()),
        }
    })
}

fn appended<C: SourceContext>(lab: &Lab<C>) -> Verdict {
    lab.once(async |subject| {
        let whole = Whole::read(subject).await?;
        let mut reading = Reading::of(subject, whole.splits.clone())?;
        reading.rest(whole.count()).await?;
        for round in 1..4 {
            let more = fill_split(subject, 0, round * ROWS..round * ROWS + 3).await?;
            let came: Vec<String> = reading.rest(more.len()).await?.into_values().flatten().collect();
            ensure!("R-7", came == more, "{more:?} were appended, and {came:?} came");
        }
        reading.close().await
    })
}

fn paused<C: SourceContext>(lab: &Lab<C>) -> Verdict {
    lab.each_seed(async |subject| {
        let whole = Whole::read(subject).await?;
        let splits = whole.some(3);
        let Some(first) = splits.first().map(Split::id) else {
            return Err(Broken::new("R-5", "no split has two rows"));
        };
        // Before anything is read, and in the middle.
        for batches in [0, 1, 2] {
            let mut reading = Reading::of(subject, splits.clone())?;
            let mut rows = Rows::new();
            for _ in 0..batches {
                let (split, batch) = reading.batch().await?;
                rows.entry(split).or_default().extend(texts(&batch.rows)?);
            }
            let mut ended = false;
            reading.tell("R-8", ReaderCommand::Pause(vec![first.clone()]))?;
            // Rows of a paused split are the driver's to find.
            while let Some(event) = reading.within(QUIET).await? {
                match event {
                    ReaderEvent::Batch { split, batch } => {
                        rows.entry(split).or_default().extend(texts(&batch.rows)?);
                    }
                    ReaderEvent::SplitFinished(split) => ended |= split == first,
                    _ => {}
                }
            }
            let others: Vec<_> = splits.iter().filter(|split| split.id() != first).cloned().collect();
            whole.compare("R-8", &others, &rows, "while another split was paused")?;
            ensure!("R-8", !ended, "split {first} was said to be finished while it was paused");
            reading.snapshot(0)?;
            reading.tell("R-8", ReaderCommand::Resume(vec![first.clone()]))?;
            let left = whole.size(&splits) - rows.values().map(Vec::len).sum::<usize>();
            for (id, more) in reading.rest(left).await? {
                rows.entry(id).or_default().extend(more);
            }
            whole.compare("R-8", &splits, &rows, "paused and resumed")?;
        }
        Ok(())
    })
}

fn unknown<C: SourceContext>(lab: &Lab<C>) -> Verdict {
    lab.once(async |subject| {
        let whole = Whole::read(subject).await?;
        let splits = whole.some(2);
        let mut reading = Reading::open(subject)?;
        let nobody = vec![SplitId::new("a split that nobody has")];
        tell_all(&mut reading, &nobody)?;
        reading.add(splits.clone())?;
        tell_all(&mut reading, &nobody)?;
        let rows = reading.rest(whole.size(&splits)).await?;
        whole.compare("R-8", &splits, &rows, "told about a split that nobody has")?;
        let ids: Vec<SplitId> = splits.iter().map(Split::id).collect();
        if reading.is_bounded {
            // All are finished.
            tell_all(&mut reading, &ids)?;
        }
        Ok(())
    })
}

fn tell_all<B: crate::TestBatch>(reading: &mut Reading<B>, ids: &[SplitId]) -> Verdict {
    reading.tell("R-8", ReaderCommand::Pause(ids.to_vec()))?;
    reading.tell("R-8", ReaderCommand::Resume(ids.to_vec()))?;
    reading.tell("R-8", ReaderCommand::RemoveSplits(ids.to_vec()))
}

fn removed<C: SourceContext>(lab: &Lab<C>) -> Verdict {
    lab.each_seed(async |subject| {
        let whole = Whole::read(subject).await?;
        let splits = whole.some(2);
        let [first, other] = &splits[..] else {
            return Err(Broken::new("R-5", "fewer than two splits have two rows"));
        };
        for paused in [false, true] {
            let mut reading = Reading::of(subject, splits.clone())?;
            if paused {
                // What is set aside for it goes too.
                reading.tell("R-8", ReaderCommand::Pause(vec![first.id()]))?;
                subject.env().clock.sleep(Duration::from_millis(200)).await;
            }
            reading.tell("R-9", ReaderCommand::RemoveSplits(vec![first.id()]))?;
            // Rows of it, and an entry in the snapshot, are the driver's to find.
            reading.snapshot(0)?;
            let rows = reading.rest(whole.size(std::slice::from_ref(other))).await?;
            whole.compare("R-9", std::slice::from_ref(other), &rows, "beside one that was removed")?;
            reading.snapshot(0)?;
            reading.close().await?;
        }
        // Removed, and added anew.
        let mut reading = Reading::of(subject, splits.clone())?;
        reading.tell("R-9", ReaderCommand::RemoveSplits(vec![first.id()]))?;
        reading.add([first.clone()])?;
        let rows = reading.rest(whole.size(&splits)).await?;
        whole.compare("R-9", &splits, &rows, "removed and added anew")
    })
}

/// Reads everything, with a snapshot after each batch and then what `notices` does.
async fn with_notices<C: SourceContext>(
    subject: &mut Subject<C>,
    notices: impl Fn(u64, &mut Reading<C::Batch>) -> Verdict,
) -> Verdict {
    let whole = Whole::read(subject).await?;
    let (mut rows, mut count, mut checkpoint) = (Rows::new(), 0, 0);
    let mut reading = Reading::of(subject, whole.splits.clone())?;
    while count < whole.count() {
        let Some(event) = reading.within(QUIET).await? else { break };
        if let ReaderEvent::Batch { split, batch } = event {
            let more = texts(&batch.rows)?;
            count += more.len();
            rows.entry(split).or_default().extend(more);
            checkpoint += 1;
            reading.snapshot(0)?;
            notices(checkpoint, &mut reading)?;
        }
    }
    whole.compare("R-10", &whole.splits, &rows, "with checkpoints after each batch")?;
    if reading.is_bounded {
        reading.rest(0).await?;
        notices(checkpoint, &mut reading)?;
    }
    reading.close().await
}

fn notices<C: SourceContext>(lab: &Lab<C>) -> Verdict {
    lab.once(async |subject| {
        with_notices(subject, |n, reading| {
            let complete = |reading: &mut Reading<C::Batch>, id| {
                reading.tell("R-10", ReaderCommand::CheckpointComplete(CheckpointId(id)))
            };
            match n % 4 {
                // Nothing is heard of 1; 2 comes twice; 3 before the late one of 2 again.
                2 => {
                    complete(reading, n)?;
                    complete(reading, n)
                }
                3 => {
                    complete(reading, n)?;
                    complete(reading, n - 1)?;
                    reading.tell("R-10", ReaderCommand::CheckpointAborted(CheckpointId(n - 2)))
                }
                _ => Ok(()),
            }
        })
        .await
    })
}

fn aborted<C: SourceContext>(lab: &Lab<C>) -> Verdict {
    lab.once(async |subject| {
        with_notices(subject, |n, reading| {
            // The next one covers what came after.
            let late = n.saturating_sub(1).max(1);
            reading.tell("R-10", ReaderCommand::CheckpointAborted(CheckpointId(late)))
        })
        .await
    })
}
