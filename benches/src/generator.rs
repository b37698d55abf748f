//! A source that costs nothing: batches come from a function.

use std::collections::VecDeque;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::task::{Context, Poll};

use connector_api::id::{CheckpointId, SplitId};
use connector_api::source::{
    Boundedness, EnumeratorCommand, EnumeratorContext, EnumeratorSetup, ReaderCommand, ReaderContext,
    ReaderEvent, Source, SourceReader, Split, SplitEnumerator,
};
use connector_api::{Batch, Error, Result, RowBatch, stored};
use serde::{Deserialize, Serialize};
use tokio::sync::Notify;

/// Makes a batch.
pub type Make<B> = Arc<dyn Fn() -> B + Send + Sync>;

/// `splits` splits of `batches` batches each; without batches it reads nothing and never ends.
pub struct Generator<B> {
    /// How many splits.
    pub splits: u64,
    /// How many batches each holds.
    pub batches: u64,
    /// Makes one.
    pub make: Make<B>,
    /// Counts the splits that readers were given.
    pub given: Arc<Given>,
}

/// How many splits readers were given.
#[derive(Debug, Default)]
pub struct Given {
    splits: AtomicU64,
    changed: Notify,
}

impl Given {
    fn add(&self, splits: usize) {
        self.splits.fetch_add(splits as u64, Ordering::Release);
        self.changed.notify_one();
    }

    /// Returns when this many were given. For one party at a time.
    pub async fn reaches(&self, splits: u64) {
        while self.splits.load(Ordering::Acquire) < splits {
            self.changed.notified().await;
        }
    }
}

/// A number of batches to make. About as large as a split of files.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct Numbers {
    id: SplitId,
    left: u64,
}

stored!(Numbers, "bench-numbers");

impl Split for Numbers {
    fn id(&self) -> SplitId {
        self.id.clone()
    }
}

/// The splits that no reader has.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct Unassigned(Vec<Numbers>);

stored!(Unassigned, "bench-unassigned");

impl<B: RowBatch> Source for Generator<B> {
    type Enumerator = GeneratorEnumerator;
    type Reader = GeneratorReader<B>;

    fn boundedness(&self) -> Boundedness {
        if self.batches == 0 { Boundedness::Unbounded } else { Boundedness::Bounded }
    }

    fn enumerator(&self, _: EnumeratorSetup, restored: Option<Unassigned>) -> Result<GeneratorEnumerator> {
        let all = || {
            (0..self.splits)
                .map(|i| Numbers { id: SplitId::new(format!("in/part-{i:06}.txt:0")), left: self.batches })
        };
        Ok(GeneratorEnumerator {
            unassigned: restored.map_or_else(|| all().collect(), |state| state.0),
            is_bounded: self.batches > 0,
        })
    }

    fn reader(&self, _: ReaderContext) -> Result<GeneratorReader<B>> {
        Ok(GeneratorReader {
            splits: VecDeque::new(),
            finished: Vec::new(),
            no_more: false,
            ended: false,
            make: Arc::clone(&self.make),
            given: Arc::clone(&self.given),
        })
    }
}

/// Gives every reader an even share as soon as it is there.
#[derive(Debug)]
pub struct GeneratorEnumerator {
    unassigned: Vec<Numbers>,
    is_bounded: bool,
}

impl SplitEnumerator for GeneratorEnumerator {
    type Split = Numbers;
    type State = Unassigned;

    fn handle(
        &mut self,
        command: EnumeratorCommand<Numbers>,
        context: &mut EnumeratorContext<Numbers>,
    ) -> Result<()> {
        match command {
            EnumeratorCommand::AddReader(reader) => {
                // As many as are due to one of the readers still to come, and this one.
                let still = context.parallelism() as usize - context.readers().count() + 1;
                let share = self.unassigned.len().div_ceil(still.max(1));
                let splits = self.unassigned.split_off(self.unassigned.len() - share);
                if !splits.is_empty() {
                    context.assign(reader, splits);
                }
                if self.is_bounded {
                    context.no_more_splits(reader);
                }
            }
            EnumeratorCommand::AddSplitsBack(splits) => self.unassigned.extend(splits),
            EnumeratorCommand::Start
            | EnumeratorCommand::RemoveReader(_)
            | EnumeratorCommand::SplitRequest(_)
            | EnumeratorCommand::SplitFinished(..)
            | EnumeratorCommand::ReaderEvent(..)
            | EnumeratorCommand::CheckpointComplete(_)
            | EnumeratorCommand::CheckpointAborted(_) => {}
        }
        Ok(())
    }

    fn poll(&mut self, _: &mut Context<'_>, _: &mut EnumeratorContext<Numbers>) -> Result<()> {
        Ok(())
    }

    fn snapshot(&mut self, _: CheckpointId) -> Result<Unassigned> {
        Ok(Unassigned(self.unassigned.clone()))
    }
}

/// Makes the batches of its splits, one split after the other.
pub struct GeneratorReader<B> {
    splits: VecDeque<Numbers>,
    finished: Vec<Numbers>,
    no_more: bool,
    ended: bool,
    make: Make<B>,
    given: Arc<Given>,
}

impl<B: RowBatch> SourceReader for GeneratorReader<B> {
    type Batch = B;
    type Split = Numbers;

    fn handle(&mut self, command: ReaderCommand<Numbers>) -> Result<()> {
        match command {
            ReaderCommand::AddSplits(splits) => {
                self.given.add(splits.len());
                self.splits.extend(splits);
            }
            ReaderCommand::NoMoreSplits => self.no_more = true,
            ReaderCommand::RemoveSplits(_)
            | ReaderCommand::Pause(_)
            | ReaderCommand::Resume(_)
            | ReaderCommand::EnumeratorEvent(_)
            | ReaderCommand::CheckpointComplete(_)
            | ReaderCommand::CheckpointAborted(_) => {}
        }
        Ok(())
    }

    fn poll_next(&mut self, _: &mut Context<'_>) -> Poll<Result<ReaderEvent<B>>> {
        if let Some(split) = self.splits.front_mut()
            && let Some(left) = split.left.checked_sub(1)
        {
            split.left = left;
            let batch = Batch::new((self.make)());
            return Poll::Ready(Ok(ReaderEvent::Batch { split: split.id(), batch }));
        }
        // Splits without batches stay for ever: they are there to be counted in snapshots.
        if !self.no_more || self.ended {
            return Poll::Pending;
        }
        let event = match self.splits.pop_front() {
            Some(split) => {
                let id = split.id();
                self.finished.push(split);
                ReaderEvent::SplitFinished(id)
            }
            None => {
                self.ended = true;
                ReaderEvent::EndOfInput
            }
        };
        Poll::Ready(Ok(event))
    }

    fn snapshot(&mut self, _: CheckpointId, unemitted: usize) -> Result<Vec<Numbers>> {
        if unemitted > 0 {
            return Err(Error::contract("the bench", "it counts whole batches and was given a part of one"));
        }
        Ok(self.splits.iter().cloned().chain(self.finished.drain(..)).collect())
    }

    fn poll_close(&mut self, _: &mut Context<'_>) -> Poll<Result<()>> {
        Poll::Ready(Ok(()))
    }
}
