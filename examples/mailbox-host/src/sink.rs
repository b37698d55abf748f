//! A sink on the host's thread: writers, stages in front of the committers, committers, stages behind them.
//!
//! Between them nothing is under way: what one emits for a checkpoint reaches the next within the same step.

use std::time::Duration;

use bytes::Bytes;
use connector_api::env::Environment;
use connector_api::id::CheckpointId;
use connector_api::sink::{
    DynCommitter, DynOperator, DynWriter, Flush, Output, Partitioner, SinkPlan, Stage, WriterContext,
};
use connector_api::{Batch, Result, RowBatch, metrics as names};
use connector_runtime::OnLost;
use connector_runtime::coordinate::checkpoint::Trigger;
use connector_runtime::coordinate::commit::CommitLedger;
use connector_runtime::coordinate::route::{Route, instances};
use connector_runtime::coordinate::source::deal;
use connector_runtime::storage::{CheckpointRecord, StoredCommittable};

use crate::Failure;

/// A committable between two parts of the sink: which instance it came from, and the checkpoint that it belongs to.
struct Item {
    from: usize,
    checkpoint: CheckpointId,
    bytes: Bytes,
}

/// All parts of a sink.
pub(crate) struct SinkTasks<B> {
    pub(crate) writers: Vec<Box<dyn DynWriter<B>>>,
    partitioner: Option<Partitioner<B>>,
    pre_commit: Vec<StageTasks>,
    /// To the committers, from each instance in front of them.
    routes: Vec<Route>,
    committers: Vec<(Box<dyn DynCommitter>, CommitLedger)>,
    post_commit: Vec<StageTasks>,
    /// Committed, and not yet with the stage behind.
    committed: Vec<Item>,
    /// The writers were flushed for the last time.
    pub(crate) is_flushed: bool,
}

impl<B: RowBatch> SinkTasks<B> {
    /// Nothing is open yet.
    pub(crate) fn new() -> Self {
        Self {
            writers: Vec::new(),
            partitioner: None,
            pre_commit: Vec::new(),
            routes: Vec::new(),
            committers: Vec::new(),
            post_commit: Vec::new(),
            committed: Vec::new(),
            is_flushed: false,
        }
    }

    /// Opens everything, each with its share of the state, whatever the parallelism was before. What is open when one fails is
    /// to be closed. `context` holds the number of writers.
    pub(crate) async fn open(
        &mut self,
        plan: SinkPlan<B>,
        context: &WriterContext,
        committers: u32,
        record: &mut CheckpointRecord,
    ) -> Result<()> {
        let writers = context.parallelism;
        for (i, pending) in deal(std::mem::take(&mut record.committer), committers).into_iter().enumerate() {
            let Some(open) = &plan.committer else { break };
            let mut ledger = CommitLedger::default();
            pending.into_iter().for_each(|c| ledger.add(CheckpointId(c.checkpoint), c.bytes, c.retries));
            self.committers.push((open(instance(context, i, committers)).await?, ledger));
        }
        let mut front = writers;
        for stage in plan.pre_commit {
            let count = instances(&stage, committers);
            open_stage(&mut self.pre_commit, &stage, front, count, context, record).await?;
            front = count;
        }
        let partition = Route::to_committers(front, committers);
        self.routes = (0..front as usize).map(|from| Route::new(partition.clone(), from)).collect();
        front = committers;
        for stage in plan.post_commit {
            let count = instances(&stage, committers);
            open_stage(&mut self.post_commit, &stage, front, count, context, record).await?;
            front = count;
        }
        for (i, states) in deal(std::mem::take(&mut record.writers), writers).into_iter().enumerate() {
            self.writers.push((plan.writer)(instance(context, i, writers), states).await?);
        }
        self.partitioner = plan.partitioner;
        Ok(())
    }

    /// Without a partitioning, a reader keeps to one writer: rows of a split stay in order.
    pub(crate) async fn write(&mut self, reader: usize, batch: Batch<B>) -> Result<()> {
        let count = self.writers.len();
        let parts = match &self.partitioner {
            Some(partition) => partition(batch, count as u32),
            None => vec![((reader % count) as u32, batch)],
        };
        for (writer, part) in parts {
            self.writers[writer as usize % count].write(part).await?;
        }
        Ok(())
    }

    /// A barrier goes through the whole sink, and all state into the record. H-21: what a part emits for this checkpoint
    /// reaches the next one before that is snapshotted.
    pub(crate) async fn barrier(
        &mut self,
        trigger: Trigger,
        input_ended: bool,
        record: &mut CheckpointRecord,
    ) -> Result<()> {
        let checkpoint = trigger.checkpoint;
        let why = match (input_ended, checkpoint.savepoint) {
            (true, _) => Flush::EndOfInput,
            (false, true) => Flush::Savepoint,
            (false, false) => Flush::Checkpoint,
        };
        let mut items = Vec::new();
        for (from, writer) in self.writers.iter_mut().enumerate() {
            // H-20; and after the last flush there is nothing left to prepare.
            if !self.is_flushed {
                writer.flush(why).await?;
                let prepared = writer.prepare_commit().await?.into_iter();
                items.extend(prepared.map(|bytes| Item { from, checkpoint: checkpoint.id, bytes }));
            }
            record.writers.extend(writer.snapshot(checkpoint)?);
        }
        self.is_flushed = input_ended;

        // A stage is at the end of its input when what is in front of it is, and holds nothing back.
        let mut ended = input_ended;
        for stage in &mut self.pre_commit {
            (items, ended) = stage.barrier(items, trigger, ended, record).await?;
        }
        for Item { from, checkpoint, bytes } in items {
            let target = self.routes[from].target(&bytes, self.committers.len())?;
            self.committers[target].1.add(checkpoint, bytes, 0);
        }
        for (checkpoint, retries, bytes) in self.committers.iter().flat_map(|(_, ledger)| ledger.pending()) {
            let bytes = bytes.clone();
            record.committer.push(StoredCommittable { checkpoint: checkpoint.0, retries, bytes });
        }
        ended &= record.committer.is_empty();
        let mut items = std::mem::take(&mut self.committed);
        for stage in &mut self.post_commit {
            (items, ended) = stage.barrier(items, trigger, ended, record).await?;
        }
        Ok(())
    }

    /// The checkpoint is complete: commits, tells every stage, and only then hands on what was committed.
    pub(crate) async fn complete(
        &mut self,
        id: CheckpointId,
        on_lost: OnLost,
        env: &Environment,
    ) -> Result<(), Failure> {
        self.committers.iter_mut().for_each(|(_, ledger)| ledger.complete(id));
        self.commit(on_lost, env).await?;
        for stage in self.pre_commit.iter_mut().chain(&mut self.post_commit) {
            for (operator, out) in &mut stage.instances {
                operator.checkpoint_complete(id, out).await?;
            }
        }
        self.hand_on().await
    }

    /// Commits what is due, oldest checkpoint first (H-24). A retry waits in the ledger, and not here (H-26).
    pub(crate) async fn commit(&mut self, on_lost: OnLost, env: &Environment) -> Result<(), Failure> {
        for (from, (committer, ledger)) in self.committers.iter_mut().enumerate() {
            loop {
                let requests = ledger.take_due(env.clock.monotonic());
                if requests.is_empty() {
                    break;
                }
                let outcomes = committer.commit(requests).await;
                let settled = ledger.settle(outcomes, on_lost, env.clock.monotonic());
                let committed = settled.committed.into_iter();
                self.committed.extend(committed.map(|(checkpoint, bytes)| Item { from, checkpoint, bytes }));
                for why in &settled.retried {
                    tracing::warn!(error = %why, "a commit will be tried again");
                }
                // H-27
                for reason in &settled.skipped {
                    metrics::counter!(names::FAILED_COMMITTABLES).increment(1);
                    tracing::error!(%reason, "lost, and skipped as `on_lost` says");
                }
                settled.fatal.map_or(Ok(()), |error| Err(Failure::Final(error)))?;
            }
        }
        Ok(())
    }

    /// When a commit is to be tried again, if one is.
    pub(crate) fn due_at(&self) -> Option<Duration> {
        self.committers.iter().filter_map(|(_, ledger)| ledger.due_at()).min()
    }

    /// Hands what was committed on to the stage behind the committers.
    pub(crate) async fn hand_on(&mut self) -> Result<(), Failure> {
        let items = std::mem::take(&mut self.committed);
        match self.post_commit.first_mut() {
            Some(stage) => Ok(stage.process(items).await?),
            None => Ok(()),
        }
    }

    pub(crate) async fn close(&mut self) {
        for writer in &mut self.writers {
            if let Err(error) = writer.close().await {
                tracing::warn!(%error, "a writer did not close cleanly");
            }
        }
        let stages = self.pre_commit.iter_mut().chain(&mut self.post_commit);
        for (operator, _) in stages.flat_map(|stage| &mut stage.instances) {
            if let Err(error) = operator.close().await {
                tracing::warn!(%error, "a stage did not close cleanly");
            }
        }
    }
}

fn instance(context: &WriterContext, i: usize, parallelism: u32) -> WriterContext {
    WriterContext { subtask: i as u32, parallelism, ..context.clone() }
}

async fn open_stage(
    stages: &mut Vec<StageTasks>,
    stage: &Stage,
    front: u32,
    count: u32,
    context: &WriterContext,
    record: &mut CheckpointRecord,
) -> Result<()> {
    let routes = (0..front as usize).map(|from| Route::new(stage.partition.clone(), from)).collect();
    let tasks = StageTasks { uid: stage.uid.clone(), routes, instances: Vec::new(), has_ended: false };
    let instances = &mut stages.push_mut(tasks).instances;
    let hands = deal(record.stages.remove(&stage.uid).unwrap_or_default(), count);
    for (i, states) in hands.into_iter().enumerate() {
        let operator = (stage.open)(instance(context, i, count), states).await?;
        instances.push((operator, Output::new()));
    }
    Ok(())
}

/// The instances of a stage, each with what it emitted since the last barrier.
struct StageTasks {
    uid: String,
    /// To the instances, from each in front of them.
    routes: Vec<Route>,
    instances: Vec<(Box<dyn DynOperator>, Output<Bytes>)>,
    has_ended: bool,
}

impl StageTasks {
    async fn process(&mut self, items: Vec<Item>) -> Result<()> {
        for Item { from, checkpoint, bytes } in items {
            let target = self.routes[from].target(&bytes, self.instances.len())?;
            let (operator, out) = &mut self.instances[target];
            operator.process(bytes, checkpoint, out).await?;
        }
        Ok(())
    }

    /// Takes what came before the barrier; gives what leaves before it, and whether nothing will follow.
    async fn barrier(
        &mut self,
        items: Vec<Item>,
        trigger: Trigger,
        input_ended: bool,
        record: &mut CheckpointRecord,
    ) -> Result<(Vec<Item>, bool)> {
        let checkpoint = trigger.checkpoint;
        self.process(items).await?;
        let ends_now = input_ended && !std::mem::replace(&mut self.has_ended, input_ended);
        let (mut left, mut states) = (Vec::new(), Vec::new());
        for (from, (operator, out)) in self.instances.iter_mut().enumerate() {
            if ends_now {
                operator.end_of_input(out).await?;
            }
            operator.prepare(trigger.prepare, out).await?;
            states.extend(operator.snapshot(checkpoint)?);
            left.extend(out.take().into_iter().map(|bytes| Item { from, checkpoint: checkpoint.id, bytes }));
        }
        let is_done = input_ended && states.is_empty();
        if !states.is_empty() {
            record.stages.insert(self.uid.clone(), states);
        }
        Ok((left, is_done))
    }
}
