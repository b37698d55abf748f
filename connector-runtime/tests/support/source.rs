//! Numbers in ranges: a bounded source whose readers take a little time per batch.

use std::collections::VecDeque;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::task::{Context, Poll};
use std::time::Duration;

use connector_api::env::Environment;
use connector_api::id::{CheckpointId, ReaderId, SplitId};
use connector_api::source::{
    Boundedness, EnumeratorCommand, EnumeratorContext, EnumeratorSetup, ReaderCommand, ReaderContext,
    ReaderEvent, Source, SourceReader, Split, SplitEnumerator,
};
use connector_api::{Batch, Error, Result, stored};
use futures::FutureExt;
use futures::future::BoxFuture;
use serde::{Deserialize, Serialize};

use super::Twin;

#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Range {
    pub start: u64,
    pub end: u64,
    pub position: u64,
}
stored!(Range, "range");

impl Split for Range {
    fn id(&self) -> SplitId {
        SplitId::new(format!("{}..{}", self.start, self.end))
    }
}

/// The numbers `0..count` in `splits` ranges.
#[derive(Clone, Debug)]
pub struct Numbers {
    pub count: u64,
    pub splits: u64,
    pub batch: u64,
    pub pause: Duration,
    /// A reader fails (retryably) when it emitted the k-th batch over all, for each k in here that is not yet past.
    pub fail_at: Arc<Vec<u64>>,
    pub emitted: Arc<AtomicU64>,
    /// How many enumerators were made.
    pub enumerators: Arc<AtomicU64>,
    /// Splits that came back to an enumerator.
    pub given_back: Arc<AtomicU64>,
    /// Event times: the number itself, in milliseconds.
    pub timed: bool,
    pub twin: Twin,
}

impl Numbers {
    pub fn new(count: u64, splits: u64) -> Self {
        Self {
            count,
            splits,
            batch: 7,
            pause: Duration::from_millis(3),
            fail_at: Arc::default(),
            emitted: Arc::default(),
            enumerators: Arc::default(),
            given_back: Arc::default(),
            timed: false,
            twin: Twin::Sound,
        }
    }

    pub fn failing_at(mut self, batches: &[u64]) -> Self {
        self.fail_at = Arc::new(batches.to_vec());
        self
    }
}

impl Source for Numbers {
    type Enumerator = Ranges;
    type Reader = RangeReader;

    fn boundedness(&self) -> Boundedness {
        Boundedness::Bounded
    }

    fn enumerator(&self, _: EnumeratorSetup, restored: Option<Pending>) -> Result<Ranges> {
        self.enumerators.fetch_add(1, Ordering::Relaxed);
        let size = self.count.div_ceil(self.splits.max(1)).max(1);
        let all = (0..self.count).step_by(size as usize);
        let all = all.map(|start| Range { start, end: (start + size).min(self.count), position: start });
        let pending = restored.map_or_else(|| all.collect(), |p| p.0);
        Ok(Ranges {
            pending: pending.into(),
            waiting: VecDeque::new(),
            given_back: self.given_back.clone(),
            twin: self.twin,
        })
    }

    fn reader(&self, context: ReaderContext) -> Result<RangeReader> {
        Ok(RangeReader {
            source: self.clone(),
            env: context.env,
            splits: VecDeque::new(),
            finished: Vec::new(),
            no_more: false,
            asked: false,
            ended: false,
            pause: None,
        })
    }
}

#[derive(Serialize, Deserialize)]
pub struct Pending(Vec<Range>);
stored!(Pending, "pending-ranges");

pub struct Ranges {
    pending: VecDeque<Range>,
    waiting: VecDeque<ReaderId>,
    given_back: Arc<AtomicU64>,
    twin: Twin,
}

impl Ranges {
    fn serve(&mut self, context: &mut EnumeratorContext<Range>) {
        while let Some(reader) = self.waiting.pop_front() {
            match self.pending.pop_front() {
                Some(split) => context.assign(reader, vec![split]),
                None => context.no_more_splits(reader),
            }
        }
    }
}

impl SplitEnumerator for Ranges {
    type Split = Range;
    type State = Pending;

    fn handle(
        &mut self,
        command: EnumeratorCommand<Range>,
        context: &mut EnumeratorContext<Range>,
    ) -> Result<()> {
        match command {
            EnumeratorCommand::SplitRequest(reader) => self.waiting.push_back(reader),
            EnumeratorCommand::AddSplitsBack(splits) => {
                self.given_back.fetch_add(splits.len() as u64, Ordering::Relaxed);
                if self.twin != Twin::DropsGivenBack {
                    self.pending.extend(splits);
                }
            }
            EnumeratorCommand::RemoveReader(reader) => self.waiting.retain(|r| *r != reader),
            EnumeratorCommand::Start
            | EnumeratorCommand::AddReader(_)
            | EnumeratorCommand::SplitFinished(..)
            | EnumeratorCommand::ReaderEvent(..)
            | EnumeratorCommand::CheckpointComplete(_)
            | EnumeratorCommand::CheckpointAborted(_) => {}
        }
        self.serve(context);
        Ok(())
    }

    fn poll(&mut self, _: &mut Context<'_>, _: &mut EnumeratorContext<Range>) -> Result<()> {
        Ok(())
    }

    fn snapshot(&mut self, _: CheckpointId) -> Result<Pending> {
        if self.twin == Twin::ForgetsPending {
            return Ok(Pending(Vec::new()));
        }
        Ok(Pending(self.pending.iter().cloned().collect()))
    }
}

pub struct RangeReader {
    source: Numbers,
    env: Environment,
    splits: VecDeque<Range>,
    finished: Vec<Range>,
    no_more: bool,
    asked: bool,
    ended: bool,
    pause: Option<BoxFuture<'static, ()>>,
}

impl SourceReader for RangeReader {
    type Batch = Vec<u64>;
    type Split = Range;

    fn handle(&mut self, command: ReaderCommand<Range>) -> Result<()> {
        match command {
            ReaderCommand::AddSplits(splits) => {
                self.asked = false;
                self.splits.extend(splits);
            }
            ReaderCommand::NoMoreSplits => self.no_more = true,
            ReaderCommand::RemoveSplits(ids) => self.splits.retain(|s| !ids.contains(&s.id())),
            _ => {}
        }
        Ok(())
    }

    fn poll_next(&mut self, cx: &mut Context<'_>) -> Poll<Result<ReaderEvent<Vec<u64>>>> {
        if self.ended {
            return Poll::Pending;
        }
        if let Some(pause) = &mut self.pause {
            if pause.poll_unpin(cx).is_pending() {
                return Poll::Pending;
            }
            self.pause = None;
        }
        let Some(split) = self.splits.front_mut() else {
            if self.no_more {
                self.ended = true;
                return Poll::Ready(Ok(ReaderEvent::EndOfInput));
            }
            if !std::mem::replace(&mut self.asked, true) {
                return Poll::Ready(Ok(ReaderEvent::SplitRequest));
            }
            return Poll::Pending;
        };
        let rest = if self.source.twin == Twin::EndsEarly { 1 } else { 0 };
        if split.position + rest >= split.end {
            let id = split.id();
            self.finished.extend(self.splits.pop_front());
            return Poll::Ready(Ok(ReaderEvent::SplitFinished(id)));
        }
        let nth = self.source.emitted.fetch_add(1, Ordering::Relaxed);
        if self.source.fail_at.contains(&nth) {
            return Poll::Ready(Err(Error::Cancelled("reading, by a test,".into())));
        }
        let to = (split.position + self.source.batch).min(split.end - rest);
        let rows: Vec<u64> = (split.position..to).collect();
        split.position = to;
        let timestamps =
            if self.source.timed { rows.iter().map(|n| *n as i64).collect() } else { Vec::new() };
        self.pause = Some(self.env.clock.sleep(self.source.pause));
        Poll::Ready(Ok(ReaderEvent::Batch { split: split.id(), batch: Batch { rows, timestamps } }))
    }

    fn snapshot(&mut self, _: CheckpointId, unemitted: usize) -> Result<Vec<Range>> {
        assert_eq!(unemitted, 0, "this host emits whole batches");
        let moved = |mut split: Range| {
            match self.source.twin {
                Twin::PositionAhead => split.position = (split.position + 1).min(split.end),
                Twin::PositionBehind => split.position = split.position.saturating_sub(1).max(split.start),
                _ => {}
            }
            split
        };
        let finished = std::mem::take(&mut self.finished);
        Ok(self.splits.iter().cloned().map(moved).chain(finished).collect())
    }

    fn poll_close(&mut self, _: &mut Context<'_>) -> Poll<Result<()>> {
        Poll::Ready(Ok(()))
    }
}
