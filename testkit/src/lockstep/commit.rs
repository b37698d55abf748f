//! Notices of completed checkpoints, and the commits that follow.

use connector_api::id::CheckpointId;
use connector_runtime::config::OnLost;
use connector_runtime::coordinate::checkpoint::Input;
use connector_runtime::coordinate::source::SourceCoordinator;

use super::attempt::{Attempt, guarded};
use super::stage::Role;
use super::{Pair, Run, Stop};
use crate::broken::Broken;
use crate::rows::TestBatch;

impl<B: TestBatch> Attempt<B> {
    /// Commits what the restored checkpoint holds, then tells the stages: before any input (rule H-44).
    pub(super) async fn commit_restored(
        &mut self,
        run: &mut Run<'_>,
        pair: &mut dyn Pair<B>,
        checkpoint: CheckpointId,
    ) -> Result<(), Stop> {
        for committers in [true, false] {
            for hop in 0..self.hops.len() {
                if self.hops[hop].is_committer() == committers {
                    for index in 0..self.hops[hop].seats.len() {
                        self.notice(run, pair, hop, index, checkpoint).await?;
                    }
                }
            }
        }
        Ok(())
    }

    pub(super) async fn deliver_notice(
        &mut self,
        run: &mut Run<'_>,
        pair: &mut dyn Pair<B>,
        enumerator: &mut Option<SourceCoordinator>,
        hop: usize,
        index: usize,
    ) -> Result<(), Stop> {
        let seat = &mut self.hops[hop].seats[index];
        let task = seat.task;
        let Some(checkpoint) = seat.notices.pop_front() else { return Ok(()) };
        self.notice(run, pair, hop, index, checkpoint).await?;
        self.input(run, enumerator, Input::Noticed { task, checkpoint }).await
    }

    async fn notice(
        &mut self,
        run: &mut Run<'_>,
        pair: &mut dyn Pair<B>,
        hop: usize,
        index: usize,
        checkpoint: CheckpointId,
    ) -> Result<(), Stop> {
        let seat = &mut self.hops[hop].seats[index];
        run.log.line(run.around, format!("{}: checkpoint {checkpoint} is complete", seat.task));
        match &mut seat.role {
            Role::Operator { operator, out } => {
                let telling = operator.checkpoint_complete(checkpoint, out);
                guarded(run.around, "Operator::checkpoint_complete", telling).await?;
                run.look(pair).await?;
                Ok(())
            }
            Role::Committer { ledger, .. } => {
                ledger.complete(checkpoint);
                self.commit(run, pair, hop, index).await
            }
        }
    }

    /// Commits what is due.
    pub(super) async fn commit(
        &mut self,
        run: &mut Run<'_>,
        pair: &mut dyn Pair<B>,
        hop: usize,
        index: usize,
    ) -> Result<(), Stop> {
        loop {
            let now = self.now();
            let seat = &mut self.hops[hop].seats[index];
            let Role::Committer { committer, ledger } = &mut seat.role else { return Ok(()) };
            let requests = ledger.take_due(now);
            if requests.is_empty() {
                return Ok(());
            }
            let count = requests.len();
            let committing = async { Ok(committer.commit(requests).await) };
            let outcomes = guarded(run.around, "Committer::commit", committing).await?;
            let settlement = ledger.settle(outcomes, OnLost::Fail, now);
            let (done, waits) = (settlement.committed.len(), settlement.retried.len());
            run.log.line(run.around, format!("{}: {done} of {count} committed, {waits} wait", seat.task));
            for why in &settlement.retried {
                if !pair.excuses(why) {
                    let what = format!("a commit is to be tried again, and nothing is broken: {why}");
                    return Err(Broken::new(run.options.rule, what).into());
                }
            }
            run.look(pair).await?;
            for (checkpoint, bytes) in settlement.committed {
                self.send_on(Some(hop), index, checkpoint, vec![bytes])?;
            }
            if let Some(error) = settlement.fatal {
                // Past every restart (rule H-27): no cause excuses it.
                let what = format!("a commit ends the job: {error}");
                return Err(Broken::new(run.options.rule, what).into());
            }
        }
    }
}
