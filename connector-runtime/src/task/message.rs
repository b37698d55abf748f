//! What tasks tell each other and the coordinator.

use std::panic::AssertUnwindSafe;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use bytes::Bytes;
use connector_api::env::Environment;
use connector_api::id::{CheckpointId, ReaderId, SplitId};
use connector_api::source::{DynSplit, ReaderCommand};
use connector_api::{Error, Result};
use futures::FutureExt;
use tokio::sync::mpsc;

use crate::coordinate::checkpoint::{TaskId, Trigger};

/// What flows through a channel between two tasks.
pub(crate) enum Element<T> {
    Data(T),
    Watermark(i64),
    /// Whether the sender holds the watermark back from now on.
    Idle(bool),
    Barrier(Trigger),
    End,
}

/// A committable between sink stages.
#[derive(Clone, Debug)]
pub(crate) struct Committable {
    pub(crate) checkpoint: CheckpointId,
    pub(crate) bytes: Bytes,
}

/// How many batches may wait between a reader and a writer, and how many committables between stages.
const CAPACITY: usize = 4;

pub(crate) fn channel<T>() -> (mpsc::Sender<Element<T>>, mpsc::Receiver<Element<T>>) {
    mpsc::channel(CAPACITY)
}

/// What the coordinator tells a task.
#[derive(Debug)]
pub(crate) enum Command {
    Reader(ReaderCommand<DynSplit>),
    /// For sources: snapshot, and send the barrier on.
    Trigger(Trigger),
    Complete(CheckpointId),
    Aborted(CheckpointId),
    /// Give everything up.
    Close,
}

/// Rows and bytes since the attempt began.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) struct Counts {
    pub(crate) records_in: u64,
    pub(crate) bytes_in: u64,
    pub(crate) records_out: u64,
    pub(crate) bytes_out: u64,
}

impl std::ops::AddAssign for Counts {
    fn add_assign(&mut self, other: Self) {
        self.records_in += other.records_in;
        self.bytes_in += other.bytes_in;
        self.records_out += other.records_out;
        self.bytes_out += other.bytes_out;
    }
}

/// The same, of all tasks, to be looked at while they run.
#[derive(Debug, Default)]
pub(crate) struct LiveCounts {
    records_in: AtomicU64,
    bytes_in: AtomicU64,
    records_out: AtomicU64,
    bytes_out: AtomicU64,
}

impl LiveCounts {
    pub(crate) fn read(&self, records: u64, bytes: u64) {
        self.records_in.fetch_add(records, Ordering::Relaxed);
        self.bytes_in.fetch_add(bytes, Ordering::Relaxed);
    }

    pub(crate) fn written(&self, records: u64, bytes: u64) {
        self.records_out.fetch_add(records, Ordering::Relaxed);
        self.bytes_out.fetch_add(bytes, Ordering::Relaxed);
    }

    pub(crate) fn get(&self) -> Counts {
        Counts {
            records_in: self.records_in.load(Ordering::Relaxed),
            bytes_in: self.bytes_in.load(Ordering::Relaxed),
            records_out: self.records_out.load(Ordering::Relaxed),
            bytes_out: self.bytes_out.load(Ordering::Relaxed),
        }
    }
}

/// What all tasks of an attempt share.
#[derive(Clone, Debug)]
pub(crate) struct TaskContext {
    pub(crate) env: Environment,
    pub(crate) job: Arc<str>,
    pub(crate) live: Arc<LiveCounts>,
}

/// What a task gives to a checkpoint.
#[derive(Debug, Default)]
pub(crate) struct TaskState {
    pub(crate) splits: Vec<DynSplit>,
    pub(crate) writer: Vec<Bytes>,
    pub(crate) stage: Vec<Bytes>,
    /// Checkpoint, retries, committable.
    pub(crate) committer: Vec<(CheckpointId, u32, Bytes)>,
    pub(crate) counts: Counts,
}

#[derive(Debug)]
pub(crate) struct Acknowledgement {
    pub(crate) checkpoint: CheckpointId,
    pub(crate) ended: bool,
    pub(crate) pending: u64,
    pub(crate) state: TaskState,
}

/// What a task tells the coordinator.
#[derive(Debug)]
pub(crate) enum Report {
    SplitRequest(ReaderId),
    SplitFinished(ReaderId, SplitId),
    ReaderEvent(ReaderId, Bytes),
    Ack(TaskId, Box<Acknowledgement>),
    Noticed(TaskId, CheckpointId),
    Ended(TaskId),
    /// So many committables were committed, and so many lost and skipped.
    Committed {
        committed: u64,
        lost: u64,
    },
    /// `fatal`: no restart may follow.
    Failed {
        task: TaskId,
        error: Error,
        fatal: bool,
    },
    /// The task has given up everything and is gone.
    Closed,
}

pub(crate) type Reports = mpsc::UnboundedSender<Report>;

/// Why a task ended.
pub(crate) struct Failure {
    pub(crate) error: Error,
    pub(crate) fatal: bool,
}

impl From<Error> for Failure {
    fn from(error: Error) -> Self {
        Self { error, fatal: false }
    }
}

const HANDING_OVER: &str = "handing over to the next task";

/// A neighbour is gone: it tells the coordinator why itself, perhaps a moment later.
pub(crate) fn neighbour_gone() -> Error {
    Error::Cancelled(HANDING_OVER.into())
}

/// Whether an error is [`neighbour_gone`], and so not the cause of anything.
pub(crate) fn is_neighbour_gone(error: &Error) -> bool {
    matches!(error, Error::Cancelled(what) if what == HANDING_OVER)
}

/// Runs a task and tells the coordinator how it ended: also when it panics, which would otherwise be a job that hangs.
pub(crate) fn spawn(
    env: &Environment,
    task: TaskId,
    reports: Reports,
    body: impl Future<Output = Result<(), Failure>> + Send + 'static,
) {
    let run = async move {
        let failure = match AssertUnwindSafe(body).catch_unwind().await {
            Ok(Ok(())) => None,
            Ok(Err(failure)) => Some(failure),
            Err(panic) => {
                let text = panic.downcast_ref::<&str>().map(|s| (*s).to_owned());
                let text = text.or_else(|| panic.downcast_ref::<String>().cloned());
                let reason = format!("panicked: {}", text.unwrap_or_else(|| "without a message".to_owned()));
                Some(Failure { error: Error::contract(task.to_string(), reason), fatal: false })
            }
        };
        // The coordinator is gone only when the attempt is over.
        if let Some(Failure { error, fatal }) = failure {
            let _ = reports.send(Report::Failed { task, error, fatal });
        }
        let _ = reports.send(Report::Closed);
    };
    env.spawner.spawn(&task.to_string(), Box::pin(run));
}
