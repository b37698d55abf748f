//! The journal: everything that a host does to the probes, in one order, across attempts and processes.

use std::fmt;
use std::time::Duration;

use connector_api::id::AttemptId;
use connector_api::sink::{Flush, Prepare, Restored};

/// Who was called.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(super) enum Party {
    /// The enumerator.
    Enumerator,
    /// The reader with this number.
    Reader(u32),
    /// The writer with this number.
    Writer(u32),
    /// An instance of the stage with this uid.
    Stage(&'static str, u32),
    /// The committer with this number.
    Committer(u32),
    /// The sweep of orphans.
    Sweep,
}

/// What an enumerator put into its outbox, or what a reader was given of it: split by split, whatever the grouping.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Token {
    /// A split.
    Split(u32),
    /// A message.
    Event(u64),
    /// No more splits come.
    NoMore,
}

/// What became of a commit.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Settled {
    /// Visible now.
    Committed,
    /// Visible before.
    Already,
    /// To be tried again.
    Retry,
    /// Gone.
    Lost,
    /// Can't be told.
    Fatal,
}

/// What happened.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum What {
    /// It was made or opened, by this attempt, from these states (their labels).
    Made {
        /// Which attempt.
        attempt: AttemptId,
        /// Of how many.
        of: u32,
        /// What its context says.
        restored: Option<Restored>,
        /// Its states.
        states: Vec<String>,
    },
    /// Enumerator: a command that needs no answer here.
    Told(String),
    /// Enumerator: it was started.
    Started,
    /// Enumerator: a reader is there.
    ReaderAdded(u32),
    /// Enumerator: these came back.
    GivenBack(Vec<u32>),
    /// Enumerator: into its outbox, for this reader.
    Put(u32, Token),
    /// Reader: given by the host.
    Given(Vec<Token>),
    /// A checkpoint is complete.
    Complete(u64),
    /// A checkpoint was aborted.
    Aborted(u64),
    /// Reader: it was polled (only by the first poll after another call).
    Polled,
    /// Reader: rows of a split, from this position to that.
    Emitted {
        /// Which split.
        split: u32,
        /// The first row.
        from: u64,
        /// Behind the last row.
        to: u64,
    },
    /// Reader: it said that a split is finished.
    SplitFinished(u32),
    /// Reader: it said that its input has ended.
    EndOfInput,
    /// A snapshot was taken: positions of a reader's splits, or labels of states.
    Snapshot {
        /// The checkpoint.
        checkpoint: u64,
        /// Rows that the host holds back.
        unemitted: usize,
        /// A reader's splits with their positions.
        positions: Vec<(u32, u64)>,
        /// The states of anybody else.
        states: Vec<String>,
    },
    /// Writer: rows, as (split, row).
    Written(Vec<(u32, u64)>),
    /// Writer: no later row is at or below this.
    Watermark(i64),
    /// Writer.
    Flushed(Flush),
    /// Writer: it handed over what it staged, under this name, if there was any.
    Prepared(Option<String>),
    /// Stage: an item.
    Processed(String),
    /// Stage: the last chance before the barrier.
    StagePrepared(Prepare),
    /// Stage: no more items.
    StageEnded,
    /// Committer: a request, and its outcome.
    Commit {
        /// What to commit: the names of staged rows.
        names: Vec<String>,
        /// The checkpoint that it is said to belong to.
        checkpoint: u64,
        /// How often it was tried.
        retries: u32,
        /// What became of it.
        settled: Settled,
    },
    /// The sweep was told these references.
    Swept(Vec<String>),
    /// It returned an error.
    Failed,
    /// It was closed.
    Closed,
}

/// A line of the journal.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Entry {
    /// The process, from 1.
    pub(super) process: u32,
    /// The time in virtual time, from the first process's start.
    pub(super) at: Duration,
    /// Each thing that is made has a number of its own.
    pub(super) instance: u32,
    /// Who was called.
    pub(super) party: Party,
    /// What happened.
    pub(super) what: What,
}

impl fmt::Display for Entry {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { process, at, instance, party, what } = self;
        write!(f, "process {process}, {at:?}: {party:?} ({instance}): {what:?}")
    }
}
