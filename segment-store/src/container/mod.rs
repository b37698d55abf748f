//! The container: one log, and all that it says.
//!
//! # The life of an append
//!
//! It is checked against the state, gets its offset, and is written into the open frame, all under one lock
//! ([`Core`]). If no commit runs, one is started: it takes the open frame, writes and syncs it, shows readers what was in it,
//! and answers those who waited; then it takes what was opened meanwhile. So frames grow with the load, and nobody waits for
//! a timer. The state is ahead of the disk: what is read of it is told only when all that it rests on is durable, and
//! when a frame can't be written, the state goes back to the last one that was.

mod cache;
mod commit;
mod extents;
mod files;
#[cfg(feature = "fuzzing")]
pub(crate) mod fuzzing;
mod inspect;
mod lease;
mod record;
mod recover;
mod snapshot;
mod state;
mod upkeep;

use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use bytes::Bytes;
use connector_api::env::{Environment, FileLock};
use futures::channel::oneshot;
use tokio::sync::Notify;

use crate::error::{Error, Result};
use crate::id::{SegmentName, StreamName, TransactionId, WriterId};
use crate::log::frame::{Buffer, Summed};
use crate::log::{self, LogWriter, Scanner, Setup, Start};
use crate::model::StreamOp;
use crate::options::{Durability, StoreOptions};

use cache::FrameCache;
use extents::{Extent, Location};
use files::{Files, Piece};
pub use inspect::{Salvaged, StoreStats, Verified};
pub(crate) use inspect::{salvage, verify};
use lease::Leases;
use record::{APPEND_HEADER, Append, Op, SegmentKey};
pub(crate) use snapshot::dir as snapshot_dir;
pub use state::MAX_ATTRIBUTES;
use state::{State, Touched};

/// What is being appended.
#[derive(Clone, Debug)]
pub struct Appended {
    /// Who appends.
    pub writer: WriterId,
    /// The writer's number of the last event in `bytes`. One that is not above the writer's last event in the segment is a
    /// repetition, and is acknowledged without being stored again.
    pub event: i64,
    /// The writer's last event in the segment before these, as the writer knows it; none when it has none there. When the store knows
    /// otherwise, the writer missed that an append before this one failed, and this one is refused ([`Error::Unavailable`]): stored, it would
    /// make the failed one look like a repetition.
    pub previous: Option<i64>,
    /// How many events `bytes` holds.
    pub events: u32,
    /// Where the segment must end, if that is a condition.
    pub at: Option<u64>,
    /// Events with their headers.
    pub bytes: Bytes,
}

/// An append that has its place and is not durable yet.
#[derive(Debug)]
pub struct Ack {
    receiver: oneshot::Receiver<Result<()>>,
    /// Where the segment ends behind it.
    end: u64,
    /// Whether it was stored before, under the same or a later event number.
    is_repeated: bool,
}

impl Ack {
    /// Waits until the append is durable; says where the segment ends behind it.
    ///
    /// # Errors
    ///
    /// [`Error::Unavailable`]: it may or may not be stored.
    pub async fn durable(self) -> Result<u64> {
        wait(self.receiver).await?;
        Ok(self.end)
    }

    /// Whether it is a repetition of what the segment holds already.
    pub fn is_repeated(&self) -> bool {
        self.is_repeated
    }
}

async fn wait(receiver: oneshot::Receiver<Result<()>>) -> Result<()> {
    receiver.await.unwrap_or(Err(Error::Closed))
}

/// A part of a segment, as it is read.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Read {
    /// The bytes; none at the end of what there is.
    pub bytes: Bytes,
    /// Whether the segment is sealed and ends behind these bytes.
    pub is_end: bool,
}

/// How often one who only reads looks for more.
const FOLLOW: Duration = Duration::from_millis(50);

/// One log and its state.
pub(crate) struct Container {
    pub(crate) env: Environment,
    pub(crate) dir: PathBuf,
    pub(crate) store: u128,
    pub(crate) options: StoreOptions,
    core: Mutex<Core>,
    files: Files,
    /// Told when a recovery ended, with or without success.
    recovered: Notify,
    leases: Leases,
    /// Held by whoever makes or removes objects and spares: one at a time.
    upkeep: tokio::sync::Mutex<()>,
    /// Held while the store is open for writing.
    lock: Mutex<Option<Box<dyn FileLock>>>,
    /// Told when a commit or a snapshot ends.
    idle: Notify,
}

impl std::fmt::Debug for Container {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Container").field("dir", &self.dir).finish_non_exhaustive()
    }
}

/// What the lock guards.
struct Core {
    state: State,
    status: Status,
    /// What the next frame will hold.
    open: Open,
    /// The number of the open frame.
    next: u64,
    /// The number of the last durable frame.
    durable: u64,
    /// Taken by the commit that runs.
    log: Option<LogWriter>,
    /// Those who wait for the frame that is being written, without having anything in it.
    in_flight: Vec<oneshot::Sender<Result<()>>>,
    is_committing: bool,
    cache: FrameCache,
    /// Bytes logged since the last snapshot.
    logged: u64,
    /// Whether a snapshot is to be made with the next frame.
    wants_snapshot: bool,
    /// How many snapshots are being stored.
    snapshots: u32,
    /// Told when the snapshot that was asked for is durable.
    snapshot_waiters: Vec<oneshot::Sender<Result<()>>>,
    is_upkeep_running: bool,
    next_object: u64,
    /// How far the log was read, where it is only read.
    follow: Option<Scanner>,
}

/// The open frame and those who wait for it.
struct Open {
    buffer: Buffer,
    touched: Touched,
    acks: Vec<oneshot::Sender<Result<()>>>,
    /// Those for whom there was no room.
    room: Vec<oneshot::Sender<()>>,
}

impl Open {
    /// With room for a payload of this size; more is made when it is needed.
    fn new(capacity: usize) -> Self {
        Self { buffer: Buffer::new(capacity), touched: Vec::new(), acks: Vec::new(), room: Vec::new() }
    }
}

#[derive(Clone, Debug)]
enum Status {
    Open,
    /// The log could not be written; the state is ahead of it.
    Failed(Error),
    Recovering,
    /// Somebody else may be writing: what is there is read.
    ReadOnly,
    Closed,
}

impl Container {
    /// Opens the log in a directory that is locked and has an identity.
    pub(crate) async fn open(
        env: Environment,
        dir: PathBuf,
        store: u128,
        options: StoreOptions,
        lock: Option<Box<dyn FileLock>>,
    ) -> Result<Arc<Self>> {
        let is_writer = lock.is_some();
        let files = Files::new(env.fs.clone(), &dir, store);
        let core = Core {
            state: State::default(),
            status: Status::Recovering,
            open: Open::new(0),
            next: 1,
            durable: 0,
            log: None,
            in_flight: Vec::new(),
            is_committing: false,
            cache: FrameCache::new(options.tail_cache),
            logged: 0,
            wants_snapshot: false,
            snapshots: 0,
            snapshot_waiters: Vec::new(),
            is_upkeep_running: false,
            next_object: 1,
            follow: None,
        };
        let container = Arc::new(Self {
            env,
            dir,
            store,
            options,
            core: Mutex::new(core),
            files,
            recovered: Notify::new(),
            leases: Leases::default(),
            upkeep: tokio::sync::Mutex::new(()),
            lock: Mutex::new(lock),
            idle: Notify::new(),
        });
        if is_writer {
            container.recover(None).await?;
            container.clean().await?;
            Self::watch_leases(&container);
        } else {
            container.refresh().await?;
        }
        Ok(container)
    }

    /// Reads what was logged since; all of it anew where files were given back meanwhile.
    pub(crate) async fn refresh(self: &Arc<Self>) -> Result<()> {
        self.blocking(|this| {
            let mut core = this.core();
            let core = &mut *core;
            let durable = log::told(&*this.env.fs, &log::dir(&this.dir));
            if let Some(scanner) = &mut core.follow
                && recover::advance(&mut core.state, scanner, Some(durable)).is_ok()
            {
                return Ok(());
            }
            let (state, scanner) = recover::load(&this.env.fs, &this.dir, this.store, Some(durable))?;
            // Frames may have been given up, and others have their numbers.
            this.files.forget_all();
            for segment in core.state.segments.values() {
                segment.wake();
            }
            (core.state, core.follow, core.status) = (state, Some(scanner), Status::ReadOnly);
            Ok(())
        })
        .await
    }

    fn is_read_only(&self) -> bool {
        matches!(self.core().status, Status::ReadOnly)
    }

    fn core(&self) -> MutexGuard<'_, Core> {
        self.core.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Runs blocking work on this container.
    async fn blocking<T: Send + 'static>(
        self: &Arc<Self>,
        work: impl FnOnce(&Arc<Self>) -> Result<T> + Send + 'static,
    ) -> Result<T> {
        let (done, result) = oneshot::channel();
        let this = self.clone();
        self.env.spawner.spawn_blocking(Box::new(move || {
            // Whoever asked may be gone.
            let _ = done.send(work(&this));
        }));
        result.await.unwrap_or(Err(Error::Closed))
    }

    /// Loads the state, up to the frame that is known to be durable if that is known, and begins to write behind it.
    async fn recover(self: &Arc<Self>, until: Option<u64>) -> Result<()> {
        let loaded = self.blocking(move |this| this.load(until)).await;
        let result = self.take_over(loaded);
        self.recovered.notify_waiters();
        result?;
        // The disk must take something before anything is promised.
        self.settled().await
    }

    /// Makes what a process left durable, and tells those who read along; for whoever holds the lock and does not want to write.
    pub(crate) fn settle(env: &Environment, dir: &Path, store: u128) -> Result<()> {
        let (state, scanner) = recover::load(&env.fs, dir, store, None)?;
        let (position, last) = (scanner.position(), state.frames.last());
        let setup = Setup {
            fs: env.fs.clone(),
            dir: log::dir(dir),
            store,
            incarnation: state.incarnation,
            file_size: 0,
            syncs: true,
            crash: env.crash.clone(),
        };
        let start = if position.file == 0 { Start::NewFile } else { Start::Continue };
        LogWriter::open(setup, position, last, start).map(drop)
    }

    /// What was loaded is the state from now on.
    fn take_over(&self, loaded: Result<(State, LogWriter, u64)>) -> Result<()> {
        let mut core = self.core();
        if matches!(core.status, Status::Closed) {
            return Err(Error::Closed);
        }
        let (mut state, log, next_object) = match loaded {
            Ok(loaded) => loaded,
            Err(error) => {
                core.status = Status::Failed(error.clone());
                return Err(error);
            }
        };
        let position = log.position();
        // Whoever waits for more of a segment goes on waiting.
        for (key, segment) in &mut core.state.segments {
            if let Some(found) = state.segments.get_mut(key) {
                found.waiters = segment.waiters.take();
            }
        }
        core.state = state;
        core.open = Open::new(0);
        core.next = position.next;
        core.durable = position.next - 1;
        core.log = Some(log);
        core.cache.clear();
        // Upkeep may be at work on one that is not in the log yet.
        core.next_object = core.next_object.max(next_object);
        core.status = Status::Open;
        let incarnation = core.state.incarnation + 1;
        drop(core.record(&Op::Opened { incarnation, at: self.env.clock.now_millis() })?);
        let (now, silence) = (self.env.clock.monotonic(), self.options.time_writer_timeout);
        self.leases.restart(&core.state.streams, now, silence);
        Ok(())
    }

    fn load(&self, until: Option<u64>) -> Result<(State, LogWriter, u64)> {
        let (state, scanner) = recover::load(&self.env.fs, &self.dir, self.store, until)?;
        let position = scanner.position();
        if let Some(last) = until.filter(|last| position.next <= *last) {
            return Err(Error::Unavailable { reason: format!("frame {last} was durable, and is gone") });
        }
        let next_object = self.next_object(&state)?;
        let setup = Setup {
            fs: self.env.fs.clone(),
            dir: log::dir(&self.dir),
            store: self.store,
            incarnation: state.incarnation + 1,
            file_size: self.options.log_file_size,
            syncs: self.options.durability == Durability::Sync,
            crash: self.env.crash.clone(),
        };
        let start = if until.is_some() || position.file == 0 { Start::NewFile } else { Start::Continue };
        let log = LogWriter::open(setup, position, state.frames.last(), start)?;
        Ok((state, log, next_object))
    }

    /// The lock, once the container is open: recovers it first if writing failed.
    pub(crate) async fn ready(self: &Arc<Self>) -> Result<()> {
        loop {
            let mut recovered = std::pin::pin!(self.recovered.notified());
            recovered.as_mut().enable();
            let durable = {
                let mut core = self.core();
                match &core.status {
                    Status::Open | Status::ReadOnly => return Ok(()),
                    Status::Closed => return Err(Error::Closed),
                    Status::Recovering => None,
                    Status::Failed(_) if core.is_committing => return Err(core.failure()),
                    Status::Failed(_) => {
                        core.status = Status::Recovering;
                        Some(core.durable)
                    }
                }
            };
            match durable {
                Some(durable) => {
                    // It goes on when whoever asked is gone: others wait for it.
                    let (sender, ended) = oneshot::channel();
                    let this = self.clone();
                    let task = async move { drop(sender.send(this.recover(Some(durable)).await)) };
                    drop(self.env.spawner.spawn("segment-store recovery", Box::pin(task)));
                    ended.await.unwrap_or(Err(Error::Closed)).map_err(unavailable)?;
                }
                None => recovered.await,
            }
        }
    }

    /// Asks the state; the answer is told when all that it rests on is durable.
    pub(crate) async fn query<T>(self: &Arc<Self>, ask: impl FnOnce(&State) -> Result<T>) -> Result<T> {
        self.ready().await?;
        if self.is_read_only() {
            // What was read elsewhere by now, the end of a segment above all, must be known here.
            self.refresh().await?;
        }
        let (answer, settled) = {
            let mut core = self.core();
            if !matches!(core.status, Status::Open | Status::ReadOnly) {
                return Err(core.failure());
            }
            (ask(&core.state), core.settled())
        };
        if let Some(settled) = settled {
            wait(settled).await?;
        }
        answer
    }

    /// Waits until everything so far is durable.
    pub(crate) async fn settled(self: &Arc<Self>) -> Result<()> {
        self.start_commit();
        let settled = {
            let mut core = self.core();
            // The commit may have failed already; then nobody would answer.
            if !matches!(core.status, Status::Open) {
                return Err(core.failure());
            }
            core.settled()
        };
        match settled {
            Some(settled) => wait(settled).await,
            None => Ok(()),
        }
    }

    /// Makes a change; it is durable when this returns. `after` is asked once it is made, for what it gave.
    pub(crate) async fn change<T>(
        self: &Arc<Self>,
        op: StreamOp,
        after: impl FnOnce(&State) -> Result<T>,
    ) -> Result<T> {
        self.make(Op::Stream(op), None, after).await
    }

    /// With an incarnation: unless the store was recovered since, so that what was seen then may not be so.
    async fn make<T>(
        self: &Arc<Self>,
        op: Op,
        since: Option<u32>,
        after: impl FnOnce(&State) -> Result<T>,
    ) -> Result<T> {
        self.ready().await?;
        let (receiver, made) = {
            let mut core = self.core();
            if !matches!(core.status, Status::Open) {
                return Err(core.failure());
            }
            if since.is_some_and(|since| since != core.state.incarnation) {
                return Err(Error::Unavailable { reason: "the store was recovered meanwhile".into() });
            }
            match core.state.check(&op) {
                Ok(()) => {
                    let ack = core.record(&op)?;
                    (Some(ack), after(&core.state))
                }
                // It may be refused because of what is not durable yet: then that comes first.
                Err(refused) => (core.settled(), Err(refused)),
            }
        };
        self.start_commit();
        if let Some(receiver) = receiver {
            wait(receiver).await?;
        }
        made
    }

    /// Sets an attribute that has the expected value.
    pub(crate) async fn set_attribute(
        self: &Arc<Self>,
        name: &SegmentName,
        attribute: u128,
        expected: Option<i64>,
        value: Option<i64>,
    ) -> Result<()> {
        self.ready().await?;
        let (receiver, refused) = {
            let mut core = self.core();
            if !matches!(core.status, Status::Open) {
                return Err(core.failure());
            }
            match core.state.check_attribute(name, attribute, expected) {
                Ok(segment) => (Some(core.record(&Op::Attribute { segment, attribute, value })?), None),
                Err(refused) => (core.settled(), Some(refused)),
            }
        };
        self.start_commit();
        if let Some(receiver) = receiver {
            wait(receiver).await?;
        }
        refused.map_or(Ok(()), Err)
    }

    /// The transaction lives for another lease.
    pub(crate) fn keep_transaction(&self, stream: &StreamName, id: TransactionId, lease: Duration) {
        let until = self.env.clock.monotonic() + lease;
        self.leases.set(lease::Ends::Transaction(stream.clone(), id), until);
    }

    /// The writer of times is not silent.
    pub(crate) fn keep_time_writer(&self, stream: &StreamName, writer: WriterId) {
        let until = self.env.clock.monotonic() + self.options.time_writer_timeout;
        self.leases.set(lease::Ends::TimeWriter(stream.clone(), writer), until);
    }

    /// Nothing more is done. What is under way is written to its end; then the directory is given back.
    pub(crate) async fn close(&self) {
        {
            let mut core = self.core();
            core.status = Status::Closed;
            // Those who wait for what will not be written are told so.
            drop(std::mem::replace(&mut core.open, Open::new(0)));
            core.snapshot_waiters.clear();
            for segment in core.state.segments.values() {
                segment.wake();
            }
        }
        let _none_runs = self.upkeep.lock().await;
        loop {
            let mut idle = std::pin::pin!(self.idle.notified());
            idle.as_mut().enable();
            if self.core().is_idle() {
                break;
            }
            idle.await;
        }
        drop(self.lock.lock().unwrap_or_else(PoisonError::into_inner).take());
    }

    /// Appends to a segment. Returns when the append has its place; appends that were given their places one after the other become durable
    /// in that order. Waits while there is no room.
    pub(crate) async fn append(self: &Arc<Self>, segment: &SegmentName, append: Appended) -> Result<Ack> {
        let length = append.bytes.len();
        let limit = self.options.max_append();
        if length > limit {
            return Err(Error::Limit { what: "an append", given: length as u64, limit: limit as u64 });
        }
        // Not under the lock.
        let bytes = Summed::of(append.bytes.clone());
        loop {
            self.ready().await?;
            let room = {
                let mut core = self.core();
                if !matches!(core.status, Status::Open) {
                    return Err(core.failure());
                }
                let size = core.open.buffer.len() + APPEND_HEADER + length;
                if core.open.buffer.is_empty() || size <= self.options.frame_size {
                    let ack = core.append(segment, &append, &bytes)?;
                    drop(core);
                    self.start_commit();
                    return Ok(ack);
                }
                let (sender, room) = oneshot::channel();
                core.open.room.push(sender);
                room
            };
            // The sender is dropped when writing failed: then it is seen above.
            let _ = room.await;
        }
    }

    /// Bytes of a segment from `offset` on, at most `max`; waits for more at its end, at most `patience`.
    pub(crate) async fn read(
        self: &Arc<Self>,
        segment: &SegmentName,
        offset: u64,
        max: usize,
        patience: Duration,
    ) -> Result<Read> {
        let until = self.env.clock.monotonic() + patience;
        loop {
            self.ready().await?;
            let waiters = {
                let mut core = self.core();
                let core = &mut *core;
                let (key, found) = core.state.segment(segment)?;
                let (visible, start) = (found.visible, found.start);
                if offset < start {
                    return Err(Error::Truncated { segment: segment.clone(), offset, start });
                }
                // Who reads along may know less than whoever told the offset: it comes.
                if offset > visible.length && !matches!(core.status, Status::ReadOnly) {
                    let (segment, length) = (segment.clone(), visible.length);
                    return Err(Error::BeyondEnd { segment, offset, length });
                }
                if offset < visible.length {
                    Err(core.pieces(key, offset, visible.length.min(offset.saturating_add(max as u64))))
                } else if visible.is_sealed && offset == visible.length {
                    return Ok(Read { bytes: Bytes::new(), is_end: true });
                } else {
                    let segment = core.state.segments.get_mut(&key);
                    let waiters = segment.map(|s| s.waiters.get_or_insert_with(Arc::default).clone());
                    waiters.map_or_else(|| Err(Vec::new()), Ok)
                }
            };
            match waiters {
                Err(pieces) => return self.fetch(segment, offset, pieces).await,
                Ok(waiters) => {
                    let mut told = std::pin::pin!(waiters.notified());
                    told.as_mut().enable();
                    if self.has_more(segment, offset) {
                        continue;
                    }
                    let now = self.env.clock.monotonic();
                    if now >= until {
                        return Ok(Read { bytes: Bytes::new(), is_end: false });
                    }
                    if self.is_read_only() {
                        self.env.clock.sleep(FOLLOW.min(until - now)).await;
                        self.refresh().await?;
                        continue;
                    }
                    let timer = self.env.clock.sleep(until - now);
                    futures::future::select(told, timer).await;
                }
            }
        }
    }

    /// Whether a reader at `offset` has no reason to wait.
    fn has_more(&self, segment: &SegmentName, offset: u64) -> bool {
        let core = self.core();
        match core.state.segment(segment) {
            Ok((_, found)) => {
                offset < found.visible.length || (found.visible.is_sealed && offset == found.visible.length)
            }
            Err(_) => true,
        }
    }

    async fn fetch(self: &Arc<Self>, segment: &SegmentName, offset: u64, pieces: Vec<Piece>) -> Result<Read> {
        let in_memory = pieces.iter().all(|piece| matches!(piece, Piece::Memory(_)));
        let bytes = if in_memory {
            self.files.read(&pieces)
        } else {
            self.blocking(move |this| this.files.read(&pieces)).await
        };
        let bytes = match bytes {
            Ok(bytes) => bytes,
            // Between the look and the read it may have been truncated, or moved.
            Err(error) => self.fetch_again(segment, offset, error).await?,
        };
        Ok(Read { bytes, is_end: false })
    }

    /// A file may be recycled between the moment a reader learns where bytes are and the read. Then they are elsewhere, or truncated.
    async fn fetch_again(
        self: &Arc<Self>,
        segment: &SegmentName,
        offset: u64,
        error: Error,
    ) -> Result<Bytes> {
        let pieces = {
            let core = self.core();
            let (key, found) = core.state.segment(segment)?;
            if offset < found.start {
                let start = found.start;
                return Err(Error::Truncated { segment: segment.clone(), offset, start });
            }
            core.pieces(key, offset, found.visible.length.min(offset + 1))
        };
        if let [Piece::Frame { .. } | Piece::Object { .. }] = &pieces[..] {
            tracing::debug!(%error, %segment, offset, "read again");
        }
        self.blocking(move |this| this.files.read(&pieces)).await
    }
}

/// What a failed recovery means to a caller: the disk's errors may pass, damage does not.
fn unavailable(error: Error) -> Error {
    match error {
        Error::Io { .. } => Error::Unavailable { reason: error.to_string() },
        other => other,
    }
}

impl Core {
    fn failure(&self) -> Error {
        match &self.status {
            Status::Failed(error) => unavailable(error.clone()),
            Status::Closed => Error::Closed,
            Status::ReadOnly => Error::ReadOnly,
            Status::Recovering | Status::Open => {
                Error::Unavailable { reason: "the store is being recovered".into() }
            }
        }
    }

    /// Whether nothing touches the files.
    fn is_idle(&self) -> bool {
        !self.is_committing && self.snapshots == 0
    }

    /// Told when everything so far is durable; none when it is.
    fn settled(&mut self) -> Option<oneshot::Receiver<Result<()>>> {
        let waiting = if !self.open.buffer.is_empty() {
            &mut self.open.acks
        } else if self.durable + 1 < self.next {
            &mut self.in_flight
        } else {
            return None;
        };
        let (sender, receiver) = oneshot::channel();
        waiting.push(sender);
        Some(receiver)
    }

    /// Makes a change that was checked, and logs it.
    fn record(&mut self, op: &Op) -> Result<oneshot::Receiver<Result<()>>> {
        let encoded = postcard::to_stdvec(op).map_err(|e| Error::invalid("a change", e.to_string()))?;
        self.state.apply(op, &mut self.open.touched)?;
        self.open.buffer.record(|out| Op::write(&encoded, out), &Summed::default());
        let (sender, receiver) = oneshot::channel();
        self.open.acks.push(sender);
        Ok(receiver)
    }

    fn append(&mut self, name: &SegmentName, append: &Appended, bytes: &Summed) -> Result<Ack> {
        let (key, segment) = self.state.segment(name)?;
        let last = segment.attributes.get(&append.writer.0).copied();
        let (length, sealed) = (segment.length, segment.is_sealed);
        if last.is_some_and(|last| append.event <= last) {
            let receiver = self.settled().unwrap_or_else(|| {
                let (sender, receiver) = oneshot::channel();
                // Its receiver is right here.
                let _ = sender.send(Ok(()));
                receiver
            });
            return Ok(Ack { receiver, end: length, is_repeated: true });
        }
        if sealed {
            return Err(Error::Sealed(name.clone()));
        }
        if last != append.previous {
            let (writer, previous) = (append.writer, append.previous);
            let reason = format!(
                "the last event of {writer} in `{name}` is {last:?}, not {previous:?}: one behind it failed"
            );
            return Err(Error::Unavailable { reason });
        }
        if let Some(expected) = append.at.filter(|&expected| expected != length) {
            return Err(Error::Condition { segment: name.clone(), expected, length });
        }
        if last.is_none() && segment.attributes.len() >= MAX_ATTRIBUTES {
            let what = "the writers of a segment";
            return Err(Error::Limit {
                what,
                given: MAX_ATTRIBUTES as u64 + 1,
                limit: MAX_ATTRIBUTES as u64,
            });
        }
        let record = Append {
            segment: key,
            offset: length,
            writer: append.writer.0,
            event: append.event,
            events: append.events,
        };
        let at = (self.open.buffer.len() + APPEND_HEADER) as u32;
        let location = Location::Frame { number: self.next, at };
        self.state
            .append(&record, bytes.len() as u64, location)
            .map_err(|why| Error::invalid("an append", why))?;
        self.open.buffer.record(|out| record.write(out, bytes.len() as u32), bytes);
        self.open.touched.push(key);
        let (sender, receiver) = oneshot::channel();
        self.open.acks.push(sender);
        Ok(Ack { receiver, end: length + bytes.len() as u64, is_repeated: false })
    }

    /// Where the visible bytes from `from` to `until` are to be read from.
    fn pieces(&self, key: SegmentKey, from: u64, until: u64) -> Vec<Piece> {
        let Some(segment) = self.state.segments.get(&key) else { return Vec::new() };
        let piece = |extent: Extent| {
            let length = extent.length as usize;
            match extent.location {
                Location::Object { id, at } => Piece::Object { id, at, length },
                Location::Frame { number, at } => {
                    match self.cache.get(number).and_then(|f| f.slice(at, length)) {
                        Some(bytes) => Piece::Memory(bytes),
                        None => Piece::Frame { number, place: self.state.frames.place(number), at, length },
                    }
                }
            }
        };
        segment.extents.between(from, until).map(piece).collect()
    }
}
