//! A compactor: merges what the coordinator asks for, once its checkpoint is complete.

use std::collections::BTreeMap;
use std::sync::Arc;

use async_trait::async_trait;
use connector_api::env::Environment;
use connector_api::id::CheckpointId;
use connector_api::sink::{Checkpoint, Operator, OperatorContext, Output, Prepare};
use connector_api::{Error, Result};
use futures::StreamExt;

use super::merge::{Merged, Merger};
use super::present::still_hidden;
use super::state::{CompactorState, Request};
use crate::sink::committable::FileCommittable;
use crate::sink::config::SinkConfig;
use crate::sink::metrics::Backlog;
use crate::sink::naming::Uid;

/// Holds, merges and hands over. In its state a merge is one entry from the request to the hand-over of the result.
#[derive(Debug)]
pub(crate) struct Compactor {
    env: Environment,
    /// Whether it only gives back what an earlier run held.
    drains: bool,
    next: u64,
    held: Vec<CompactorState>,
    running: BTreeMap<u64, CompactorState>,
    merger: Merger,
    backlog: Backlog,
}

impl Compactor {
    /// Goes on with the merges of these states.
    ///
    /// # Errors
    ///
    /// Those of [`still_hidden`].
    pub(crate) async fn open(
        context: OperatorContext,
        config: Arc<SinkConfig>,
        drains: bool,
        states: Vec<CompactorState>,
    ) -> Result<Self> {
        let mut held = Vec::with_capacity(states.len());
        for CompactorState { checkpoint, inputs } in states {
            let inputs = still_hidden(&context, &config, inputs).await?;
            if !inputs.is_empty() {
                held.push(CompactorState { checkpoint, inputs });
            }
        }
        let env = context.env.clone();
        let uid = Uid { attempt: context.attempt, subtask: context.subtask };
        let merger = Merger::new(env.clone(), config, uid);
        let backlog = Backlog::default();
        let mut compactor = Self { env, drains, next: 0, held, running: BTreeMap::new(), merger, backlog };
        compactor.measure();
        Ok(compactor)
    }

    fn measure(&mut self) {
        let all = self.running.values().chain(&self.held).flat_map(|state| &state.inputs);
        self.backlog.set(all);
    }

    fn finish(&mut self, merged: Merged, out: &mut Output<FileCommittable>) -> Result<()> {
        let (number, result) = merged;
        // Also after a failure: `close` waits for those that are left.
        self.running.remove(&number);
        self.measure();
        out.emit(result?.into());
        Ok(())
    }
}

#[async_trait]
impl Operator for Compactor {
    type In = Request;
    type Out = FileCommittable;
    type State = CompactorState;

    async fn process(
        &mut self,
        request: Request,
        at: CheckpointId,
        out: &mut Output<FileCommittable>,
    ) -> Result<()> {
        match request {
            Request::Pass(committable) => out.emit(committable),
            Request::Merge(inputs) => self.held.push(CompactorState { checkpoint: at.0, inputs }),
        }
        self.measure();
        Ok(())
    }

    async fn prepare(&mut self, how: Prepare, out: &mut Output<FileCommittable>) -> Result<()> {
        if self.drains {
            self.held.drain(..).flat_map(|state| state.inputs).for_each(|file| out.emit(file.into()));
            self.measure();
            return Ok(());
        }
        while !self.running.is_empty() {
            let merged = match how {
                Prepare::Final => self.merger.results().next().await,
                Prepare::Running => self.merger.results().try_recv().ok(),
            };
            match merged {
                Some(merged) => self.finish(merged, out)?,
                None if how == Prepare::Running => break,
                None => return Err(Error::Cancelled("merge".into())),
            }
        }
        self.env.crash.hit("file-compactor/after-prepare");
        Ok(())
    }

    fn snapshot(&mut self, _: Checkpoint) -> Result<Vec<CompactorState>> {
        self.env.crash.hit("file-compactor/snapshot");
        Ok(self.running.values().chain(&self.held).cloned().collect())
    }

    async fn checkpoint_complete(
        &mut self,
        checkpoint: CheckpointId,
        _: &mut Output<FileCommittable>,
    ) -> Result<()> {
        if self.drains {
            return Ok(());
        }
        self.env.crash.hit("file-compactor/before-begin");
        let ready = self.held.extract_if(.., |state| state.checkpoint <= checkpoint.0);
        for state in ready {
            self.merger.begin(self.next, state.inputs.clone());
            self.running.insert(self.next, state);
            self.next += 1;
        }
        self.env.crash.hit("file-compactor/after-begin");
        Ok(())
    }

    /// Waits for the merge under way to stop, so that no file is made after it returned.
    async fn close(&mut self) -> Result<()> {
        self.merger.give_up();
        while !self.running.is_empty() {
            match self.merger.results().next().await {
                Some((number, _)) => self.running.remove(&number),
                None => break,
            };
        }
        Ok(())
    }
}
