//! A small host: it drives a sink's plan as the contract says, step by step, and keeps its checkpoints in a value.

use std::collections::BTreeMap;

use bytes::Bytes;
use connector_api::env::Environment;
use connector_api::id::CheckpointId;
use connector_api::sink::{
    Checkpoint, CommitRequest, DynCommitter, DynOperator, DynWriter, Flush, Outcome, Output, Parallelism,
    Partitioner, Prepare, References, Restored, SinkPlan, WriterContext,
};
use connector_api::{Batch, Error, MessageBatch, Result};

use super::context;

/// What is stored of one checkpoint.
#[derive(Clone, Debug, Default)]
pub(super) struct Stored {
    pub(super) id: u64,
    /// How many lines of the input it covers.
    pub(super) position: usize,
    pub(super) writers: Vec<Bytes>,
    pub(super) stages: BTreeMap<String, Vec<Bytes>>,
    pub(super) pending: Vec<(u64, Bytes)>,
}

impl Stored {
    fn values(&self) -> impl Iterator<Item = Bytes> {
        let stages = self.stages.values().flatten();
        let pending = self.pending.iter().map(|(_, bytes)| bytes);
        self.writers.iter().chain(stages).chain(pending).cloned()
    }
}

struct Stage {
    uid: String,
    instances: Vec<Box<dyn DynOperator>>,
    /// What an instance emitted since its last barrier.
    held: Vec<Output<Bytes>>,
}

/// One attempt of a job.
pub(super) struct Attempt {
    writers: Vec<Box<dyn DynWriter<MessageBatch>>>,
    stages: Vec<Stage>,
    partitioner: Option<Partitioner<MessageBatch>>,
    committer: Box<dyn DynCommitter>,
    behind: Vec<Stage>,
    pending: Vec<(u64, Bytes)>,
    turn: usize,
    ended: bool,
}

/// How an attempt is made.
pub(super) struct Start<'a> {
    pub(super) env: &'a Environment,
    pub(super) number: u64,
    pub(super) writers: u32,
    pub(super) compactors: u32,
    /// What it restores.
    pub(super) from: Option<&'a Stored>,
    pub(super) going_back: bool,
    /// Everything that is retained.
    pub(super) retained: &'a [Stored],
}

impl Start<'_> {
    fn context(&self, subtask: u32, parallelism: u32) -> WriterContext {
        let restored =
            self.from.map(|from| Restored { checkpoint: CheckpointId(from.id), going_back: self.going_back });
        WriterContext { restored, ..context(self.env, self.number, subtask, parallelism) }
    }

    pub(super) async fn open(&self, plan: &SinkPlan<MessageBatch>) -> Result<Attempt> {
        let references = References::new(self.retained.iter().flat_map(Stored::values).collect());
        if let Some(sweep) = &plan.sweep {
            sweep.sweep(self.context(0, 1), references).await?;
        }
        let nothing = Stored::default();
        let from = self.from.unwrap_or(&nothing);
        for uid in plan.absent.keys() {
            assert!(from.stages.get(uid).is_none_or(Vec::is_empty), "state of {uid} without its stage");
        }
        let mut writers = Vec::new();
        for (i, states) in deal(&from.writers, self.writers).into_iter().enumerate() {
            writers.push((plan.writer)(self.context(i as u32, self.writers), states).await?);
        }
        let stages = self.open_stages(&plan.pre_commit, from).await?;
        let behind = self.open_stages(&plan.post_commit, from).await?;
        let open = plan.committer.as_ref().expect("a sink that commits");
        let committer = open(self.context(0, 1)).await?;
        let pending = from.pending.clone();
        let mut attempt = Attempt {
            writers,
            stages,
            partitioner: plan.partitioner.clone(),
            committer,
            behind,
            pending,
            turn: 0,
            ended: false,
        };
        if self.from.is_some() {
            attempt.commit(from.id).await?;
            attempt.complete(from.id).await?;
        }
        Ok(attempt)
    }
}

impl Start<'_> {
    async fn open_stages(&self, plans: &[connector_api::sink::Stage], from: &Stored) -> Result<Vec<Stage>> {
        let mut stages = Vec::new();
        for stage in plans {
            let count = if stage.parallelism == Parallelism::One { 1 } else { self.compactors };
            let states = from.stages.get(&stage.uid).map_or(&[][..], Vec::as_slice);
            let mut instances = Vec::new();
            for (i, states) in deal(states, count).into_iter().enumerate() {
                instances.push((stage.open)(self.context(i as u32, count), states).await?);
            }
            let held = instances.iter().map(|_| Output::new()).collect();
            stages.push(Stage { uid: stage.uid.clone(), instances, held });
        }
        Ok(stages)
    }
}

/// Deals entries of state to instances, in turn.
fn deal(states: &[Bytes], count: u32) -> Vec<Vec<Bytes>> {
    let mut dealt = vec![Vec::new(); count as usize];
    for (i, state) in states.iter().enumerate() {
        dealt[i % count as usize].push(state.clone());
    }
    dealt
}

impl Attempt {
    pub(super) async fn write(&mut self, batch: MessageBatch) -> Result<()> {
        self.write_batch(Batch::new(batch)).await
    }

    pub(super) async fn write_batch(&mut self, batch: Batch<MessageBatch>) -> Result<()> {
        if let Some(partition) = &self.partitioner {
            for (writer, part) in partition(batch, self.writers.len() as u32) {
                self.writers[writer as usize].write(part).await?;
            }
            return Ok(());
        }
        self.turn += 1;
        let writer = self.turn % self.writers.len();
        self.writers[writer].write(batch).await
    }

    pub(super) async fn watermark(&mut self, millis: i64) -> Result<()> {
        for writer in &mut self.writers {
            writer.watermark(millis).await?;
        }
        Ok(())
    }

    /// Lets each writer do what it does while there is no input, for a while.
    pub(super) async fn idle(&mut self, env: &Environment, turns: u64) -> Result<()> {
        for writer in &mut self.writers {
            for _ in 0..turns {
                let pause = env.clock.sleep(std::time::Duration::from_millis(30));
                match futures::future::select(writer.idle(), pause).await {
                    futures::future::Either::Left((done, _)) => done?,
                    futures::future::Either::Right(_) => {}
                }
            }
        }
        Ok(())
    }

    /// Everything up to the snapshots. The checkpoint counts only when the caller completes it.
    pub(super) async fn checkpoint(&mut self, id: u64, position: usize, flush: Flush) -> Result<Stored> {
        let at = Checkpoint { id: CheckpointId(id), savepoint: flush == Flush::Savepoint };
        let mut stored = Stored { id, position, ..Stored::default() };
        let mut items = Vec::new();
        for writer in &mut self.writers {
            if !(self.ended && flush == Flush::EndOfInput) {
                writer.flush(flush).await?;
            }
            items.extend(writer.prepare_commit().await?);
            stored.writers.extend(writer.snapshot(at)?);
        }
        self.ended |= flush == Flush::EndOfInput;
        for stage in &mut self.stages {
            let count = stage.instances.len();
            for item in items.drain(..) {
                self.turn += 1;
                let to = self.turn % count;
                stage.instances[to].process(item, at.id, &mut stage.held[to]).await?;
            }
            let mut states = Vec::new();
            for (instance, out) in stage.instances.iter_mut().zip(&mut stage.held) {
                let how = if self.ended { Prepare::Final } else { Prepare::Running };
                if self.ended {
                    instance.end_of_input(out).await?;
                }
                instance.prepare(how, out).await?;
                states.extend(instance.snapshot(at)?);
                items.extend(out.take());
            }
            stored.stages.insert(stage.uid.clone(), states);
        }
        self.pending.extend(items.into_iter().map(|item| (id, item)));
        stored.pending = self.pending.clone();
        // Behind the committer the input ends when nothing is held before it, and all is committed.
        let is_through = self.ended && self.pending.is_empty() && stored.stages.values().all(Vec::is_empty);
        for stage in &mut self.behind {
            let mut states = Vec::new();
            for (instance, out) in stage.instances.iter_mut().zip(&mut stage.held) {
                if is_through {
                    instance.end_of_input(out).await?;
                }
                let how = if self.ended { Prepare::Final } else { Prepare::Running };
                instance.prepare(how, out).await?;
                states.extend(instance.snapshot(at)?);
            }
            stored.stages.insert(stage.uid.clone(), states);
        }
        Ok(stored)
    }

    /// Commits what belongs to checkpoints up to `id`. What must be retried stays pending.
    pub(super) async fn commit(&mut self, id: u64) -> Result<()> {
        let (mut ready, later): (Vec<_>, Vec<_>) = self.pending.drain(..).partition(|(at, _)| *at <= id);
        ready.sort_by_key(|(at, _)| *at);
        self.pending = later;
        let requests = ready.iter().map(|(at, bytes)| CommitRequest {
            committable: bytes.clone(),
            checkpoint: CheckpointId(*at),
            retries: 0,
        });
        let outcomes = self.committer.commit(requests.collect()).await;
        assert_eq!(outcomes.len(), ready.len());
        for (item, outcome) in ready.into_iter().zip(outcomes) {
            match outcome {
                Outcome::Committed | Outcome::AlreadyCommitted { .. } => {
                    for stage in &mut self.behind {
                        let (first, out) = (&mut stage.instances[0], &mut stage.held[0]);
                        first.process(item.1.clone(), CheckpointId(item.0), out).await?;
                    }
                }
                Outcome::Retry { updated, .. } => self.pending.push((item.0, updated.unwrap_or(item.1))),
                Outcome::Lost { reason } => return Err(Error::Lost(reason)),
                Outcome::Fatal(e) => return Err(e),
            }
        }
        Ok(())
    }

    pub(super) fn pending(&self) -> usize {
        self.pending.len()
    }

    /// Tells the stages that a checkpoint is complete.
    pub(super) async fn complete(&mut self, id: u64) -> Result<()> {
        for stage in self.stages.iter_mut().chain(&mut self.behind) {
            for (instance, out) in stage.instances.iter_mut().zip(&mut stage.held) {
                instance.checkpoint_complete(CheckpointId(id), out).await?;
            }
        }
        Ok(())
    }

    pub(super) async fn close(mut self) {
        for writer in &mut self.writers {
            let _ = writer.close().await;
        }
        for instance in self.stages.iter_mut().flat_map(|stage| &mut stage.instances) {
            let _ = instance.close().await;
        }
    }
}
