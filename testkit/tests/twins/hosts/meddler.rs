//! The meddler: what each flaw does.

use std::path::{Path, PathBuf};
use std::sync::Arc;

use async_trait::async_trait;
use connector_api::Result;
use connector_api::Stored;
use connector_api::env::{Access, Environment};
use connector_runtime::storage::CheckpointRecord;
use testkit::host::{EmbeddedHost, HostContext, HostEnd, HostJob};
use testkit::{Capabilities, Capability};

use super::files::MeddledFs;
use super::sink::MeddledSink;
use super::source::MeddledSource;

/// What the host does wrong, as the twins' names say.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Flaw {
    None,
    NoPollAfterCommand,
    NoPollOfEnumerator,
    SwapsActions,
    DelaysActions,
    OvertakesBarrier,
    DropsGivenBack,
    DropsAborted,
    OneReader,
    NoMoreOnce,
    KeepsFinished,
    KeepsIdle,
    HighestWatermark,
    SwallowsErrors,
    LateBatch,
    IgnoresUnemitted,
    Unbounded,
    ClosesNothing,
    PreparesFirst,
    ForgetsCommittables,
    EarlyCompletion,
    NoDirectorySync,
    NoFileSync,
    NoHighWater,
    NewestFirst,
    DropsStaged,
    WaitsForRetries,
    ForgetsRetries,
    IgnoresLoss,
    RestartsAfterFatal,
    NeverSkips,
    NeverFlushesEnd,
    NoLastSweep,
    ForgetsStages,
    RemovesSavepoints,
    EarlyStageEnd,
    SameAttempt,
    GoesBack,
    HidesGoingBack,
    IgnoresDamage,
    IgnoresIdentity,
    SweepsBlindly,
    NeverSweeps,
    LateCommits,
    NoLock,
    DropsAbsent,
    DropsWriterState,
}

/// The embedded host with a flaw. It hands batches on in parts, which the meddler does for it.
pub(super) struct Meddler {
    flaw: Flaw,
}

impl Meddler {
    pub(super) fn new(flaw: Flaw) -> Self {
        Self { flaw }
    }
}

/// Removes the newest checkpoint when it does not decode: the host falls back on an older one.
fn forget_damaged(env: &Environment, dir: &Path) {
    let newest = EmbeddedHost.checkpoints(env, dir).ok().and_then(|mut files| files.pop());
    let Some(newest) = newest else { return };
    let Ok(file) = env.fs.open(&newest, Access::Read) else { return };
    let mut bytes = vec![0; file.metadata().map(|m| m.len as usize).unwrap_or(0)];
    let read = file.read_full_at(&mut bytes, 0);
    if read.is_err() || CheckpointRecord::from_bytes(&bytes).is_err() {
        let _ = env.fs.remove_file(&newest);
    }
}

#[async_trait(?Send)]
impl HostContext for Meddler {
    fn capabilities(&self) -> Capabilities {
        EmbeddedHost.capabilities().with(Capability::PartialBatches)
    }

    async fn run(&self, env: &Environment, mut job: HostJob) -> Result<HostEnd> {
        let flaw = self.flaw;
        match flaw {
            Flaw::NeverSkips => job.skip_lost = false,
            Flaw::GoesBack => job.accept_duplicates = true,
            Flaw::IgnoresIdentity => job.identity.clear(),
            Flaw::IgnoresDamage => forget_damaged(env, &job.dir),
            _ => {}
        }
        job.source = MeddledSource::over(job.source, flaw, job.max_rows);
        job.sink = Box::new(MeddledSink { inner: job.sink, flaw, timeout: job.timeout });
        let env = Environment { fs: Arc::new(MeddledFs { inner: env.fs.clone(), flaw }), ..env.clone() };
        EmbeddedHost.run(&env, job).await
    }

    fn checkpoints(&self, env: &Environment, dir: &Path) -> Result<Vec<PathBuf>> {
        EmbeddedHost.checkpoints(env, dir)
    }
}
