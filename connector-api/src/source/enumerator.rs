//! The enumerator and its outbox.

use std::collections::BTreeSet;
use std::task::Context;

use bytes::Bytes;

use super::Split;
use crate::id::{CheckpointId, ReaderId, SplitId};
use crate::{Result, Stored};

/// What a host tells an enumerator. Match it exhaustively: a command that is overlooked is how splits get lost.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum EnumeratorCommand<S> {
    /// Begin: the first command. Asynchronous work (a listing) starts here.
    Start,
    /// This reader is there and may be assigned splits.
    AddReader(ReaderId),
    /// This reader is gone. Its splits come back by [`AddSplitsBack`](Self::AddSplitsBack), or are in the checkpoint.
    RemoveReader(ReaderId),
    /// This reader would like a split. A request of a reader that is gone is void.
    SplitRequest(ReaderId),
    /// These were assigned, and no checkpoint holds them: they are the enumerator's again, at the positions they carry.
    /// May come before any reader is there again.
    AddSplitsBack(Vec<S>),
    /// This reader has read this split to its end. May be told twice.
    SplitFinished(ReaderId, SplitId),
    /// A message of the connector's own protocol.
    ReaderEvent(ReaderId, Bytes),
    /// The checkpoint, and with it every earlier one, is complete. May be skipped: a later one stands for it.
    CheckpointComplete(CheckpointId),
    /// The checkpoint will never complete.
    CheckpointAborted(CheckpointId),
}

/// What an enumerator tells its host.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum EnumeratorAction<S> {
    /// Give these splits to this reader. To a reader that is not there they come back by
    /// [`EnumeratorCommand::AddSplitsBack`].
    Assign(ReaderId, Vec<S>),
    /// This reader will get no further splits. Said again after the reader was added anew.
    NoMoreSplits(ReaderId),
    /// A message of the connector's own protocol.
    ReaderEvent(ReaderId, Bytes),
    /// Whether the source is catching up with old data (hosts may checkpoint less often meanwhile).
    Backlog(bool),
}

/// What an enumerator sees of its host, and the outbox for its actions.
///
/// The host drains the outbox after every call, in order, and before it takes a snapshot.
#[derive(Debug)]
pub struct EnumeratorContext<S> {
    parallelism: u32,
    readers: BTreeSet<ReaderId>,
    actions: Vec<EnumeratorAction<S>>,
    unassigned: Option<u64>,
    total_bytes: Option<u64>,
    is_busy: bool,
}

impl<S> EnumeratorContext<S> {
    /// For hosts: a context for this many readers, none of which is there yet.
    pub fn new(parallelism: u32) -> Self {
        Self {
            parallelism,
            readers: BTreeSet::new(),
            actions: Vec::new(),
            unassigned: None,
            total_bytes: None,
            is_busy: false,
        }
    }

    /// The number of readers that the host will run.
    pub fn parallelism(&self) -> u32 {
        self.parallelism
    }

    /// The readers that are there now, in order.
    pub fn readers(&self) -> impl Iterator<Item = ReaderId> {
        self.readers.iter().copied()
    }

    /// Whether a reader is there now.
    pub fn has_reader(&self, reader: ReaderId) -> bool {
        self.readers.contains(&reader)
    }

    /// Gives splits to a reader.
    pub fn assign(&mut self, reader: ReaderId, splits: Vec<S>) {
        self.actions.push(EnumeratorAction::Assign(reader, splits));
    }

    /// Tells a reader that it will get no further splits.
    pub fn no_more_splits(&mut self, reader: ReaderId) {
        self.actions.push(EnumeratorAction::NoMoreSplits(reader));
    }

    /// Sends a message of the connector's own protocol.
    pub fn send(&mut self, reader: ReaderId, event: Bytes) {
        self.actions.push(EnumeratorAction::ReaderEvent(reader, event));
    }

    /// Says whether the source is catching up with old data.
    pub fn backlog(&mut self, is_backlog: bool) {
        self.actions.push(EnumeratorAction::Backlog(is_backlog));
    }

    /// Reports how many splits no reader has (the metric `unassignedSplits`).
    pub fn report_unassigned(&mut self, splits: u64) {
        self.unassigned = Some(splits);
    }

    /// For hosts: the last number reported by [`report_unassigned`](Self::report_unassigned).
    pub fn unassigned(&self) -> Option<u64> {
        self.unassigned
    }

    /// Reports how many bytes a bounded source holds in all, read or not: what a progress bar calls 100 %.
    pub fn report_total_bytes(&mut self, bytes: u64) {
        self.total_bytes = Some(bytes);
    }

    /// For hosts: the last number reported by [`report_total_bytes`](Self::report_total_bytes).
    pub fn total_bytes(&self) -> Option<u64> {
        self.total_bytes
    }

    /// Says whether work is under way outside that the end of the job must not cut short, such as the removal of files whose
    /// records the last checkpoint holds. A host goes on to [`poll`](SplitEnumerator::poll) until there is none.
    pub fn report_busy(&mut self, is_busy: bool) {
        self.is_busy = is_busy;
    }

    /// For hosts: what [`report_busy`](Self::report_busy) said last; at first nothing is under way.
    pub fn is_busy(&self) -> bool {
        self.is_busy
    }

    /// For hosts: a reader is there; call before [`EnumeratorCommand::AddReader`].
    pub fn reader_added(&mut self, reader: ReaderId) {
        self.readers.insert(reader);
    }

    /// For hosts: a reader is gone; call before [`EnumeratorCommand::RemoveReader`].
    pub fn reader_removed(&mut self, reader: ReaderId) {
        self.readers.remove(&reader);
    }

    /// For hosts: takes the actions out, in order.
    pub fn take_actions(&mut self) -> Vec<EnumeratorAction<S>> {
        std::mem::take(&mut self.actions)
    }

    /// For wrappers: a context of another split type that sees the same readers.
    pub(crate) fn alike<T>(&self) -> EnumeratorContext<T> {
        EnumeratorContext {
            parallelism: self.parallelism,
            readers: self.readers.clone(),
            actions: Vec::new(),
            unassigned: None,
            total_bytes: None,
            is_busy: self.is_busy,
        }
    }
}

/// Finds splits and assigns them to readers.
///
/// # Contract
///
/// One party calls, never two at once; no call blocks. Work that waits (a listing, a request for metadata) runs in a task
/// of its own and hands its result over in [`poll`](Self::poll).
///
/// - [`snapshot`](Self::snapshot) holds every split that is discovered, pending or returned and not yet assigned, and no
///   assigned one: the host drained the outbox before and remembers what it delivered.
/// - It is idempotent: after a restore the same split may be reported finished again.
/// - Bounded: each reader gets `no_more_splits` in the end, also one that never had a split.
/// - What is done outside because splits were read (removing a file, acknowledging a segment) waits for a checkpoint that
///   holds their ends: a split that was reported finished *before* `snapshot(n)` is finished in n, since the barrier of n
///   follows behind; so it waits for the completion of n or a later one. A report of a reader that is removed before such a
///   completion is void: the checkpoint that is restored may hold the split unfinished. What is under way is said by
///   [`report_busy`](EnumeratorContext::report_busy), so that the end of the job does not cut it short.
pub trait SplitEnumerator: Send + 'static {
    /// What it assigns.
    type Split: Split;
    /// What it keeps in checkpoints.
    type State: Stored;

    /// Takes a command; answers by actions in the context.
    ///
    /// # Errors
    ///
    /// An error fails the job (not a reader).
    fn handle(
        &mut self,
        command: EnumeratorCommand<Self::Split>,
        context: &mut EnumeratorContext<Self::Split>,
    ) -> Result<()>;

    /// Takes in the results of its own asynchronous work, as far as they are there, and arranges for the waker to be
    /// called when there are more. Called after every [`handle`](Self::handle) and whenever the waker fired.
    ///
    /// # Errors
    ///
    /// An error fails the job.
    fn poll(&mut self, waker: &mut Context<'_>, context: &mut EnumeratorContext<Self::Split>) -> Result<()>;

    /// The state as if every assignment so far had arrived.
    ///
    /// # Errors
    ///
    /// An error aborts the checkpoint and fails the job.
    fn snapshot(&mut self, checkpoint: CheckpointId) -> Result<Self::State>;
}
