//! The embedded host (`connector-runtime`) as a subject, and a model of a [`HostContext`].

use std::path::{Path, PathBuf};
use std::pin::pin;
use std::time::Duration;

use async_trait::async_trait;
use connector_api::env::Environment;
use connector_api::{Error, Result};
use connector_runtime::{
    CheckpointConfig, Job, JobConfig, JobEnd, OnLost, Pipeline, RestartStrategy, StartFrom, StartOptions,
};
use futures::future::{Either, select};

use super::job::{HostContext, HostEnd, HostJob, Start};
use crate::capability::{Capabilities, Capability};

/// Runs jobs on `connector_runtime::Job`.
#[derive(Clone, Copy, Debug, Default)]
pub struct EmbeddedHost;

#[async_trait(?Send)]
impl HostContext for EmbeddedHost {
    fn capabilities(&self) -> Capabilities {
        Capabilities::of([
            Capability::Restarts,
            Capability::Savepoints,
            Capability::Aborts,
            Capability::Identity,
        ])
    }

    async fn run(&self, env: &Environment, job: HostJob) -> Result<HostEnd> {
        let restart = match job.restarts {
            0 => RestartStrategy::None,
            attempts => RestartStrategy::FixedDelay { attempts, delay: Duration::from_millis(10) },
        };
        let config = JobConfig {
            name: "conformance".to_owned(),
            source_parallelism: job.readers,
            sink_parallelism: job.writers,
            committer_parallelism: job.committers,
            checkpoint: CheckpointConfig {
                interval: job.interval,
                dir: job.dir,
                retain: 2,
                timeout: job.timeout,
            },
            restart,
            on_lost: if job.skip_lost { OnLost::Skip } else { OnLost::Fail },
            identity: job.identity,
            close_timeout: Duration::from_secs(5),
        };
        let from = match job.start {
            Start::Latest => StartFrom::Latest,
            Start::Named(path) => StartFrom::Path(path),
        };
        let options = StartOptions { from, accept_duplicates: job.accept_duplicates };
        let pipeline = Pipeline::source("probe", job.source).sink("probe", job.sink);
        let mut handle = Job::new(pipeline, config, env.clone()).start(options).await?;
        let stopped = match select(pin!(handle.wait()), pin!(job.stop.requested())).await {
            Either::Left((report, _)) => Some(report),
            Either::Right(_) => None,
        };
        let report = match stopped {
            Some(report) => report?,
            None => {
                handle.stop_with_savepoint();
                handle.wait().await?
            }
        };
        Ok(match report.end {
            JobEnd::Finished | JobEnd::AlreadyFinished => HostEnd::Finished,
            JobEnd::Stopped { savepoint } => HostEnd::Stopped { savepoint },
        })
    }

    fn checkpoints(&self, env: &Environment, dir: &Path) -> Result<Vec<PathBuf>> {
        let entries = env.fs.list(dir).map_err(Error::io("listing", dir))?;
        let number = |name: &str| name.strip_suffix(".ckpt")?.rsplit('-').next()?.parse::<u64>().ok();
        let names = entries.iter().filter_map(|entry| entry.name.to_str());
        let mut found: Vec<(u64, PathBuf)> =
            names.filter_map(|name| Some((number(name)?, dir.join(name)))).collect();
        found.sort();
        Ok(found.into_iter().map(|(_, path)| path).collect())
    }
}
