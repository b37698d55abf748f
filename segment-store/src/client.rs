//! What a store of streams can be asked: the one trait that stands between its users and where it is.
//!
//! [`Store`](crate::Store) answers it in the process. A Pravega cluster answers the same over its own protocol; the table says by which calls
//! (gRPC in camel case to a controller, capitals to a segment store).
//!
//! | method | calls |
//! |---|---|
//! | [`create_scope`](StoreClient::create_scope), [`create_stream`](StoreClient::create_stream) | `createScope`, `createStream` |
//! | [`scopes`](StoreClient::scopes), [`streams`](StoreClient::streams) | `listScopes`, `listStreamsInScope` |
//! | [`stream`](StoreClient::stream) | `checkStreamExists`, `getCurrentSegments`; the head by `getSegments` at time 0; the tail by `GET_STREAM_SEGMENT_INFO` of each current segment |
//! | [`seal_stream`](StoreClient::seal_stream), [`truncate`](StoreClient::truncate), [`delete_stream`](StoreClient::delete_stream) | `sealStream`, `truncateStream`, `deleteStream` |
//! | [`scale`](StoreClient::scale) | `scale`, then `checkScale` until it is done |
//! | [`successors`](StoreClient::successors) | `getSegmentsImmediatelyFollowing` |
//! | [`segments_between`](StoreClient::segments_between) | `getSegmentsBetween` |
//! | [`segment`](StoreClient::segment) | `GET_STREAM_SEGMENT_INFO` |
//! | [`read`](StoreClient::read) | `getURI`, `READ_SEGMENT`, which is held at the tail |
//! | [`last_event`](StoreClient::last_event) | `SETUP_APPEND` |
//! | [`append`](StoreClient::append) | `SETUP_APPEND` once, then `APPEND_BLOCK` and `APPEND_BLOCK_END`, or `CONDITIONAL_APPEND` |
//! | [`try_append`](StoreClient::try_append) | the same, unless too much of it waits for its answer |
//! | [`pool`](StoreClient::pool) | none |
//! | [`written`](StoreClient::written) | `getEpochSegments` for each epoch, then `SETUP_APPEND` for each segment |
//! | [`attribute`](StoreClient::attribute), [`set_attribute`](StoreClient::set_attribute) | `GET_SEGMENT_ATTRIBUTE`, `UPDATE_SEGMENT_ATTRIBUTE` |
//! | [`begin`](StoreClient::begin), [`ping`](StoreClient::ping), [`commit`](StoreClient::commit), [`abort`](StoreClient::abort) | `createTransaction`, `pingTransaction`, `commitTransaction` (then `checkTransactionState` until it is committed), `abortTransaction` |
//! | [`transaction`](StoreClient::transaction) | `checkTransactionState` |
//! | [`open_transactions`](StoreClient::open_transactions) | none: a cluster can't be asked, and answers "not known"; its open transactions end by their leases |
//! | [`note_time`](StoreClient::note_time), [`forget_time_writer`](StoreClient::forget_time_writer) | `noteTimestampFromWriter`, `removeWriter` |
//! | [`marks`](StoreClient::marks) | `READ_SEGMENT` of the stream `_MARK<stream>` |

use std::fmt::Debug;
use std::time::Duration;

use async_trait::async_trait;

use crate::container::{Ack, Appended, Read};
use crate::cut::StreamCut;
use crate::error::Result;
use crate::id::{SegmentId, SegmentName, StreamName, TransactionId, WriterId};
use crate::key_range::KeyRange;
use crate::model::{Mark, TransactionState};
use crate::pool::Pool;

/// What is known of a stream.
#[derive(Clone, Debug, PartialEq)]
pub struct StreamInfo {
    /// The segments that take what is written now, by their keys; of a sealed stream the last ones.
    pub current: Vec<(SegmentId, KeyRange)>,
    /// Where what was not truncated begins.
    pub head: StreamCut,
    /// Where it ends now.
    pub tail: StreamCut,
    /// Whether it takes nothing any more.
    pub is_sealed: bool,
}

/// What is known of a segment.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct SegmentInfo {
    /// The keys that belong to it.
    pub range: KeyRange,
    /// Its first offset that was not truncated.
    pub start: u64,
    /// Where it ends now.
    pub length: u64,
    /// Whether it takes nothing any more.
    pub is_sealed: bool,
}

/// A segment that follows on a sealed one.
#[derive(Clone, Debug, PartialEq)]
pub struct Successor {
    /// The segment.
    pub id: SegmentId,
    /// Its keys.
    pub range: KeyRange,
    /// All segments that it follows on: it is read when all of them are read to their ends, so that every key stays in order.
    pub predecessors: Vec<SegmentId>,
}

/// A part of a segment between two cuts.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct SegmentPart {
    /// The segment.
    pub id: SegmentId,
    /// Where the part begins.
    pub start: u64,
    /// Where it ends; none where it goes on to the segment's end, wherever that will be.
    pub end: Option<u64>,
}

/// How far a writer wrote into a segment.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Written {
    /// The segment.
    pub segment: SegmentId,
    /// Its keys.
    pub range: KeyRange,
    /// The writer's last event in it.
    pub event: i64,
}

/// A transaction that is open.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct OpenTransactionInfo {
    /// The transaction.
    pub id: TransactionId,
    /// What was given when it was begun.
    pub label: String,
}

/// A store of streams.
///
/// # Contract
///
/// What a call returned is durable, as far as the store's own durability goes. A call that fails with
/// [`Unavailable`](crate::Error::Unavailable) may have done its work or not; every other error says that it did not. Dropping a future
/// gives up waiting, not the work. Calls may be made from many tasks at once.
#[async_trait]
pub trait StoreClient: Send + Sync + Debug + 'static {
    /// Makes a scope.
    async fn create_scope(&self, scope: &str) -> Result<()>;

    /// All scopes, in order.
    async fn scopes(&self) -> Result<Vec<String>>;

    /// The streams of a scope, in order, with those that the system made.
    async fn streams(&self, scope: &str) -> Result<Vec<StreamName>>;

    /// Makes a stream of so many segments.
    async fn create_stream(&self, stream: &StreamName, segments: u32) -> Result<()>;

    /// What is known of a stream.
    async fn stream(&self, stream: &StreamName) -> Result<StreamInfo>;

    /// Ends a stream: nothing is written to it any more. Its open transactions are aborted.
    async fn seal_stream(&self, stream: &StreamName) -> Result<()>;

    /// Removes a sealed stream.
    async fn delete_stream(&self, stream: &StreamName) -> Result<()>;

    /// Removes what lies before a cut.
    async fn truncate(&self, stream: &StreamName, cut: &StreamCut) -> Result<()>;

    /// Replaces current segments by new ones for the same keys; says which those are.
    async fn scale(
        &self,
        stream: &StreamName,
        seal: &[SegmentId],
        ranges: &[KeyRange],
    ) -> Result<Vec<(SegmentId, KeyRange)>>;

    /// The segments that follow on a sealed one; none for one that is not sealed, or whose stream is.
    async fn successors(&self, stream: &StreamName, segment: SegmentId) -> Result<Vec<Successor>>;

    /// What lies between two cuts (or behind the first one), oldest segments first.
    async fn segments_between(
        &self,
        stream: &StreamName,
        from: &StreamCut,
        to: Option<&StreamCut>,
    ) -> Result<Vec<SegmentPart>>;

    /// What is known of a segment.
    async fn segment(&self, segment: &SegmentName) -> Result<SegmentInfo>;

    /// Bytes of a segment from `offset` on, at most `max` (and at least one, if there are any). Waits at its end for at most
    /// `patience`, then gives none.
    async fn read(&self, segment: &SegmentName, offset: u64, max: usize, patience: Duration) -> Result<Read>;

    /// The writer's last event in a segment.
    async fn last_event(&self, segment: &SegmentName, writer: WriterId) -> Result<Option<i64>>;

    /// How far a writer wrote, in all segments of the stream that it ever wrote to, truncated ones too, oldest first.
    async fn written(&self, stream: &StreamName, writer: WriterId) -> Result<Vec<Written>>;

    /// Appends to a segment. It returns when the append has its place; wait for [`Ack::durable`]. Appends to one segment, each made
    /// when the one before has its place, are stored in that order.
    async fn append(&self, segment: &SegmentName, append: Appended) -> Result<Ack>;

    /// Appends to a segment, if there is room for it now: [`append`](Self::append) without waiting.
    ///
    /// # Errors
    ///
    /// Those of [`append`](Self::append).
    fn try_append(&self, segment: &SegmentName, append: &Appended) -> Result<Option<Ack>>;

    /// Where its writers take their buffers from.
    fn pool(&self) -> Pool;

    /// An attribute of a segment.
    async fn attribute(&self, segment: &SegmentName, attribute: u128) -> Result<Option<i64>>;

    /// Sets an attribute of a segment that has the value `expected`.
    async fn set_attribute(
        &self,
        segment: &SegmentName,
        attribute: u128,
        expected: Option<i64>,
        value: Option<i64>,
    ) -> Result<()>;

    /// Begins a transaction, which is aborted when `lease` passes without a [`ping`](Self::ping). `label` is what
    /// [`open_transactions`](Self::open_transactions) tells again.
    async fn begin(&self, stream: &StreamName, lease: Duration, label: &str) -> Result<TransactionId>;

    /// Keeps a transaction open for another `lease`.
    async fn ping(&self, stream: &StreamName, id: TransactionId, lease: Duration) -> Result<()>;

    /// Appends what a transaction wrote to its stream, all at once. What it wrote can be read when this returns.
    async fn commit(&self, stream: &StreamName, id: TransactionId) -> Result<()>;

    /// Throws away what a transaction wrote.
    async fn abort(&self, stream: &StreamName, id: TransactionId) -> Result<()>;

    /// What became of a transaction.
    async fn transaction(&self, stream: &StreamName, id: TransactionId) -> Result<TransactionState>;

    /// The transactions that are open; none where the store can't be asked.
    async fn open_transactions(&self, stream: &StreamName) -> Result<Option<Vec<OpenTransactionInfo>>>;

    /// A writer says that what it writes behind `cut` has at least this time.
    async fn note_time(
        &self,
        stream: &StreamName,
        writer: WriterId,
        millis: i64,
        cut: &StreamCut,
    ) -> Result<()>;

    /// A writer of times ended: it no longer holds the watermark back.
    async fn forget_time_writer(&self, stream: &StreamName, writer: WriterId) -> Result<()>;

    /// The watermarks of a stream, oldest first: behind a mark's cut every event has at least its time.
    async fn marks(&self, stream: &StreamName) -> Result<Vec<Mark>>;
}
