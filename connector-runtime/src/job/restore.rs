//! What a job begins with: the checkpoint directory, the checkpoint, and whether they fit this pipeline.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::{Arc, Mutex};

use bytes::Bytes;
use connector_api::id::{AttemptId, CheckpointId, RunId};
use connector_api::sink::References;
use connector_api::source::DynSplit;
use connector_api::{Error, Result};

use super::Shared;
use super::topology::SinkState;
use crate::config::{StartFrom, StartOptions};
use crate::pipeline::PlanParts;
use crate::storage::{CheckpointRecord, CheckpointStore, RunStart};

/// The checkpoint directory, shared with blocking work.
pub(super) type Store = Arc<Mutex<CheckpointStore>>;

/// An opened job.
pub(super) struct Started {
    pub(super) store: Store,
    /// What the next attempt is restored from, and whether commits of a later checkpoint had begun.
    record: Option<(CheckpointRecord, bool)>,
}

impl Started {
    /// Whether the job had ended before.
    pub(super) fn is_finished(&self) -> bool {
        self.record.as_ref().is_some_and(|(record, going_back)| record.finished && !going_back)
    }
}

/// The run that has ended with the checkpoint that the job starts from, if it is that of the directory: another may go on
/// elsewhere.
pub(super) fn ended_run(started: &Started) -> Result<Option<RunId>> {
    let run = locked(&started.store)?.run();
    Ok(run.filter(|run| started.record.as_ref().is_some_and(|(record, _)| record.run == *run)))
}

/// What one attempt begins with.
pub(super) struct Prepared {
    pub(super) attempt: AttemptId,
    pub(super) record: Option<(CheckpointRecord, bool)>,
    pub(super) references: References,
    pub(super) next_checkpoint: CheckpointId,
}

fn locked(store: &Store) -> Result<std::sync::MutexGuard<'_, CheckpointStore>> {
    store.lock().map_err(|_| Error::contract("checkpoint store", "an earlier operation panicked"))
}

/// Opens the directory and reads what the job is to start from. Refuses what does not fit.
pub(super) async fn open(shared: &Arc<Shared>, options: StartOptions) -> Result<Started> {
    let job = shared.clone();
    let plan = shared.graph.plan(shared.config.source_parallelism, shared.config.sink_parallelism)?;
    let random = shared.env.random.next_u64();
    let started = shared
        .env
        .blocking("opening the checkpoint directory", move || {
            let config = &job.config.checkpoint;
            let mut store = CheckpointStore::open(job.env.fs.clone(), &config.dir, config.retain)?;
            let found = match &options.from {
                StartFrom::Latest => store.latest()?,
                StartFrom::Nothing => None,
                StartFrom::Path(path) => Some(store.load(path)?),
            };
            let record = match found {
                None => {
                    store.begin_run(RunStart::Fresh { random })?;
                    None
                }
                Some(record) => {
                    same_job(&record.identity, &job.config.identity)?;
                    fits(&record, &plan)?;
                    let going_back = store.check_going_back(&record, options.accept_duplicates)?;
                    store.begin_run(RunStart::Restored { record: &record, random })?;
                    Some((record, going_back))
                }
            };
            Ok(Started { store: Arc::new(Mutex::new(store)), record })
        })
        .await?;
    if let Some((record, going_back)) = &started.record {
        tracing::info!(checkpoint = record.checkpoint, savepoint = record.savepoint, going_back, "restoring");
    }
    Ok(started)
}

/// After a failure: from now on the newest checkpoint in the directory counts, also one that was stored and not announced
/// because the step after its storing failed. A later process would go on from it, so this one may not write behind it.
pub(super) async fn reopen(shared: &Arc<Shared>, started: &mut Started) -> Result<()> {
    let store = started.store.clone();
    let latest = shared.env.blocking("reading the last checkpoint", move || locked(&store)?.latest()).await?;
    started.record = latest.map(|record| {
        let is_same = |(old, _): &&(CheckpointRecord, bool)| {
            (old.run, old.checkpoint) == (record.run, record.checkpoint)
        };
        let going_back = started.record.as_ref().filter(is_same).is_some_and(|(_, going_back)| *going_back);
        (record, going_back)
    });
    Ok(())
}

/// Draws the next attempt number, durably, and gathers what the attempt needs.
pub(super) async fn prepare(shared: &Arc<Shared>, started: &Started) -> Result<Prepared> {
    let store = started.store.clone();
    let record = started.record.clone();
    let (attempt, references, next_checkpoint) = shared
        .env
        .blocking("preparing an attempt", move || {
            let mut store = locked(&store)?;
            let attempt = store.next_attempt()?;
            let mut references = Vec::new();
            for record in store.retained()? {
                references.extend(record.writers);
                references.extend(record.stages.into_values().flatten());
                references.extend(record.committer.into_iter().map(|c| c.bytes));
            }
            Ok((attempt, References::new(references), store.next_checkpoint()))
        })
        .await?;
    Ok(Prepared { attempt, record, references, next_checkpoint })
}

/// What the writers and readers go on from.
pub(super) fn data_state(record: &mut CheckpointRecord) -> (Vec<DynSplit>, Vec<Bytes>) {
    let mut splits = std::mem::take(&mut record.splits);
    // Dealt in the order of their ids, whatever the order of the tasks that gave them.
    splits.sort_by_key(connector_api::source::Split::id);
    (splits, std::mem::take(&mut record.writers))
}

/// What the stages and committers go on from.
pub(super) fn sink_state(record: &mut CheckpointRecord) -> SinkState {
    let committer = std::mem::take(&mut record.committer).into_iter();
    SinkState {
        stages: std::mem::take(&mut record.stages),
        committer: committer.map(|c| (CheckpointId(c.checkpoint), c.retries, c.bytes)).collect(),
    }
}

/// Refuses a job other than the one that wrote the checkpoint, and names the key.
fn same_job(stored: &BTreeMap<String, String>, now: &BTreeMap<String, String>) -> Result<()> {
    let keys: BTreeSet<&String> = stored.keys().chain(now.keys()).collect();
    for key in keys {
        let (before, after) = (stored.get(key), now.get(key));
        if before != after {
            let show = |value: Option<&String>| value.map_or("nothing".to_owned(), |v| format!("`{v}`"));
            let reason = format!(
                "the checkpoint was written with {}, now it is {}: state can't be carried over; undo the change, use \
                 another checkpoint directory, or start a new run from nothing",
                show(before),
                show(after)
            );
            return Err(Error::config(key, reason));
        }
    }
    Ok(())
}

/// Refuses state that this pipeline would drop.
fn fits(record: &CheckpointRecord, plan: &PlanParts) -> Result<()> {
    let stages: BTreeSet<&str> =
        plan.pre_commit.iter().chain(&plan.post_commit).map(|s| s.uid.as_str()).collect();
    for (uid, state) in &record.stages {
        if !state.is_empty() && !stages.contains(uid.as_str()) {
            let hint = plan.absent.get(uid).cloned();
            let hint = hint.unwrap_or_else(|| "this pipeline has no such stage".to_owned());
            let reason =
                format!("checkpoint {} holds {} entries of it: {hint}", record.checkpoint, state.len());
            return Err(Error::state(format!("stage {uid}"), reason));
        }
    }
    if !record.committer.is_empty() && plan.committer.is_none() {
        let reason = format!("{} committables wait, and this sink has no committer", record.committer.len());
        return Err(Error::state("committer", reason));
    }
    if !record.writers.is_empty() && !plan.has_writer_state {
        return Err(Error::state(
            "writer",
            "the checkpoint holds writer state, and this sink's writers have none",
        ));
    }
    Ok(())
}
