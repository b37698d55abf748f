//! A source whose stored bytes are changed on their way: what a connector with a codec of its own can get wrong.

use std::task::{Context, Poll};

use bytes::Bytes;
use connector_api::id::CheckpointId;
use connector_api::source::{
    Boundedness, BoxEnumerator, BoxReader, BoxSource, DynSource, DynSplit, DynState, EnumeratorAction,
    EnumeratorCommand, EnumeratorContext, EnumeratorSetup, ReaderCommand, ReaderContext, ReaderEvent,
    SourceReader, Split, SplitEnumerator,
};
use connector_api::state::{Envelope, seal};
use connector_api::{Result, RowBatch};

use super::SourceFlaw;
use crate::envelope;

const SPLIT: &str = "numbers-split";
const STATE: &str = "numbers-pending";

/// The source itself, unless the flaw is about stored bytes.
pub(super) fn disguise<B: RowBatch>(source: BoxSource<B>, flaw: SourceFlaw) -> BoxSource<B> {
    match flaw {
        SourceFlaw::NoEnvelope
        | SourceFlaw::ReadsLater
        | SourceFlaw::PanicsOnDamage
        | SourceFlaw::SameKind => Box::new(Disguised { inner: source, flaw }),
        _ => source,
    }
}

struct Disguised<T> {
    inner: T,
    flaw: SourceFlaw,
}

/// What is stored instead.
fn outward(flaw: SourceFlaw, kind: &str, bytes: &[u8]) -> Result<Bytes> {
    let opened = Envelope::open(bytes)?;
    match flaw {
        SourceFlaw::NoEnvelope => Ok(Bytes::copy_from_slice(opened.payload)),
        SourceFlaw::SameKind if kind == STATE => seal(SPLIT, opened.version, opened.payload),
        _ => Ok(Bytes::copy_from_slice(bytes)),
    }
}

/// What was meant by it.
fn inward(flaw: SourceFlaw, kind: &str, bytes: &[u8]) -> Result<Bytes> {
    match (flaw, Envelope::open(bytes)) {
        (SourceFlaw::NoEnvelope, _) => seal(kind, 1, bytes),
        (SourceFlaw::PanicsOnDamage, Err(error)) => panic!("{error}"),
        (SourceFlaw::ReadsLater, Ok(opened)) => seal(opened.kind, 1, opened.payload),
        (SourceFlaw::SameKind, Ok(opened)) => seal(kind, opened.version, opened.payload),
        _ => Ok(Bytes::copy_from_slice(bytes)),
    }
}

fn splits(splits: Vec<DynSplit>, turn: impl Fn(&[u8]) -> Result<Bytes>) -> Result<Vec<DynSplit>> {
    splits.into_iter().map(|split| envelope::split(&split.id(), &turn(split.bytes())?)).collect()
}

impl<T> Disguised<T> {
    fn stored(&self, all: Vec<DynSplit>) -> Result<Vec<DynSplit>> {
        splits(all, |bytes| outward(self.flaw, SPLIT, bytes))
    }

    fn restored(&self, all: Vec<DynSplit>) -> Result<Vec<DynSplit>> {
        splits(all, |bytes| inward(self.flaw, SPLIT, bytes))
    }
}

impl<B: RowBatch> DynSource<B> for Disguised<BoxSource<B>> {
    fn boundedness(&self) -> Boundedness {
        self.inner.boundedness()
    }

    fn enumerator(&self, setup: EnumeratorSetup, restored: Option<DynState>) -> Result<BoxEnumerator> {
        let restored = restored.map(|state| inward(self.flaw, STATE, &state.0)).transpose()?.map(DynState);
        Ok(Box::new(Disguised { inner: self.inner.enumerator(setup, restored)?, flaw: self.flaw }))
    }

    fn reader(&self, context: ReaderContext) -> Result<BoxReader<B>> {
        Ok(Box::new(Disguised { inner: self.inner.reader(context)?, flaw: self.flaw }))
    }
}

impl<B: RowBatch> SourceReader for Disguised<BoxReader<B>> {
    type Batch = B;
    type Split = DynSplit;

    fn handle(&mut self, command: ReaderCommand<DynSplit>) -> Result<()> {
        let command = match command {
            ReaderCommand::AddSplits(splits) => ReaderCommand::AddSplits(self.restored(splits)?),
            other => other,
        };
        self.inner.handle(command)
    }

    fn poll_next(&mut self, cx: &mut Context<'_>) -> Poll<Result<ReaderEvent<B>>> {
        self.inner.poll_next(cx)
    }

    fn snapshot(&mut self, checkpoint: CheckpointId, unemitted: usize) -> Result<Vec<DynSplit>> {
        let splits = self.inner.snapshot(checkpoint, unemitted)?;
        self.stored(splits)
    }

    fn poll_close(&mut self, cx: &mut Context<'_>) -> Poll<Result<()>> {
        self.inner.poll_close(cx)
    }
}

impl Disguised<BoxEnumerator> {
    fn call(
        &mut self,
        context: &mut EnumeratorContext<DynSplit>,
        call: impl FnOnce(&mut BoxEnumerator, &mut EnumeratorContext<DynSplit>) -> Result<()>,
    ) -> Result<()> {
        let mut inside = EnumeratorContext::new(context.parallelism());
        context.readers().for_each(|reader| inside.reader_added(reader));
        call(&mut self.inner, &mut inside)?;
        if let Some(splits) = inside.unassigned() {
            context.report_unassigned(splits);
        }
        for action in inside.take_actions() {
            match action {
                EnumeratorAction::Assign(reader, splits) => context.assign(reader, self.stored(splits)?),
                EnumeratorAction::NoMoreSplits(reader) => context.no_more_splits(reader),
                EnumeratorAction::ReaderEvent(reader, event) => context.send(reader, event),
                EnumeratorAction::Backlog(is_backlog) => context.backlog(is_backlog),
            }
        }
        Ok(())
    }
}

impl SplitEnumerator for Disguised<BoxEnumerator> {
    type Split = DynSplit;
    type State = DynState;

    fn handle(
        &mut self,
        command: EnumeratorCommand<DynSplit>,
        context: &mut EnumeratorContext<DynSplit>,
    ) -> Result<()> {
        let command = match command {
            EnumeratorCommand::AddSplitsBack(splits) => {
                EnumeratorCommand::AddSplitsBack(self.restored(splits)?)
            }
            other => other,
        };
        self.call(context, |inner, context| inner.handle(command, context))
    }

    fn poll(&mut self, cx: &mut Context<'_>, context: &mut EnumeratorContext<DynSplit>) -> Result<()> {
        self.call(context, |inner, context| inner.poll(cx, context))
    }

    fn snapshot(&mut self, checkpoint: CheckpointId) -> Result<DynState> {
        let state = self.inner.snapshot(checkpoint)?;
        outward(self.flaw, STATE, &state.0).map(DynState)
    }
}
