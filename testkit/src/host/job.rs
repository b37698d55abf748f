//! What a host is asked to run, and what it answers.

use std::collections::BTreeMap;
use std::fmt;
use std::num::NonZeroUsize;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use async_trait::async_trait;
use connector_api::Result;
use connector_api::env::Environment;
use connector_api::sink::Sink;
use connector_api::source::BoxSource;
use tokio::sync::watch;

use crate::capability::Capabilities;

/// A host under test: how an engine runs a source into a sink.
///
/// One value is made for each check. It keeps nothing between two calls of [`run`](Self::run): each may stand for a process
/// of its own, and whatever is to outlive it has to be in the environment's files.
///
/// The futures need not be `Send`: a host may live on one thread. Everything happens in virtual time on one thread
/// ([`crate::sim`]), so a host takes clock, files and tasks from the environment and nowhere else.
#[async_trait(?Send)]
pub trait HostContext: 'static {
    /// What the host can do: [`Capability::Restarts`](crate::Capability::Restarts) and the others marked as a host's.
    fn capabilities(&self) -> Capabilities;

    /// Runs the job to its end. Dropping the future gives the job up at once, as does the death of the process.
    ///
    /// # Errors
    ///
    /// Why the job was refused, or failed past all restarts.
    async fn run(&self, env: &Environment, job: HostJob) -> Result<HostEnd>;

    /// The files of the completed checkpoints and savepoints in a checkpoint directory, oldest first: what can be named in
    /// [`Start::Named`]. Also asked while no job runs.
    ///
    /// # Errors
    ///
    /// When the directory can't be read.
    fn checkpoints(&self, env: &Environment, dir: &Path) -> Result<Vec<PathBuf>>;
}

/// A job for a host.
pub struct HostJob {
    /// Where rows come from.
    pub source: BoxSource<Vec<String>>,
    /// Where they go.
    pub sink: Box<dyn Sink<Vec<String>>>,
    /// How many readers.
    pub readers: u32,
    /// How many writers. As many as readers in most checks; a host that can't tell them apart may chain them.
    pub writers: u32,
    /// How many committers, and instances of stages of [`Parallelism::Same`](connector_api::sink::Parallelism::Same).
    pub committers: u32,
    /// How many failures in a row the host mends by restarts, each after at most a second. 0 without the capability.
    pub restarts: u32,
    /// Whether lost committables are counted and skipped, instead of ending the job.
    pub skip_lost: bool,
    /// From the start of one checkpoint to the next.
    pub interval: Duration,
    /// When a checkpoint that is not complete is aborted, or fails the attempt.
    pub timeout: Duration,
    /// Where checkpoints are kept, in the environment's files.
    pub dir: PathBuf,
    /// What to start from.
    pub start: Start,
    /// Whether the user accepts duplicates: then an older checkpoint may be restored.
    pub accept_duplicates: bool,
    /// At most so many rows of a batch are handed on at once, and a checkpoint may come between two parts.
    /// Only asked of a host with [`Capability::PartialBatches`](crate::Capability::PartialBatches).
    pub max_rows: Option<NonZeroUsize>,
    /// What makes stored state belong to this job, by key.
    pub identity: BTreeMap<String, String>,
    /// When to stop with a savepoint. Only requested of a host with
    /// [`Capability::Savepoints`](crate::Capability::Savepoints).
    pub stop: StopRequest,
}

impl fmt::Debug for HostJob {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("HostJob").field("start", &self.start).finish_non_exhaustive()
    }
}

/// What a job starts from.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub enum Start {
    /// The newest completed checkpoint in the directory; nothing if there is none.
    #[default]
    Latest,
    /// This one, as [`HostContext::checkpoints`] or [`HostEnd::Stopped`] named it.
    Named(PathBuf),
}

/// How a job ended well.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum HostEnd {
    /// The input ended, and everything is committed; also when that was so before.
    Finished,
    /// It was stopped, with this savepoint.
    Stopped {
        /// Its file.
        savepoint: PathBuf,
    },
}

/// The user's wish to stop. Clones share it.
#[derive(Clone, Debug)]
pub struct StopRequest(Arc<watch::Sender<bool>>);

impl StopRequest {
    /// Nobody wishes it yet.
    pub fn new() -> Self {
        Self(Arc::new(watch::Sender::new(false)))
    }

    /// Now somebody does.
    pub fn request(&self) {
        self.0.send_replace(true);
    }

    /// Whether somebody does.
    pub fn is_requested(&self) -> bool {
        *self.0.borrow()
    }

    /// Waits until somebody does. Cancel-safe.
    pub async fn requested(&self) {
        // Never an error: the sender lives in `self`.
        let _ = self.0.subscribe().wait_for(|is_requested| *is_requested).await;
    }
}

impl Default for StopRequest {
    fn default() -> Self {
        Self::new()
    }
}
