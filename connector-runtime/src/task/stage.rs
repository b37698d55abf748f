//! An instance of a pre-commit or post-commit stage.

use bytes::Bytes;
use connector_api::Result;
use connector_api::sink::{DynOperator, Output};
use tokio::sync::mpsc;

use super::inputs::{Aligned, Inputs};
use super::message::{
    Acknowledgement, Command, Committable, Failure, Report, Reports, TaskState, neighbour_gone,
};
use super::output::Downstream;
use crate::coordinate::checkpoint::{TaskId, Trigger};

/// How far the end of the input came.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum End {
    Before,
    /// The task has seen it.
    Here,
    /// So has the next stage: nothing is left to send there.
    Beyond,
}

/// Runs an operator.
pub(crate) struct StageTask {
    pub(crate) task: TaskId,
    pub(crate) operator: Box<dyn DynOperator>,
    pub(crate) inputs: Inputs<Committable>,
    /// None for the last post-commit stage: what it emits goes nowhere.
    pub(crate) downstream: Option<Downstream>,
    pub(crate) commands: mpsc::UnboundedReceiver<Command>,
    pub(crate) reports: Reports,
}

impl StageTask {
    pub(crate) async fn run(mut self) -> Result<(), Failure> {
        let result = self.work().await;
        if let Err(error) = self.operator.close().await {
            tracing::warn!(%error, task = %self.task, "a stage did not close cleanly");
        }
        result.map_err(Failure::from)
    }

    async fn work(&mut self) -> Result<()> {
        let mut out = Output::new();
        let mut end = End::Before;
        loop {
            tokio::select! {
                biased;
                command = self.commands.recv() => match command {
                    None | Some(Command::Close) => return Ok(()),
                    Some(Command::Complete(id)) => {
                        self.operator.checkpoint_complete(id, &mut out).await?;
                        let _ = self.reports.send(Report::Noticed(self.task, id));
                    }
                    Some(Command::Reader(_) | Command::Trigger(_) | Command::Aborted(_)) => {}
                },
                aligned = self.inputs.next() => match aligned {
                    Aligned::Data(item) => self.operator.process(item.bytes, item.checkpoint, &mut out).await?,
                    Aligned::Watermark(_) => {}
                    Aligned::Barrier(trigger) => self.barrier(trigger, &mut out, &mut end).await?,
                    Aligned::End => {
                        self.operator.end_of_input(&mut out).await?;
                        end = End::Here;
                    }
                    Aligned::Broken => return Err(neighbour_gone()),
                },
            }
        }
    }

    async fn barrier(&mut self, trigger: Trigger, out: &mut Output<Bytes>, end: &mut End) -> Result<()> {
        self.operator.prepare(trigger.prepare, out).await?;
        let stage = self.operator.snapshot(trigger.checkpoint)?;
        let items = out.take();
        if let Some(downstream) = &mut self.downstream {
            downstream.items(trigger.checkpoint.id, items).await?;
            if *end == End::Here && stage.is_empty() {
                downstream.end().await?;
                *end = End::Beyond;
            }
            downstream.barrier(trigger).await?;
        }
        let pending = stage.len() as u64;
        let state = TaskState { stage, ..TaskState::default() };
        let ack =
            Acknowledgement { checkpoint: trigger.checkpoint.id, ended: *end != End::Before, pending, state };
        let _ = self.reports.send(Report::Ack(self.task, Box::new(ack)));
        Ok(())
    }
}
