//! Running a pipeline: opening the checkpoint directory, attempts, restarts, the end.

mod attempt;
mod checkpointing;
mod finish;
mod handle;
mod restore;
mod supervisor;
mod topology;

use std::sync::Arc;

use connector_api::Result;
use connector_api::env::Environment;

use crate::config::{JobConfig, StartOptions};
use crate::local::Scope;
use crate::pipeline::Pipeline;

pub use handle::JobHandle;

/// A pipeline with what it needs to run.
#[derive(Debug)]
pub struct Job {
    pipeline: Pipeline,
    config: JobConfig,
    env: Environment,
}

impl Job {
    /// Puts the parts together. Nothing happens yet.
    pub fn new(pipeline: Pipeline, config: JobConfig, env: Environment) -> Self {
        Self { pipeline, config, env }
    }

    /// Opens and locks the checkpoint directory, restores, and lets the job run. Whatever is refused is refused here,
    /// before anything moves.
    ///
    /// # Errors
    ///
    /// [`Error::Config`](connector_api::Error::Config) for a wrong configuration and for a stored identity that differs (naming the key);
    /// [`Error::State`](connector_api::Error::State) for a damaged, foreign or older checkpoint, and for state that this pipeline leaves out;
    /// an error naming the other process when the directory is in use.
    pub async fn start(mut self, options: StartOptions) -> Result<JobHandle> {
        self.config.validate()?;
        self.config.identity.insert("source.uid".to_owned(), self.pipeline.0.source_uid().to_owned());
        self.config.identity.insert("sink.uid".to_owned(), self.pipeline.0.sink_uid().to_owned());
        let (env, scope) = Scope::new(&self.env);
        let shared = Arc::new(Shared { graph: self.pipeline.0, config: self.config, env });
        let started = restore::open(&shared, options).await?;
        Ok(supervisor::run(shared, started, scope, &*self.env.spawner))
    }
}

/// What all attempts of a job share.
pub(crate) struct Shared {
    pub(crate) graph: Box<dyn crate::pipeline::Graph>,
    pub(crate) config: JobConfig,
    /// Lives as long as the job: what outlives an attempt (the enumerator) spawns here.
    pub(crate) env: Environment,
}
