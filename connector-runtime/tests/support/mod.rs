//! A source and a sink in memory, with an outside world that survives the death of a job.
#![allow(dead_code, missing_docs, unreachable_pub, clippy::unwrap_used)]

pub mod sink;
pub mod source;

use std::collections::BTreeMap;
use std::path::Path;
use std::time::Duration;

use connector_api::source::erase;
use connector_runtime::{
    CheckpointConfig, Job, JobConfig, JobReport, OnLost, Pipeline, RestartStrategy, StartFrom, StartOptions,
};
use testkit::fs::SimFs;

pub use sink::{Outside, Shape};
pub use source::Numbers;

/// A connector that breaks one rule, to show that the checks notice.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Twin {
    /// Breaks none.
    Sound,
    /// The enumerator drops splits that are given back.
    DropsGivenBack,
    /// The enumerator's snapshot leaves out what is not assigned.
    ForgetsPending,
    /// The reader's snapshot stands behind rows that were not emitted.
    PositionAhead,
    /// The reader's snapshot stands before rows that were emitted.
    PositionBehind,
    /// The reader reports the end of a split and of its input with rows left.
    EndsEarly,
    /// The committer publishes again what it had published.
    CommitsTwice,
    /// The committer says "committed" without committing.
    ClaimsCommits,
    /// The writer makes rows visible before the checkpoint is complete.
    PublishesEarly,
    /// The writer leaves rows of the checkpoint for the next one, and they are not in its state.
    StagesLate,
    /// The operator's snapshot leaves out what it holds.
    ForgetsHeld,
}

pub fn config() -> JobConfig {
    JobConfig {
        name: "test".to_owned(),
        source_parallelism: 2,
        sink_parallelism: 2,
        committer_parallelism: 1,
        checkpoint: CheckpointConfig {
            interval: Duration::from_millis(50),
            dir: Path::new("/ckpt").to_path_buf(),
            retain: 2,
            timeout: Duration::from_secs(600),
        },
        restart: RestartStrategy::None,
        on_lost: OnLost::Fail,
        identity: BTreeMap::new(),
        close_timeout: Duration::from_secs(5),
    }
}

pub fn restarting(attempts: u32) -> JobConfig {
    let restart = RestartStrategy::FixedDelay { attempts, delay: Duration::from_millis(10) };
    JobConfig { restart, ..config() }
}

pub fn pipeline(numbers: &Numbers, outside: &Outside, shape: Shape) -> Pipeline {
    Pipeline::source("numbers", erase(numbers.clone())).sink("outside", outside.sink(shape))
}

pub fn job(
    numbers: &Numbers,
    outside: &Outside,
    config: JobConfig,
    env: connector_api::env::Environment,
) -> Job {
    Job::new(pipeline(numbers, outside, Shape::Plain), config, env)
}

pub fn from(from: StartFrom) -> StartOptions {
    StartOptions { from, accept_duplicates: false }
}

/// Runs a job on simulated files to its end.
pub fn run_to_end(
    numbers: &Numbers,
    outside: &Outside,
    config: JobConfig,
    fs: &SimFs,
    seed: u64,
) -> connector_api::Result<JobReport> {
    testkit::sim::run(async {
        let env = testkit::sim::environment(fs, seed);
        let mut handle = job(numbers, outside, config, env).start(StartOptions::default()).await?;
        handle.wait().await
    })
}
