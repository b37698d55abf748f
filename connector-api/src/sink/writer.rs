//! The writer.

use std::sync::Arc;
use std::time::Duration;

use async_trait::async_trait;

use super::Checkpoint;
use crate::env::Environment;
use crate::id::{AttemptId, CheckpointId, RunId};
use crate::{Batch, Result, RowBatch, Stored};

/// What the job was restored from.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Restored {
    /// The checkpoint.
    pub checkpoint: CheckpointId,
    /// Whether a later checkpoint's commits had begun before, and the user accepted duplicates. What the state refers to
    /// may then be gone because it has become visible: that is no loss, and is not to be committed again.
    pub going_back: bool,
}

/// What a writer is made with.
#[derive(Clone, Debug)]
pub struct WriterContext {
    /// The edges of the world.
    pub env: Environment,
    /// Which of the writers this is: `0..parallelism`.
    pub subtask: u32,
    /// The number of writers. May differ from that of the restored state.
    pub parallelism: u32,
    /// This execution of the job. Part of every name that is made outside.
    pub attempt: AttemptId,
    /// What the job was restored from, if anything.
    pub restored: Option<Restored>,
    /// The runs that this run's state comes from, oldest first. Nobody else goes on from them in the belief of being the job, so
    /// what they left staged and nothing refers to may be removed (rule X-1), and what the state refers to may bear their names.
    pub ancestors: Arc<[RunId]>,
    /// How often the host makes checkpoints; none when it does not say. For checking it against what expires outside.
    pub checkpoint_interval: Option<Duration>,
}

impl WriterContext {
    /// The first of one writer, restored from nothing; change the fields that differ.
    pub fn first(env: Environment, attempt: AttemptId) -> Self {
        let (ancestors, checkpoint_interval) = (Arc::default(), None);
        Self { env, subtask: 0, parallelism: 1, attempt, restored: None, ancestors, checkpoint_interval }
    }
}

/// What an operator or a committer is made with: the same as a writer.
pub type OperatorContext = WriterContext;

/// Why a writer is flushed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Flush {
    /// A periodic checkpoint.
    Checkpoint,
    /// A savepoint: close everything that later writes would change.
    Savepoint,
    /// No more input will come: close everything. Called once; `prepare_commit` and `snapshot` follow, no `write`.
    EndOfInput,
}

/// Writes batches.
///
/// # Contract
///
/// One party calls, never two at once. Order per checkpoint: `flush`, [`CommittingWriter::prepare_commit`],
/// [`StatefulWriter::snapshot`], with no write between them. None of the methods but [`idle`](Self::idle) is cancel-safe: a
/// host awaits them to their end or gives the writer up.
///
/// At least once comes from `flush` alone; exactly once from staging what was written and a committer.
#[async_trait]
pub trait SinkWriter<B: RowBatch>: Send + 'static {
    /// Writes a batch. May wait: that is the back-pressure. An asynchronous failure of an earlier write may surface here
    /// and must surface in the next [`flush`](Self::flush) at the latest.
    ///
    /// # Errors
    ///
    /// An error ends the writer.
    async fn write(&mut self, batch: Batch<B>) -> Result<()>;

    /// No later row has an event time at or below this (milliseconds since the Unix epoch).
    ///
    /// # Errors
    ///
    /// An error ends the writer.
    async fn watermark(&mut self, millis: i64) -> Result<()> {
        let _ = millis;
        Ok(())
    }

    /// When it returns, everything written is durable or staged, and every asynchronous error was returned.
    ///
    /// # Errors
    ///
    /// An error ends the writer and fails the checkpoint.
    async fn flush(&mut self, why: Flush) -> Result<()>;

    /// The writer's own pending work: timers, requests in flight. The host polls it while there is no input, and drops it
    /// when there is some: it must be cancel-safe. Returns when something was done; the host calls it again.
    ///
    /// # Errors
    ///
    /// An error ends the writer.
    async fn idle(&mut self) -> Result<()> {
        std::future::pending().await
    }

    /// Gives up everything held outside. Also called after a failure, when it must not publish anything.
    ///
    /// # Errors
    ///
    /// Reported, but the job's fate does not depend on it.
    async fn close(&mut self) -> Result<()> {
        Ok(())
    }
}

/// A writer with state of its own in checkpoints.
///
/// After a restore each writer is opened with *some* of the states: none when there are more writers than states, several
/// when there are fewer.
pub trait StatefulWriter<B: RowBatch>: SinkWriter<B> {
    /// The state. One entry is the unit that a rescale redistributes.
    type State: Stored;

    /// What a later attempt needs to go on from here. After [`Flush::EndOfInput`] it is empty.
    ///
    /// # Errors
    ///
    /// An error ends the writer and fails the checkpoint.
    fn snapshot(&mut self, at: Checkpoint) -> Result<Vec<Self::State>>;
}

/// A writer whose writes become visible by a commit.
#[async_trait]
pub trait CommittingWriter<B: RowBatch>: SinkWriter<B> {
    /// What describes staged data completely: another process must be able to commit from its bytes alone.
    type Committable: Stored;

    /// Hands over everything staged since the last call. Called after `flush`.
    ///
    /// # Errors
    ///
    /// An error ends the writer and fails the checkpoint.
    async fn prepare_commit(&mut self) -> Result<Vec<Self::Committable>>;
}
