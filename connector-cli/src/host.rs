//! The one place that knows the runtime: what a pipeline's file says, in its words.

use connector_api::Result;
use connector_api::env::Environment;
use connector_runtime::{CheckpointConfig, JobConfig, JobReport, Progress, StartOptions};

use crate::check::Ends;
use crate::load::Loaded;

/// A running job.
pub(crate) struct Running;

impl Running {
    /// Opens the checkpoint directory, restores, and starts.
    ///
    /// # Errors
    ///
    /// What the runtime refuses; then nothing was moved.
    pub(crate) async fn start(
        loaded: &Loaded,
        ends: Ends,
        options: StartOptions,
        env: Environment,
    ) -> Result<Self> {
        let _ = (config(loaded), ends.source, ends.sink, options, env);
        Err(connector_api::Error::contract("connect", "not wired yet"))
    }

    /// Where it stands.
    pub(crate) fn progress(&self) -> Progress {
        Progress::default()
    }

    /// Asks for a savepoint and the end.
    pub(crate) fn stop_with_savepoint(&self) {}

    /// Gives it up at once.
    pub(crate) async fn abort(&self) {}

    /// Waits for its end.
    pub(crate) async fn wait(&mut self) -> Result<JobReport> {
        Err(connector_api::Error::contract("connect", "not wired yet"))
    }
}

/// What the job is run with.
fn config(loaded: &Loaded) -> JobConfig {
    let config = &loaded.config;
    JobConfig {
        name: config.name.clone(),
        source_parallelism: config.parallelism.source,
        sink_parallelism: config.parallelism.sink,
        committer_parallelism: config.parallelism.committer,
        checkpoint: CheckpointConfig {
            interval: config.checkpoint.interval.0,
            dir: loaded.document.resolve(&config.checkpoint.dir),
            retain: config.checkpoint.retain,
            timeout: config.checkpoint.timeout.0,
        },
        restart: config.restart.strategy(),
        on_lost: config.on_lost.into(),
        identity: loaded.identity(),
        close_timeout: config.close_timeout.0,
    }
}
