//! What a running and an ended job tell about themselves.

use std::path::PathBuf;
use std::time::Duration;

/// How a job ended well.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum JobEnd {
    /// The input ended, and everything is committed.
    Finished,
    /// It had ended before: nothing was done.
    AlreadyFinished,
    /// It was stopped with a savepoint.
    Stopped {
        /// The savepoint's file.
        savepoint: PathBuf,
    },
}

/// What a job did since it was started. Rows that were read or written again after a restart count once.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct JobReport {
    /// Rows that the source emitted.
    pub records_in: u64,
    /// Bytes of content of those.
    pub bytes_in: u64,
    /// Rows that the writers took.
    pub records_out: u64,
    /// Bytes of content of those.
    pub bytes_out: u64,
    /// Checkpoints and savepoints completed.
    pub checkpoints: u64,
    /// Restarts after failures.
    pub restarts: u64,
    /// Committables committed, or found committed.
    pub committed: u64,
    /// Committables that wait for their commit, and entries of stages that wait (parts to be compacted).
    pub pending: u64,
    /// Committables lost and skipped.
    pub lost: u64,
    /// From the start to the end.
    pub elapsed: Duration,
    /// How it ended.
    pub end: JobEnd,
}

/// A completed checkpoint.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct CompletedCheckpoint {
    /// Its number.
    pub id: u64,
    /// From the trigger to the completion.
    pub duration: Duration,
    /// Its size in bytes.
    pub bytes: u64,
    /// When it completed, in milliseconds since the Unix epoch.
    pub at_millis: i64,
}

/// Where a running job stands. The counts are those of [`JobReport`].
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Progress {
    /// Rows that the source emitted.
    pub records_in: u64,
    /// Bytes of content of those.
    pub bytes_in: u64,
    /// Rows that the writers took.
    pub records_out: u64,
    /// Bytes of content of those.
    pub bytes_out: u64,
    /// What a bounded source holds in all, in bytes, once it is known.
    pub total_bytes: Option<u64>,
    /// Splits that no reader has.
    pub unassigned_splits: Option<u64>,
    /// Checkpoints and savepoints completed.
    pub checkpoints: u64,
    /// The last of them.
    pub last_checkpoint: Option<CompletedCheckpoint>,
    /// Restarts after failures.
    pub restarts: u64,
    /// Committables committed, or found committed.
    pub committed: u64,
    /// Committables lost and skipped.
    pub lost: u64,
    /// Committables that wait for their commit, and entries of stages that wait.
    pub pending: u64,
}
