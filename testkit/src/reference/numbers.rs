//! A source in memory: splits of rows, read in batches with a pause between them.

use std::collections::{BTreeMap, BTreeSet, VecDeque};
use std::marker::PhantomData;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::task::{Context, Poll, Waker};
use std::time::Duration;

use connector_api::env::Environment;
use connector_api::id::{AttemptId, CheckpointId, ReaderId, RunId, SplitId};
use connector_api::source::{
    Boundedness, EnumeratorCommand, EnumeratorContext, EnumeratorSetup, ReaderCommand, ReaderContext,
    ReaderEvent, Source, SourceReader, Split, SplitEnumerator,
};
use connector_api::{Error, Result, stored};
use futures::FutureExt;
use futures::future::BoxFuture;
use serde::{Deserialize, Serialize};

use crate::rows::{TestBatch, TestRow, batch_of};

/// What makes [`Numbers`] break a rule.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
#[non_exhaustive]
pub enum SourceFlaw {
    /// It breaks none.
    #[default]
    None,
    /// E-2: the enumerator's snapshot leaves out what is not assigned.
    ForgetsPending,
}

/// The system that the source reads. Clones share it; it outlives processes.
#[derive(Clone, Debug, Default)]
pub struct Numbers(Arc<Mutex<Outside>>);

#[derive(Debug, Default)]
struct Outside {
    splits: BTreeMap<u32, Vec<TestRow>>,
    unbounded: bool,
    broken: bool,
    flaw: SourceFlaw,
    wakers: Vec<Waker>,
}

impl Numbers {
    /// A bounded system with nothing in it.
    pub fn new() -> Self {
        Self::default()
    }

    /// The same, never at its end: rows and splits may be appended for ever.
    #[must_use]
    pub fn unbounded(self) -> Self {
        self.lock().unbounded = true;
        self
    }

    /// The same, with a flaw.
    #[must_use]
    pub fn with(self, flaw: SourceFlaw) -> Self {
        self.lock().flaw = flaw;
        self
    }

    /// Appends rows to a split.
    pub fn append(&self, split: u32, rows: &[TestRow]) {
        let mut outside = self.lock();
        outside.splits.entry(split).or_default().extend_from_slice(rows);
        outside.wakers.drain(..).for_each(Waker::wake);
    }

    /// From now on reading fails, or works again.
    pub fn set_broken(&self, broken: bool) {
        let mut outside = self.lock();
        outside.broken = broken;
        outside.wakers.drain(..).for_each(Waker::wake);
    }

    /// The source.
    pub fn source<B: TestBatch>(&self) -> NumbersSource<B> {
        NumbersSource { outside: self.clone(), batch: PhantomData }
    }

    /// A reader by itself.
    ///
    /// # Errors
    ///
    /// None.
    pub fn reader<B: TestBatch>(&self, env: &Environment) -> Result<NumbersReader<B>> {
        let attempt = AttemptId { run: RunId(1), number: 1 };
        let context = ReaderContext { env: env.clone(), reader: ReaderId(0), parallelism: 1, attempt };
        self.source().reader(context)
    }

    fn lock(&self) -> MutexGuard<'_, Outside> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// Reads [`Numbers`] as batches `B`.
#[derive(Debug)]
pub struct NumbersSource<B> {
    outside: Numbers,
    batch: PhantomData<fn() -> B>,
}

/// A split, read up to `position`.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct NumbersSplit {
    /// Which.
    pub index: u32,
    /// How many of its rows were read.
    pub position: u64,
}
stored!(NumbersSplit, "numbers-split");

impl Split for NumbersSplit {
    fn id(&self) -> SplitId {
        SplitId::new(format!("numbers-{}", self.index))
    }
}

/// What the enumerator stores: the splits that it knows, and those that no reader has.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Pending {
    known: BTreeSet<u32>,
    pending: Vec<NumbersSplit>,
}
stored!(Pending, "numbers-pending");

impl<B: TestBatch> Source for NumbersSource<B> {
    type Enumerator = NumbersEnumerator;
    type Reader = NumbersReader<B>;

    fn boundedness(&self) -> Boundedness {
        if self.outside.lock().unbounded { Boundedness::Unbounded } else { Boundedness::Bounded }
    }

    fn enumerator(&self, _: EnumeratorSetup, restored: Option<Pending>) -> Result<NumbersEnumerator> {
        let is_new = restored.is_none();
        let Pending { known, pending } =
            restored.unwrap_or(Pending { known: BTreeSet::new(), pending: Vec::new() });
        Ok(NumbersEnumerator {
            outside: self.outside.clone(),
            is_new,
            known,
            pending: pending.into(),
            waiting: VecDeque::new(),
        })
    }

    fn reader(&self, context: ReaderContext) -> Result<NumbersReader<B>> {
        Ok(NumbersReader {
            outside: self.outside.clone(),
            env: context.env,
            splits: VecDeque::new(),
            finished: Vec::new(),
            paused: BTreeSet::new(),
            no_more: false,
            asked: false,
            ended: false,
            pause: None,
            last: None,
            batch: PhantomData,
        })
    }
}

/// Discovers splits and gives one to each reader that asks.
#[derive(Debug)]
pub struct NumbersEnumerator {
    outside: Numbers,
    is_new: bool,
    known: BTreeSet<u32>,
    pending: VecDeque<NumbersSplit>,
    waiting: VecDeque<ReaderId>,
}

impl NumbersEnumerator {
    fn discover(&mut self) {
        let outside = self.outside.lock();
        for index in outside.splits.keys() {
            if self.known.insert(*index) {
                self.pending.push_back(NumbersSplit { index: *index, position: 0 });
            }
        }
    }

    fn serve(&mut self, context: &mut EnumeratorContext<NumbersSplit>) {
        let unbounded = self.outside.lock().unbounded;
        while let Some(reader) = self.waiting.front().copied() {
            match self.pending.pop_front() {
                Some(split) => context.assign(reader, vec![split]),
                None if unbounded => break,
                None => context.no_more_splits(reader),
            }
            self.waiting.pop_front();
        }
        context.report_unassigned(self.pending.len() as u64);
    }
}

impl SplitEnumerator for NumbersEnumerator {
    type Split = NumbersSplit;
    type State = Pending;

    fn handle(
        &mut self,
        command: EnumeratorCommand<NumbersSplit>,
        context: &mut EnumeratorContext<NumbersSplit>,
    ) -> Result<()> {
        match command {
            EnumeratorCommand::Start if self.is_new => self.discover(),
            EnumeratorCommand::SplitRequest(reader) if context.has_reader(reader) => {
                self.waiting.push_back(reader);
            }
            EnumeratorCommand::AddSplitsBack(splits) => self.pending.extend(splits),
            EnumeratorCommand::RemoveReader(reader) => self.waiting.retain(|waiting| *waiting != reader),
            EnumeratorCommand::Start
            | EnumeratorCommand::AddReader(_)
            | EnumeratorCommand::SplitRequest(_)
            | EnumeratorCommand::SplitFinished(..)
            | EnumeratorCommand::ReaderEvent(..)
            | EnumeratorCommand::CheckpointComplete(_)
            | EnumeratorCommand::CheckpointAborted(_) => {}
        }
        self.serve(context);
        Ok(())
    }

    fn poll(&mut self, cx: &mut Context<'_>, context: &mut EnumeratorContext<NumbersSplit>) -> Result<()> {
        if self.outside.lock().unbounded {
            self.outside.lock().wakers.push(cx.waker().clone());
            self.discover();
            self.serve(context);
        }
        Ok(())
    }

    fn snapshot(&mut self, _: CheckpointId) -> Result<Pending> {
        let pending = match self.outside.lock().flaw {
            SourceFlaw::ForgetsPending => Vec::new(),
            SourceFlaw::None => self.pending.iter().cloned().collect(),
        };
        Ok(Pending { known: self.known.clone(), pending })
    }
}

/// Rows per batch, and the pause after it.
const ROWS: usize = 7;
const PAUSE: Duration = Duration::from_millis(3);

/// Reads splits, one after the other when they end, in turn when they don't.
pub struct NumbersReader<B> {
    outside: Numbers,
    env: Environment,
    splits: VecDeque<NumbersSplit>,
    finished: Vec<NumbersSplit>,
    paused: BTreeSet<SplitId>,
    no_more: bool,
    asked: bool,
    ended: bool,
    pause: Option<BoxFuture<'static, ()>>,
    /// The split of the last batch.
    last: Option<u32>,
    batch: PhantomData<fn() -> B>,
}

impl<B> std::fmt::Debug for NumbersReader<B> {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("NumbersReader").field("splits", &self.splits).finish_non_exhaustive()
    }
}

impl<B: TestBatch> NumbersReader<B> {
    /// The next rows of a split that has some, moved to the end of the queue; the end of a split that has none and ends.
    fn read(&mut self) -> Result<Option<ReaderEvent<B>>> {
        let outside = self.outside.lock();
        for at in 0..self.splits.len() {
            let split = &mut self.splits[at];
            if self.paused.contains(&split.id()) {
                continue;
            }
            if outside.broken {
                let reason = "the system is broken";
                let offset = Some(split.position);
                return Err(Error::connector("reading", split.id().to_string(), offset, Down(reason)));
            }
            let all = outside.splits.get(&split.index).map_or(&[][..], Vec::as_slice);
            let rest = &all[all.len().min(split.position as usize)..];
            let id = split.id();
            if !rest.is_empty() {
                let rows = &rest[..rest.len().min(ROWS)];
                let batch = batch_of(rows)?;
                split.position += rows.len() as u64;
                self.last = Some(split.index);
                self.env.crash.hit("numbers-reader/after-fetch");
                self.splits.rotate_left(at + usize::from(outside.unbounded));
                return Ok(Some(ReaderEvent::Batch { split: id, batch }));
            }
            if !outside.unbounded {
                self.finished.extend(self.splits.remove(at));
                return Ok(Some(ReaderEvent::SplitFinished(id)));
            }
        }
        Ok(None)
    }
}

impl<B: TestBatch> SourceReader for NumbersReader<B> {
    type Batch = B;
    type Split = NumbersSplit;

    fn handle(&mut self, command: ReaderCommand<NumbersSplit>) -> Result<()> {
        match command {
            ReaderCommand::AddSplits(splits) => {
                self.asked = false;
                self.splits.extend(splits);
            }
            ReaderCommand::RemoveSplits(ids) => {
                self.splits.retain(|split| !ids.contains(&split.id()));
                self.finished.retain(|split| !ids.contains(&split.id()));
                self.paused.retain(|id| !ids.contains(id));
            }
            ReaderCommand::NoMoreSplits => self.no_more = true,
            ReaderCommand::Pause(ids) => {
                let known = ids.into_iter().filter(|id| self.splits.iter().any(|split| split.id() == *id));
                self.paused.extend(known);
            }
            ReaderCommand::Resume(ids) => self.paused.retain(|id| !ids.contains(id)),
            ReaderCommand::EnumeratorEvent(_)
            | ReaderCommand::CheckpointComplete(_)
            | ReaderCommand::CheckpointAborted(_) => {}
        }
        Ok(())
    }

    fn poll_next(&mut self, cx: &mut Context<'_>) -> Poll<Result<ReaderEvent<B>>> {
        if self.ended {
            return Poll::Pending;
        }
        if let Some(pause) = &mut self.pause {
            if pause.poll_unpin(cx).is_pending() {
                return Poll::Pending;
            }
            self.pause = None;
        }
        if let Some(event) = self.read()? {
            self.pause = Some(self.env.clock.sleep(PAUSE));
            return Poll::Ready(Ok(event));
        }
        if self.splits.is_empty() && self.no_more {
            self.ended = true;
            return Poll::Ready(Ok(ReaderEvent::EndOfInput));
        }
        // An unbounded reader has room for all splits there are.
        let wants = self.splits.is_empty() || self.outside.lock().unbounded;
        if wants && !self.no_more && !std::mem::replace(&mut self.asked, true) {
            return Poll::Ready(Ok(ReaderEvent::SplitRequest));
        }
        self.outside.lock().wakers.push(cx.waker().clone());
        Poll::Pending
    }

    fn snapshot(&mut self, _: CheckpointId, unemitted: usize) -> Result<Vec<NumbersSplit>> {
        let mut splits: Vec<_> = self.splits.iter().cloned().collect();
        splits.append(&mut self.finished);
        if unemitted > 0
            && let Some(last) = splits.iter_mut().find(|split| Some(split.index) == self.last)
        {
            last.position -= unemitted as u64;
        }
        Ok(splits)
    }

    fn poll_close(&mut self, _: &mut Context<'_>) -> Poll<Result<()>> {
        Poll::Ready(Ok(()))
    }
}

/// Why reading fails.
#[derive(Debug)]
pub(crate) struct Down(pub(crate) &'static str);

impl std::fmt::Display for Down {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(self.0)
    }
}

impl std::error::Error for Down {}

impl connector_api::error::ConnectorError for Down {
    fn is_retryable(&self) -> bool {
        true
    }

    fn has_no_side_effects(&self) -> bool {
        true
    }
}
