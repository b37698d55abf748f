//! The reader of the source in memory.

use std::collections::{BTreeMap, BTreeSet, VecDeque};
use std::marker::PhantomData;
use std::path::Path;
use std::task::{Context, Poll, Waker};
use std::time::Duration;

use connector_api::env::Environment;
use connector_api::id::{CheckpointId, SplitId};
use connector_api::source::{ReaderCommand, ReaderEvent, SourceReader, Split};
use connector_api::{Error, Result};
use futures::FutureExt;
use futures::future::BoxFuture;

use super::{Down, FOR_EVER, Numbers, NumbersSplit, SourceFlaw};
use crate::rows::{TestBatch, TestRow, batch_of};

/// Rows per batch, and the pause after it.
const ROWS: usize = 7;
const PAUSE: Duration = Duration::from_millis(3);

/// Reads splits, one after the other when they end, in turn when they don't.
pub struct NumbersReader<B> {
    outside: Numbers,
    env: Environment,
    flaw: SourceFlaw,
    splits: VecDeque<NumbersSplit>,
    finished: Vec<NumbersSplit>,
    paused: BTreeSet<SplitId>,
    no_more: bool,
    asked: bool,
    ended: bool,
    pause: Option<BoxFuture<'static, ()>>,
    /// The split of the last batch.
    last: Option<u32>,
    /// To be said next.
    watermark: Option<(SplitId, i64)>,
    seen: Seen,
    batch: PhantomData<fn() -> B>,
}

/// What only flaws look at.
#[derive(Debug, Default)]
struct Seen {
    emptied: BTreeSet<u32>,
    outstanding: VecDeque<CheckpointId>,
    snapshots: BTreeMap<CheckpointId, Vec<NumbersSplit>>,
}

impl<B> std::fmt::Debug for NumbersReader<B> {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("NumbersReader").field("splits", &self.splits).finish_non_exhaustive()
    }
}

fn bytes_of(rows: &[TestRow]) -> u64 {
    rows.iter().map(|row| row.text.len() as u64).sum()
}

impl<B: TestBatch> NumbersReader<B> {
    pub(super) fn new(outside: &Numbers, env: Environment) -> Self {
        Self {
            outside: outside.clone(),
            env,
            flaw: outside.lock().flaw,
            splits: VecDeque::new(),
            finished: Vec::new(),
            paused: BTreeSet::new(),
            no_more: false,
            asked: false,
            ended: false,
            pause: None,
            last: None,
            watermark: None,
            seen: Seen::default(),
            batch: PhantomData,
        }
    }

    fn has(&self, flaw: SourceFlaw) -> bool {
        self.flaw == flaw
    }

    fn is_mine(&self, id: &SplitId) -> bool {
        self.splits.iter().any(|split| split.id() == *id)
    }

    fn failure(&self, split: &NumbersSplit) -> Error {
        let why = if self.has(SourceFlaw::FinalErrors) { FOR_EVER } else { "the system is broken" };
        if self.has(SourceFlaw::NamelessErrors) {
            return Error::connector("reading", "something", None, Down(why));
        }
        Error::connector("reading", split.id().to_string(), Some(split.position), Down(why))
    }

    /// The next rows of a split that has some, moved to the end of the queue; the end of a split that has none and ends.
    fn read(&mut self) -> Result<Option<ReaderEvent<B>>> {
        let outside = self.outside.clone();
        let mut outside = outside.lock();
        for at in 0..self.splits.len() {
            let mut split = self.splits[at].clone();
            let id = split.id();
            if self.paused.contains(&id) && !self.has(SourceFlaw::IgnoresPause) {
                continue;
            }
            if outside.broken {
                if !self.has(SourceFlaw::SkipsErrors) {
                    return Err(self.failure(&split));
                }
                self.splits[at].position += ROWS as u64;
                continue;
            }
            let all = outside.splits.get(&split.index).map_or(&[][..], Vec::as_slice);
            let mut rest = &all[all.len().min(split.position as usize)..];
            if self.has(SourceFlaw::EndsEarly) && !outside.unbounded && rest.len() <= ROWS {
                rest = &[];
            }
            if !rest.is_empty() {
                let rows = &rest[..rest.len().min(ROWS)];
                let event = self.batch(&id, at, rows)?;
                split.position += rows.len() as u64;
                outside.read += if self.has(SourceFlaw::ReadsAhead) { 0 } else { bytes_of(rows) };
                self.last = Some(split.index);
                self.splits[at] = split;
                self.env.crash.hit("numbers-reader/after-fetch");
                self.splits.rotate_left(at + usize::from(outside.unbounded));
                return Ok(Some(event));
            }
            if !outside.unbounded {
                if self.has(SourceFlaw::EmptyBatch) && self.seen.emptied.insert(split.index) {
                    return Ok(Some(ReaderEvent::Batch { split: id, batch: batch_of(&[])? }));
                }
                self.finished.extend(self.splits.remove(at));
                return Ok(Some(ReaderEvent::SplitFinished(id)));
            }
        }
        Ok(None)
    }

    fn batch(&mut self, id: &SplitId, at: usize, rows: &[TestRow]) -> Result<ReaderEvent<B>> {
        let mut rows = rows.to_vec();
        let last = rows.last().map_or(0, |row| row.millis);
        let millis = match self.flaw {
            SourceFlaw::WatermarkAhead => last + 1_000,
            SourceFlaw::WatermarkBack => -last,
            _ => last,
        };
        self.watermark = Some((id.clone(), millis));
        if self.has(SourceFlaw::ReversesRows) {
            rows.reverse();
        }
        let mut batch = batch_of(&rows)?;
        if self.has(SourceFlaw::ReversesTimes) {
            batch.timestamps.reverse();
        }
        if self.has(SourceFlaw::UndocumentedCrashPoint) {
            self.env.crash.hit("numbers-reader/unheard-of");
        }
        let other = self.splits.get(at + 1).map(Split::id).filter(|_| self.has(SourceFlaw::MixesSplits));
        Ok(ReaderEvent::Batch { split: other.unwrap_or_else(|| id.clone()), batch })
    }

    fn add(&mut self, splits: Vec<NumbersSplit>) {
        self.asked = false;
        if self.has(SourceFlaw::ReadsAhead) {
            let mut outside = self.outside.lock();
            let rows = splits.iter().filter_map(|split| outside.splits.get(&split.index));
            outside.read += rows.map(|rows| bytes_of(rows)).sum::<u64>();
        }
        if self.has(SourceFlaw::LeaksTasks) {
            self.env.spawner.spawn("leak", Box::pin(futures::future::pending()));
        }
        self.splits.extend(splits);
    }

    fn remove(&mut self, ids: &[SplitId]) {
        if self.has(SourceFlaw::KeepsRemoved) {
            return;
        }
        if self.has(SourceFlaw::StoresRemoved) {
            let removed = self.splits.iter().filter(|split| ids.contains(&split.id()));
            self.finished.extend(removed.cloned());
        } else {
            self.finished.retain(|split| !ids.contains(&split.id()));
        }
        self.splits.retain(|split| !ids.contains(&split.id()));
        self.paused.retain(|id| !ids.contains(id));
    }

    fn resume(&mut self, ids: &[SplitId]) {
        for split in &mut self.splits {
            let id = split.id();
            if ids.contains(&id) && self.paused.remove(&id) && self.flaw == SourceFlaw::SkipsWhenResumed {
                split.position += 1;
            }
        }
    }

    fn refuse_unknown(&self, command: &ReaderCommand<NumbersSplit>) -> Result<()> {
        let (ReaderCommand::RemoveSplits(ids) | ReaderCommand::Pause(ids) | ReaderCommand::Resume(ids)) =
            command
        else {
            return Ok(());
        };
        match ids.iter().find(|id| !self.is_mine(id)) {
            Some(id) if self.has(SourceFlaw::RefusesUnknown) => {
                Err(Error::contract("host", format!("split {id} is unknown")))
            }
            _ => Ok(()),
        }
    }

    fn heard(&mut self, id: CheckpointId, aborted: bool) -> Result<()> {
        if self.has(SourceFlaw::NeedsNotices) && self.seen.outstanding.pop_front() != Some(id) {
            return Err(Error::contract("host", format!("checkpoint {id} is not the next one to hear of")));
        }
        if self.has(SourceFlaw::RewindsWhenAborted) && aborted {
            for then in self.seen.snapshots.remove(&id).unwrap_or_default() {
                let now = self.splits.iter_mut().find(|split| split.index == then.index);
                now.into_iter().for_each(|now| now.position = then.position);
            }
        }
        Ok(())
    }

    /// Whether time must pass before the next event.
    fn rests(&mut self, cx: &mut Context<'_>) -> bool {
        let mut nobody = Context::from_waker(Waker::noop());
        let cx = if self.has(SourceFlaw::Sleeps) { &mut nobody } else { cx };
        let rests = self.pause.as_mut().is_some_and(|pause| pause.poll_unpin(cx).is_pending());
        if !rests {
            self.pause = None;
        }
        rests
    }

    fn next_watermark(&mut self) -> Option<ReaderEvent<B>> {
        let (id, millis) = self.watermark.take_if(|(id, _)| !self.paused.contains(id))?;
        self.is_mine(&id).then_some(ReaderEvent::Watermark { split: Some(id), millis })
    }
}

impl<B: TestBatch> SourceReader for NumbersReader<B> {
    type Batch = B;
    type Split = NumbersSplit;

    fn handle(&mut self, command: ReaderCommand<NumbersSplit>) -> Result<()> {
        self.refuse_unknown(&command)?;
        match command {
            ReaderCommand::AddSplits(splits) => self.add(splits),
            ReaderCommand::RemoveSplits(ids) => self.remove(&ids),
            ReaderCommand::NoMoreSplits => self.no_more = true,
            ReaderCommand::Pause(ids) => {
                let known: Vec<_> = ids.into_iter().filter(|id| self.is_mine(id)).collect();
                self.paused.extend(known);
            }
            ReaderCommand::Resume(ids) => self.resume(&ids),
            ReaderCommand::CheckpointComplete(id) => self.heard(id, false)?,
            ReaderCommand::CheckpointAborted(id) => self.heard(id, true)?,
            ReaderCommand::EnumeratorEvent(_) => {}
        }
        Ok(())
    }

    fn poll_next(&mut self, cx: &mut Context<'_>) -> Poll<Result<ReaderEvent<B>>> {
        if self.has(SourceFlaw::ReaderBlocks) {
            drop(self.env.fs.metadata(Path::new("/")));
        }
        if self.ended {
            let again = self.has(SourceFlaw::EndsAgain);
            return if again { Poll::Ready(Ok(ReaderEvent::EndOfInput)) } else { Poll::Pending };
        }
        if let Some(watermark) = self.next_watermark() {
            return Poll::Ready(Ok(watermark));
        }
        if self.rests(cx) {
            return Poll::Pending;
        }
        if let Some(event) = self.read()? {
            self.pause = Some(self.env.clock.sleep(PAUSE));
            return Poll::Ready(Ok(event));
        }
        let unasked = self.has(SourceFlaw::EndsUnasked) && self.last.is_some();
        if self.splits.is_empty() && (self.no_more || unasked) && !self.has(SourceFlaw::NeverEnds) {
            self.ended = true;
            return Poll::Ready(Ok(ReaderEvent::EndOfInput));
        }
        // An unbounded reader has room for all splits there are.
        let wants = self.splits.is_empty() || self.outside.lock().unbounded;
        if wants && !self.no_more && !std::mem::replace(&mut self.asked, true) {
            return Poll::Ready(Ok(ReaderEvent::SplitRequest));
        }
        if !self.has(SourceFlaw::SleepsThroughRows) {
            self.outside.lock().wakers.push(cx.waker().clone());
        }
        match self.flaw {
            SourceFlaw::SpinsWhileWaiting => cx.waker().wake_by_ref(),
            SourceFlaw::FidgetsWhileWaiting => {
                self.pause = Some(self.env.clock.sleep(PAUSE));
                self.rests(cx);
            }
            _ => {}
        }
        Poll::Pending
    }

    fn snapshot(&mut self, checkpoint: CheckpointId, unemitted: usize) -> Result<Vec<NumbersSplit>> {
        let mut splits: Vec<_> = self.splits.iter().cloned().collect();
        let finished = std::mem::take(&mut self.finished);
        match self.flaw {
            SourceFlaw::ForgetsUnread => splits.retain(|split| split.position > 0),
            SourceFlaw::ForgetsFinished => {}
            SourceFlaw::RestartsFinished => {
                splits.extend(finished.into_iter().map(|split| NumbersSplit { position: 0, ..split }));
            }
            _ => splits.extend(finished),
        }
        let held = if self.has(SourceFlaw::IgnoresUnemitted) { 0 } else { unemitted as u64 };
        if let Some(last) = splits.iter_mut().find(|split| Some(split.index) == self.last) {
            last.position = last.position.saturating_sub(held);
            match self.flaw {
                SourceFlaw::PositionAhead => last.position += 1,
                SourceFlaw::PositionBehind => last.position = last.position.saturating_sub(1),
                _ => {}
            }
        }
        self.seen.outstanding.push_back(checkpoint);
        self.seen.snapshots.insert(checkpoint, splits.clone());
        Ok(splits)
    }

    fn poll_close(&mut self, _: &mut Context<'_>) -> Poll<Result<()>> {
        if self.has(SourceFlaw::NeverCloses) { Poll::Pending } else { Poll::Ready(Ok(())) }
    }
}
