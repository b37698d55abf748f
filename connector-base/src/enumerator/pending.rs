//! Splits that no reader has, handed out on request.

use std::collections::{BTreeSet, HashSet, VecDeque};

use connector_api::id::{ReaderId, SplitId};
use connector_api::source::{EnumeratorCommand, EnumeratorContext, Split};
use connector_api::{Error, Result};

/// The splits that no reader has, dealt one per request, oldest first; those that were given back go first.
///
/// What it keeps belongs in the enumerator's snapshot in full ([`to_vec`](Self::to_vec), rule E-2). Requests are not state:
/// after a restore every reader asks again.
#[derive(Clone, Debug)]
pub struct PendingSplits<S> {
    splits: VecDeque<S>,
    /// Whether no split will be added any more, but for those that are given back.
    complete: bool,
    /// Requests that wait, in order; a reader may wait for several splits.
    waiting: VecDeque<ReaderId>,
    /// Readers that were told that no more will come.
    told: BTreeSet<ReaderId>,
}

impl<S: Split> PendingSplits<S> {
    /// These splits; `complete` when no other will be discovered. Both as the snapshot says, or nothing and `false`.
    pub fn new(splits: impl IntoIterator<Item = S>, complete: bool) -> Self {
        let splits = splits.into_iter().collect();
        Self { splits, complete, waiting: VecDeque::new(), told: BTreeSet::new() }
    }

    /// Takes the host's commands that are about readers and splits: answers requests, takes splits back, forgets readers
    /// that come anew or go. The others change nothing here, so all of them may be passed on.
    ///
    /// # Errors
    ///
    /// [`Error::Contract`] for a reader's event: the enumerator that knows one handles it instead.
    pub fn handle(
        &mut self,
        command: EnumeratorCommand<S>,
        context: &mut EnumeratorContext<S>,
    ) -> Result<()> {
        match command {
            // It begins anew: whatever it asked for or was told before is void.
            EnumeratorCommand::AddReader(reader) | EnumeratorCommand::RemoveReader(reader) => {
                self.waiting.retain(|waiting| *waiting != reader);
                self.told.remove(&reader);
            }
            EnumeratorCommand::SplitRequest(reader) if context.has_reader(reader) => {
                self.waiting.push_back(reader);
            }
            EnumeratorCommand::AddSplitsBack(splits) => {
                for split in splits.into_iter().rev() {
                    self.splits.push_front(split);
                }
            }
            EnumeratorCommand::ReaderEvent(reader, _) => {
                let reason = format!("reader {reader} sent an event, and the source knows none");
                return Err(Error::contract("source", reason));
            }
            EnumeratorCommand::Start
            | EnumeratorCommand::SplitRequest(_)
            | EnumeratorCommand::SplitFinished(..)
            | EnumeratorCommand::CheckpointComplete(_)
            | EnumeratorCommand::CheckpointAborted(_) => {}
        }
        self.serve(context);
        Ok(())
    }

    /// Adds splits that were discovered. One that is pending already (it was given back meanwhile) is left out.
    pub fn add(&mut self, splits: impl IntoIterator<Item = S>, context: &mut EnumeratorContext<S>) {
        let known: HashSet<SplitId> = self.splits.iter().map(Split::id).collect();
        self.splits.extend(splits.into_iter().filter(|split| !known.contains(&split.id())));
        self.serve(context);
    }

    /// Adds splits that were never there before, which is not checked: for an enumerator that discovers often, with many
    /// splits pending.
    pub fn add_new(&mut self, splits: impl IntoIterator<Item = S>, context: &mut EnumeratorContext<S>) {
        self.splits.extend(splits);
        self.serve(context);
    }

    /// Adds the last splits that will ever be discovered: from here on readers that ask in vain are told so.
    pub fn add_last(&mut self, splits: impl IntoIterator<Item = S>, context: &mut EnumeratorContext<S>) {
        self.complete = true;
        self.add(splits, context);
    }

    /// Whether no other split will be discovered.
    pub fn is_complete(&self) -> bool {
        self.complete
    }

    /// The splits, for the snapshot.
    pub fn to_vec(&self) -> Vec<S> {
        self.splits.iter().cloned().collect()
    }

    /// How many there are.
    pub fn len(&self) -> usize {
        self.splits.len()
    }

    /// Whether there is none.
    pub fn is_empty(&self) -> bool {
        self.splits.is_empty()
    }

    /// Answers requests as far as there is an answer.
    fn serve(&mut self, context: &mut EnumeratorContext<S>) {
        while let Some(reader) = self.waiting.front().copied() {
            if let Some(split) = self.splits.pop_front() {
                context.assign(reader, vec![split]);
            } else if !self.complete {
                break;
            } else if self.told.insert(reader) {
                context.no_more_splits(reader);
            }
            self.waiting.pop_front();
        }
        context.report_unassigned(self.splits.len() as u64);
    }
}
