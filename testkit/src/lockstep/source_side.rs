//! Readers and the enumerator.

use std::collections::VecDeque;
use std::sync::Arc;
use std::task::{Context, Poll, Waker};

use connector_api::id::{ReaderId, SplitId};
use connector_api::source::{
    BoxReader, DynSplit, EnumeratorCommand, ReaderCommand, ReaderEvent, SourceReader, Split,
};
use connector_api::{Batch, RowBatch};
use connector_runtime::coordinate::checkpoint::{Input, TaskId, Trigger};
use connector_runtime::coordinate::source::{SourceCoordinator, ToReader};
use connector_runtime::coordinate::watermark::WatermarkCombiner;
use tokio::sync::Notify;

use super::attempt::{Attempt, coordinator, guarded_now};
use super::channel::Element;
use super::state::Part;
use super::{Run, Stop};
use crate::broken::Broken;
use crate::drive::{Seen, Woken};
use crate::history::Event;
use crate::rows::TestBatch;

/// What goes to a reader, in order.
pub(super) enum Inward {
    Command(ReaderCommand<DynSplit>),
    Trigger(Trigger),
}

pub(super) struct ReaderSeat<B: RowBatch> {
    pub(super) id: ReaderId,
    pub(super) reader: BoxReader<B>,
    pub(super) inbox: VecDeque<Inward>,
    pub(super) woken: Arc<Woken>,
    pub(super) seen: Seen,
    /// What of the last batch is not emitted.
    pub(super) unemitted: Option<(SplitId, Batch<B>)>,
    pub(super) reading: bool,
    pub(super) ended: bool,
    watermarks: WatermarkCombiner<SplitId>,
    is_idle: bool,
    said_idle: bool,
    turn: usize,
}

/// How many elements may wait for a writer before its readers stand still.
const CAPACITY: usize = 3;

impl<B: TestBatch> ReaderSeat<B> {
    pub(super) fn new(reader: BoxReader<B>, id: ReaderId, notify: Arc<Notify>) -> Self {
        Self {
            id,
            reader,
            inbox: VecDeque::new(),
            woken: Woken::new(notify),
            seen: Seen::default(),
            unemitted: None,
            reading: true,
            ended: false,
            watermarks: WatermarkCombiner::new(),
            is_idle: false,
            said_idle: false,
            turn: id.0 as usize,
        }
    }

    pub(super) fn command(
        &mut self,
        run: &mut Run<'_>,
        command: ReaderCommand<DynSplit>,
    ) -> Result<(), Stop> {
        if let ReaderCommand::AddSplits(splits) = &command {
            splits.iter().for_each(|split| self.watermarks.add(split.id()));
        }
        run.log.line(run.around, format!("reader {} <- {}", self.id, short(&command)));
        self.seen.told(&command);
        self.woken.raise();
        let reader = &mut self.reader;
        guarded_now(run.around, "SourceReader::handle", || reader.handle(command))
    }
}

fn short(command: &ReaderCommand<DynSplit>) -> String {
    match command {
        ReaderCommand::AddSplits(splits) => {
            let ids: Vec<String> = splits.iter().map(|split| split.id().to_string()).collect();
            format!("AddSplits({})", ids.join(", "))
        }
        other => format!("{other:?}"),
    }
}

impl<B: TestBatch> Attempt<B> {
    pub(super) fn tell_readers(&mut self, out: Vec<ToReader>) {
        for (reader, command) in out {
            if let Some(seat) = self.readers.get_mut(reader.0 as usize) {
                seat.inbox.push_back(Inward::Command(command));
            }
        }
    }

    pub(super) fn has_room(&self, reader: usize) -> bool {
        self.writers.iter().all(|writer| writer.inbox.backlog(reader) < CAPACITY)
    }

    pub(super) fn poll_enumerator(
        &mut self,
        run: &mut Run<'_>,
        enumerator: &mut Option<SourceCoordinator>,
    ) -> Result<(), Stop> {
        self.enumerator_woken.lower();
        let waker = Waker::from(self.enumerator_woken.clone());
        let coordinator = coordinator(enumerator)?;
        let mut cx = Context::from_waker(&waker);
        let out = guarded_now(run.around, "SplitEnumerator::poll", || coordinator.poll(&mut cx));
        let out = unless_failed(enumerator, out)?;
        run.log.line(run.around, format!("enumerator polled: {} commands", out.len()));
        if !out.is_empty() {
            self.enumerator_woken.raise();
        }
        self.tell_readers(out);
        Ok(())
    }

    pub(super) fn tell_enumerator(
        &mut self,
        run: &mut Run<'_>,
        enumerator: &mut Option<SourceCoordinator>,
        command: EnumeratorCommand<DynSplit>,
    ) -> Result<(), Stop> {
        run.log.line(run.around, format!("enumerator <- {}", brief(&command)));
        let coordinator = coordinator(enumerator)?;
        let out = guarded_now(run.around, "SplitEnumerator::handle", || coordinator.handle(command));
        let out = unless_failed(enumerator, out)?;
        self.enumerator_woken.raise();
        self.tell_readers(out);
        Ok(())
    }

    pub(super) async fn inward(
        &mut self,
        run: &mut Run<'_>,
        enumerator: &mut Option<SourceCoordinator>,
        reader: usize,
    ) -> Result<(), Stop> {
        let Some(inward) = self.readers[reader].inbox.pop_front() else { return Ok(()) };
        match inward {
            Inward::Command(command) => {
                self.readers[reader].command(run, command)?;
                self.say_idle(reader);
                Ok(())
            }
            Inward::Trigger(trigger) => self.reader_barrier(run, enumerator, reader, trigger).await,
        }
    }

    async fn reader_barrier(
        &mut self,
        run: &mut Run<'_>,
        enumerator: &mut Option<SourceCoordinator>,
        reader: usize,
        trigger: Trigger,
    ) -> Result<(), Stop> {
        let checkpoint = trigger.checkpoint.id;
        let seat = &mut self.readers[reader];
        let unemitted = seat.unemitted.as_ref().map_or(0, |(_, batch)| batch.rows.rows());
        run.log
            .line(run.around, format!("reader {reader}: barrier {checkpoint}, {unemitted} rows unemitted"));
        let target = &mut seat.reader;
        let splits =
            guarded_now(run.around, "SourceReader::snapshot", || target.snapshot(checkpoint, unemitted))?;
        seat.seen.snapshot(&splits)?;
        if trigger.stop {
            seat.reading = false;
            seat.unemitted = None;
        }
        let ended = seat.ended;
        for writer in &mut self.writers {
            writer.inbox.push(reader, Element::Barrier(trigger));
        }
        let task = TaskId::Source(reader as u32);
        self.acknowledge(run, enumerator, task, checkpoint, ended, 0, Part::Splits(splits)).await
    }

    pub(super) async fn poll_reader(
        &mut self,
        run: &mut Run<'_>,
        enumerator: &mut Option<SourceCoordinator>,
        reader: usize,
    ) -> Result<(), Stop> {
        let seat = &mut self.readers[reader];
        seat.woken.lower();
        let waker = Waker::from(seat.woken.clone());
        let mut cx = Context::from_waker(&waker);
        let target = &mut seat.reader;
        let poll = guarded_now(run.around, "SourceReader::poll_next", || Ok(target.poll_next(&mut cx)))?;
        let event = match poll {
            Poll::Pending => {
                let held = Arc::strong_count(&seat.woken) > 2;
                return Ok(seat.seen.pending(held, seat.woken.is_raised())?);
            }
            Poll::Ready(event) => event?,
        };
        seat.woken.raise();
        seat.seen.said(&event)?;
        self.reader_event(run, enumerator, reader, event).await
    }

    async fn reader_event(
        &mut self,
        run: &mut Run<'_>,
        enumerator: &mut Option<SourceCoordinator>,
        reader: usize,
        event: ReaderEvent<B>,
    ) -> Result<(), Stop> {
        let id = self.readers[reader].id;
        let seat = &mut self.readers[reader];
        let risen = match event {
            ReaderEvent::Batch { split, batch } => {
                run.log.line(run.around, format!("reader {id}: {} rows of split {split}", batch.rows.rows()));
                seat.unemitted = Some((split, batch));
                None
            }
            ReaderEvent::SplitFinished(split) => {
                run.log.line(run.around, format!("reader {id}: split {split} finished"));
                let risen = seat.watermarks.remove(&split);
                self.reports.push_back(EnumeratorCommand::SplitFinished(id, split));
                risen
            }
            ReaderEvent::SplitRequest => {
                run.log.line(run.around, format!("reader {id}: asks for a split"));
                self.reports.push_back(EnumeratorCommand::SplitRequest(id));
                None
            }
            ReaderEvent::EnumeratorEvent(event) => {
                self.reports.push_back(EnumeratorCommand::ReaderEvent(id, event));
                None
            }
            ReaderEvent::Watermark { split, millis } => {
                let name = split.as_ref().map(ToString::to_string);
                run.history.push(Event::SplitWatermark { split: name, reader: id.0, millis });
                match split {
                    Some(split) => seat.watermarks.update(&split, millis),
                    None => seat.watermarks.update_all(millis),
                }
            }
            ReaderEvent::Idle(Some(split)) => seat.watermarks.set_idle(&split, true),
            ReaderEvent::Active(Some(split)) => seat.watermarks.set_idle(&split, false),
            ReaderEvent::Idle(None) => {
                seat.is_idle = true;
                None
            }
            ReaderEvent::Active(None) => {
                seat.is_idle = false;
                None
            }
            ReaderEvent::EndOfInput => {
                run.log.line(run.around, format!("reader {id}: end of input"));
                seat.reading = false;
                seat.ended = true;
                for writer in &mut self.writers {
                    writer.inbox.push(reader, Element::Idle(true));
                    writer.inbox.push(reader, Element::End);
                }
                return self.input(run, enumerator, Input::Ended(TaskId::Source(id.0))).await;
            }
        };
        if let Some(millis) = risen {
            for writer in &mut self.writers {
                writer.inbox.push(reader, Element::Watermark(millis));
            }
        }
        self.say_idle(reader);
        Ok(())
    }

    /// Tells the writers when a reader begins or ceases to hold the watermark back.
    pub(super) fn say_idle(&mut self, reader: usize) {
        let seat = &mut self.readers[reader];
        let idle = seat.is_idle || seat.watermarks.is_idle();
        if std::mem::replace(&mut seat.said_idle, idle) != idle {
            for writer in &mut self.writers {
                writer.inbox.push(reader, Element::Idle(idle));
            }
        }
    }

    /// Emits the batch that waits, or the first rows of it.
    pub(super) fn emit(&mut self, run: &mut Run<'_>, reader: usize) -> Result<(), Stop> {
        let seat = &mut self.readers[reader];
        let Some((split, mut batch)) = seat.unemitted.take() else { return Ok(()) };
        let rows = batch.rows.rows();
        let take = if run.chance(run.options.adversity.parts) { 1 + run.pick(rows) } else { rows };
        let part = batch.take_front(take);
        let rest = rows - take;
        if rest > 0 {
            seat.unemitted = Some((split.clone(), batch));
        }
        run.log.line(run.around, format!("reader {reader}: emits {take} rows of split {split}, {rest} stay"));
        let texts = part.rows.texts()?;
        if texts.len() != take {
            return Err(Broken::new("R-1", format!("{take} rows taken, {} there", texts.len())).into());
        }
        let times = part.timestamps.clone();
        run.history.push(Event::Emitted { split: split.to_string(), rows: texts, times });
        let count = self.writers.len();
        match &self.partitioner {
            Some(partition) => {
                for (target, part) in partition(part, count as u32) {
                    self.writers[target as usize % count].inbox.push(reader, Element::Data(part));
                }
            }
            None => {
                let target = self.readers[reader].turn % count;
                self.readers[reader].turn = target + 1;
                self.writers[target].inbox.push(reader, Element::Data(part));
            }
        }
        Ok(())
    }
}

/// An enumerator that gave an error is at its end: the next attempt makes another one from the checkpoint.
fn unless_failed<T>(enumerator: &mut Option<SourceCoordinator>, result: Result<T, Stop>) -> Result<T, Stop> {
    if result.is_err() {
        *enumerator = None;
    }
    result
}

fn brief(command: &EnumeratorCommand<DynSplit>) -> String {
    match command {
        EnumeratorCommand::AddSplitsBack(splits) => format!("AddSplitsBack({})", splits.len()),
        other => format!("{other:?}"),
    }
}
