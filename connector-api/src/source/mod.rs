//! Sources in the shape of FLIP-27: an enumerator finds splits, readers read them.
//!
//! # The life of a split
//!
//! 1. The enumerator *discovers* it and keeps it in its own state.
//! 2. A reader asks ([`ReaderEvent::SplitRequest`]) or the enumerator decides, and it answers
//!    [`EnumeratorAction::Assign`]. From then on the split is no longer in the enumerator's state.
//! 3. The host hands it to the reader ([`ReaderCommand::AddSplits`]); the reader emits batches and advances the split's
//!    position with each. The reader's snapshot holds it from now on.
//! 4. The reader reports [`ReaderEvent::SplitFinished`]. A finished split stays in the reader's *next* snapshot (finished
//!    position), because the enumerator may have been snapshotted before it heard of the end.
//! 5. If the reader dies, the host returns splits that were assigned since the checkpoint being restored
//!    ([`EnumeratorCommand::AddSplitsBack`]); all others are in that checkpoint, and the host deals them to readers evenly.
//!
//! Both sides take *commands* and are polled for *events* or *actions*, all plain data, so that any host (a task, a
//! mailbox on one thread, a foreign process) can drive them, and a wrapper passes on what it does not know.

mod enumerator;
mod erased;
mod reader;

use crate::env::Environment;
use crate::id::{AttemptId, ReaderId, SplitId};
use crate::{Result, Stored};

pub use enumerator::{EnumeratorAction, EnumeratorCommand, EnumeratorContext, SplitEnumerator};
pub use erased::{BoxEnumerator, BoxReader, BoxSource, DynSource, DynSplit, DynState, erase};
pub use reader::{ReaderCommand, ReaderEvent, SourceReader};

/// What to read and how far it was read: immutable identity, mutable position.
///
/// Stored in checkpoints and passed between enumerator and readers in its stored form.
pub trait Split: Stored + Clone {
    /// Unique within the source for ever.
    fn id(&self) -> SplitId;
}

/// Whether a source ends.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Boundedness {
    /// Every reader gets [`ReaderCommand::NoMoreSplits`] and ends.
    Bounded,
    /// It reads until it is stopped.
    Unbounded,
}

/// What an enumerator is made with.
#[derive(Clone, Debug)]
pub struct EnumeratorSetup {
    /// The edges of the world.
    pub env: Environment,
    /// The number of readers. May differ from that of the restored state.
    pub parallelism: u32,
    /// This execution of the job.
    pub attempt: AttemptId,
}

/// What a reader is made with.
#[derive(Clone, Debug)]
pub struct ReaderContext {
    /// The edges of the world.
    pub env: Environment,
    /// Which of the readers this is.
    pub reader: ReaderId,
    /// The number of readers.
    pub parallelism: u32,
    /// This execution of the job.
    pub attempt: AttemptId,
}

/// A source: makes an enumerator and readers that belong together.
pub trait Source: Send + Sync + 'static {
    /// Finds and assigns splits.
    type Enumerator: SplitEnumerator<Split = <Self::Reader as SourceReader>::Split>;
    /// Reads splits.
    type Reader: SourceReader;

    /// Whether it ends. Fixed before the start.
    fn boundedness(&self) -> Boundedness;

    /// Makes the enumerator, anew or from the state of a checkpoint. No reader is registered yet; no I/O happens here
    /// (start it at [`EnumeratorCommand::Start`]).
    ///
    /// # Errors
    ///
    /// [`Error::State`](crate::Error::State) when the state does not fit this source.
    fn enumerator(
        &self,
        setup: EnumeratorSetup,
        restored: Option<<Self::Enumerator as SplitEnumerator>::State>,
    ) -> Result<Self::Enumerator>;

    /// Makes a reader, without splits. Restored splits come by [`ReaderCommand::AddSplits`] like all others.
    ///
    /// # Errors
    ///
    /// When the reader can't be made with these options.
    fn reader(&self, context: ReaderContext) -> Result<Self::Reader>;
}
