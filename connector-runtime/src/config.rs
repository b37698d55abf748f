//! What a job is run with.

use std::collections::BTreeMap;
use std::path::PathBuf;
use std::time::Duration;

use connector_api::{Error, Result};

/// What a job is run with, besides its pipeline.
#[derive(Clone, Debug)]
pub struct JobConfig {
    /// The job's name, for logs and metrics.
    pub name: String,
    /// How many readers run. At least 1. May change between starts.
    pub source_parallelism: u32,
    /// How many writers run. At least 1. May change between starts.
    pub sink_parallelism: u32,
    /// How many committers (and stage instances of [`Parallelism::Same`](connector_api::sink::Parallelism::Same)) run. At
    /// least 1. May change between starts.
    pub committer_parallelism: u32,
    /// When and where checkpoints are made.
    pub checkpoint: CheckpointConfig,
    /// What follows a failure.
    pub restart: RestartStrategy,
    /// What follows a committable that is lost.
    pub on_lost: OnLost,
    /// What makes stored state belong to this job: connectors, uids and the identity options with their values. Stored
    /// with each checkpoint; a difference refuses the start and names the key.
    pub identity: BTreeMap<String, String>,
    /// How long readers, writers and stages may take to close; then they are dropped.
    pub close_timeout: Duration,
}

impl JobConfig {
    /// Refuses what no host can run.
    ///
    /// # Errors
    ///
    /// [`Error::Config`] naming the option.
    pub fn validate(&self) -> Result<()> {
        let at_least_one = [
            ("parallelism of sources", self.source_parallelism as usize),
            ("parallelism of the sink", self.sink_parallelism as usize),
            ("parallelism of committers", self.committer_parallelism as usize),
            ("checkpoint.retain", self.checkpoint.retain),
        ];
        for (option, value) in at_least_one {
            if value == 0 {
                return Err(Error::config(option, "must be at least 1"));
            }
        }
        if self.checkpoint.interval.is_zero() {
            return Err(Error::config("checkpoint.interval", "must be longer than nothing"));
        }
        Ok(())
    }
}

/// When and where checkpoints are made.
#[derive(Clone, Debug)]
pub struct CheckpointConfig {
    /// From the start of one checkpoint to the start of the next, if that one is done by then.
    pub interval: Duration,
    /// The directory; one job each.
    pub dir: PathBuf,
    /// How many completed checkpoints are kept. At least 1.
    pub retain: usize,
    /// A checkpoint that is not complete by then is aborted.
    pub timeout: Duration,
}

/// What follows a failure that a restart may mend.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum RestartStrategy {
    /// The job fails.
    None,
    /// Up to `attempts` restarts in a row, each after `delay`. A completed checkpoint ends the row.
    FixedDelay {
        /// How many.
        attempts: u32,
        /// How long to wait before each.
        delay: Duration,
    },
    /// Up to `attempts` restarts in a row, after `delay`, twice that, and so on up to `max_delay`. A completed checkpoint
    /// ends the row.
    Exponential {
        /// How many.
        attempts: u32,
        /// How long to wait before the first.
        delay: Duration,
        /// How long to wait at most.
        max_delay: Duration,
    },
}

/// What follows a committable that is lost.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum OnLost {
    /// The job ends at once, past every restart strategy; the committable stays in the state.
    Fail,
    /// It is counted, logged and removed, and the job goes on.
    Skip,
}

/// What a job starts from.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub enum StartFrom {
    /// The newest completed checkpoint or savepoint in the checkpoint directory; nothing if there is none.
    #[default]
    Latest,
    /// Nothing: a new run.
    Nothing,
    /// This checkpoint or savepoint.
    Path(PathBuf),
}

/// How a job is started.
#[derive(Clone, Debug, Default)]
pub struct StartOptions {
    /// What from.
    pub from: StartFrom,
    /// Whether to restore a checkpoint although commits of a later one had begun, so that rows which are visible already
    /// may be written again.
    pub accept_duplicates: bool,
}
