//! A committer.

use connector_api::env::Environment;
use connector_api::sink::DynCommitter;
use connector_api::{Result, metrics as names};
use tokio::sync::mpsc;

use super::inputs::{Aligned, Inputs};
use super::message::{
    Acknowledgement, Command, Committable, Failure, Report, Reports, TaskState, neighbour_gone,
};
use super::output::Downstream;
use super::stage::End;
use crate::config::OnLost;
use crate::coordinate::checkpoint::{TaskId, Trigger};
use crate::coordinate::commit::{CommitLedger, Settlement};

/// Runs a committer over its ledger.
pub(crate) struct CommitterTask {
    pub(crate) task: TaskId,
    pub(crate) env: Environment,
    pub(crate) job: std::sync::Arc<str>,
    pub(crate) committer: Box<dyn DynCommitter>,
    pub(crate) ledger: CommitLedger,
    pub(crate) on_lost: OnLost,
    pub(crate) inputs: Inputs<Committable>,
    /// To the first post-commit stage.
    pub(crate) downstream: Option<Downstream>,
    pub(crate) commands: mpsc::UnboundedReceiver<Command>,
    pub(crate) reports: Reports,
}

impl CommitterTask {
    pub(crate) async fn run(mut self) -> Result<(), Failure> {
        let mut end = End::Before;
        loop {
            let retry = self.ledger.due_at().map(|due| {
                let wait = due.saturating_sub(self.env.clock.monotonic());
                self.env.clock.sleep(wait)
            });
            let has_retry = retry.is_some();
            let retry = async {
                match retry {
                    Some(sleep) => sleep.await,
                    None => std::future::pending().await,
                }
            };
            tokio::select! {
                biased;
                command = self.commands.recv() => match command {
                    None | Some(Command::Close) => return Ok(()),
                    Some(Command::Complete(id)) => {
                        self.ledger.complete(id);
                        self.commit().await?;
                        let _ = self.reports.send(Report::Noticed(self.task, id));
                    }
                    Some(Command::Reader(_) | Command::Trigger(_) | Command::Aborted(_)) => {}
                },
                aligned = self.inputs.next() => match aligned {
                    Aligned::Data(item) => {
                        self.count(names::TOTAL_COMMITTABLES, 1);
                        self.ledger.add(item.checkpoint, item.bytes, 0);
                    }
                    Aligned::Watermark(_) => {}
                    Aligned::Barrier(trigger) => self.barrier(trigger, &mut end).await?,
                    Aligned::End => end = End::Here,
                    Aligned::Broken => return Err(neighbour_gone().into()),
                },
                () = retry, if has_retry => self.commit().await?,
            }
        }
    }

    /// Commits what is due. Stops at a retry: that waits in the ledger, not here.
    async fn commit(&mut self) -> Result<(), Failure> {
        loop {
            let requests = self.ledger.take_due(self.env.clock.monotonic());
            if requests.is_empty() {
                break;
            }
            let outcomes = self.committer.commit(requests).await;
            let settlement = self.ledger.settle(outcomes, self.on_lost, self.env.clock.monotonic());
            self.settled(settlement).await?;
        }
        let labels = [("job", self.job.to_string()), ("subtask", self.task.to_string())];
        metrics::gauge!(names::PENDING_COMMITTABLES, &labels).set(self.ledger.len() as f64);
        Ok(())
    }

    async fn settled(&mut self, settlement: Settlement) -> Result<(), Failure> {
        let Settlement { committed, already, retried, skipped, fatal } = settlement;
        let count = committed.len() as u64;
        self.count(names::SUCCESSFUL_COMMITTABLES, count - already);
        self.count(names::ALREADY_COMMITTED_COMMITTABLES, already);
        self.count(names::RETRIED_COMMITTABLES, retried.len() as u64);
        self.count(names::FAILED_COMMITTABLES, skipped.len() as u64 + u64::from(fatal.is_some()));
        for why in &retried {
            tracing::warn!(error = %why, task = %self.task, "a commit will be tried again");
        }
        for reason in &skipped {
            tracing::error!(%reason, task = %self.task, "lost, and skipped as `on_lost` says");
        }
        let _ = self.reports.send(Report::Committed { committed: count, lost: skipped.len() as u64 });
        if let Some(downstream) = &mut self.downstream {
            for (checkpoint, bytes) in committed {
                downstream.items(checkpoint, vec![bytes]).await?;
            }
        }
        fatal.map_or(Ok(()), |error| Err(Failure { error, fatal: true }))
    }

    async fn barrier(&mut self, trigger: Trigger, end: &mut End) -> Result<()> {
        if let Some(downstream) = &mut self.downstream {
            // What waits to be committed is still to come.
            if *end == End::Here && self.ledger.is_empty() {
                downstream.end().await?;
                *end = End::Beyond;
            }
            downstream.barrier(trigger).await?;
        }
        let committer = self.ledger.pending().map(|(id, retries, c)| (id, retries, c.clone())).collect();
        let pending = self.ledger.len() as u64;
        let state = TaskState { committer, ..TaskState::default() };
        let ack =
            Acknowledgement { checkpoint: trigger.checkpoint.id, ended: *end != End::Before, pending, state };
        let _ = self.reports.send(Report::Ack(self.task, Box::new(ack)));
        Ok(())
    }

    fn count(&self, name: &'static str, by: u64) {
        if by > 0 {
            metrics::counter!(name, "job" => self.job.to_string()).increment(by);
        }
    }
}
