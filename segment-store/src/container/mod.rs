//! The container: one log, and all that it says.
//!
//! # The life of an append
//!
//! It is checked against the state, gets its offset, and is written into the open frame, all under one lock
//! ([`Core`]). If no commit runs, one is started: it takes the open frame, writes and syncs it, shows readers what was in it,
//! and answers those who waited; then it takes what was opened meanwhile. So frames grow with the load, and nobody waits for
//! a timer. The state is ahead of the disk: what is read of it is told only when all that it rests on is durable, and
//! when a frame can't be written, the state goes back to the last one that was.

mod append;
mod attributes;
mod cache;
mod commit;
mod extents;
mod files;
#[cfg(feature = "fuzzing")]
pub(crate) mod fuzzing;
mod inspect;
mod lease;
mod opening;
mod outcome;
mod reading;
mod record;
mod recover;
mod snapshot;
mod state;
mod upkeep;

use std::path::PathBuf;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::thread::Thread;
use std::time::Duration;

use connector_api::env::{Environment, FileLock};
use futures::channel::oneshot;
use tokio::sync::Notify;

use crate::error::{Error, Result};
use crate::id::{SegmentName, StreamName, TransactionId, WriterId};
use crate::log::frame::Buffer;
use crate::log::{Ahead, LogWriter, Scanner};
use crate::model::StreamOp;
use crate::options::StoreOptions;
use crate::pool::Pool;
use crate::summed::Summed;

pub use append::{Ack, Appended};
pub use attributes::MAX_ATTRIBUTES;
use cache::FrameCache;
use files::Files;
pub use inspect::{Salvaged, StoreStats, Verified};
pub(crate) use inspect::{salvage, verify};
use lease::Leases;
use opening::unavailable;
use outcome::{Outcome, Teller};
pub use reading::Read;
use record::Op;
pub(crate) use recover::holds;
pub(crate) use snapshot::dir as snapshot_dir;
use state::{State, Touched};

/// One log and its state.
pub(crate) struct Container {
    pub(crate) env: Environment,
    pub(crate) dir: PathBuf,
    pub(crate) store: u128,
    pub(crate) options: StoreOptions,
    pub(crate) pool: Pool,
    core: Mutex<Core>,
    files: Files,
    /// Where the log's files come from.
    ahead: Arc<Ahead>,
    /// Told when a recovery ended, with or without success.
    recovered: Notify,
    leases: Leases,
    /// The last frame in the newest snapshot, as far as this process made it. Held while one is made, which gives back what it makes needless.
    snapshots: Mutex<u64>,
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

impl Drop for Container {
    fn drop(&mut self) {
        self.core().dismiss();
        self.leases.dismiss();
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
    /// What becomes of the frame that is being written, or was last.
    in_flight: Outcome,
    is_committing: bool,
    /// Wrote the last frame, and waits for the next one.
    standby: Option<Thread>,
    cache: FrameCache,
    /// Bytes logged since the last snapshot.
    logged: u64,
    /// Whether a snapshot is to be made with the next frame.
    wants_snapshot: bool,
    /// How many snapshots are being stored, and files made ready.
    beside: u32,
    /// Told when the snapshot that was asked for is durable.
    snapshot_waiters: Vec<Teller>,
    is_upkeep_running: bool,
    next_object: u64,
    /// How far the log was read, where it is only read.
    follow: Option<Scanner>,
}

/// The open frame and those who wait for it.
struct Open {
    buffer: Buffer,
    touched: Touched,
    /// Tells [`outcome`](Self::outcome).
    tell: Teller,
    outcome: Outcome,
    /// Those for whom there was no room.
    room: Vec<oneshot::Sender<()>>,
}

impl Open {
    /// With room for a payload of this size; more is made when it is needed.
    fn new(capacity: usize) -> Self {
        let (tell, outcome) = Outcome::new();
        Self { buffer: Buffer::new(capacity), touched: Touched::new(), tell, outcome, room: Vec::new() }
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

    /// Asks the state; the answer is told when all that it rests on is durable.
    pub(crate) async fn query<T>(self: &Arc<Self>, ask: impl FnOnce(&State) -> Result<T>) -> Result<T> {
        self.ready().await?;
        if self.is_read_only() {
            // What was read elsewhere by now, the end of a segment above all, must be known here.
            self.refresh().await?;
        }
        let (answer, settled) = {
            let core = self.core();
            if !matches!(core.status, Status::Open | Status::ReadOnly) {
                return Err(core.failure());
            }
            (ask(&core.state), core.settled())
        };
        if let Some(settled) = settled {
            settled.wait().await?;
        }
        answer
    }

    /// Waits until everything so far is durable.
    pub(crate) async fn settled(self: &Arc<Self>) -> Result<()> {
        self.start_commit();
        let settled = {
            let core = self.core();
            // The commit may have failed already; then nobody would answer.
            if !matches!(core.status, Status::Open) {
                return Err(core.failure());
            }
            core.settled()
        };
        match settled {
            Some(settled) => settled.wait().await,
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
        let (outcome, made) = {
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
        if let Some(outcome) = outcome {
            outcome.wait().await?;
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
        let (outcome, refused) = {
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
        if let Some(outcome) = outcome {
            outcome.wait().await?;
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
        !self.is_committing && self.beside == 0
    }

    /// Told when everything so far is durable; none when it is.
    fn settled(&self) -> Option<Outcome> {
        if !self.open.buffer.is_empty() {
            Some(self.open.outcome.clone())
        } else if self.durable + 1 < self.next {
            Some(self.in_flight.clone())
        } else {
            None
        }
    }

    /// Makes a change that was checked, and logs it.
    fn record(&mut self, op: &Op) -> Result<Outcome> {
        let encoded = postcard::to_stdvec(op).map_err(|e| Error::invalid("a change", e.to_string()))?;
        self.state.apply(op, &mut self.open.touched)?;
        self.open.buffer.record(|out| Op::write(&encoded, out), &Summed::default());
        Ok(self.open.outcome.clone())
    }
}
