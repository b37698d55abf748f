//! Putting the snapshots of a checkpoint together and making it durable.

use std::collections::BTreeMap;
use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use connector_api::env::Environment;
use connector_api::id::{AttemptId, CheckpointId};
use connector_api::sink::Checkpoint;
use connector_api::source::DynState;
use connector_api::{Error, Result, metrics as names};
use futures::future::BoxFuture;

use super::Shared;
use crate::coordinate::checkpoint::TaskId;
use crate::pipeline::PlanParts;
use crate::report::CompletedCheckpoint;
use crate::storage::{CheckpointRecord, SharedStore, StoredCommittable, write};
use crate::task::{Acknowledgement, Counts, TaskState};

/// A checkpoint that is durable.
pub(super) struct Durable {
    pub(super) summary: CompletedCheckpoint,
    pub(super) pending: u64,
    /// What failed after it was stored: then it must not be announced, and the next attempt goes on from it.
    pub(super) failure: Option<Error>,
    path: PathBuf,
}

struct Building {
    checkpoint: Checkpoint,
    enumerator: DynState,
    started: Duration,
    states: BTreeMap<TaskId, TaskState>,
    pending: u64,
}

/// Is told, on the thread that stores, that a checkpoint is stored, with the counts up to it, and whether it may be announced.
/// So the supervisor knows also when the attempt fails before it hears of it.
pub(super) type OnStored = Arc<dyn Fn(Counts, bool) + Send + Sync>;

/// Collects the snapshots of the checkpoint in flight and stores it.
pub(super) struct Checkpointing {
    shared: Arc<Shared>,
    env: Environment,
    store: SharedStore,
    on_stored: OnStored,
    attempt: AttemptId,
    base: Counts,
    /// By the index in [`TaskId::Stage`].
    stage_uids: Vec<String>,
    building: Option<Building>,
    storing: Option<BoxFuture<'static, Result<Durable>>>,
    last: Option<(CheckpointId, PathBuf)>,
}

impl Checkpointing {
    pub(super) fn new(
        shared: Arc<Shared>,
        env: Environment,
        store: SharedStore,
        on_stored: OnStored,
        attempt: AttemptId,
        base: Counts,
        plan: &PlanParts,
    ) -> Self {
        let stage_uids =
            plan.pre_commit.iter().chain(&plan.post_commit).map(|stage| stage.uid.clone()).collect();
        Self {
            shared,
            env,
            store,
            on_stored,
            attempt,
            base,
            stage_uids,
            building: None,
            storing: None,
            last: None,
        }
    }

    pub(super) fn begin(&mut self, checkpoint: Checkpoint, enumerator: DynState, now: Duration) {
        let states = BTreeMap::new();
        self.building = Some(Building { checkpoint, enumerator, started: now, states, pending: 0 });
    }

    /// A late snapshot of another checkpoint is dropped.
    pub(super) fn acknowledged(&mut self, task: TaskId, ack: Acknowledgement) {
        if let Some(building) = self.building.as_mut().filter(|b| b.checkpoint.id == ack.checkpoint) {
            building.pending += ack.pending;
            building.states.insert(task, ack.state);
        }
    }

    pub(super) fn aborted(&mut self) {
        self.building = None;
        metrics::counter!(names::NUM_FAILED_CHECKPOINTS, "job" => self.shared.config.name.clone())
            .increment(1);
    }

    /// Begins to store the checkpoint whose snapshots are all there.
    pub(super) fn store(&mut self, checkpoint: Checkpoint, finished: bool) {
        let Some(building) = self.building.take().filter(|b| b.checkpoint == checkpoint) else { return };
        let (env, store, started, pending) =
            (self.env.clone(), self.store.clone(), building.started, building.pending);
        let (record, counts) = self.record(building, finished);
        let (job, on_stored) = (self.shared.config.name.clone(), self.on_stored.clone());
        self.storing = Some(Box::pin(async move {
            let crash = env.crash.clone();
            let work = move || {
                let stored = write(&crash, &store, &record)?;
                on_stored(counts, stored.2.is_none());
                Ok(stored)
            };
            let (path, bytes, failure) = env.blocking("storing a checkpoint", work).await?;
            let duration = env.clock.monotonic().saturating_sub(started);
            if failure.is_none() {
                metrics::gauge!(names::LAST_CHECKPOINT_DURATION, "job" => job.clone())
                    .set(duration.as_millis() as f64);
                metrics::gauge!(names::LAST_CHECKPOINT_SIZE, "job" => job.clone()).set(bytes as f64);
                metrics::counter!(names::NUM_COMPLETED_CHECKPOINTS, "job" => job).increment(1);
            }
            let summary = CompletedCheckpoint {
                id: checkpoint.id.0,
                duration,
                bytes,
                at_millis: env.clock.now_millis(),
            };
            tracing::debug!(checkpoint = %checkpoint.id, savepoint = checkpoint.savepoint, ?duration, bytes, "complete");
            Ok(Durable { summary, pending, failure, path })
        }));
    }

    /// Waits for the checkpoint that is being stored; for ever when there is none. Cancel-safe.
    pub(super) async fn stored(&mut self) -> Result<Durable> {
        let Some(storing) = &mut self.storing else { return std::future::pending().await };
        let result = storing.await;
        self.storing = None;
        if let Ok(durable) = &result {
            self.last = Some((CheckpointId(durable.summary.id), durable.path.clone()));
        }
        result
    }

    /// Where a completed checkpoint of this attempt is kept.
    pub(super) fn path_of(&self, id: CheckpointId) -> PathBuf {
        self.last.as_ref().filter(|(last, _)| *last == id).map(|(_, path)| path.clone()).unwrap_or_default()
    }

    fn record(&self, building: Building, finished: bool) -> (CheckpointRecord, Counts) {
        let mut counts = self.base;
        let mut record = CheckpointRecord {
            checkpoint: building.checkpoint.id.0,
            savepoint: building.checkpoint.savepoint,
            finished,
            run: self.attempt.run,
            attempt: self.attempt.number,
            time_millis: self.env.clock.now_millis(),
            identity: self.shared.config.identity.clone(),
            enumerator: Some(building.enumerator.0),
            ..CheckpointRecord::default()
        };
        for (task, state) in building.states {
            counts += state.counts;
            record.splits.extend(state.splits);
            record.writers.extend(state.writer);
            if let TaskId::Stage(index, _) = task
                && let Some(uid) = self.stage_uids.get(index as usize)
                && !state.stage.is_empty()
            {
                record.stages.entry(uid.clone()).or_default().extend(state.stage);
            }
            record.committer.extend(state.committer.into_iter().map(|(checkpoint, retries, committable)| {
                StoredCommittable { checkpoint: checkpoint.0, retries, bytes: committable }
            }));
        }
        (record, counts)
    }
}
