//! The probe source: it follows the script and writes down what the host does to it.

use std::collections::{BTreeMap, BTreeSet, VecDeque};
use std::task::{Context, Poll, Waker};

use connector_api::env::Environment;
use connector_api::id::{CheckpointId, ReaderId, SplitId};
use connector_api::source::{
    Boundedness, BoxSource, EnumeratorCommand, EnumeratorContext, EnumeratorSetup, ReaderCommand,
    ReaderContext, ReaderEvent, Source, SourceReader, Split, SplitEnumerator, erase,
};
use connector_api::{Batch, Error, Result, stored};
use connector_runtime::coordinate::source::deal;
use futures::FutureExt;
use futures::future::BoxFuture;
use serde::{Deserialize, Serialize};

use super::journal::{Party, Token, What};
use super::script::{Dealing, Mark, Script};
use super::world::{Pen, World};

struct ProbeSource {
    world: World,
    process: u32,
}

impl World {
    /// The source, as the process that lives makes it.
    pub(super) fn source(&self) -> BoxSource<Vec<String>> {
        erase(ProbeSource { world: self.clone(), process: self.process() })
    }
}

/// A split, read up to `position`.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(super) struct ProbeSplit {
    pub(super) index: u32,
    pub(super) position: u64,
}
stored!(ProbeSplit, "probe-split");

fn id_of(index: u32) -> SplitId {
    SplitId::new(format!("split-{index:02}"))
}

impl Split for ProbeSplit {
    fn id(&self) -> SplitId {
        id_of(self.index)
    }
}

/// What no reader has.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub(super) struct Unassigned(Vec<ProbeSplit>);
stored!(Unassigned, "probe-unassigned");

impl Source for ProbeSource {
    type Enumerator = ProbeEnumerator;
    type Reader = ProbeReader;

    fn boundedness(&self) -> Boundedness {
        Boundedness::Bounded
    }

    fn enumerator(&self, setup: EnumeratorSetup, restored: Option<Unassigned>) -> Result<ProbeEnumerator> {
        let pen = self.world.pen(self.process, Party::Enumerator, &setup.env);
        let states = restored.iter().flat_map(|r| &r.0).map(|split| split.index.to_string()).collect();
        let (attempt, of) = (setup.attempt, setup.parallelism);
        pen.write(What::Made { attempt, of, restored: None, states })?;
        let is_new = restored.is_none();
        let pending = restored.map(|r| r.0).unwrap_or_default().into();
        Ok(ProbeEnumerator {
            pen,
            env: setup.env,
            is_new,
            pending,
            waiting: VecDeque::new(),
            told: BTreeSet::new(),
            turn: 0,
            sent: 0,
            burst: false,
            timer: None,
            waker: None,
        })
    }

    fn reader(&self, context: ReaderContext) -> Result<ProbeReader> {
        let pen = self.world.pen(self.process, Party::Reader(context.reader.0), &context.env);
        let (attempt, of) = (context.attempt, context.parallelism);
        pen.write(What::Made { attempt, of, restored: None, states: Vec::new() })?;
        Ok(ProbeReader {
            pen,
            env: context.env,
            splits: VecDeque::new(),
            finished: Vec::new(),
            no_more: false,
            asked: false,
            ended: false,
            was_polled: false,
            pause: None,
            last: None,
        })
    }
}

struct ProbeEnumerator {
    pen: Pen,
    env: Environment,
    is_new: bool,
    pending: VecDeque<ProbeSplit>,
    waiting: VecDeque<u32>,
    told: BTreeSet<u32>,
    turn: usize,
    sent: u64,
    /// Deal one in the next poll.
    burst: bool,
    timer: Option<BoxFuture<'static, ()>>,
    waker: Option<Waker>,
}

type Outbox = EnumeratorContext<ProbeSplit>;

impl ProbeEnumerator {
    fn script(&self) -> Script {
        self.pen.world().lock().script.clone()
    }

    fn send(&mut self, reader: u32, context: &mut Outbox) -> Result<()> {
        self.sent += 1;
        context.send(ReaderId(reader), self.sent.to_be_bytes().to_vec().into());
        self.pen.write(What::Put(reader, Token::Event(self.sent)))
    }

    /// The next split to this reader, with a message in front of it and one behind.
    fn assign(&mut self, reader: u32, context: &mut Outbox) -> Result<()> {
        let Some(split) = self.pending.pop_front() else { return Ok(()) };
        let sends = self.script().sends;
        if sends {
            self.send(reader, context)?;
        }
        self.pen.write(What::Put(reader, Token::Split(split.index)))?;
        context.assign(ReaderId(reader), vec![split]);
        if sends {
            self.send(reader, context)?;
        }
        Ok(())
    }

    fn next_in_turn(&mut self, context: &mut Outbox) -> Result<()> {
        let readers: Vec<u32> = context.readers().map(|reader| reader.0).collect();
        if readers.is_empty() {
            return Ok(());
        }
        self.turn += 1;
        self.assign(readers[self.turn % readers.len()], context)
    }

    fn serve(&mut self, dealing: Dealing, context: &mut Outbox) -> Result<()> {
        match dealing {
            Dealing::OnRequest => {
                while !self.pending.is_empty()
                    && let Some(reader) = self.waiting.pop_front()
                {
                    self.assign(reader, context)?;
                }
            }
            Dealing::AtOnce => {
                let readers: Vec<u32> = context.readers().map(|reader| reader.0).collect();
                if readers.len() as u32 == context.parallelism() {
                    let hands = deal(std::mem::take(&mut self.pending).into(), readers.len() as u32);
                    for (reader, splits) in readers.into_iter().zip(hands).filter(|(_, s)| !s.is_empty()) {
                        for split in &splits {
                            self.pen.write(What::Put(reader, Token::Split(split.index)))?;
                        }
                        context.assign(ReaderId(reader), splits);
                    }
                }
            }
            Dealing::Every(_) => {}
        }
        if self.pending.is_empty() {
            let readers: Vec<u32> = context.readers().map(|reader| reader.0).collect();
            for reader in readers {
                if self.told.insert(reader) {
                    self.pen.write(What::Put(reader, Token::NoMore))?;
                    context.no_more_splits(ReaderId(reader));
                }
            }
        }
        Ok(())
    }

    fn may_fail(&self) -> Result<()> {
        let mut state = self.pen.world().lock();
        if !std::mem::take(&mut state.script.enumerator_fails) {
            return Ok(());
        }
        drop(state);
        self.pen.write(What::Failed)?;
        Err(Error::Cancelled("enumerating, by the script,".into()))
    }
}

impl SplitEnumerator for ProbeEnumerator {
    type Split = ProbeSplit;
    type State = Unassigned;

    fn handle(&mut self, command: EnumeratorCommand<ProbeSplit>, context: &mut Outbox) -> Result<()> {
        let script = self.script();
        let told = match &command {
            EnumeratorCommand::Start => What::Started,
            EnumeratorCommand::AddReader(reader) => What::ReaderAdded(reader.0),
            EnumeratorCommand::AddSplitsBack(splits) => {
                What::GivenBack(splits.iter().map(|split| split.index).collect())
            }
            EnumeratorCommand::CheckpointComplete(id) => What::Complete(id.0),
            EnumeratorCommand::CheckpointAborted(id) => What::Aborted(id.0),
            other => What::Told(format!("{other:?}")),
        };
        self.pen.write(told)?;
        self.may_fail()?;
        match command {
            EnumeratorCommand::Start if self.is_new => {
                let all = 0..script.splits.len() as u32;
                self.pending.extend(all.map(|index| ProbeSplit { index, position: 0 }));
            }
            EnumeratorCommand::SplitRequest(reader) => self.waiting.push_back(reader.0),
            EnumeratorCommand::AddSplitsBack(splits) => self.pending.extend(splits),
            EnumeratorCommand::RemoveReader(reader) => {
                self.waiting.retain(|waiting| *waiting != reader.0);
                self.told.remove(&reader.0);
            }
            _ => {}
        }
        if script.answers_in_poll { Ok(()) } else { self.serve(script.dealing, context) }
    }

    fn poll(&mut self, cx: &mut Context<'_>, context: &mut Outbox) -> Result<()> {
        self.pen.alive()?;
        self.may_fail()?;
        let script = self.script();
        if let Dealing::Every(span) = script.dealing {
            if std::mem::take(&mut self.burst) {
                self.next_in_turn(context)?;
            }
            loop {
                let timer = self.timer.get_or_insert_with(|| self.env.clock.sleep(span));
                if timer.poll_unpin(cx).is_pending() {
                    break;
                }
                self.timer = None;
                self.next_in_turn(context)?;
            }
        }
        self.waker = Some(cx.waker().clone());
        self.serve(script.dealing, context)
    }

    fn snapshot(&mut self, checkpoint: CheckpointId) -> Result<Unassigned> {
        let states = self.pending.iter().map(|split| split.index.to_string()).collect();
        let checkpoint = checkpoint.0;
        self.pen.write(What::Snapshot { checkpoint, unemitted: 0, positions: Vec::new(), states })?;
        self.burst = true;
        if let Some(waker) = &self.waker {
            waker.wake_by_ref();
        }
        Ok(Unassigned(self.pending.iter().cloned().collect()))
    }
}

struct Reading {
    split: ProbeSplit,
    marks: BTreeMap<u64, Vec<Mark>>,
    wait: Option<BoxFuture<'static, ()>>,
}

struct ProbeReader {
    pen: Pen,
    env: Environment,
    splits: VecDeque<Reading>,
    finished: Vec<ProbeSplit>,
    no_more: bool,
    asked: bool,
    ended: bool,
    /// Since the last other call.
    was_polled: bool,
    pause: Option<BoxFuture<'static, ()>>,
    /// The split of the last batch.
    last: Option<u32>,
}

impl ProbeReader {
    fn read(&mut self, script: &Script, cx: &mut Context<'_>) -> Result<Option<ReaderEvent<Vec<String>>>> {
        for _ in 0..self.splits.len() {
            let Some(reading) = self.splits.front_mut() else { break };
            if let Some(wait) = &mut reading.wait {
                if wait.poll_unpin(cx).is_pending() {
                    self.splits.rotate_left(1);
                    continue;
                }
                reading.wait = None;
            }
            let (index, from) = (reading.split.index, reading.split.position);
            let id = id_of(index);
            let marks = reading.marks.get_mut(&from);
            if let Some(marks) = marks.filter(|marks| !marks.is_empty()) {
                match marks.remove(0) {
                    Mark::Watermark(millis) => {
                        return Ok(Some(ReaderEvent::Watermark { split: Some(id), millis }));
                    }
                    Mark::Idle => return Ok(Some(ReaderEvent::Idle(Some(id)))),
                    Mark::Active => return Ok(Some(ReaderEvent::Active(Some(id)))),
                    Mark::Wait(span) => {
                        reading.wait = Some(self.env.clock.sleep(span));
                        // Polled at once, so that its waker is arranged for.
                        return self.read(script, cx);
                    }
                }
            }
            let Some(scripted) = script.splits.get(index as usize) else {
                return Err(Error::contract("host", format!("gave a split {index} that nobody made")));
            };
            if from >= scripted.rows {
                self.finished.extend(self.splits.pop_front().map(|reading| reading.split));
                self.pen.write(What::SplitFinished(index))?;
                return Ok(Some(ReaderEvent::SplitFinished(id)));
            }
            let next_mark = reading.marks.range(from + 1..).next().map_or(u64::MAX, |(row, _)| *row);
            let to = scripted.rows.min(from + script.batch).min(next_mark);
            self.pen.write(What::Emitted { split: index, from, to })?;
            let rows: Vec<String> = (from..to).map(|row| format!("{index}:{row}")).collect();
            let batch = match scripted.first_time {
                None => Batch::new(rows),
                Some(first) => {
                    let times = (from..to).map(|row| first + row as i64 * scripted.time_step);
                    Batch::with_timestamps(rows, times.collect())?
                }
            };
            reading.split.position = to;
            self.last = Some(index);
            self.splits.rotate_left(1);
            return Ok(Some(ReaderEvent::Batch { split: id, batch }));
        }
        Ok(None)
    }
}

impl SourceReader for ProbeReader {
    type Batch = Vec<String>;
    type Split = ProbeSplit;

    fn handle(&mut self, command: ReaderCommand<ProbeSplit>) -> Result<()> {
        self.was_polled = false;
        match command {
            ReaderCommand::AddSplits(splits) => {
                let tokens = splits.iter().map(|split| Token::Split(split.index)).collect();
                self.pen.write(What::Given(tokens))?;
                let script = self.pen.world().lock().script.clone();
                self.splits.extend(splits.into_iter().map(|split| {
                    let marks = script.splits.get(split.index as usize).map(|split| split.marks.clone());
                    Reading { split, marks: marks.unwrap_or_default(), wait: None }
                }));
                self.asked = false;
                Ok(())
            }
            ReaderCommand::NoMoreSplits => {
                self.no_more = true;
                self.pen.write(What::Given(vec![Token::NoMore]))
            }
            ReaderCommand::EnumeratorEvent(event) => {
                let number = event.as_ref().try_into().map(u64::from_be_bytes).unwrap_or_default();
                self.pen.write(What::Given(vec![Token::Event(number)]))
            }
            ReaderCommand::CheckpointComplete(id) => self.pen.write(What::Complete(id.0)),
            ReaderCommand::CheckpointAborted(id) => self.pen.write(What::Aborted(id.0)),
            ReaderCommand::RemoveSplits(_) | ReaderCommand::Pause(_) | ReaderCommand::Resume(_) => Ok(()),
        }
    }

    fn poll_next(&mut self, cx: &mut Context<'_>) -> Poll<Result<ReaderEvent<Vec<String>>>> {
        if !std::mem::replace(&mut self.was_polled, true) {
            self.pen.write(What::Polled)?;
        }
        if self.ended {
            return Poll::Pending;
        }
        if let Some(pause) = &mut self.pause {
            if pause.poll_unpin(cx).is_pending() {
                return Poll::Pending;
            }
            self.pause = None;
        }
        let script = self.pen.world().lock().script.clone();
        if let Some(event) = self.read(&script, cx)? {
            let is_batch = matches!(event, ReaderEvent::Batch { .. });
            self.pause = script.pause.filter(|_| is_batch).map(|pause| self.env.clock.sleep(pause));
            return Poll::Ready(Ok(event));
        }
        if self.splits.is_empty() && self.no_more {
            self.ended = true;
            self.pen.write(What::EndOfInput)?;
            return Poll::Ready(Ok(ReaderEvent::EndOfInput));
        }
        let wants = script.dealing == Dealing::OnRequest && self.splits.is_empty() && !self.no_more;
        if wants && !std::mem::replace(&mut self.asked, true) {
            return Poll::Ready(Ok(ReaderEvent::SplitRequest));
        }
        // Nothing but a command can move things on, or a wait, whose waker is arranged for.
        Poll::Pending
    }

    fn snapshot(&mut self, checkpoint: CheckpointId, unemitted: usize) -> Result<Vec<ProbeSplit>> {
        self.was_polled = false;
        let mut splits: Vec<_> = self.splits.iter().map(|reading| reading.split.clone()).collect();
        splits.append(&mut self.finished);
        if unemitted > 0
            && let Some(last) = splits.iter_mut().find(|split| Some(split.index) == self.last)
        {
            last.position = last.position.saturating_sub(unemitted as u64);
        }
        splits.sort_by_key(|split| split.index);
        let positions = splits.iter().map(|split| (split.index, split.position)).collect();
        let checkpoint = checkpoint.0;
        self.pen.write(What::Snapshot { checkpoint, unemitted, positions, states: Vec::new() })?;
        Ok(splits)
    }

    fn poll_close(&mut self, _: &mut Context<'_>) -> Poll<Result<()>> {
        Poll::Ready(self.pen.write(What::Closed))
    }
}
