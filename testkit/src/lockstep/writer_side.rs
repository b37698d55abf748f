//! Writers.

use bytes::Bytes;
use connector_api::sink::{DynWriter, Flush};
use connector_api::{Batch, RowBatch};
use connector_runtime::coordinate::checkpoint::{Input, TaskId, Trigger};
use connector_runtime::coordinate::route::Route;
use connector_runtime::coordinate::source::SourceCoordinator;
use connector_runtime::coordinate::watermark::WatermarkCombiner;

use super::attempt::{Attempt, guarded};
use super::channel::{Inbox, Taken};
use super::state::Part;
use super::{Pair, Run, Stop};
use crate::broken::Broken;
use crate::history::Event;
use crate::rows::TestBatch;

pub(super) struct WriterSeat<B: RowBatch> {
    pub(super) writer: Box<dyn DynWriter<B>>,
    pub(super) inbox: Inbox<Batch<B>>,
    pub(super) ended: bool,
    subtask: u32,
    /// Prepared at the end of the input; goes out with the next barrier.
    held: Vec<Bytes>,
    /// Whether what is behind knows of the end.
    said_end: bool,
    watermarks: WatermarkCombiner<usize>,
    /// To the row behind the writers; made with the first item that goes there.
    pub(super) route: Option<Route>,
}

impl<B: RowBatch> WriterSeat<B> {
    pub(super) fn new(writer: Box<dyn DynWriter<B>>, subtask: u32, inputs: usize) -> Self {
        let mut watermarks = WatermarkCombiner::new();
        (0..inputs).for_each(|input| watermarks.add(input));
        Self {
            writer,
            inbox: Inbox::new(inputs),
            ended: false,
            subtask,
            held: Vec::new(),
            said_end: false,
            watermarks,
            route: None,
        }
    }
}

impl<B: TestBatch> Attempt<B> {
    pub(super) async fn writer_takes(
        &mut self,
        run: &mut Run<'_>,
        pair: &mut dyn Pair<B>,
        enumerator: &mut Option<SourceCoordinator>,
        writer: usize,
        input: usize,
    ) -> Result<(), Stop> {
        let seat = &mut self.writers[writer];
        let Some(taken) = seat.inbox.take(input) else { return Ok(()) };
        let risen = match taken {
            Taken::Data(batch) => {
                let rows = batch.rows.texts()?;
                run.log.line(run.around, format!("writer {writer}: {} rows", rows.len()));
                run.history.push(Event::Written { writer: seat.subtask, rows });
                guarded(run.around, "SinkWriter::write", seat.writer.write(batch)).await?;
                if run.chance(10) {
                    run.look(pair).await?;
                }
                None
            }
            Taken::Watermark(input, millis) => seat.watermarks.update(&input, millis),
            Taken::Idle(input, idle) => seat.watermarks.set_idle(&input, idle),
            Taken::Ended(input) => seat.watermarks.remove(&input),
            Taken::Aligning => None,
            Taken::Barrier(trigger) => {
                return self.writer_barrier(run, pair, enumerator, writer, trigger).await;
            }
            Taken::End => return self.writer_ends(run, pair, enumerator, writer).await,
        };
        if let Some(millis) = risen {
            let seat = &mut self.writers[writer];
            run.history.push(Event::Watermark { writer: seat.subtask, millis });
            guarded(run.around, "SinkWriter::watermark", seat.writer.watermark(millis)).await?;
        }
        Ok(())
    }

    async fn writer_barrier(
        &mut self,
        run: &mut Run<'_>,
        pair: &mut dyn Pair<B>,
        enumerator: &mut Option<SourceCoordinator>,
        writer: usize,
        trigger: Trigger,
    ) -> Result<(), Stop> {
        let checkpoint = trigger.checkpoint;
        let seat = &mut self.writers[writer];
        let mut items = std::mem::take(&mut seat.held);
        if !seat.ended {
            let why = if checkpoint.savepoint { Flush::Savepoint } else { Flush::Checkpoint };
            guarded(run.around, "SinkWriter::flush", seat.writer.flush(why)).await?;
            let preparing = seat.writer.prepare_commit();
            items.extend(guarded(run.around, "CommittingWriter::prepare_commit", preparing).await?);
        }
        let snapshot = async { seat.writer.snapshot(checkpoint) };
        let state = guarded(run.around, "StatefulWriter::snapshot", snapshot).await?;
        if seat.ended && !state.is_empty() {
            return Err(Broken::new("W-3", "a writer has state after the end of its input").into());
        }
        let ended = seat.ended;
        run.log.line(
            run.around,
            format!(
                "writer {writer}: barrier {}, {} committables, {} states",
                checkpoint.id,
                items.len(),
                state.len()
            ),
        );
        run.history.push(Event::Staged { writer: seat.subtask, checkpoint: checkpoint.id });
        self.send_on(None, writer, checkpoint.id, items)?;
        if ended && !std::mem::replace(&mut self.writers[writer].said_end, true) {
            self.end_on(None, writer);
        }
        self.barrier_on(None, writer, trigger);
        run.look(pair).await?;
        let task = TaskId::Writer(writer as u32);
        self.acknowledge(run, enumerator, task, checkpoint.id, ended, 0, Part::Writer(state)).await
    }

    async fn writer_ends(
        &mut self,
        run: &mut Run<'_>,
        pair: &mut dyn Pair<B>,
        enumerator: &mut Option<SourceCoordinator>,
        writer: usize,
    ) -> Result<(), Stop> {
        let seat = &mut self.writers[writer];
        guarded(run.around, "SinkWriter::flush", seat.writer.flush(Flush::EndOfInput)).await?;
        let preparing = seat.writer.prepare_commit();
        seat.held = guarded(run.around, "CommittingWriter::prepare_commit", preparing).await?;
        seat.ended = true;
        run.log.line(run.around, format!("writer {writer}: end of input, {} committables", seat.held.len()));
        run.look(pair).await?;
        self.input(run, enumerator, Input::Ended(TaskId::Writer(writer as u32))).await
    }
}
