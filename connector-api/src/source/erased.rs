//! Sources by name: the same traits with splits and state as bytes.

use std::task::{Context, Poll};

use bytes::Bytes;
use serde::{Deserialize, Serialize};

use super::{
    Boundedness, EnumeratorAction, EnumeratorCommand, EnumeratorContext, EnumeratorSetup, ReaderCommand,
    ReaderContext, ReaderEvent, Source, SourceReader, Split, SplitEnumerator,
};
use crate::id::{CheckpointId, SplitId};
use crate::{Error, Result, RowBatch, Stored};

/// A split of any type: its id and its enveloped bytes.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct DynSplit {
    id: SplitId,
    bytes: Bytes,
}

impl DynSplit {
    /// Encodes a split.
    ///
    /// # Errors
    ///
    /// Those of its codec.
    pub fn of<S: Split>(split: &S) -> Result<Self> {
        Ok(Self { id: split.id(), bytes: split.to_bytes()? })
    }

    /// Decodes the split.
    ///
    /// # Errors
    ///
    /// [`Error::State`] naming the split when the bytes are damaged or of another type.
    pub fn decode<S: Split>(&self) -> Result<S> {
        S::from_bytes(&self.bytes).map_err(|e| Error::state(format!("split {}", self.id), e.to_string()))
    }

    /// The enveloped bytes.
    pub fn bytes(&self) -> &[u8] {
        &self.bytes
    }
}

crate::stored!(DynSplit, "dyn-split");

impl Split for DynSplit {
    fn id(&self) -> SplitId {
        self.id.clone()
    }
}

/// The state of an enumerator of any type, in its envelope.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct DynState(pub Bytes);

impl Stored for DynState {
    const KIND: &'static str = "dyn-state";
    const VERSION: u16 = 1;

    fn encode(&self) -> Result<Vec<u8>> {
        Ok(self.0.to_vec())
    }

    fn decode(_version: u16, payload: &[u8]) -> Result<Self> {
        Ok(Self(Bytes::copy_from_slice(payload)))
    }
}

/// A reader whose splits are [`DynSplit`]s.
pub type BoxReader<B> = Box<dyn SourceReader<Batch = B, Split = DynSplit>>;
/// An enumerator whose splits are [`DynSplit`]s and whose state is a [`DynState`].
pub type BoxEnumerator = Box<dyn SplitEnumerator<Split = DynSplit, State = DynState>>;
/// A source of batches `B`, of any type.
pub type BoxSource<B> = Box<dyn DynSource<B>>;

/// A [`Source`] as an object. Made by [`erase`]; not to be implemented.
pub trait DynSource<B>: Send + Sync {
    /// See [`Source::boundedness`].
    fn boundedness(&self) -> Boundedness;

    /// See [`Source::enumerator`].
    ///
    /// # Errors
    ///
    /// Those of the source, and [`Error::State`] when the state can't be decoded.
    fn enumerator(&self, setup: EnumeratorSetup, restored: Option<DynState>) -> Result<BoxEnumerator>;

    /// See [`Source::reader`].
    ///
    /// # Errors
    ///
    /// Those of the source.
    fn reader(&self, context: ReaderContext) -> Result<BoxReader<B>>;
}

/// Makes an object of a source.
pub fn erase<S: Source>(source: S) -> BoxSource<<S::Reader as SourceReader>::Batch> {
    Box::new(Erased(source))
}

struct Erased<T>(T);

impl<S: Source, B: RowBatch> DynSource<B> for Erased<S>
where
    S::Reader: SourceReader<Batch = B>,
{
    fn boundedness(&self) -> Boundedness {
        self.0.boundedness()
    }

    fn enumerator(&self, setup: EnumeratorSetup, restored: Option<DynState>) -> Result<BoxEnumerator> {
        let restored = restored.map(|state| Stored::from_bytes(&state.0)).transpose()?;
        Ok(Box::new(Erased(self.0.enumerator(setup, restored)?)))
    }

    fn reader(&self, context: ReaderContext) -> Result<BoxReader<B>> {
        Ok(Box::new(Erased(self.0.reader(context)?)))
    }
}

fn decode_all<S: Split>(splits: &[DynSplit]) -> Result<Vec<S>> {
    splits.iter().map(DynSplit::decode).collect()
}

fn encode_all<S: Split>(splits: &[S]) -> Result<Vec<DynSplit>> {
    splits.iter().map(DynSplit::of).collect()
}

impl<R: SourceReader> SourceReader for Erased<R> {
    type Batch = R::Batch;
    type Split = DynSplit;

    fn handle(&mut self, command: ReaderCommand<DynSplit>) -> Result<()> {
        self.0.handle(match command {
            ReaderCommand::AddSplits(splits) => ReaderCommand::AddSplits(decode_all(&splits)?),
            ReaderCommand::RemoveSplits(ids) => ReaderCommand::RemoveSplits(ids),
            ReaderCommand::NoMoreSplits => ReaderCommand::NoMoreSplits,
            ReaderCommand::Pause(ids) => ReaderCommand::Pause(ids),
            ReaderCommand::Resume(ids) => ReaderCommand::Resume(ids),
            ReaderCommand::EnumeratorEvent(event) => ReaderCommand::EnumeratorEvent(event),
            ReaderCommand::CheckpointComplete(id) => ReaderCommand::CheckpointComplete(id),
            ReaderCommand::CheckpointAborted(id) => ReaderCommand::CheckpointAborted(id),
        })
    }

    fn poll_next(&mut self, cx: &mut Context<'_>) -> Poll<Result<ReaderEvent<R::Batch>>> {
        self.0.poll_next(cx)
    }

    fn snapshot(&mut self, checkpoint: CheckpointId, unemitted: usize) -> Result<Vec<DynSplit>> {
        encode_all(&self.0.snapshot(checkpoint, unemitted)?)
    }

    fn poll_close(&mut self, cx: &mut Context<'_>) -> Poll<Result<()>> {
        self.0.poll_close(cx)
    }
}

impl<E: SplitEnumerator> Erased<E> {
    fn pass_on(
        context: &mut EnumeratorContext<DynSplit>,
        mut inner: EnumeratorContext<E::Split>,
        result: Result<()>,
    ) -> Result<()> {
        if let Some(splits) = inner.unassigned() {
            context.report_unassigned(splits);
        }
        if let Some(bytes) = inner.total_bytes() {
            context.report_total_bytes(bytes);
        }
        context.report_busy(inner.is_busy());
        for action in inner.take_actions() {
            match action {
                EnumeratorAction::Assign(reader, splits) => context.assign(reader, encode_all(&splits)?),
                EnumeratorAction::NoMoreSplits(reader) => context.no_more_splits(reader),
                EnumeratorAction::ReaderEvent(reader, event) => context.send(reader, event),
                EnumeratorAction::Backlog(is_backlog) => context.backlog(is_backlog),
            }
        }
        result
    }
}

impl<E: SplitEnumerator> SplitEnumerator for Erased<E> {
    type Split = DynSplit;
    type State = DynState;

    fn handle(
        &mut self,
        command: EnumeratorCommand<DynSplit>,
        context: &mut EnumeratorContext<DynSplit>,
    ) -> Result<()> {
        let command = match command {
            EnumeratorCommand::Start => EnumeratorCommand::Start,
            EnumeratorCommand::AddReader(reader) => EnumeratorCommand::AddReader(reader),
            EnumeratorCommand::RemoveReader(reader) => EnumeratorCommand::RemoveReader(reader),
            EnumeratorCommand::SplitRequest(reader) => EnumeratorCommand::SplitRequest(reader),
            EnumeratorCommand::AddSplitsBack(splits) => {
                EnumeratorCommand::AddSplitsBack(decode_all(&splits)?)
            }
            EnumeratorCommand::SplitFinished(reader, split) => {
                EnumeratorCommand::SplitFinished(reader, split)
            }
            EnumeratorCommand::ReaderEvent(reader, event) => EnumeratorCommand::ReaderEvent(reader, event),
            EnumeratorCommand::CheckpointComplete(id) => EnumeratorCommand::CheckpointComplete(id),
            EnumeratorCommand::CheckpointAborted(id) => EnumeratorCommand::CheckpointAborted(id),
        };
        let mut inner = context.alike();
        let result = self.0.handle(command, &mut inner);
        Self::pass_on(context, inner, result)
    }

    fn poll(&mut self, waker: &mut Context<'_>, context: &mut EnumeratorContext<DynSplit>) -> Result<()> {
        let mut inner = context.alike();
        let result = self.0.poll(waker, &mut inner);
        Self::pass_on(context, inner, result)
    }

    fn snapshot(&mut self, checkpoint: CheckpointId) -> Result<DynState> {
        self.0.snapshot(checkpoint)?.to_bytes().map(DynState)
    }
}

impl<E: SplitEnumerator + ?Sized> SplitEnumerator for Box<E> {
    type Split = E::Split;
    type State = E::State;

    fn handle(
        &mut self,
        command: EnumeratorCommand<Self::Split>,
        context: &mut EnumeratorContext<Self::Split>,
    ) -> Result<()> {
        (**self).handle(command, context)
    }

    fn poll(&mut self, waker: &mut Context<'_>, context: &mut EnumeratorContext<Self::Split>) -> Result<()> {
        (**self).poll(waker, context)
    }

    fn snapshot(&mut self, checkpoint: CheckpointId) -> Result<Self::State> {
        (**self).snapshot(checkpoint)
    }
}
