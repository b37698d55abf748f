//! A job's hold on its checkpoint directory: what each attempt begins with, and how a checkpoint becomes official.

use std::path::PathBuf;
use std::sync::{Arc, Mutex, MutexGuard};

use connector_api::env::{CrashPoints, Environment};
use connector_api::id::{AttemptId, CheckpointId, RunId};
use connector_api::sink::{References, Restored};
use connector_api::{Error, Result};

use super::record::CheckpointRecord;
use super::start::RunStart;
use super::store::CheckpointStore;
use crate::config::{CheckpointConfig, StartFrom, StartOptions};

/// What one attempt begins with.
#[derive(Debug)]
pub struct AttemptStart {
    /// Its number; durable, and never given again within the run.
    pub attempt: AttemptId,
    /// The runs before its run, oldest first.
    pub ancestors: Arc<[RunId]>,
    /// The checkpoint that it goes on from.
    pub record: Option<CheckpointRecord>,
    /// The same, as writers, stages and committers are told.
    pub restored: Option<Restored>,
    /// What the sweep must leave.
    pub references: References,
    /// The number of its first checkpoint.
    pub next_checkpoint: CheckpointId,
}

/// A [`CheckpointStore`] in the order in which a job uses it, without blocking the caller. The directory is locked as long as
/// this lives.
///
/// ```text
/// open -> begin_attempt -> store* -> (the attempt fails) -> look_again -> begin_attempt -> ...
/// ```
#[derive(Debug)]
pub struct JobStore {
    env: Environment,
    store: SharedStore,
    /// What the next attempt goes on from, and whether commits of a later checkpoint had begun.
    record: Option<(CheckpointRecord, bool)>,
}

/// Shared with blocking work.
pub(crate) type SharedStore = Arc<Mutex<CheckpointStore>>;

fn locked(store: &SharedStore) -> Result<MutexGuard<'_, CheckpointStore>> {
    store.lock().map_err(|_| Error::contract("checkpoint store", "an earlier operation panicked"))
}

impl JobStore {
    /// Opens the directory, reads what the job is to start from and makes that decision durable. `check` refuses a checkpoint
    /// that does not fit the job: before anything is changed.
    ///
    /// # Errors
    ///
    /// What `check` says; those of [`CheckpointStore`].
    pub async fn open(
        env: &Environment,
        config: &CheckpointConfig,
        options: &StartOptions,
        check: impl FnOnce(&CheckpointRecord) -> Result<()> + Send + 'static,
    ) -> Result<Self> {
        let (fs, config, options) = (env.fs.clone(), config.clone(), options.clone());
        let random = env.random.next_u64();
        let open = move || {
            let mut store = CheckpointStore::open(fs, &config.dir, config.retain)?;
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
                    check(&record)?;
                    let going_back = store.check_going_back(&record, options.accept_duplicates)?;
                    store.begin_run(RunStart::Restored { record: &record, random })?;
                    Some((record, going_back))
                }
            };
            Ok((Arc::new(Mutex::new(store)), record))
        };
        let (store, record) = env.blocking("opening the checkpoint directory", open).await?;
        if let Some((record, going_back)) = &record {
            tracing::info!(
                checkpoint = record.checkpoint,
                savepoint = record.savepoint,
                going_back,
                "restoring"
            );
        }
        Ok(Self { env: env.clone(), store, record })
    }

    /// Whether the job had ended before: there is nothing to do but [a last sweep](Self::own_run).
    pub fn is_finished(&self) -> bool {
        self.record.as_ref().is_some_and(|(record, going_back)| record.finished && !going_back)
    }

    /// The run of the checkpoint that the job starts from, if it is that of the directory: another may go on elsewhere, and is
    /// not to be swept.
    ///
    /// # Errors
    ///
    /// When an earlier operation panicked.
    pub fn own_run(&self) -> Result<Option<RunId>> {
        let run = locked(&self.store)?.run();
        Ok(run.filter(|run| self.record.as_ref().is_some_and(|(record, _)| record.run == *run)))
    }

    /// Draws the next attempt number, durably, and gathers what the attempt needs.
    ///
    /// # Errors
    ///
    /// Those of [`CheckpointStore::next_attempt`] and [`CheckpointStore::references`].
    pub async fn begin_attempt(&self) -> Result<AttemptStart> {
        let store = self.store.clone();
        let begin = move || {
            let mut store = locked(&store)?;
            let attempt = store.next_attempt()?;
            Ok((attempt, store.ancestors(), store.references()?, store.next_checkpoint()))
        };
        let (attempt, ancestors, references, next_checkpoint) =
            self.env.blocking("preparing an attempt", begin).await?;
        let ancestors = ancestors.into();
        let restored = self.record.as_ref().map(|(record, going_back)| Restored {
            checkpoint: CheckpointId(record.checkpoint),
            going_back: *going_back,
        });
        let record = self.record.as_ref().map(|(record, _)| record.clone());
        Ok(AttemptStart { attempt, ancestors, record, restored, references, next_checkpoint })
    }

    /// Makes a checkpoint durable, then its high-water mark, and removes older ones: when this returns, and not before, it may
    /// be announced. Says where it is.
    ///
    /// # Errors
    ///
    /// The file system's. The checkpoint may be stored all the same: the attempt is over, and [`look_again`](Self::look_again)
    /// tells what the next one goes on from.
    pub async fn store(&self, record: CheckpointRecord) -> Result<PathBuf> {
        let (store, crash) = (self.store.clone(), self.env.crash.clone());
        let (path, _, failure) =
            self.env.blocking("storing a checkpoint", move || write(&crash, &store, &record)).await?;
        failure.map_or(Ok(path), Err)
    }

    /// After a failure: from now on the newest checkpoint in the directory counts, also one that was stored and not announced
    /// because the step after its storing failed. A later process would go on from it, so this one may not write behind it.
    ///
    /// # Errors
    ///
    /// Those of [`CheckpointStore::latest`].
    pub async fn look_again(&mut self) -> Result<()> {
        let store = self.store.clone();
        let latest =
            self.env.blocking("reading the last checkpoint", move || locked(&store)?.latest()).await?;
        self.record = latest.map(|record| {
            let is_same = |(old, _): &&(CheckpointRecord, bool)| {
                (old.run, old.checkpoint) == (record.run, record.checkpoint)
            };
            let going_back = self.record.as_ref().filter(is_same).is_some_and(|(_, going_back)| *going_back);
            (record, going_back)
        });
        Ok(())
    }

    pub(crate) fn shared(&self) -> SharedStore {
        self.store.clone()
    }
}

/// Makes a checkpoint durable, then its high-water mark: only then may a commit be announced. `Err` when nothing was
/// stored; what failed afterwards comes with the path and the size.
pub(crate) fn write(
    crash: &CrashPoints,
    store: &SharedStore,
    record: &CheckpointRecord,
) -> Result<(PathBuf, u64, Option<Error>)> {
    let mut store = locked(store)?;
    crash.hit("checkpoint/before-store");
    let (path, bytes) = store.store(record)?;
    crash.hit("checkpoint/after-store");
    let mut make_official = || {
        store.set_high_water(CheckpointId(record.checkpoint))?;
        crash.hit("checkpoint/after-high-water");
        store.retire_older()
    };
    let failure = make_official().err();
    crash.hit("checkpoint/after-retire");
    Ok((path, bytes, failure))
}
