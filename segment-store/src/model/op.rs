//! What may be done to streams, and what that means for their segments.

use std::sync::Arc;

use serde::{Deserialize, Serialize};

use crate::cut::StreamCut;
use crate::id::{SegmentId, SegmentName, StreamName, TransactionId, WriterId};
use crate::key_range::KeyRange;

/// A change of the scopes and streams. Times (`at`) are milliseconds since 1970, given by the caller.
///
/// Stored in the log with postcard: the order of the variants and of their fields is frozen for ever. A new variant goes to the end.
///
/// Every operation on a stream is refused with [`NoScope`](crate::Error::NoScope) or [`NoStream`](crate::Error::NoStream) where there is none.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub enum StreamOp {
    /// Makes a scope. Refused if it is there.
    CreateScope {
        /// Its name.
        scope: Arc<str>,
    },
    /// Removes a scope. Refused while a stream is in it, also one that the system made.
    DeleteScope {
        /// Its name.
        scope: Arc<str>,
    },
    /// Makes a stream, and the stream of its watermarks ([`StreamName::marks`]) with one segment, unless it is itself one that the system makes.
    /// Refused if either is there.
    CreateStream {
        /// Its name, in a scope that is there.
        stream: StreamName,
        /// How many segments it begins with: 1 to [`MAX_SEGMENTS`](super::MAX_SEGMENTS), which share the keys evenly.
        segments: u32,
        /// A random number, so that the transactions of a stream that is deleted and made again are told apart.
        nonce: u64,
        /// When.
        at: i64,
    },
    /// Ends a stream: its segments are sealed and have no successors, its open transactions are aborted. Refused if it is sealed.
    SealStream {
        /// The stream.
        stream: StreamName,
        /// When.
        at: i64,
    },
    /// Removes a stream and the stream of its watermarks. Refused unless it is sealed.
    DeleteStream {
        /// The stream.
        stream: StreamName,
    },
    /// Removes what lies before a cut, which becomes the head. Also of a sealed stream. Refused if the cut lies before the head
    /// ([`Invalid`](crate::Error::Invalid)), or for what [`Stream::check_cut`](super::Stream::check_cut) says of it.
    Truncate {
        /// The stream.
        stream: StreamName,
        /// The new head.
        cut: StreamCut,
    },
    /// Replaces segments by others for the same keys: the next epoch. Refused for a sealed stream, for segments that are not current or are
    /// given twice, and unless the new ranges hold exactly the keys of those sealed.
    Scale {
        /// The stream.
        stream: StreamName,
        /// The segments to replace, at least one.
        seal: Vec<SegmentId>,
        /// The ranges of the new segments, in any order; where two touch, the bounds are the same number.
        ranges: Vec<KeyRange>,
        /// When.
        at: i64,
    },
    /// Begins a transaction; [`Stream::last_begun`](super::Stream::last_begun) is its id afterwards. Refused for a sealed stream and above the
    /// bounds [`MAX_OPEN_TRANSACTIONS`](super::MAX_OPEN_TRANSACTIONS), [`MAX_LABEL`](super::MAX_LABEL) and
    /// [`MAX_LEASE_MILLIS`](super::MAX_LEASE_MILLIS).
    Begin {
        /// The stream.
        stream: StreamName,
        /// How long it may stay open: at least 1. Whoever has a clock aborts it then.
        lease_millis: u64,
        /// What its owner finds it by after a failure.
        label: String,
        /// When.
        at: i64,
    },
    /// Appends what a transaction wrote. Refused unless it is open: [`TransactionEnded`](crate::Error::TransactionEnded) or
    /// [`NoTransaction`](crate::Error::NoTransaction).
    ///
    /// If the stream was scaled since the transaction was begun, this is Pravega's rolling transaction, in one step: the next epoch has the
    /// segments of the epoch in which it was begun once more, they take what it wrote and are sealed; the epoch after that has the
    /// segments that were current once more. So what it wrote comes, for every key, behind all that was written before the commit.
    Commit {
        /// The stream.
        stream: StreamName,
        /// The transaction.
        id: TransactionId,
        /// When.
        at: i64,
    },
    /// Throws away what a transaction wrote. Refused as [`Commit`](Self::Commit) is.
    Abort {
        /// The stream.
        stream: StreamName,
        /// The transaction.
        id: TransactionId,
        /// When.
        at: i64,
    },
    /// A writer says that what it writes behind the cut has at least this time; this may add a [`Mark`](super::Mark). Refused for a time below
    /// the one that the writer said last, for a cut that is none or lies beyond the end, and for more than
    /// [`MAX_TIME_WRITERS`](super::MAX_TIME_WRITERS). A cut before the head is fine: the stream may have been truncated meanwhile.
    NoteTime {
        /// The stream.
        stream: StreamName,
        /// Who says so.
        writer: WriterId,
        /// The time, in the writer's own measure.
        millis: i64,
        /// The end of what it has written.
        cut: StreamCut,
    },
    /// Waits for a writer's time no more; this may add a [`Mark`](super::Mark). A writer that never noted a time changes nothing.
    ForgetWriter {
        /// The stream.
        stream: StreamName,
        /// The writer.
        writer: WriterId,
    },
}

/// What an operation means for the data of a segment.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum SegmentEffect {
    /// It begins, empty.
    Create(SegmentName),
    /// It takes nothing any more.
    Seal(SegmentName),
    /// What is before the offset goes.
    Truncate {
        /// The segment.
        segment: SegmentName,
        /// The new start.
        offset: u64,
    },
    /// All data goes: the segment lies wholly before the head. Its attributes stay: they tell writers what they wrote.
    Drop(SegmentName),
    /// It goes, and its attributes with it. It may have been [dropped](Self::Drop).
    Delete(SegmentName),
    /// What a transaction wrote is appended to a segment, and its own segment is gone.
    Merge {
        /// The transaction's segment.
        from: SegmentName,
        /// The segment of the stream.
        into: SegmentName,
    },
}

/// What the state machine asks about data. It asks only for segments that it has created.
pub trait Lengths {
    /// Where the segment ends; also of a dropped one.
    fn length(&self, segment: &SegmentName) -> u64;

    /// Where it begins: what is before was truncated away.
    fn start(&self, segment: &SegmentName) -> u64;
}
