//! Tasks and blocking work on tokio.

use std::time::Duration;

use connector_api::env::{Spawner, TaskHandle};
use futures::future::BoxFuture;
use tokio::runtime::Handle;
use tokio::task::AbortHandle;

/// How long blocking work may wait for more of the same: longer than the pauses of whoever asks again and again, and shorter than anybody notices who waits
/// for its end.
const LINGER: Duration = Duration::from_millis(100);

/// Runs tasks and blocking work on a tokio runtime.
///
/// It keeps no account of them: wrap it in a [`Scope`](super::Scope) to wait for their end.
#[derive(Clone, Debug)]
pub struct TokioSpawner(Handle);

impl TokioSpawner {
    /// A spawner on this runtime.
    pub fn new(runtime: Handle) -> Self {
        Self(runtime)
    }
}

impl Spawner for TokioSpawner {
    fn spawn(&self, _name: &str, task: BoxFuture<'static, ()>) -> Box<dyn TaskHandle> {
        Box::new(TokioTask(self.0.spawn(task).abort_handle()))
    }

    fn spawn_blocking(&self, work: Box<dyn FnOnce() + Send>) {
        // Nobody joins it: the work reports by its own channel.
        drop(self.0.spawn_blocking(work));
    }

    fn linger(&self) -> Duration {
        LINGER
    }
}

#[derive(Debug)]
struct TokioTask(AbortHandle);

impl TaskHandle for TokioTask {
    fn abort(&self) {
        self.0.abort();
    }
}
