//! A reader and what follows it in the same task.

use std::future::poll_fn;
use std::sync::Arc;

use connector_api::id::{ReaderId, SplitId};
use connector_api::source::{BoxReader, ReaderCommand, ReaderEvent, SourceReader, Split};
use connector_api::{Batch, Error, Result, RowBatch, metrics as names};
use tokio::sync::mpsc;

use super::gauges::SourceGauges;
use super::message::{
    Acknowledgement, Command, Counts, Element, Failure, Report, Reports, TaskContext, TaskState,
};
use super::output::OutputTo;
use crate::coordinate::checkpoint::{TaskId, Trigger};
use crate::coordinate::watermark::WatermarkCombiner;
use crate::pipeline::WatermarkStrategy;

type Step<A, B> = Arc<dyn Fn(Batch<A>) -> Result<Batch<B>> + Send + Sync>;

/// A reader, its transforms, and its way to the writers.
pub(crate) struct SourceTask<A, B: RowBatch> {
    reader_id: ReaderId,
    reader: BoxReader<A>,
    step: Step<A, B>,
    strategy: WatermarkStrategy,
    watermarks: WatermarkCombiner<SplitId>,
    /// The reader as a whole is idle.
    is_idle: bool,
    /// What the writers were told.
    said_idle: bool,
    output: OutputTo<B>,
    commands: mpsc::UnboundedReceiver<Command>,
    reports: Reports,
    context: TaskContext,
    counts: Counts,
    counters: [metrics::Counter; 2],
    gauges: SourceGauges,
    /// False behind a stopping savepoint and at the end of input.
    reading: bool,
    ended: bool,
}

impl<A: RowBatch, B: RowBatch> SourceTask<A, B> {
    #[allow(clippy::too_many_arguments)]
    pub(crate) fn new(
        reader_id: ReaderId,
        reader: BoxReader<A>,
        step: Step<A, B>,
        strategy: WatermarkStrategy,
        splits: Vec<SplitId>,
        output: OutputTo<B>,
        commands: mpsc::UnboundedReceiver<Command>,
        reports: Reports,
        context: &TaskContext,
    ) -> Self {
        let mut watermarks = WatermarkCombiner::new();
        splits.into_iter().for_each(|split| watermarks.add(split));
        let labels = [("job", context.job.to_string()), ("subtask", reader_id.to_string())];
        let counters =
            [names::NUM_RECORDS_IN, names::NUM_BYTES_IN].map(|name| metrics::counter!(name, &labels));
        Self {
            reader_id,
            reader,
            step,
            strategy,
            watermarks,
            is_idle: false,
            said_idle: false,
            output,
            commands,
            reports,
            context: context.clone(),
            counts: Counts::default(),
            counters,
            gauges: SourceGauges::new(context, reader_id.0),
            reading: true,
            ended: false,
        }
    }

    pub(crate) async fn run(mut self) -> Result<(), Failure> {
        let result = self.work().await;
        if let OutputTo::Chained(writer) = &mut self.output {
            writer.close().await;
        }
        if let Err(error) = poll_fn(|cx| self.reader.poll_close(cx)).await {
            tracing::warn!(%error, reader = %self.reader_id, "a reader did not close cleanly");
        }
        result.map_err(Failure::from)
    }

    async fn work(&mut self) -> Result<()> {
        self.say_idle().await?;
        loop {
            let idle = async {
                match &mut self.output {
                    OutputTo::Chained(writer) => writer.idle().await,
                    OutputTo::Exchange(_) => std::future::pending().await,
                }
            };
            tokio::select! {
                biased;
                command = self.commands.recv() => match command {
                    None | Some(Command::Close) => return Ok(()),
                    Some(command) => self.command(command).await?,
                },
                event = poll_fn(|cx| self.reader.poll_next(cx)), if self.reading => {
                    let event = event?;
                    // Looking may cost as much as there are splits, and rows make no reader idle.
                    let may_change = self.said_idle || !matches!(event, ReaderEvent::Batch { .. });
                    self.event(event).await?;
                    if may_change {
                        self.say_idle().await?;
                    }
                }
                done = idle => done?,
            }
        }
    }

    async fn command(&mut self, command: Command) -> Result<()> {
        match command {
            Command::Reader(command) => {
                if let ReaderCommand::AddSplits(splits) = &command {
                    // Before any of them emits, so that the first can't push the watermark past the others.
                    splits.iter().for_each(|split| self.watermarks.add(split.id()));
                }
                self.reader.handle(command)?;
                self.say_idle().await
            }
            Command::Trigger(trigger) => self.barrier(trigger).await,
            Command::Complete(id) => self.reader.handle(ReaderCommand::CheckpointComplete(id)),
            Command::Aborted(id) => self.reader.handle(ReaderCommand::CheckpointAborted(id)),
            Command::Close => Ok(()),
        }
    }

    async fn event(&mut self, event: ReaderEvent<A>) -> Result<()> {
        match event {
            ReaderEvent::Batch { split, batch } => self.batch(split, batch).await,
            ReaderEvent::SplitFinished(split) => {
                let risen = self.watermarks.remove(&split);
                let _ = self.reports.send(Report::SplitFinished(self.reader_id, split));
                self.watermark(risen).await
            }
            ReaderEvent::SplitRequest => {
                let _ = self.reports.send(Report::SplitRequest(self.reader_id));
                Ok(())
            }
            ReaderEvent::EnumeratorEvent(event) => {
                let _ = self.reports.send(Report::ReaderEvent(self.reader_id, event));
                Ok(())
            }
            ReaderEvent::Watermark { .. } if self.strategy != WatermarkStrategy::FromSource => Ok(()),
            ReaderEvent::Watermark { split: Some(split), millis } => {
                let risen = self.watermarks.update(&split, millis);
                self.watermark(risen).await
            }
            ReaderEvent::Watermark { split: None, millis } => {
                let risen = self.watermarks.update_all(millis);
                self.watermark(risen).await
            }
            ReaderEvent::Idle(Some(split)) => {
                let risen = self.watermarks.set_idle(&split, true);
                self.watermark(risen).await
            }
            ReaderEvent::Active(Some(split)) => {
                let risen = self.watermarks.set_idle(&split, false);
                self.watermark(risen).await
            }
            ReaderEvent::Idle(None) => {
                self.is_idle = true;
                Ok(())
            }
            ReaderEvent::Active(None) => {
                self.is_idle = false;
                Ok(())
            }
            ReaderEvent::EndOfInput => self.end().await,
        }
    }

    async fn batch(&mut self, split: SplitId, batch: Batch<A>) -> Result<()> {
        let rows = batch.rows.rows() as u64;
        if rows == 0 {
            return Err(Error::contract(format!("split {split}"), "emitted a batch without rows"));
        }
        let bytes = batch.rows.bytes() as u64;
        let highest = match self.strategy {
            WatermarkStrategy::BoundedOutOfOrderness(bound) => {
                let bound = i64::try_from(bound.as_millis()).unwrap_or(i64::MAX);
                batch.timestamps.iter().max().map(|t| t.saturating_sub(bound).saturating_sub(1))
            }
            WatermarkStrategy::None | WatermarkStrategy::FromSource => None,
        };
        let last_event_time = batch.timestamps.last().copied();
        let out = (self.step)(batch)?;
        if out.rows.rows() > 0 {
            match &mut self.output {
                OutputTo::Chained(writer) => writer.write(out).await?,
                OutputTo::Exchange(exchange) => exchange.write(out).await?,
            }
        }
        self.counts.records_in += rows;
        self.counts.bytes_in += bytes;
        self.context.live.read(rows, bytes);
        self.counters[0].increment(rows);
        self.counters[1].increment(bytes);
        self.gauges.emitted(last_event_time, &*self.context.env.clock);
        match highest.and_then(|millis| self.watermarks.update(&split, millis)) {
            None => Ok(()),
            risen => self.watermark(risen).await,
        }
    }

    async fn watermark(&mut self, risen: Option<i64>) -> Result<()> {
        let Some(millis) = risen else { return Ok(()) };
        self.gauges.watermark(millis, &*self.context.env.clock);
        match &mut self.output {
            OutputTo::Chained(writer) => writer.watermark(millis).await,
            OutputTo::Exchange(exchange) => exchange.broadcast(|| Element::Watermark(millis)).await,
        }
    }

    /// Tells the writers when the reader begins or ceases to hold the watermark back: it has no split, all of them are idle, or it
    /// says so itself.
    async fn say_idle(&mut self) -> Result<()> {
        let idle = self.ended || self.is_idle || self.watermarks.is_idle();
        if std::mem::replace(&mut self.said_idle, idle) != idle
            && let OutputTo::Exchange(exchange) = &mut self.output
        {
            exchange.broadcast(|| Element::Idle(idle)).await?;
        }
        Ok(())
    }

    async fn end(&mut self) -> Result<()> {
        self.reading = false;
        self.ended = true;
        match &mut self.output {
            OutputTo::Chained(writer) => writer.end().await?,
            OutputTo::Exchange(exchange) => {
                exchange.broadcast(|| Element::Idle(true)).await?;
                exchange.broadcast(|| Element::End).await?;
            }
        }
        let _ = self.reports.send(Report::Ended(TaskId::Source(self.reader_id.0)));
        Ok(())
    }

    async fn barrier(&mut self, trigger: Trigger) -> Result<()> {
        let checkpoint = trigger.checkpoint.id;
        self.reading &= !trigger.stop;
        self.gauges.barrier(&*self.context.env.clock);
        // Between two batches: the host holds no rows of the last one.
        let splits = self.reader.snapshot(checkpoint, 0)?;
        let mut counts = self.counts;
        let writer = match &mut self.output {
            OutputTo::Chained(writer) => {
                let state = writer.barrier(trigger).await?;
                counts.records_out = writer.records;
                counts.bytes_out = writer.bytes;
                state
            }
            OutputTo::Exchange(exchange) => {
                exchange.broadcast(|| Element::Barrier(trigger)).await?;
                Vec::new()
            }
        };
        let state = TaskState { splits, writer, counts, ..TaskState::default() };
        let ack = Acknowledgement { checkpoint, ended: self.ended, pending: 0, state };
        let _ = self.reports.send(Report::Ack(TaskId::Source(self.reader_id.0), Box::new(ack)));
        Ok(())
    }
}
