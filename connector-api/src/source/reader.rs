//! The host-facing reader.

use std::task::{Context, Poll};

use bytes::Bytes;

use super::Split;
use crate::id::{CheckpointId, SplitId};
use crate::{Batch, Result, RowBatch};

/// What a host tells a reader.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum ReaderCommand<S> {
    /// Read these too, from the positions they carry.
    AddSplits(Vec<S>),
    /// Stop reading these and forget them; one that is unknown or finished is ignored. Rows not yet emitted are dropped.
    RemoveSplits(Vec<SplitId>),
    /// No further splits will be added: once all are finished the reader says [`ReaderEvent::EndOfInput`].
    NoMoreSplits,
    /// Emit nothing from these until they are resumed; one that is unknown or finished is ignored.
    Pause(Vec<SplitId>),
    /// Go on with these; one that is not paused is ignored.
    Resume(Vec<SplitId>),
    /// A message of the connector's own protocol.
    EnumeratorEvent(Bytes),
    /// The checkpoint, and with it every earlier one, is complete. May be skipped: a later one stands for it.
    CheckpointComplete(CheckpointId),
    /// The checkpoint will never complete. Its number is not used again in this attempt.
    CheckpointAborted(CheckpointId),
}

/// What a reader tells its host.
#[derive(Clone, Debug, PartialEq)]
pub enum ReaderEvent<B> {
    /// Rows of *one* split, in its order. Never empty.
    Batch {
        /// The split they come from.
        split: SplitId,
        /// The rows.
        batch: Batch<B>,
    },
    /// The split was read to its end; all its rows were emitted before.
    SplitFinished(SplitId),
    /// The reader would like another split.
    SplitRequest,
    /// A message of the connector's own protocol.
    EnumeratorEvent(Bytes),
    /// No later row of the split (or, without one, of any split of this reader) has an event time at or below this.
    Watermark {
        /// The split, or all.
        split: Option<SplitId>,
        /// Milliseconds since the Unix epoch.
        millis: i64,
    },
    /// The split (or, without one, the reader) has nothing to read for now: it does not hold the watermark back.
    Idle(Option<SplitId>),
    /// It has again. Said before the rows.
    Active(Option<SplitId>),
    /// All splits are finished and no more will come. The last event; the reader is still snapshotted and closed.
    EndOfInput,
}

/// Reads splits for a host.
///
/// # Contract
///
/// One party calls, never two at once. All calls are short and none blocks: what waits does so in tasks of its own.
///
/// - After every [`handle`](Self::handle) the host polls again, even when no waker fired: `handle` wakes nobody.
/// - [`poll_next`](Self::poll_next) returns one event, or `Pending` after arranging for the waker. Never ready again after
///   [`ReaderEvent::EndOfInput`].
/// - An error ends the reader: the host drops it.
/// - Position and emission move together: after `poll_next` returned a batch, the position stands behind its last row.
///   A host that has passed on only a part of the last batch says so in `unemitted`.
///
/// `connector-base` makes a reader from an author's async `SplitReader`; implement this trait by hand only to wrap
/// another reader.
pub trait SourceReader: Send + 'static {
    /// What it emits.
    type Batch: RowBatch;
    /// What it reads.
    type Split: Split;

    /// Takes a command.
    ///
    /// # Errors
    ///
    /// When the command can't be carried out; the reader is then at its end.
    fn handle(&mut self, command: ReaderCommand<Self::Split>) -> Result<()>;

    /// The next event.
    ///
    /// # Errors
    ///
    /// When reading failed. The error names the split and the offset.
    fn poll_next(&mut self, cx: &mut Context<'_>) -> Poll<Result<ReaderEvent<Self::Batch>>>;

    /// All splits with their positions: one entry per split that was added and is not finished, and those that finished
    /// since the last snapshot, in their finished position (re-adding one emits nothing but its end).
    ///
    /// `unemitted` is the number of rows at the end of the *last* batch that the host still holds and will count as
    /// not emitted; the position of that batch's split stands before them. At most the rows of that batch.
    ///
    /// # Errors
    ///
    /// When a position can't be told.
    fn snapshot(&mut self, checkpoint: CheckpointId, unemitted: usize) -> Result<Vec<Self::Split>>;

    /// Begins to give up everything held outside (tasks, files, connections); ready when it is given up. No other call
    /// follows. Must end soon: a host bounds it and then drops the reader.
    fn poll_close(&mut self, cx: &mut Context<'_>) -> Poll<Result<()>>;
}

impl<R: SourceReader + ?Sized> SourceReader for Box<R> {
    type Batch = R::Batch;
    type Split = R::Split;

    fn handle(&mut self, command: ReaderCommand<Self::Split>) -> Result<()> {
        (**self).handle(command)
    }

    fn poll_next(&mut self, cx: &mut Context<'_>) -> Poll<Result<ReaderEvent<Self::Batch>>> {
        (**self).poll_next(cx)
    }

    fn snapshot(&mut self, checkpoint: CheckpointId, unemitted: usize) -> Result<Vec<Self::Split>> {
        (**self).snapshot(checkpoint, unemitted)
    }

    fn poll_close(&mut self, cx: &mut Context<'_>) -> Poll<Result<()>> {
        (**self).poll_close(cx)
    }
}
