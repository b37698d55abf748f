//! The enumerator of the source in memory.

use std::collections::{BTreeSet, VecDeque};
use std::path::Path;
use std::task::Context;

use connector_api::env::Environment;
use connector_api::id::{CheckpointId, ReaderId, SplitId};
use connector_api::source::{EnumeratorCommand, EnumeratorContext, EnumeratorSetup, Split, SplitEnumerator};
use connector_api::{Error, Result};

use super::{Numbers, NumbersSplit, Pending, SourceFlaw};

/// Discovers splits and gives one to each reader that asks.
#[derive(Debug)]
pub struct NumbersEnumerator {
    outside: Numbers,
    env: Environment,
    flaw: SourceFlaw,
    is_new: bool,
    known: BTreeSet<u32>,
    pending: VecDeque<NumbersSplit>,
    waiting: VecDeque<ReaderId>,
    /// What only flaws look at.
    history: Seen,
}

#[derive(Debug, Default)]
struct Seen {
    assigned: Vec<NumbersSplit>,
    finished: BTreeSet<SplitId>,
    had_a_split: BTreeSet<ReaderId>,
    told: BTreeSet<ReaderId>,
}

impl NumbersEnumerator {
    pub(super) fn new(outside: &Numbers, setup: EnumeratorSetup, restored: Option<Pending>) -> Self {
        let is_new = restored.is_none();
        let Pending { known, pending } =
            restored.unwrap_or(Pending { known: BTreeSet::new(), pending: Vec::new() });
        let this = Self {
            outside: outside.clone(),
            env: setup.env,
            flaw: outside.lock().flaw,
            is_new,
            known,
            pending: pending.into(),
            waiting: VecDeque::new(),
            history: Seen::default(),
        };
        if this.flaw == SourceFlaw::LooksBeforeStart {
            this.look();
        }
        this
    }

    fn look(&self) {
        // What is there does not matter to anybody.
        drop(self.env.fs.metadata(Path::new("/")));
    }

    fn discover(&mut self) {
        let outside = self.outside.lock();
        for index in outside.splits.keys() {
            if self.known.insert(*index) {
                let index = if self.flaw == SourceFlaw::SharesIds { index & !1 } else { *index };
                self.pending.push_back(NumbersSplit { index, position: 0 });
            }
        }
        drop(outside);
        self.env.crash.hit("numbers-enumerator/after-discovery");
    }

    /// The split that this reader gets next.
    fn next_for(&mut self, reader: ReaderId) -> Option<NumbersSplit> {
        if self.flaw == SourceFlaw::KeepsOwners && !self.is_new {
            let at = self.pending.iter().position(|split| split.index % 4 == reader.0)?;
            return self.pending.remove(at);
        }
        self.pending.pop_front()
    }

    fn serve(&mut self, context: &mut EnumeratorContext<NumbersSplit>) {
        let unbounded = self.outside.lock().unbounded;
        while let Some(reader) = self.waiting.front().copied() {
            match self.next_for(reader) {
                Some(split) => {
                    self.history.assigned.push(split.clone());
                    self.history.had_a_split.insert(reader);
                    context.assign(reader, vec![split]);
                    if self.flaw == SourceFlaw::ServesTheGone && !context.has_reader(reader) {
                        break;
                    }
                }
                None if unbounded || !self.pending.is_empty() => break,
                None if self.withholds_the_end(reader) => {}
                None => context.no_more_splits(reader),
            }
            self.waiting.pop_front();
        }
        if self.flaw != SourceFlaw::ReportsNothing {
            context.report_unassigned(self.pending.len() as u64);
        }
    }

    fn withholds_the_end(&mut self, reader: ReaderId) -> bool {
        match self.flaw {
            SourceFlaw::ForgetsIdle => !self.history.had_a_split.contains(&reader),
            SourceFlaw::TellsOnce => !self.history.told.insert(reader),
            _ => false,
        }
    }

    fn take_back(&mut self, splits: Vec<NumbersSplit>, readers: usize) {
        match self.flaw {
            SourceFlaw::DropsReturned if readers == 0 => {}
            SourceFlaw::RestartsReturned => {
                self.pending.extend(splits.into_iter().map(|split| NumbersSplit { position: 0, ..split }));
            }
            _ => self.pending.extend(splits),
        }
    }
}

impl SplitEnumerator for NumbersEnumerator {
    type Split = NumbersSplit;
    type State = Pending;

    fn handle(
        &mut self,
        command: EnumeratorCommand<NumbersSplit>,
        context: &mut EnumeratorContext<NumbersSplit>,
    ) -> Result<()> {
        if self.flaw == SourceFlaw::EnumeratorBlocks {
            self.look();
        }
        match command {
            EnumeratorCommand::Start if self.is_new => self.discover(),
            EnumeratorCommand::SplitRequest(reader) if context.has_reader(reader) => {
                self.waiting.push_back(reader);
            }
            EnumeratorCommand::SplitRequest(reader) if self.flaw == SourceFlaw::RefusesTheGone => {
                return Err(Error::contract("host", format!("reader {reader} is not there")));
            }
            EnumeratorCommand::SplitRequest(reader) if self.flaw == SourceFlaw::ServesTheGone => {
                self.waiting.push_back(reader);
            }
            EnumeratorCommand::AddSplitsBack(splits) => {
                let readers = context.readers().count();
                self.take_back(splits, readers);
            }
            EnumeratorCommand::RemoveReader(reader) => self.waiting.retain(|waiting| *waiting != reader),
            EnumeratorCommand::SplitFinished(_, split) if self.flaw == SourceFlaw::RefusesSecondEnd => {
                if !self.history.finished.insert(split.clone()) {
                    return Err(Error::contract("host", format!("split {split} was finished before")));
                }
            }
            EnumeratorCommand::Start
            | EnumeratorCommand::AddReader(_)
            | EnumeratorCommand::SplitRequest(_)
            | EnumeratorCommand::SplitFinished(..)
            | EnumeratorCommand::ReaderEvent(..)
            | EnumeratorCommand::CheckpointComplete(_)
            | EnumeratorCommand::CheckpointAborted(_) => {}
        }
        self.serve(context);
        Ok(())
    }

    fn poll(&mut self, cx: &mut Context<'_>, context: &mut EnumeratorContext<NumbersSplit>) -> Result<()> {
        if self.outside.lock().unbounded {
            if self.flaw != SourceFlaw::EnumeratorSleeps {
                self.outside.lock().wakers.push(cx.waker().clone());
            }
            self.discover();
            self.serve(context);
        }
        Ok(())
    }

    fn snapshot(&mut self, _: CheckpointId) -> Result<Pending> {
        let mut pending: Vec<_> = self.pending.iter().cloned().collect();
        match self.flaw {
            SourceFlaw::ForgetsPending => pending.clear(),
            SourceFlaw::KeepsAssigned => {
                let is_pending = |split: &NumbersSplit| self.pending.iter().any(|p| p.id() == split.id());
                pending.extend(self.history.assigned.iter().filter(|split| !is_pending(split)).cloned());
            }
            SourceFlaw::ForgetsWithoutReaders if self.history.assigned.is_empty() => pending.clear(),
            SourceFlaw::StoresStart => pending.iter_mut().for_each(|split| split.position = 0),
            _ => {}
        }
        Ok(Pending { known: self.known.clone(), pending })
    }
}
