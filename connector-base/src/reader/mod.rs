//! From an author's [`SplitReader`] to the reader that a host drives.
//!
//! ```
//! use async_trait::async_trait;
//! use connector_api::id::SplitId;
//! use connector_api::source::{ReaderContext, Split};
//! use connector_api::{Batch, Result};
//! use connector_base::reader::{
//!     Fetched, Positions, ReaderOptions, SplitFetchReader, SplitReader, SplitReaderFactory,
//! };
//!
//! /// The numbers `next..end`: what to read, and how far it was read.
//! #[derive(Clone, serde::Serialize, serde::Deserialize)]
//! struct Numbers {
//!     id: u32,
//!     next: u64,
//!     end: u64,
//! }
//! connector_api::stored!(Numbers, "numbers");
//!
//! impl Split for Numbers {
//!     fn id(&self) -> SplitId {
//!         SplitId::new(self.id.to_string())
//!     }
//! }
//!
//! struct NumberReader(Numbers);
//!
//! #[async_trait]
//! impl SplitReader for NumberReader {
//!     type Batch = Vec<u64>;
//!     type Position = u64;
//!
//!     async fn fetch(&mut self) -> Result<Option<Fetched<Vec<u64>, u64>>> {
//!         let start = self.0.next;
//!         let end = self.0.end.min(start + 1000);
//!         if start == end {
//!             return Ok(None);
//!         }
//!         self.0.next = end;
//!         let rows: Vec<u64> = (start..end).collect();
//!         // Behind the first n rows, reading begins again at start + n.
//!         let positions = Positions::by(move |n| start + n as u64);
//!         Ok(Some(Fetched::rows(Batch::new(rows), positions)))
//!     }
//! }
//!
//! struct NumberSplits;
//!
//! #[async_trait]
//! impl SplitReaderFactory for NumberSplits {
//!     type Split = Numbers;
//!     type Reader = NumberReader;
//!
//!     async fn open(&self, split: &Numbers) -> Result<NumberReader> {
//!         Ok(NumberReader(split.clone()))
//!     }
//!
//!     fn advance(&self, split: &mut Numbers, position: u64, _skip: u64) {
//!         split.next = position;
//!     }
//!
//!     fn skip(&self, _: &Numbers) -> u64 {
//!         0 // No reader of this factory states `Positions::Whole`.
//!     }
//! }
//!
//! /// What `Source::reader` returns.
//! fn reader(context: ReaderContext) -> SplitFetchReader<NumberSplits> {
//!     SplitFetchReader::new(NumberSplits, context.env, ReaderOptions::default())
//! }
//! ```

mod author;
mod error;
mod hooks;
mod progress;
mod task;
#[cfg(test)]
mod tests;

use std::collections::{BTreeMap, HashMap, VecDeque};
use std::sync::Arc;
use std::task::{Context, Poll, ready};

use connector_api::env::{Environment, TaskHandle};
use connector_api::id::{CheckpointId, SplitId};
use connector_api::source::{ReaderCommand, ReaderEvent, SourceReader, Split};
use connector_api::{Error, Result, RowBatch};
use tokio::sync::OwnedSemaphorePermit;
use tokio::sync::mpsc::{UnboundedReceiver, UnboundedSender, unbounded_channel};

use hooks::Hooks;
use progress::Progress;
use task::{Budget, Key, Message, Outlet, What};

pub use author::{BatchOf, Fetched, PositionOf, Positions, SplitReader, SplitReaderFactory};
pub use hooks::ReaderHooks;
pub use task::CRASH_POINTS;

/// How a [`SplitFetchReader`] behaves.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct ReaderOptions {
    /// It asks for splits until it has this many; 0 = the enumerator assigns unasked. 1 by default.
    pub splits: usize,
    /// Bytes of rows that may wait for the host, over all splits. A larger batch passes alone. 16 MiB by default.
    ///
    /// Beside them each split holds at most one batch that was fetched and waits for room; and a paused split holds what
    /// it had queued (two batches at most), which does not count, so that it can't starve the others.
    pub budget: u32,
}

impl Default for ReaderOptions {
    fn default() -> Self {
        Self { splits: 1, budget: 16 << 20 }
    }
}

/// The reader that a host drives, made from a [`SplitReaderFactory`].
///
/// One task per split fetches; all say what they have in one queue, in which each split has at most two fetches, so
/// that no split overtakes another by being fast. Positions move with the emission, on the caller's side.
///
/// - *Pause* takes what a split has queued aside without emitting it; its task then waits.
/// - *Finished* splits stay in all snapshots until a checkpoint that holds their end is complete.
/// - *Errors*, panics of the author's code included, come out of `poll_next` with the split's name.
/// - *Close* ends the tasks and is ready when the last of them is gone. Dropping the reader ends them too.
/// - *Hooks* ([`with_hooks`](Self::with_hooks)) tell the author of pauses and of completed checkpoints.
///
/// It has no protocol of its own with the enumerator: an `EnumeratorEvent` is an error.
pub struct SplitFetchReader<F: SplitReaderFactory> {
    factory: Arc<F>,
    env: Environment,
    options: ReaderOptions,
    budget: Budget,
    /// None once closing: the queue then ends with the last task.
    sender: Option<UnboundedSender<MessageOf<F>>>,
    queue: UnboundedReceiver<MessageOf<F>>,
    next_key: Key,
    keys: HashMap<SplitId, Key>,
    tasks: BTreeMap<Key, Reading<F>>,
    /// Splits that were resumed and have something set aside.
    resumed: VecDeque<Key>,
    progress: Progress<F>,
    /// Splits that were asked for and have not come.
    asked: usize,
    no_more: bool,
    /// After `EndOfInput`, an error or the begin of closing nothing is emitted.
    ended: bool,
    /// What the author is told beside.
    hooks: Option<Hooks<F::Split>>,
}

type WhatOf<F> = What<BatchOf<F>, PositionOf<F>>;
type MessageOf<F> = Message<BatchOf<F>, PositionOf<F>>;

/// A split that is being read.
struct Reading<F: SplitReaderFactory> {
    id: SplitId,
    task: Box<dyn TaskHandle>,
    paused: bool,
    aside: VecDeque<(WhatOf<F>, Option<OwnedSemaphorePermit>)>,
}

impl<F: SplitReaderFactory> SplitFetchReader<F> {
    /// A reader without splits.
    pub fn new(factory: F, env: Environment, options: ReaderOptions) -> Self {
        let (sender, queue) = unbounded_channel();
        Self {
            factory: Arc::new(factory),
            env,
            options,
            budget: Budget::new(options.budget),
            sender: Some(sender),
            queue,
            next_key: 0,
            keys: HashMap::new(),
            tasks: BTreeMap::new(),
            resumed: VecDeque::new(),
            progress: Progress::new(),
            asked: 0,
            no_more: false,
            ended: false,
            hooks: None,
        }
    }

    /// Tells these hooks what the host says.
    #[must_use]
    pub fn with_hooks(mut self, hooks: impl ReaderHooks<F::Split>) -> Self {
        self.hooks = Some(Hooks::new(hooks));
        self
    }

    fn add(&mut self, split: F::Split) -> Result<()> {
        let id = split.id();
        let Some(sender) = self.sender.clone().filter(|_| !self.ended) else {
            return Err(Error::contract("host", format!("it added split {id} to a reader that has ended")));
        };
        if self.keys.contains_key(&id) {
            return Err(Error::contract("host", format!("it added split {id}, which is being read")));
        }
        let key = self.next_key;
        self.next_key += 1;
        let outlet = Outlet::new(key, sender);
        let (factory, crash) = (Arc::clone(&self.factory), self.env.crash.clone());
        let work = task::run(factory, split.clone(), self.budget.clone(), crash, outlet);
        let task = self.env.spawner.spawn(&format!("read {id}"), Box::pin(work));
        self.progress.add(key, split);
        self.keys.insert(id.clone(), key);
        self.tasks.insert(key, Reading { id, task, paused: false, aside: VecDeque::new() });
        self.asked = self.asked.saturating_sub(1);
        Ok(())
    }

    fn remove(&mut self, id: &SplitId) {
        if let Some(key) = self.keys.remove(id) {
            self.progress.remove(key);
            if let Some(reading) = self.tasks.remove(&key) {
                reading.task.abort();
            }
        }
    }

    fn reading(&mut self, id: &SplitId) -> Option<(Key, &mut Reading<F>)> {
        let key = *self.keys.get(id)?;
        Some((key, self.tasks.get_mut(&key)?))
    }

    fn pause(&mut self, id: &SplitId) {
        let Some((_, reading)) = self.reading(id) else { return };
        if !std::mem::replace(&mut reading.paused, true) {
            self.tell(|hooks| hooks.paused(id, true));
        }
    }

    fn resume(&mut self, id: &SplitId) {
        let Some((key, reading)) = self.reading(id) else { return };
        let has_aside = !reading.aside.is_empty();
        if std::mem::take(&mut reading.paused) {
            if has_aside && !self.resumed.contains(&key) {
                self.resumed.push_back(key);
            }
            self.tell(|hooks| hooks.paused(id, false));
        }
    }

    fn tell(&mut self, what: impl FnOnce(&mut Hooks<F::Split>)) {
        if let Some(hooks) = &mut self.hooks {
            what(hooks);
        }
    }

    /// The next thing that was set aside and may be emitted.
    fn next_aside(&mut self) -> Option<(Key, WhatOf<F>)> {
        while let Some(key) = self.resumed.pop_front() {
            let Some(reading) = self.tasks.get_mut(&key).filter(|r| !r.paused) else { continue };
            // The turn is given back here.
            let Some((what, _)) = reading.aside.pop_front() else { continue };
            if !reading.aside.is_empty() {
                self.resumed.push_back(key);
            }
            return Some((key, what));
        }
        None
    }

    /// The next thing from the queue that may be emitted. What belongs to paused splits is set aside on the way.
    fn poll_queue(&mut self, cx: &mut Context<'_>) -> Poll<(Key, WhatOf<F>)> {
        loop {
            // Never closed: a sender is kept until closing, and nothing is polled after that.
            let Some(Message { key, what, turn, room }) = ready!(self.queue.poll_recv(cx)) else {
                return Poll::Pending;
            };
            // A message of a split that was removed.
            let Some(reading) = self.tasks.get_mut(&key) else { continue };
            let waits = reading.paused || !reading.aside.is_empty();
            if waits && !matches!(what, What::Failed(_) | What::Gone) {
                drop(room);
                reading.aside.push_back((what, turn));
                continue;
            }
            return Poll::Ready((key, what));
        }
    }

    /// What the host is told, if anything.
    fn emit(&mut self, key: Key, what: WhatOf<F>) -> Result<Option<ReaderEvent<BatchOf<F>>>> {
        let Some(id) = self.tasks.get(&key).map(|reading| reading.id.clone()) else { return Ok(None) };
        Ok(Some(match what {
            What::Rows(batch, prefixes) => {
                self.progress.emitted(&self.factory, key, batch.rows.rows(), prefixes)?;
                ReaderEvent::Batch { split: id, batch }
            }
            What::Position(position) => {
                self.progress.moved(&self.factory, key, position)?;
                return Ok(None);
            }
            What::Watermark(millis) => ReaderEvent::Watermark { split: Some(id), millis },
            What::Idle => ReaderEvent::Idle(Some(id)),
            What::Active => ReaderEvent::Active(Some(id)),
            What::Finished => {
                self.keys.remove(&id);
                self.tasks.remove(&key);
                self.progress.finish(key);
                ReaderEvent::SplitFinished(id)
            }
            What::Failed(error) => return Err(error),
            What::Gone => return Err(Error::Cancelled(format!("reading split {id}").into())),
        }))
    }

    fn poll_event(&mut self, cx: &mut Context<'_>) -> Poll<Result<ReaderEvent<BatchOf<F>>>> {
        if !self.no_more && self.tasks.len() + self.asked < self.options.splits {
            self.asked += 1;
            return Poll::Ready(Ok(ReaderEvent::SplitRequest));
        }
        loop {
            let next = match self.next_aside() {
                Some(next) => Poll::Ready(next),
                None => self.poll_queue(cx),
            };
            match next {
                Poll::Ready((key, what)) => {
                    if let Some(event) = self.emit(key, what).transpose() {
                        return Poll::Ready(event);
                    }
                }
                Poll::Pending if self.no_more && self.tasks.is_empty() => {
                    self.ended = true;
                    return Poll::Ready(Ok(ReaderEvent::EndOfInput));
                }
                Poll::Pending => return Poll::Pending,
            }
        }
    }

    fn abort_all(&mut self) {
        for reading in std::mem::take(&mut self.tasks).into_values() {
            reading.task.abort();
        }
    }
}

impl<F: SplitReaderFactory> SourceReader for SplitFetchReader<F> {
    type Batch = BatchOf<F>;
    type Split = F::Split;

    fn handle(&mut self, command: ReaderCommand<F::Split>) -> Result<()> {
        match command {
            ReaderCommand::AddSplits(splits) => {
                self.tell(|hooks| hooks.adding(&splits));
                splits.into_iter().try_for_each(|split| self.add(split))?;
            }
            ReaderCommand::RemoveSplits(ids) => ids.iter().for_each(|id| self.remove(id)),
            ReaderCommand::NoMoreSplits => self.no_more = true,
            ReaderCommand::Pause(ids) => ids.iter().for_each(|id| self.pause(id)),
            ReaderCommand::Resume(ids) => ids.iter().for_each(|id| self.resume(id)),
            ReaderCommand::EnumeratorEvent(_) => {
                return Err(Error::contract("enumerator", "it sent an event to a reader that knows none"));
            }
            ReaderCommand::CheckpointComplete(checkpoint) => {
                self.progress.completed(checkpoint);
                self.tell(|hooks| hooks.completed(checkpoint));
            }
            ReaderCommand::CheckpointAborted(checkpoint) => self.tell(|hooks| hooks.aborted(checkpoint)),
        }
        Ok(())
    }

    fn poll_next(&mut self, cx: &mut Context<'_>) -> Poll<Result<ReaderEvent<Self::Batch>>> {
        if self.ended {
            return Poll::Pending;
        }
        let event = self.poll_event(cx);
        if let Poll::Ready(Err(_)) = &event {
            self.ended = true;
        }
        event
    }

    fn snapshot(&mut self, checkpoint: CheckpointId, unemitted: usize) -> Result<Vec<F::Split>> {
        let splits = self.progress.snapshot(&self.factory, checkpoint, unemitted)?;
        self.tell(|hooks| hooks.snapshot(checkpoint, &splits));
        Ok(splits)
    }

    fn poll_close(&mut self, cx: &mut Context<'_>) -> Poll<Result<()>> {
        self.ended = true;
        self.sender = None;
        self.abort_all();
        // What is still said is dropped, which also frees tasks that wait for room.
        while ready!(self.queue.poll_recv(cx)).is_some() {}
        self.hooks.as_mut().map_or(Poll::Ready(Ok(())), |hooks| hooks.poll_close(cx))
    }
}

impl<F: SplitReaderFactory> Drop for SplitFetchReader<F> {
    fn drop(&mut self) {
        self.abort_all();
    }
}
