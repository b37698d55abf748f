//! Jobs of the embedded runtime, as the measurements need them.

use std::collections::BTreeMap;
use std::path::Path;
use std::time::Duration;

use connector_api::RowBatch;
use connector_api::source::erase;
use connector_runtime::{
    CheckpointConfig, Job, JobConfig, OnLost, Pipeline, RestartStrategy, WatermarkStrategy, local,
};

use crate::Result;
use crate::blackhole::Blackhole;
use crate::generator::Generator;

/// A job from a generator into a blackhole. Must be called within a tokio runtime.
pub fn job<B: RowBatch>(
    source: Generator<B>,
    sink: &Blackhole,
    parallelism: u32,
    interval: Duration,
    dir: &Path,
) -> Job {
    let pipeline = Pipeline::source("source", erase(source))
        .watermarks(WatermarkStrategy::None)
        .sink("sink", Box::new(sink.clone()));
    of(pipeline, parallelism, interval, dir)
}

/// A job of any pipeline. Must be called within a tokio runtime.
pub fn of(pipeline: Pipeline, parallelism: u32, interval: Duration, dir: &Path) -> Job {
    let config = JobConfig {
        name: "bench".into(),
        source_parallelism: parallelism,
        sink_parallelism: parallelism,
        committer_parallelism: 1,
        checkpoint: CheckpointConfig {
            interval,
            dir: dir.to_path_buf(),
            retain: 1,
            timeout: Duration::from_secs(600),
        },
        restart: RestartStrategy::None,
        on_lost: OnLost::Fail,
        identity: BTreeMap::new(),
        close_timeout: Duration::from_secs(10),
    };
    Job::new(pipeline, config, local::environment())
}

/// An empty directory.
///
/// # Errors
///
/// The file system's.
pub fn empty(dir: &Path) -> Result {
    let failed = |e: std::io::Error| format!("{}: {e}", dir.display());
    if dir.exists() {
        std::fs::remove_dir_all(dir).map_err(failed)?;
    }
    std::fs::create_dir_all(dir).map_err(failed)
}
