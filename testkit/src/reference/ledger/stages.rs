//! The stages: parts wait for company and are merged; what was merged is removed when the merge is visible.

use async_trait::async_trait;
use connector_api::id::CheckpointId;
use connector_api::sink::{Checkpoint, Operator, OperatorContext, Output, Prepare};
use connector_api::{Error, Result};

use super::outside::Part;
use super::{Held, Ledger, SinkFlaw, Staged};

/// How many parts are merged, if they are not the last.
const COMPANY: usize = 3;

/// Merges parts of completed checkpoints.
pub(super) struct Group {
    ledger: Ledger,
    context: OperatorContext,
    held: Vec<Held>,
    completed: Vec<u64>,
}

impl Group {
    pub(super) fn new(ledger: Ledger, context: OperatorContext, held: Vec<Held>) -> Self {
        Self { ledger, context, held, completed: Vec::new() }
    }

    fn is_complete(&self, checkpoint: u64) -> bool {
        if self.ledger.is(SinkFlaw::NeedsEachNotice) {
            return self.completed.contains(&checkpoint);
        }
        self.completed.iter().any(|completed| *completed >= checkpoint)
    }

    fn waits_alone(&self, held: &[Held]) -> bool {
        held.len() == 1 && self.ledger.is(SinkFlaw::WaitsAtTheEnd)
    }

    /// One part with the rows of these. The same parts give the same name and the same rows, whoever merges them and when.
    fn merge(&self, mut held: Vec<Held>) -> Result<Staged> {
        held.sort();
        if held.len() == 1 {
            return Ok(held.remove(0).part);
        }
        let inputs: Vec<String> = held.into_iter().map(|held| held.part.name).collect();
        let name = inputs.join("+");
        self.ledger.check("merging", &name)?;
        self.context.env.crash.hit("ledger-group/before-merge");
        let mut outside = self.ledger.lock();
        let mut rows = Vec::new();
        for input in &inputs {
            match outside.staged.get(input) {
                Some(part) => rows.extend(part.rows.iter().cloned()),
                // Visible since before: the job went back, or the merge was committed already.
                None if outside.committed.contains(input) => {}
                None => return Err(Error::Lost(format!("{input} is gone, and was to be merged"))),
            }
            if self.ledger.is(SinkFlaw::ConsumesInputs) {
                outside.staged.remove(input);
            }
        }
        let count = rows.len() as u64;
        if self.ledger.is(SinkFlaw::StagePublishes) {
            outside.publish(&name, &inputs, std::mem::take(&mut rows));
        }
        outside.staged.insert(name.clone(), Part { made_by: self.context.attempt, rows });
        drop(outside);
        self.context.env.crash.hit("ledger-group/after-merge");
        Ok(Staged { name, rows: count, inputs })
    }
}

#[async_trait]
impl Operator for Group {
    type In = Staged;
    type Out = Staged;
    type State = Held;

    async fn process(&mut self, part: Staged, at: CheckpointId, _: &mut Output<Staged>) -> Result<()> {
        self.held.push(Held { part, checkpoint: at.0 });
        Ok(())
    }

    async fn prepare(&mut self, how: Prepare, out: &mut Output<Staged>) -> Result<()> {
        let held = std::mem::take(&mut self.held);
        let (ready, waiting): (Vec<_>, Vec<_>) =
            held.into_iter().partition(|held| self.is_complete(held.checkpoint));
        self.held = waiting;
        let are_enough = ready.len() >= COMPANY || (how == Prepare::Final && !ready.is_empty());
        if are_enough && !self.waits_alone(&ready) {
            out.emit(self.merge(ready)?);
        } else {
            self.held.extend(ready);
        }
        Ok(())
    }

    fn snapshot(&mut self, _: Checkpoint) -> Result<Vec<Held>> {
        let kept = self.held.len().saturating_sub(usize::from(self.ledger.is(SinkFlaw::ForgetsHeld)));
        Ok(self.held[..kept].to_vec())
    }

    async fn checkpoint_complete(&mut self, checkpoint: CheckpointId, _: &mut Output<Staged>) -> Result<()> {
        self.completed.push(checkpoint.0);
        Ok(())
    }

    async fn end_of_input(&mut self, out: &mut Output<Staged>) -> Result<()> {
        let mut last = std::mem::take(&mut self.held);
        if self.ledger.is(SinkFlaw::NeedsEachNotice) {
            self.held = last.extract_if(.., |held| !self.is_complete(held.checkpoint)).collect();
        }
        if self.waits_alone(&last) {
            self.held.append(&mut last);
        }
        if !last.is_empty() {
            out.emit(self.merge(last)?);
        }
        Ok(())
    }
}

/// Removes the inputs of merges that are visible.
pub(super) struct Clean(pub(super) Ledger);

#[async_trait]
impl Operator for Clean {
    type In = Staged;
    type Out = Staged;
    type State = Staged;

    async fn process(&mut self, part: Staged, _: CheckpointId, _: &mut Output<Staged>) -> Result<()> {
        let mut outside = self.0.lock();
        for input in &part.inputs {
            let removed = outside.staged.remove(input);
            if removed.is_none() && self.0.is(SinkFlaw::CleansOnce) {
                return Err(Error::data(input.clone(), None, "is gone, and was to be removed"));
            }
        }
        Ok(())
    }

    fn snapshot(&mut self, _: Checkpoint) -> Result<Vec<Staged>> {
        Ok(Vec::new())
    }
}
