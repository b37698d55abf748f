//! The mailbox host passes the suite for hosts: what an engine's author writes to have the same.
#![allow(missing_docs)]

use std::num::NonZeroUsize;
use std::path::{Path, PathBuf};
use std::pin::pin;
use std::process::ExitCode;
use std::time::Duration;

use async_trait::async_trait;
use connector_api::env::Environment;
use connector_api::{Error, Result};
use connector_runtime::{CheckpointConfig, JobConfig, OnLost, RestartStrategy, StartFrom, StartOptions};
use futures::future::{Either, select};
use mailbox_host::{End, Job, StopFlag, run};
use testkit::host::{self, EmbeddedHost, HostContext, HostEnd, HostJob, Start};
use testkit::{Capabilities, Capability, Suite};

struct MailboxHost;

fn config(job: &HostJob) -> JobConfig {
    let restart = match job.restarts {
        0 => RestartStrategy::None,
        attempts => RestartStrategy::FixedDelay { attempts, delay: Duration::from_millis(10) },
    };
    JobConfig {
        name: "conformance".to_owned(),
        source_parallelism: job.readers,
        sink_parallelism: job.writers,
        committer_parallelism: job.committers,
        checkpoint: CheckpointConfig {
            interval: job.interval,
            dir: job.dir.clone(),
            retain: 2,
            timeout: job.timeout,
        },
        restart,
        on_lost: if job.skip_lost { OnLost::Skip } else { OnLost::Fail },
        identity: job.identity.clone(),
        close_timeout: Duration::from_secs(5),
    }
}

#[async_trait(?Send)]
impl HostContext for MailboxHost {
    fn capabilities(&self) -> Capabilities {
        use Capability::{Identity, PartialBatches, Restarts, Savepoints};
        Capabilities::of([Restarts, Savepoints, Identity, PartialBatches])
    }

    async fn run(&self, env: &Environment, job: HostJob) -> Result<HostEnd> {
        let from = match &job.start {
            Start::Latest => StartFrom::Latest,
            Start::Named(path) => StartFrom::Path(path.clone()),
        };
        let start = StartOptions { from, accept_duplicates: job.accept_duplicates };
        let (config, max_rows) = (config(&job), job.max_rows.unwrap_or(NonZeroUsize::MAX));
        let request = job.stop;
        let job = Job { source: job.source, sink: job.sink, config, start, max_rows };
        let stop = StopFlag::new();
        let mut running = pin!(run(&job, env, &stop));
        let end = match select(running.as_mut(), pin!(request.requested())).await {
            Either::Left((end, _)) => end?,
            Either::Right(_) => {
                stop.stop_with_savepoint();
                running.await?
            }
        };
        match end {
            End::Finished | End::AlreadyFinished => Ok(HostEnd::Finished),
            End::Stopped { savepoint: Some(savepoint) } => Ok(HostEnd::Stopped { savepoint }),
            End::Stopped { savepoint: None } => Err(Error::Cancelled("the job".into())),
        }
    }

    /// It keeps them as the embedded host does.
    fn checkpoints(&self, env: &Environment, dir: &Path) -> Result<Vec<PathBuf>> {
        EmbeddedHost.checkpoints(env, dir)
    }
}

fn main() -> ExitCode {
    let capabilities = MailboxHost.capabilities();
    Suite::new("mailbox host").checks(host::checks(), |_| MailboxHost, &capabilities).main()
}
