//! An operator: one stage of a pre-commit or post-commit topology.

use async_trait::async_trait;

use crate::id::CheckpointId;
use crate::{Result, Stored};

use super::Checkpoint;

/// Where an operator puts what it makes. The host holds it until the operator's next barrier.
#[derive(Debug)]
pub struct Output<T>(Vec<T>);

impl<T> Output<T> {
    /// An empty output.
    pub fn new() -> Self {
        Self(Vec::new())
    }

    /// Adds an item.
    pub fn emit(&mut self, item: T) {
        self.0.push(item);
    }

    /// For hosts: takes the items out.
    pub fn take(&mut self) -> Vec<T> {
        std::mem::take(&mut self.0)
    }
}

impl<T> Default for Output<T> {
    fn default() -> Self {
        Self::new()
    }
}

/// How far [`Operator::prepare`] goes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Prepare {
    /// Emit what is finished; wait for nothing.
    Running,
    /// No more input will come: wait for work in flight and emit its results, so that the job can end.
    Final,
}

/// A stage of a topology.
///
/// # Contract
///
/// One party calls, never two at once; no method is cancel-safe. It never commits; it may do work that can be repeated
/// from its state with the same result. Order at checkpoint n: `process` for every item that precedes the barrier,
/// `prepare`, `snapshot`; what was emitted since the last barrier leaves *before* the barrier and belongs to the next stage.
/// When n is complete: `checkpoint_complete(n)`, which may be skipped (a later one stands for it). After a restore of n:
/// the factory gets the states, then `checkpoint_complete(n)` comes before the first item. A stage behind the committer is
/// given what was committed for n before or after that notice. `end_of_input` comes behind the last item.
#[async_trait]
pub trait Operator: Send + 'static {
    /// What it takes.
    type In: Stored;
    /// What it emits.
    type Out: Stored;
    /// What it keeps. One entry is the unit that a rescale redistributes.
    type State: Stored;

    /// Takes an item that belongs to checkpoint `at` (the one whose barrier follows).
    ///
    /// # Errors
    ///
    /// An error fails the attempt.
    async fn process(&mut self, item: Self::In, at: CheckpointId, out: &mut Output<Self::Out>) -> Result<()>;

    /// The last chance to emit before the barrier.
    ///
    /// # Errors
    ///
    /// An error fails the attempt.
    async fn prepare(&mut self, how: Prepare, out: &mut Output<Self::Out>) -> Result<()> {
        let _ = (how, out);
        Ok(())
    }

    /// What a later attempt needs. Empty means that nothing is pending here: a job ends only when all are empty.
    ///
    /// # Errors
    ///
    /// An error fails the attempt.
    fn snapshot(&mut self, at: Checkpoint) -> Result<Vec<Self::State>>;

    /// The checkpoint, and with it every earlier one, is complete.
    ///
    /// # Errors
    ///
    /// An error fails the attempt.
    async fn checkpoint_complete(
        &mut self,
        checkpoint: CheckpointId,
        out: &mut Output<Self::Out>,
    ) -> Result<()> {
        let _ = (checkpoint, out);
        Ok(())
    }

    /// No more items will come. Emit what was held back for lack of company.
    ///
    /// # Errors
    ///
    /// An error fails the attempt.
    async fn end_of_input(&mut self, out: &mut Output<Self::Out>) -> Result<()> {
        let _ = out;
        Ok(())
    }

    /// Gives up everything held outside. Also called after a failure.
    ///
    /// # Errors
    ///
    /// Reported, but the job's fate does not depend on it.
    async fn close(&mut self) -> Result<()> {
        Ok(())
    }
}
