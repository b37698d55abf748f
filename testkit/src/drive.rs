//! Drives a reader without any host, and checks the reader's rules on the way.
//!
//! ```
//! use testkit::reference::{Numbers, NumbersSplit};
//! use testkit::{TestRow, drive, sim};
//!
//! sim::run(async {
//!     let numbers = Numbers::new();
//!     numbers.append(0, &TestRow::range(0, 0..10));
//!     let mut reader = drive(numbers.reader::<Vec<String>>(&sim::environment(&Default::default(), 1))?);
//!     reader.add([NumbersSplit { index: 0, position: 3 }])?;
//!     reader.no_more_splits()?;
//!     let mut rows = Vec::new();
//!     while let Some((_, batch)) = reader.next_batch().await? {
//!         rows.extend(batch.rows);
//!     }
//!     assert_eq!(rows.len(), 7);
//!     assert_eq!(reader.snapshot(0)?[0].position, 10);
//!     Ok::<_, testkit::drive::DriveError>(())
//! }).unwrap();
//! ```

use std::collections::{BTreeMap, BTreeSet};
use std::future::poll_fn;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::task::{Context, Poll, Wake, Waker};
use std::time::Duration;

use connector_api::id::{CheckpointId, SplitId};
use connector_api::source::{ReaderCommand, ReaderEvent, SourceReader, Split};
use connector_api::{Batch, Error, RowBatch};
use tokio::sync::Notify;

use crate::broken::Broken;
use crate::meter::Meter;

/// How long a reader may be silent: virtual time in the simulation, real time outside.
pub const SILENCE: Duration = Duration::from_secs(60);
/// How often a reader may be polled for nothing before time goes on.
const IDLE_POLLS: u32 = 1_000;

/// Why driving a reader ended.
#[derive(Debug)]
#[non_exhaustive]
pub enum DriveError {
    /// It breaks a rule.
    Broken(Broken),
    /// It gave an error.
    Reader(Error),
}

impl std::fmt::Display for DriveError {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            Self::Broken(broken) => broken.fmt(f),
            Self::Reader(error) => error.fmt(f),
        }
    }
}

impl std::error::Error for DriveError {}

impl From<Broken> for DriveError {
    fn from(broken: Broken) -> Self {
        Self::Broken(broken)
    }
}

impl From<Error> for DriveError {
    fn from(error: Error) -> Self {
        Self::Reader(error)
    }
}

impl DriveError {
    /// For checks that expect no error: it breaks this rule.
    pub fn as_broken(self, rule: &'static str) -> Broken {
        match self {
            Self::Broken(broken) => broken,
            Self::Reader(error) => Broken::new(rule, format!("an error that nothing caused: {error}")),
        }
    }
}

/// A flag that a reader's waker raises.
#[derive(Debug, Default)]
pub(crate) struct Woken {
    raised: AtomicBool,
    count: AtomicU64,
    notify: Arc<Notify>,
}

impl Woken {
    pub(crate) fn new(notify: Arc<Notify>) -> Arc<Self> {
        Arc::new(Self { raised: AtomicBool::new(true), count: AtomicU64::new(0), notify })
    }

    pub(crate) fn raise(&self) {
        self.raised.store(true, Ordering::Relaxed);
    }

    pub(crate) fn is_raised(&self) -> bool {
        self.raised.load(Ordering::Relaxed)
    }

    pub(crate) fn lower(&self) {
        self.raised.store(false, Ordering::Relaxed);
    }
}

impl Wake for Woken {
    fn wake(self: Arc<Self>) {
        self.raised.store(true, Ordering::Relaxed);
        self.count.fetch_add(1, Ordering::Relaxed);
        self.notify.notify_one();
    }
}

/// Drives `reader`; see the [module](self).
pub fn drive<R: SourceReader>(reader: R) -> Drive<R> {
    let notify = Arc::new(Notify::new());
    let (woken, meter) = (Woken::new(notify.clone()), Meter::default());
    Drive { reader, woken, notify, meter, seen: Seen::default(), checkpoint: 0 }
}

/// A reader that is driven. Every event is checked against the rules R-1 and R-5 to R-9.
#[derive(Debug)]
pub struct Drive<R> {
    reader: R,
    woken: Arc<Woken>,
    notify: Arc<Notify>,
    meter: Meter,
    seen: Seen,
    checkpoint: u64,
}

/// What is known of a reader from what it was told and what it said.
#[derive(Debug, Default)]
pub(crate) struct Seen {
    active: BTreeSet<SplitId>,
    finished: BTreeSet<SplitId>,
    paused: BTreeSet<SplitId>,
    /// Split finished, or not, since the last snapshot.
    since_snapshot: BTreeSet<SplitId>,
    no_more: bool,
    ended: bool,
    idle_polls: u32,
    /// Rows of the last batch.
    last: usize,
}

impl Seen {
    pub(crate) fn told<S: Split>(&mut self, command: &ReaderCommand<S>) {
        self.idle_polls = 0;
        match command {
            ReaderCommand::AddSplits(splits) => {
                for split in splits {
                    self.finished.remove(&split.id());
                    self.active.insert(split.id());
                }
            }
            ReaderCommand::RemoveSplits(ids) => {
                for id in ids {
                    self.active.remove(id);
                    self.since_snapshot.remove(id);
                    self.paused.remove(id);
                }
            }
            ReaderCommand::NoMoreSplits => self.no_more = true,
            ReaderCommand::Pause(ids) => {
                let known = ids.iter().filter(|id| self.active.contains(*id)).cloned();
                let known: Vec<_> = known.collect();
                self.paused.extend(known);
            }
            ReaderCommand::Resume(ids) => self.paused.retain(|id| !ids.contains(id)),
            ReaderCommand::EnumeratorEvent(_)
            | ReaderCommand::CheckpointComplete(_)
            | ReaderCommand::CheckpointAborted(_) => {}
        }
    }

    pub(crate) fn said<B: RowBatch>(&mut self, event: &ReaderEvent<B>) -> Result<(), Broken> {
        self.idle_polls = 0;
        if self.ended {
            return Err(Broken::new("R-6", "an event after the end of the input"));
        }
        match event {
            ReaderEvent::Batch { split, batch } => {
                self.last = batch.rows.rows();
                if self.last == 0 {
                    return Err(Broken::new("R-1", format!("a batch of split {split} without rows")));
                }
                if !batch.timestamps.is_empty() && batch.timestamps.len() != self.last {
                    let what = format!("{} event times for {} rows", batch.timestamps.len(), self.last);
                    return Err(Broken::new("R-1", format!("split {split}: {what}")));
                }
                if self.paused.contains(split) {
                    return Err(Broken::new("R-8", format!("rows of split {split}, which is paused")));
                }
                if self.finished.contains(split) {
                    return Err(Broken::new("R-5", format!("rows of split {split} after its end")));
                }
                if !self.active.contains(split) {
                    let what = format!("rows of split {split}, which it does not have");
                    return Err(Broken::new("R-9", what));
                }
            }
            ReaderEvent::SplitFinished(split) => {
                if !self.active.remove(split) {
                    let what = format!("the end of split {split}, which it does not have or ended before");
                    return Err(Broken::new("R-5", what));
                }
                self.paused.remove(split);
                self.finished.insert(split.clone());
                self.since_snapshot.insert(split.clone());
            }
            ReaderEvent::EndOfInput => {
                if !self.no_more {
                    return Err(Broken::new("R-6", "the end of the input before `NoMoreSplits`"));
                }
                if let Some(split) = self.active.first() {
                    let what = format!("the end of the input while split {split} is not finished");
                    return Err(Broken::new("R-6", what));
                }
                self.ended = true;
            }
            ReaderEvent::SplitRequest
            | ReaderEvent::EnumeratorEvent(_)
            | ReaderEvent::Watermark { .. }
            | ReaderEvent::Idle(_)
            | ReaderEvent::Active(_) => {}
        }
        Ok(())
    }

    /// The reader had nothing. `held`: somebody keeps its waker; `woken`: it was woken meanwhile.
    pub(crate) fn pending(&mut self, held: bool, woken: bool) -> Result<(), Broken> {
        self.idle_polls += 1;
        if self.idle_polls > IDLE_POLLS {
            let what = format!("{IDLE_POLLS} wake-ups in a row with nothing to say, and no time went by");
            return Err(Broken::new("R-15", what));
        }
        let waits = self.active.iter().any(|id| !self.paused.contains(id));
        if waits && !held && !woken {
            return Err(Broken::new("R-7", "has splits to read, said `Pending`, and nobody holds its waker"));
        }
        Ok(())
    }

    pub(crate) fn time_passed(&mut self) {
        self.idle_polls = 0;
    }

    pub(crate) fn snapshot<S: Split>(&mut self, splits: &[S]) -> Result<(), Broken> {
        let ids: Vec<SplitId> = splits.iter().map(Split::id).collect();
        let unique: BTreeSet<&SplitId> = ids.iter().collect();
        if unique.len() != ids.len() {
            return Err(Broken::new("R-3", format!("a split twice in a snapshot: {ids:?}")));
        }
        if let Some(missing) = self.active.iter().find(|id| !unique.contains(id)) {
            return Err(Broken::new("R-3", format!("split {missing} is not in the snapshot")));
        }
        if let Some(missing) = self.since_snapshot.iter().find(|id| !unique.contains(id)) {
            let what = format!("split {missing}, finished since the last snapshot, is not in this one");
            return Err(Broken::new("R-4", what));
        }
        if let Some(alien) = ids.iter().find(|id| !self.active.contains(id) && !self.finished.contains(id)) {
            return Err(Broken::new(
                "R-9",
                format!("the snapshot holds split {alien}, which is not its own"),
            ));
        }
        self.since_snapshot.clear();
        Ok(())
    }
}

impl<R: SourceReader> Drive<R> {
    /// Counts what the reader does with this meter's files in calls that may not block.
    #[must_use]
    pub fn metered(mut self, meter: &Meter) -> Self {
        self.meter = meter.clone();
        self
    }

    /// Passes a command on.
    ///
    /// # Errors
    ///
    /// The reader's.
    pub fn handle(&mut self, command: ReaderCommand<R::Split>) -> Result<(), DriveError> {
        self.seen.told(&command);
        self.woken.raise();
        Ok(self.meter.must_not_block("SourceReader::handle", || self.reader.handle(command))?)
    }

    /// Adds splits.
    ///
    /// # Errors
    ///
    /// The reader's.
    pub fn add(&mut self, splits: impl IntoIterator<Item = R::Split>) -> Result<(), DriveError> {
        self.handle(ReaderCommand::AddSplits(splits.into_iter().collect()))
    }

    /// Says that no more splits come.
    ///
    /// # Errors
    ///
    /// The reader's.
    pub fn no_more_splits(&mut self) -> Result<(), DriveError> {
        self.handle(ReaderCommand::NoMoreSplits)
    }

    /// Polls once, whether the reader asked for it or not.
    ///
    /// # Errors
    ///
    /// The reader's, and broken rules.
    pub fn poll(&mut self) -> Result<Option<ReaderEvent<R::Batch>>, DriveError> {
        self.woken.lower();
        let waker = Waker::from(self.woken.clone());
        let mut cx = Context::from_waker(&waker);
        let (reader, meter) = (&mut self.reader, &self.meter);
        match meter.must_not_block("SourceReader::poll_next", || reader.poll_next(&mut cx)) {
            Poll::Ready(Ok(event)) => {
                self.seen.said(&event)?;
                self.woken.raise();
                Ok(Some(event))
            }
            Poll::Ready(Err(error)) => Err(error.into()),
            Poll::Pending => {
                // One is ours, one is `waker`.
                let held = Arc::strong_count(&self.woken) > 2;
                self.seen.pending(held, self.woken.is_raised())?;
                Ok(None)
            }
        }
    }

    /// The next event; waits for it. None after the end of the input.
    ///
    /// # Errors
    ///
    /// The reader's, and broken rules: R-7 when nothing comes within [`SILENCE`].
    pub async fn next(&mut self) -> Result<Option<ReaderEvent<R::Batch>>, DriveError> {
        match self.next_within(SILENCE).await? {
            Some(event) => Ok(Some(event)),
            None if self.seen.ended => Ok(None),
            None => {
                Err(Broken::new("R-7", format!("said nothing for {SILENCE:?} with splits to read")).into())
            }
        }
    }

    /// The next event, if one comes within this time.
    ///
    /// # Errors
    ///
    /// The reader's, and broken rules.
    pub async fn next_within(
        &mut self,
        patience: Duration,
    ) -> Result<Option<ReaderEvent<R::Batch>>, DriveError> {
        let deadline = tokio::time::Instant::now() + patience;
        while !self.seen.ended {
            if self.woken.is_raised() {
                if let Some(event) = self.poll()? {
                    return Ok(Some(event));
                }
                // The reader's own tasks get a turn.
                tokio::task::yield_now().await;
                continue;
            }
            let before = tokio::time::Instant::now();
            if tokio::time::timeout_at(deadline, self.notify.notified()).await.is_err() {
                return Ok(None);
            }
            if tokio::time::Instant::now() > before {
                self.seen.time_passed();
            }
        }
        Ok(None)
    }

    /// The next batch, skipping other events. None after the end of the input.
    ///
    /// # Errors
    ///
    /// As [`next`](Self::next).
    pub async fn next_batch(&mut self) -> Result<Option<(SplitId, Batch<R::Batch>)>, DriveError> {
        while let Some(event) = self.next().await? {
            if let ReaderEvent::Batch { split, batch } = event {
                return Ok(Some((split, batch)));
            }
        }
        Ok(None)
    }

    /// All batches of each split, to the end of the input.
    ///
    /// # Errors
    ///
    /// As [`next`](Self::next).
    pub async fn to_end(&mut self) -> Result<BTreeMap<SplitId, Vec<Batch<R::Batch>>>, DriveError> {
        let mut all: BTreeMap<SplitId, Vec<Batch<R::Batch>>> = BTreeMap::new();
        while let Some((split, batch)) = self.next_batch().await? {
            all.entry(split).or_default().push(batch);
        }
        Ok(all)
    }

    /// A snapshot as if the last `unemitted` rows of the last batch had not been emitted.
    ///
    /// # Errors
    ///
    /// The reader's, and broken rules.
    pub fn snapshot(&mut self, unemitted: usize) -> Result<Vec<R::Split>, DriveError> {
        self.checkpoint += 1;
        let id = CheckpointId(self.checkpoint);
        let (reader, meter) = (&mut self.reader, &self.meter);
        let splits = meter.must_not_block("SourceReader::snapshot", || reader.snapshot(id, unemitted))?;
        self.seen.snapshot(&splits)?;
        Ok(splits)
    }

    /// Closes the reader.
    ///
    /// # Errors
    ///
    /// The reader's; R-12 when it takes longer than [`SILENCE`].
    pub async fn close(&mut self) -> Result<(), DriveError> {
        let closing = poll_fn(|cx| self.reader.poll_close(cx));
        match tokio::time::timeout(SILENCE, closing).await {
            Ok(closed) => Ok(closed?),
            Err(_) => Err(Broken::new("R-12", format!("does not close within {SILENCE:?}")).into()),
        }
    }

    /// How often the reader woke its host.
    pub fn wakes(&self) -> u64 {
        self.woken.count.load(Ordering::Relaxed)
    }

    /// Whether the end of the input was said.
    pub fn has_ended(&self) -> bool {
        self.seen.ended
    }
}
