//! Who has which split: drives an enumerator and remembers what no checkpoint holds yet.
//!
//! An assignment is *uncheckpointed* until the first checkpoint that was triggered after it is complete: from then on that
//! checkpoint's reader state holds the split. What is uncheckpointed goes back to the enumerator when readers die.

use std::collections::BTreeMap;
use std::future::poll_fn;
use std::task::{Context, Poll};

use connector_api::Result;
use connector_api::id::{CheckpointId, ReaderId};
use connector_api::source::{
    BoxEnumerator, DynSplit, DynState, EnumeratorAction, EnumeratorCommand, EnumeratorContext, ReaderCommand,
    Split, SplitEnumerator,
};

type Assigned = BTreeMap<ReaderId, Vec<DynSplit>>;

/// A command on its way to a reader.
pub type ToReader = (ReaderId, ReaderCommand<DynSplit>);

/// Remembers assignments until a completed checkpoint holds them.
#[derive(Debug, Default)]
pub struct AssignmentTracker {
    uncheckpointed: Assigned,
    by_checkpoint: BTreeMap<CheckpointId, Assigned>,
}

impl AssignmentTracker {
    /// These were assigned.
    pub fn assigned(&mut self, reader: ReaderId, splits: &[DynSplit]) {
        self.uncheckpointed.entry(reader).or_default().extend_from_slice(splits);
    }

    /// The checkpoint was triggered: it will hold what was assigned so far.
    pub fn triggered(&mut self, checkpoint: CheckpointId) {
        let assigned = std::mem::take(&mut self.uncheckpointed);
        if !assigned.is_empty() {
            self.by_checkpoint.insert(checkpoint, assigned);
        }
    }

    /// The checkpoint is complete: it and the earlier ones hold their assignments.
    pub fn completed(&mut self, checkpoint: CheckpointId) {
        self.by_checkpoint = self.by_checkpoint.split_off(&CheckpointId(checkpoint.0 + 1));
    }

    /// Takes out what the restored checkpoint does not hold (everything, when nothing is restored), in order.
    pub fn give_back(&mut self, restored: Option<CheckpointId>) -> Vec<DynSplit> {
        let later = match restored {
            Some(checkpoint) => self.by_checkpoint.split_off(&CheckpointId(checkpoint.0 + 1)),
            None => std::mem::take(&mut self.by_checkpoint),
        };
        self.by_checkpoint.clear();
        let rest = std::mem::take(&mut self.uncheckpointed);
        later.into_values().chain([rest]).flat_map(BTreeMap::into_values).flatten().collect()
    }
}

/// Drives an enumerator.
pub struct SourceCoordinator {
    enumerator: BoxEnumerator,
    context: EnumeratorContext<DynSplit>,
    tracker: AssignmentTracker,
}

impl std::fmt::Debug for SourceCoordinator {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("SourceCoordinator").field("context", &self.context).finish_non_exhaustive()
    }
}

impl SourceCoordinator {
    /// Starts the enumerator for this many readers. What it assigns to readers that are not there comes back to it.
    ///
    /// # Errors
    ///
    /// The enumerator's.
    pub fn start(enumerator: BoxEnumerator, parallelism: u32) -> Result<Self> {
        let context = EnumeratorContext::new(parallelism);
        let mut this = Self { enumerator, context, tracker: AssignmentTracker::default() };
        let none = this.handle(EnumeratorCommand::Start)?;
        debug_assert!(none.is_empty(), "no reader is there yet");
        Ok(this)
    }

    /// A reader is there.
    ///
    /// # Errors
    ///
    /// The enumerator's.
    pub fn add_reader(&mut self, reader: ReaderId) -> Result<Vec<ToReader>> {
        self.context.reader_added(reader);
        self.handle(EnumeratorCommand::AddReader(reader))
    }

    /// All readers are gone, and the job goes back to a checkpoint (or to the beginning). The enumerator, which lives on, is
    /// told that the checkpoint is complete: the notice may have been missed. Splits that it does not hold go back to the
    /// enumerator; those that it holds are the host's to deal.
    ///
    /// # Errors
    ///
    /// The enumerator's.
    pub fn reset(&mut self, restored: Option<CheckpointId>) -> Result<()> {
        if let Some(checkpoint) = restored {
            // Before the readers go: what they reported up to this checkpoint holds. What is assigned now comes back.
            self.handle(EnumeratorCommand::CheckpointComplete(checkpoint))?;
        }
        let readers: Vec<_> = self.context.readers().collect();
        for reader in readers {
            self.context.reader_removed(reader);
            self.handle(EnumeratorCommand::RemoveReader(reader))?;
        }
        let splits = self.tracker.give_back(restored);
        if !splits.is_empty() {
            self.handle(EnumeratorCommand::AddSplitsBack(splits))?;
        }
        Ok(())
    }

    /// Passes a command on and says what goes to the readers, in order.
    ///
    /// # Errors
    ///
    /// The enumerator's.
    pub fn handle(&mut self, command: EnumeratorCommand<DynSplit>) -> Result<Vec<ToReader>> {
        let about = match &command {
            EnumeratorCommand::SplitRequest(reader)
            | EnumeratorCommand::SplitFinished(reader, _)
            | EnumeratorCommand::ReaderEvent(reader, _) => Some(*reader),
            _ => None,
        };
        // What a reader sent before it died is void; so is what it asks for.
        if about.is_some_and(|reader| !self.context.has_reader(reader)) {
            return Ok(Vec::new());
        }
        // The assignments of an aborted checkpoint stay under its number until a later one is complete.
        if let EnumeratorCommand::CheckpointComplete(id) = &command {
            self.tracker.completed(*id);
        }
        self.enumerator.handle(command, &mut self.context)?;
        self.drain().map(|(out, _)| out)
    }

    /// Lets the enumerator take in its own results.
    ///
    /// # Errors
    ///
    /// The enumerator's.
    pub fn poll(&mut self, waker: &mut Context<'_>) -> Result<Vec<ToReader>> {
        let mut out = Vec::new();
        loop {
            self.enumerator.poll(waker, &mut self.context)?;
            let (commands, was_called) = self.drain()?;
            out.extend(commands);
            // After every `handle` it is polled again (H-1): what it did there wakes nobody.
            if !was_called {
                return Ok(out);
            }
        }
    }

    /// Waits until nothing is under way outside, for a job that has ended: no reader is told anything any more. The caller
    /// bounds the wait. Cancel-safe.
    ///
    /// # Errors
    ///
    /// The enumerator's.
    pub async fn settle(&mut self) -> Result<()> {
        poll_fn(|cx| {
            if let Err(error) = self.poll(cx) {
                return Poll::Ready(Err(error));
            }
            if self.context.is_busy() { Poll::Pending } else { Poll::Ready(Ok(())) }
        })
        .await
    }

    /// The enumerator's state for a checkpoint that is triggered now. Barriers must follow the commands returned so far,
    /// on the same way.
    ///
    /// # Errors
    ///
    /// The enumerator's.
    pub fn snapshot(&mut self, checkpoint: CheckpointId) -> Result<DynState> {
        self.tracker.triggered(checkpoint);
        self.enumerator.snapshot(checkpoint)
    }

    /// The number of splits that no reader has, as the enumerator last said.
    pub fn unassigned(&self) -> Option<u64> {
        self.context.unassigned()
    }

    /// The size of a bounded source, as the enumerator last said.
    pub fn total_bytes(&self) -> Option<u64> {
        self.context.total_bytes()
    }

    /// Takes what the enumerator wants done, and says whether its `handle` was called meanwhile.
    fn drain(&mut self) -> Result<(Vec<ToReader>, bool)> {
        let mut out = Vec::new();
        let mut was_called = false;
        loop {
            let actions = self.context.take_actions();
            if actions.is_empty() {
                return Ok((out, was_called));
            }
            let mut returned = Vec::new();
            for action in actions {
                match action {
                    EnumeratorAction::Assign(_, splits) if splits.is_empty() => {}
                    EnumeratorAction::Assign(reader, splits) if self.context.has_reader(reader) => {
                        self.tracker.assigned(reader, &splits);
                        out.push((reader, ReaderCommand::AddSplits(splits)));
                    }
                    EnumeratorAction::Assign(_, splits) => returned.extend(splits),
                    EnumeratorAction::NoMoreSplits(reader) if self.context.has_reader(reader) => {
                        out.push((reader, ReaderCommand::NoMoreSplits));
                    }
                    EnumeratorAction::ReaderEvent(reader, event) if self.context.has_reader(reader) => {
                        out.push((reader, ReaderCommand::EnumeratorEvent(event)));
                    }
                    EnumeratorAction::NoMoreSplits(_) | EnumeratorAction::ReaderEvent(..) => {}
                    EnumeratorAction::Backlog(_) => {}
                }
            }
            if !returned.is_empty() {
                was_called = true;
                self.enumerator.handle(EnumeratorCommand::AddSplitsBack(returned), &mut self.context)?;
            }
        }
    }
}

/// Deals restored splits to readers as evenly as their number allows, in the order of their ids, whatever the order of the
/// tasks that gave them.
pub fn deal_splits(mut splits: Vec<DynSplit>, readers: u32) -> Vec<Vec<DynSplit>> {
    splits.sort_by_key(Split::id);
    deal(splits, readers)
}

/// Deals restored state to tasks as evenly as their number allows, in its order.
pub fn deal<T>(items: Vec<T>, among: u32) -> Vec<Vec<T>> {
    let mut hands: Vec<Vec<T>> = (0..among).map(|_| Vec::new()).collect();
    let count = hands.len().max(1);
    for (i, item) in items.into_iter().enumerate() {
        if let Some(hand) = hands.get_mut(i % count) {
            hand.push(item);
        }
    }
    hands
}
