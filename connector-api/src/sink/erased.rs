//! Writers, operators and committers by name: state and committables as enveloped bytes. Made by the plan's builder.

use std::marker::PhantomData;

use async_trait::async_trait;
use bytes::Bytes;

use super::{
    BatchCommitter, Checkpoint, CommitBatch, CommitRequest, Flush, Operator, Outcome, Output, Prepare,
    SinkWriter,
};
use crate::id::CheckpointId;
use crate::{Batch, Result, RowBatch, Stored};

/// A boxed future.
pub type BoxFuture<'a, T> = futures::future::BoxFuture<'a, T>;

/// A writer as an object. See [`SinkWriter`] for the contract.
#[async_trait]
pub trait DynWriter<B: RowBatch>: Send {
    /// See [`SinkWriter::write`].
    async fn write(&mut self, batch: Batch<B>) -> Result<()>;
    /// See [`SinkWriter::watermark`].
    async fn watermark(&mut self, millis: i64) -> Result<()>;
    /// See [`SinkWriter::flush`].
    async fn flush(&mut self, why: Flush) -> Result<()>;
    /// See [`CommittingWriter::prepare_commit`](super::CommittingWriter::prepare_commit); empty without a committer.
    async fn prepare_commit(&mut self) -> Result<Vec<Bytes>>;
    /// See [`StatefulWriter::snapshot`](super::StatefulWriter::snapshot); empty for a writer without state.
    fn snapshot(&mut self, at: Checkpoint) -> Result<Vec<Bytes>>;
    /// See [`SinkWriter::idle`].
    async fn idle(&mut self) -> Result<()>;
    /// See [`SinkWriter::close`].
    async fn close(&mut self) -> Result<()>;
}

pub(super) type Snapshot<W> = fn(&mut W, Checkpoint) -> Result<Vec<Bytes>>;
pub(super) type PrepareCommit<W> = for<'a> fn(&'a mut W) -> BoxFuture<'a, Result<Vec<Bytes>>>;

pub(super) struct ErasedWriter<B, W> {
    pub(super) writer: W,
    pub(super) snapshot: Option<Snapshot<W>>,
    pub(super) prepare_commit: Option<PrepareCommit<W>>,
    pub(super) batch: PhantomData<fn(B)>,
}

#[async_trait]
impl<B: RowBatch, W: SinkWriter<B>> DynWriter<B> for ErasedWriter<B, W> {
    async fn write(&mut self, batch: Batch<B>) -> Result<()> {
        self.writer.write(batch).await
    }

    async fn watermark(&mut self, millis: i64) -> Result<()> {
        self.writer.watermark(millis).await
    }

    async fn flush(&mut self, why: Flush) -> Result<()> {
        self.writer.flush(why).await
    }

    async fn prepare_commit(&mut self) -> Result<Vec<Bytes>> {
        match self.prepare_commit {
            Some(prepare) => prepare(&mut self.writer).await,
            None => Ok(Vec::new()),
        }
    }

    fn snapshot(&mut self, at: Checkpoint) -> Result<Vec<Bytes>> {
        self.snapshot.map_or(Ok(Vec::new()), |snapshot| snapshot(&mut self.writer, at))
    }

    async fn idle(&mut self) -> Result<()> {
        self.writer.idle().await
    }

    async fn close(&mut self) -> Result<()> {
        self.writer.close().await
    }
}

/// An operator as an object. See [`Operator`] for the contract.
#[async_trait]
pub trait DynOperator: Send {
    /// See [`Operator::process`].
    async fn process(&mut self, item: Bytes, at: CheckpointId, out: &mut Output<Bytes>) -> Result<()>;
    /// See [`Operator::prepare`].
    async fn prepare(&mut self, how: Prepare, out: &mut Output<Bytes>) -> Result<()>;
    /// See [`Operator::snapshot`].
    fn snapshot(&mut self, at: Checkpoint) -> Result<Vec<Bytes>>;
    /// See [`Operator::checkpoint_complete`].
    async fn checkpoint_complete(&mut self, checkpoint: CheckpointId, out: &mut Output<Bytes>) -> Result<()>;
    /// See [`Operator::end_of_input`].
    async fn end_of_input(&mut self, out: &mut Output<Bytes>) -> Result<()>;
    /// See [`Operator::close`].
    async fn close(&mut self) -> Result<()>;
}

pub(super) struct ErasedOperator<O>(pub(super) O);

fn pass_on<T: Stored>(mut from: Output<T>, to: &mut Output<Bytes>) -> Result<()> {
    from.take().iter().try_for_each(|item| {
        to.emit(item.to_bytes()?);
        Ok(())
    })
}

#[async_trait]
impl<O: Operator> DynOperator for ErasedOperator<O> {
    async fn process(&mut self, item: Bytes, at: CheckpointId, out: &mut Output<Bytes>) -> Result<()> {
        let mut typed = Output::new();
        self.0.process(O::In::from_bytes(&item)?, at, &mut typed).await?;
        pass_on(typed, out)
    }

    async fn prepare(&mut self, how: Prepare, out: &mut Output<Bytes>) -> Result<()> {
        let mut typed = Output::new();
        self.0.prepare(how, &mut typed).await?;
        pass_on(typed, out)
    }

    fn snapshot(&mut self, at: Checkpoint) -> Result<Vec<Bytes>> {
        encode_all(&self.0.snapshot(at)?)
    }

    async fn checkpoint_complete(&mut self, checkpoint: CheckpointId, out: &mut Output<Bytes>) -> Result<()> {
        let mut typed = Output::new();
        self.0.checkpoint_complete(checkpoint, &mut typed).await?;
        pass_on(typed, out)
    }

    async fn end_of_input(&mut self, out: &mut Output<Bytes>) -> Result<()> {
        let mut typed = Output::new();
        self.0.end_of_input(&mut typed).await?;
        pass_on(typed, out)
    }

    async fn close(&mut self) -> Result<()> {
        self.0.close().await
    }
}

/// A committer as an object.
#[async_trait]
pub trait DynCommitter: Send {
    /// One outcome per request, in order; a request that can't be decoded is `Fatal`.
    async fn commit(&mut self, requests: Vec<CommitRequest<Bytes>>) -> Vec<Outcome<Bytes>>;
}

pub(super) struct ErasedCommitter<C, T> {
    pub(super) committer: T,
    pub(super) committable: PhantomData<fn(C)>,
}

#[async_trait]
impl<C: Stored, T: BatchCommitter<C>> DynCommitter for ErasedCommitter<C, T> {
    async fn commit(&mut self, requests: Vec<CommitRequest<Bytes>>) -> Vec<Outcome<Bytes>> {
        // Damaged ones keep their place among the outcomes; the sound ones are committed all the same.
        let mut outcomes: Vec<Option<Outcome<Bytes>>> = Vec::with_capacity(requests.len());
        let mut sound = Vec::with_capacity(requests.len());
        for request in requests {
            match C::from_bytes(&request.committable) {
                Ok(committable) => {
                    sound.push(CommitRequest {
                        committable,
                        checkpoint: request.checkpoint,
                        retries: request.retries,
                    });
                    outcomes.push(None);
                }
                Err(e) => outcomes.push(Some(Outcome::Fatal(e))),
            }
        }
        let expected = sound.len();
        let settled = if sound.is_empty() {
            Vec::new()
        } else {
            self.committer.commit_batch(CommitBatch::new(sound)).await.into_outcomes()
        };
        let short = settled.len() != expected;
        let mut settled = settled.into_iter();
        let mut next = || {
            if short {
                return Outcome::Fatal(crate::Error::contract(
                    "committer",
                    "settled another batch than it was given",
                ));
            }
            settled.next().map_or_else(
                || {
                    Outcome::Fatal(crate::Error::contract(
                        "committer",
                        "left a committable without an outcome",
                    ))
                },
                encode,
            )
        };
        outcomes.into_iter().map(|outcome| outcome.unwrap_or_else(&mut next)).collect()
    }
}

fn encode<C: Stored>(outcome: Outcome<C>) -> Outcome<Bytes> {
    match outcome {
        Outcome::Committed => Outcome::Committed,
        Outcome::AlreadyCommitted { proof } => Outcome::AlreadyCommitted { proof },
        Outcome::Retry { updated, after, why } => match updated.map(|c| c.to_bytes()).transpose() {
            Ok(updated) => Outcome::Retry { updated, after, why },
            Err(e) => Outcome::Fatal(e),
        },
        Outcome::Lost { reason } => Outcome::Lost { reason },
        Outcome::Fatal(e) => Outcome::Fatal(e),
    }
}

pub(super) fn decode_all<T: Stored>(all: &[Bytes]) -> Result<Vec<T>> {
    all.iter().map(|bytes| T::from_bytes(bytes)).collect()
}

pub(super) fn encode_all<T: Stored>(all: &[T]) -> Result<Vec<Bytes>> {
    all.iter().map(Stored::to_bytes).collect()
}
