//! Who has which split: drives an enumerator and remembers what no checkpoint holds yet.
//!
//! An assignment is *uncheckpointed* until the first checkpoint that was triggered after it is complete: from then on that
//! checkpoint's reader state holds the split. What is uncheckpointed goes back to the enumerator when readers die.

use std::collections::BTreeMap;
use std::task::Context;

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

    /// All readers are gone, and the job goes back to a checkpoint (or to the beginning). Splits that it does not hold go
    /// back to the enumerator, which lives on; those that it holds are the host's to deal.
    ///
    /// # Errors
    ///
    /// The enumerator's.
    pub fn reset(&mut self, restored: Option<CheckpointId>) -> Result<()> {
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

#[cfg(test)]
mod tests {
    use super::*;
    use connector_api::id::SplitId;
    use connector_api::{Stored, stored};

    #[derive(Clone, serde::Serialize, serde::Deserialize)]
    struct Named(String);
    stored!(Named, "named");
    impl Split for Named {
        fn id(&self) -> SplitId {
            SplitId::new(self.0.as_str())
        }
    }

    fn split(name: &str) -> DynSplit {
        DynSplit::of(&Named(name.to_owned())).unwrap()
    }

    fn names(splits: &[DynSplit]) -> Vec<String> {
        splits.iter().map(|s| s.id().to_string()).collect()
    }

    /// Assigns one pending split per request; tells a gone reader on purpose when `assign_to_gone` is set.
    struct Pool {
        pending: Vec<DynSplit>,
        assign_to_gone: bool,
    }

    impl SplitEnumerator for Pool {
        type Split = DynSplit;
        type State = DynState;

        fn handle(
            &mut self,
            command: EnumeratorCommand<DynSplit>,
            context: &mut EnumeratorContext<DynSplit>,
        ) -> Result<()> {
            match command {
                EnumeratorCommand::Start if self.assign_to_gone => {
                    self.assign_to_gone = false;
                    context.assign(ReaderId(9), std::mem::take(&mut self.pending));
                }
                EnumeratorCommand::SplitRequest(reader) => {
                    if let Some(split) = self.pending.pop() {
                        context.assign(reader, vec![split]);
                    }
                }
                EnumeratorCommand::AddSplitsBack(splits) => self.pending.extend(splits),
                _ => {}
            }
            Ok(())
        }

        fn poll(&mut self, _: &mut Context<'_>, _: &mut EnumeratorContext<DynSplit>) -> Result<()> {
            Ok(())
        }

        fn snapshot(&mut self, _: CheckpointId) -> Result<DynState> {
            Ok(DynState(names(&self.pending).join(",").into()))
        }
    }

    fn coordinator(pending: &[&str], assign_to_gone: bool) -> SourceCoordinator {
        let pending = pending.iter().map(|name| split(name)).collect();
        SourceCoordinator::start(Box::new(Pool { pending, assign_to_gone }), 2).unwrap()
    }

    fn request(c: &mut SourceCoordinator, reader: u32) -> Vec<String> {
        let out = c.handle(EnumeratorCommand::SplitRequest(ReaderId(reader))).unwrap();
        out.iter()
            .flat_map(|(_, cmd)| if let ReaderCommand::AddSplits(s) = cmd { names(s) } else { vec![] })
            .collect()
    }

    fn state(c: &mut SourceCoordinator, id: u64) -> String {
        String::from_utf8(c.snapshot(CheckpointId(id)).unwrap().0.to_vec()).unwrap()
    }

    #[test]
    fn splits_assigned_after_the_restored_checkpoint_are_given_back() {
        let mut c = coordinator(&["c", "b", "a"], false);
        c.add_reader(ReaderId(0)).unwrap();
        assert_eq!(request(&mut c, 0), ["a"]);
        assert_eq!(state(&mut c, 1), "c,b");
        c.handle(EnumeratorCommand::CheckpointComplete(CheckpointId(1))).unwrap();
        assert_eq!(request(&mut c, 0), ["b"]);
        assert_eq!(state(&mut c, 2), "c");
        assert_eq!(request(&mut c, 0), ["c"]);
        c.reset(Some(CheckpointId(1))).unwrap();
        assert_eq!(state(&mut c, 3), "b,c", "a is in checkpoint 1, b and c are in none");
    }

    #[test]
    fn without_a_checkpoint_everything_comes_back() {
        let mut c = coordinator(&["b", "a"], false);
        c.add_reader(ReaderId(0)).unwrap();
        request(&mut c, 0);
        state(&mut c, 1);
        request(&mut c, 0);
        c.reset(None).unwrap();
        assert_eq!(state(&mut c, 2), "a,b");
    }

    #[test]
    fn assignments_of_an_aborted_checkpoint_are_held_by_the_next_that_completes() {
        let mut c = coordinator(&["b", "a"], false);
        c.add_reader(ReaderId(0)).unwrap();
        request(&mut c, 0);
        state(&mut c, 1);
        c.handle(EnumeratorCommand::CheckpointAborted(CheckpointId(1))).unwrap();
        state(&mut c, 2);
        c.handle(EnumeratorCommand::CheckpointComplete(CheckpointId(2))).unwrap();
        c.reset(Some(CheckpointId(2))).unwrap();
        assert_eq!(state(&mut c, 3), "b", "a is in checkpoint 2");
    }

    #[test]
    fn an_assignment_to_a_reader_that_is_gone_comes_back() {
        let mut c = coordinator(&["b", "a"], true);
        assert_eq!(state(&mut c, 1), "b,a");
    }

    /// Assigns to a reader that is gone in one poll, and has more to do in the next.
    struct Polled(Pool, u32);

    impl SplitEnumerator for Polled {
        type Split = DynSplit;
        type State = DynState;

        fn handle(
            &mut self,
            command: EnumeratorCommand<DynSplit>,
            context: &mut EnumeratorContext<DynSplit>,
        ) -> Result<()> {
            self.0.handle(command, context)
        }

        fn poll(&mut self, _: &mut Context<'_>, context: &mut EnumeratorContext<DynSplit>) -> Result<()> {
            self.1 += 1;
            match self.1 {
                1 => context.assign(ReaderId(9), std::mem::take(&mut self.0.pending)),
                2 => context.assign(ReaderId(0), std::mem::take(&mut self.0.pending)),
                _ => {}
            }
            Ok(())
        }

        fn snapshot(&mut self, id: CheckpointId) -> Result<DynState> {
            self.0.snapshot(id)
        }
    }

    #[test]
    fn an_enumerator_that_gets_splits_back_while_it_is_polled_is_polled_again() {
        let pool = Pool { pending: vec![split("a")], assign_to_gone: false };
        let mut c = SourceCoordinator::start(Box::new(Polled(pool, 0)), 1).unwrap();
        c.add_reader(ReaderId(0)).unwrap();
        let out = c.poll(&mut Context::from_waker(std::task::Waker::noop())).unwrap();
        assert!(
            matches!(&out[..], [(ReaderId(0), ReaderCommand::AddSplits(s))] if names(s) == ["a"]),
            "{out:?}"
        );
    }

    #[test]
    fn a_request_of_a_reader_that_is_gone_is_void() {
        let mut c = coordinator(&["a"], false);
        assert!(request(&mut c, 1).is_empty());
        assert_eq!(state(&mut c, 1), "a");
    }

    #[test]
    fn restored_splits_are_dealt_evenly_in_the_order_of_their_ids() {
        let splits = ["g", "a", "f", "b", "e", "c", "d"].map(split).to_vec();
        let hands: Vec<_> = deal_splits(splits, 3).iter().map(|hand| names(hand).concat()).collect();
        assert_eq!(hands, ["adg", "be", "cf"]);
    }

    #[test]
    fn stored_names_round_trip() {
        assert_eq!(split("x").decode::<Named>().unwrap().0, "x");
        assert_eq!(Named::KIND, "named");
    }
}
