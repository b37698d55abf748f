//! A writer, chained to a reader or behind an exchange.

use std::collections::VecDeque;

use bytes::Bytes;
use connector_api::sink::{DynWriter, Flush};
use connector_api::{Batch, Result, RowBatch, metrics as names};
use tokio::sync::mpsc;

use super::inputs::{Aligned, Inputs};
use super::message::{Acknowledgement, Command, Counts, Failure, Report, Reports, TaskContext, TaskState};
use super::output::Downstream;
use crate::coordinate::checkpoint::{TaskId, Trigger};

/// A writer with what a host keeps beside it.
pub(crate) struct WriterCore<B: RowBatch> {
    writer: Box<dyn DynWriter<B>>,
    downstream: Option<Downstream>,
    /// Committables prepared at the end of input wait here for the next barrier.
    held: VecDeque<Bytes>,
    ended: bool,
    /// Whether the next stage knows.
    said_end: bool,
    context: TaskContext,
    pub(super) records: u64,
    pub(super) bytes: u64,
    counters: [metrics::Counter; 4],
    send_time: metrics::Gauge,
    writes: u32,
}

/// One write in so many is timed.
const TIMED: u32 = 16;

impl<B: RowBatch> WriterCore<B> {
    pub(crate) fn new(
        writer: Box<dyn DynWriter<B>>,
        downstream: Option<Downstream>,
        context: &TaskContext,
        subtask: u32,
    ) -> Self {
        let labels = [("job", context.job.to_string()), ("subtask", subtask.to_string())];
        let counter = |name: &'static str| metrics::counter!(name, &labels);
        let counters =
            [names::NUM_RECORDS_OUT, names::NUM_RECORDS_SEND, names::NUM_BYTES_OUT, names::NUM_BYTES_SEND];
        Self {
            writer,
            downstream,
            held: VecDeque::new(),
            ended: false,
            said_end: false,
            context: context.clone(),
            records: 0,
            bytes: 0,
            counters: counters.map(counter),
            send_time: metrics::gauge!(names::CURRENT_SEND_TIME, &labels),
            writes: 0,
        }
    }

    pub(crate) async fn write(&mut self, batch: Batch<B>) -> Result<()> {
        let (records, bytes) = (batch.rows.rows() as u64, batch.rows.bytes() as u64);
        // Reading the clock twice costs about as much as passing a batch on: some of the writes are timed.
        self.writes = self.writes.wrapping_add(1);
        if self.writes.is_multiple_of(TIMED) {
            let before = self.context.env.clock.monotonic();
            self.writer.write(batch).await?;
            let took = self.context.env.clock.monotonic().saturating_sub(before);
            self.send_time.set(took.as_secs_f64() * 1_000.0);
        } else {
            self.writer.write(batch).await?;
        }
        self.records += records;
        self.bytes += bytes;
        self.context.live.written(records, bytes);
        self.counters[..2].iter().for_each(|c| c.increment(records));
        self.counters[2..].iter().for_each(|c| c.increment(bytes));
        Ok(())
    }

    pub(crate) async fn watermark(&mut self, millis: i64) -> Result<()> {
        self.writer.watermark(millis).await
    }

    pub(crate) async fn idle(&mut self) -> Result<()> {
        if self.ended { std::future::pending().await } else { self.writer.idle().await }
    }

    /// No more input: stages all there is.
    pub(crate) async fn end(&mut self) -> Result<()> {
        self.writer.flush(Flush::EndOfInput).await?;
        self.held.extend(self.writer.prepare_commit().await?);
        // The items go out with the next barrier, since they belong to that checkpoint, and the end follows them.
        self.ended = true;
        Ok(())
    }

    /// Stages what was written, hands the committables on before the barrier, and gives the state.
    pub(crate) async fn barrier(&mut self, trigger: Trigger) -> Result<Vec<Bytes>> {
        let checkpoint = trigger.checkpoint;
        let mut items: Vec<Bytes> = self.held.drain(..).collect();
        if !self.ended {
            let why = if checkpoint.savepoint { Flush::Savepoint } else { Flush::Checkpoint };
            self.writer.flush(why).await?;
            items.extend(self.writer.prepare_commit().await?);
        }
        let state = self.writer.snapshot(checkpoint)?;
        if let Some(downstream) = &mut self.downstream {
            downstream.items(checkpoint.id, items).await?;
            if self.ended && !std::mem::replace(&mut self.said_end, true) {
                downstream.end().await?;
            }
            downstream.barrier(trigger).await?;
        }
        Ok(state)
    }

    pub(crate) fn has_ended(&self) -> bool {
        self.ended
    }

    pub(crate) async fn close(&mut self) {
        if let Err(error) = self.writer.close().await {
            tracing::warn!(%error, "a writer did not close cleanly");
        }
    }
}

/// A writer in a task of its own.
pub(crate) struct WriterTask<B: RowBatch> {
    task: TaskId,
    core: WriterCore<B>,
    inputs: Inputs<Batch<B>>,
    commands: mpsc::UnboundedReceiver<Command>,
    reports: Reports,
}

impl<B: RowBatch> WriterTask<B> {
    pub(crate) fn new(
        task: TaskId,
        core: WriterCore<B>,
        inputs: Inputs<Batch<B>>,
        commands: mpsc::UnboundedReceiver<Command>,
        reports: Reports,
    ) -> Self {
        Self { task, core, inputs, commands, reports }
    }

    pub(crate) async fn run(mut self) -> Result<(), Failure> {
        let result = self.work().await;
        self.core.close().await;
        result.map_err(Failure::from)
    }

    async fn work(&mut self) -> Result<()> {
        loop {
            tokio::select! {
                biased;
                command = self.commands.recv() => match command {
                    None | Some(Command::Close) => return Ok(()),
                    Some(Command::Reader(_) | Command::Trigger(_) | Command::Complete(_) | Command::Aborted(_)) => {}
                },
                aligned = self.inputs.next() => match aligned {
                    Aligned::Data(batch) => self.core.write(batch).await?,
                    Aligned::Watermark(millis) => self.core.watermark(millis).await?,
                    Aligned::Barrier(trigger) => self.barrier(trigger).await?,
                    Aligned::End => {
                        self.core.end().await?;
                        let _ = self.reports.send(Report::Ended(self.task));
                    }
                    Aligned::Broken => return Err(super::message::neighbour_gone()),
                },
                idle = self.core.idle() => idle?,
            }
        }
    }

    async fn barrier(&mut self, trigger: Trigger) -> Result<()> {
        let writer = self.core.barrier(trigger).await?;
        let counts =
            Counts { records_out: self.core.records, bytes_out: self.core.bytes, ..Counts::default() };
        let state = TaskState { writer, counts, ..TaskState::default() };
        let ended = self.core.has_ended();
        let ack = Acknowledgement { checkpoint: trigger.checkpoint.id, ended, pending: 0, state };
        let _ = self.reports.send(Report::Ack(self.task, Box::new(ack)));
        Ok(())
    }
}
