//! The one place that knows the runtime: what a pipeline's file says, in its words.

use connector_api::Result;
use connector_api::env::Environment;
use connector_runtime::{CheckpointConfig, Job, JobConfig, JobHandle, Pipeline, StartOptions};

use crate::check::Ends;
use crate::load::Loaded;

/// Opens the checkpoint directory, restores, and lets the job run.
///
/// # Errors
///
/// What the runtime refuses; then nothing was moved.
pub(crate) async fn start(
    loaded: &Loaded,
    ends: Ends,
    options: StartOptions,
    env: Environment,
) -> Result<JobHandle> {
    let source = Pipeline::source(loaded.source.uid.clone(), ends.source);
    let pipeline = source.sink(loaded.sink.uid.clone(), ends.sink);
    Job::new(pipeline, config(loaded), env).start(options).await
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
