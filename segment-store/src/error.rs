//! What went wrong, on what, and whether trying again may help.

use std::io;
use std::path::{Path, PathBuf};

use crate::id::{SegmentName, StreamName, TransactionId};

/// The result of everything in this crate.
pub type Result<T, E = Error> = std::result::Result<T, E>;

/// What the store refuses, or what stopped it.
#[non_exhaustive]
#[derive(Clone, Debug, thiserror::Error)]
pub enum Error {
    /// The operating system refused an operation on a file of the store.
    #[error("{operation} {}: {kind}: {reason}", path.display())]
    Io {
        /// What was tried, as a verb.
        operation: &'static str,
        /// The file.
        path: PathBuf,
        /// The kind of the system's answer.
        kind: io::ErrorKind,
        /// The system's answer.
        reason: String,
    },
    /// What is stored is damaged. Nothing is guessed: `salvage` copies what can be proved.
    #[error("{} is damaged at byte {offset}: {reason}", path.display())]
    Corrupt {
        /// The file.
        path: PathBuf,
        /// Where in it.
        offset: u64,
        /// What is wrong there.
        reason: String,
    },
    /// The directory was written by a later build.
    #[error("{}: written in version {found}, this build reads up to version {known}: use a newer build", path.display())]
    Version {
        /// The file.
        path: PathBuf,
        /// Its version.
        found: u16,
        /// The newest one that this build reads.
        known: u16,
    },
    /// Somebody else has the directory open for writing.
    #[error("{} is held open by {}", dir.display(), process(*holder))]
    Locked {
        /// The directory of the store.
        dir: PathBuf,
        /// The id of the process that holds it, if it said so.
        holder: Option<u32>,
    },
    /// There is no store in the directory.
    #[error("{} holds no store", dir.display())]
    NoStore {
        /// The directory.
        dir: PathBuf,
    },
    /// There is no such scope.
    #[error("there is no scope `{0}`")]
    NoScope(String),
    /// The scope has streams in it.
    #[error("the scope `{scope}` holds {streams} streams")]
    ScopeNotEmpty {
        /// The scope.
        scope: String,
        /// How many streams are in it.
        streams: usize,
    },
    /// There is no such stream.
    #[error("there is no stream `{0}`")]
    NoStream(StreamName),
    /// The scope or stream is there already.
    #[error("`{0}` is there already")]
    Exists(String),
    /// There is no such segment, or it was deleted.
    #[error("there is no segment `{0}`")]
    NoSegment(SegmentName),
    /// The stream takes nothing any more.
    #[error("the stream `{0}` is sealed")]
    StreamSealed(StreamName),
    /// The stream must be sealed before it is deleted.
    #[error("the stream `{0}` is not sealed, so it can't be deleted")]
    StreamNotSealed(StreamName),
    /// The segment takes nothing any more: its successors do.
    #[error("the segment `{0}` is sealed")]
    Sealed(SegmentName),
    /// What was asked for was truncated away.
    #[error("`{segment}` begins at offset {start}: offset {offset} was truncated away")]
    Truncated {
        /// The segment.
        segment: SegmentName,
        /// What was asked for.
        offset: u64,
        /// Where it begins now.
        start: u64,
    },
    /// The offset lies behind the end of the segment.
    #[error("`{segment}` ends at offset {length}: there is no offset {offset}")]
    BeyondEnd {
        /// The segment.
        segment: SegmentName,
        /// What was asked for.
        offset: u64,
        /// Where it ends.
        length: u64,
    },
    /// A conditional append expected another end of the segment. Nothing was written.
    #[error("`{segment}` ends at offset {length}, not at {expected}")]
    Condition {
        /// The segment.
        segment: SegmentName,
        /// The end that was expected.
        expected: u64,
        /// Its end.
        length: u64,
    },
    /// An attribute has not the value that was expected. Nothing was changed.
    #[error("attribute {attribute:032x} of `{segment}` is {found:?}, not {expected:?}")]
    Attribute {
        /// The segment.
        segment: Box<SegmentName>,
        /// The attribute.
        attribute: u128,
        /// The value that was expected; none is "not there".
        expected: Option<i64>,
        /// Its value.
        found: Option<i64>,
    },
    /// There is no such transaction, or it ended so long ago that nothing is kept of it.
    #[error("the stream `{stream}` has no transaction {id}")]
    NoTransaction {
        /// The stream.
        stream: StreamName,
        /// The transaction.
        id: TransactionId,
    },
    /// The transaction is not open any more.
    #[error("transaction {id} of `{stream}` is {state}")]
    TransactionEnded {
        /// The stream.
        stream: StreamName,
        /// The transaction.
        id: TransactionId,
        /// What became of it: `committed` or `aborted`.
        state: &'static str,
    },
    /// A bound of the store.
    #[error("{what}: {given} is above the limit of {limit}")]
    Limit {
        /// What is bounded.
        what: &'static str,
        /// What was asked for.
        given: u64,
        /// The bound.
        limit: u64,
    },
    /// What was given can't be: a name, a range of keys, a stream cut.
    #[error("{what}: {reason}")]
    Invalid {
        /// What was given.
        what: &'static str,
        /// What is wrong with it, and what is allowed.
        reason: String,
    },
    /// The log could not be written. What was under way may or may not be stored: ask, by the writer's last event, the
    /// segment's length or the transaction's state. The store recovers by itself once the disk answers again.
    #[error("the log could not be written: {reason}")]
    Unavailable {
        /// What the disk said.
        reason: String,
    },
    /// The store is open for reading only.
    #[error("the store is open for reading only")]
    ReadOnly,
    /// The store is closed.
    #[error("the store is closed")]
    Closed,
}

fn process(id: Option<u32>) -> String {
    id.map_or("another process".into(), |id| format!("process {id}"))
}

impl Error {
    /// Makes a mapper for an [`io::Error`] of an operation on a file.
    pub(crate) fn io<'a>(operation: &'static str, path: &'a Path) -> impl FnOnce(io::Error) -> Self + 'a {
        move |error| Self::Io {
            operation,
            path: path.to_path_buf(),
            kind: error.kind(),
            reason: error.to_string(),
        }
    }

    pub(crate) fn invalid(what: &'static str, reason: impl Into<String>) -> Self {
        Self::Invalid { what, reason: reason.into() }
    }

    pub(crate) fn corrupt(path: &Path, offset: u64, reason: impl Into<String>) -> Self {
        Self::Corrupt { path: path.to_path_buf(), offset, reason: reason.into() }
    }

    /// Whether the same call may succeed later without anybody changing it.
    pub fn is_retryable(&self) -> bool {
        matches!(self, Self::Unavailable { .. } | Self::Io { .. } | Self::Locked { .. })
    }

    /// Whether it is certain that the call changed nothing.
    pub fn has_no_side_effects(&self) -> bool {
        !matches!(self, Self::Unavailable { .. } | Self::Io { .. } | Self::Closed)
    }
}
