//! Work that runs while its owner goes on, and whose result is asked for later.

use connector_api::env::Environment;
use connector_api::{Error, Result};
use futures::channel::oneshot;

/// Work under way. Dropping it does not end the work.
#[derive(Debug)]
pub(crate) struct Job<T> {
    what: &'static str,
    result: oneshot::Receiver<Result<T>>,
}

impl<T: Send + 'static> Job<T> {
    /// Begins the work.
    pub(crate) fn start(
        env: &Environment,
        what: &'static str,
        work: impl FnOnce() -> Result<T> + Send + 'static,
    ) -> Self {
        let (done, result) = oneshot::channel();
        env.spawner.spawn_blocking(Box::new(move || {
            // The receiver is gone when the owner was dropped: then nobody wants the result.
            let _ = done.send(work());
        }));
        Self { what, result }
    }

    /// Begins work that waits, as a task.
    pub(crate) fn spawn(
        env: &Environment,
        what: &'static str,
        work: impl Future<Output = Result<T>> + Send + 'static,
    ) -> Self {
        let (done, result) = oneshot::channel();
        let task = async move {
            // As above.
            let _ = done.send(work.await);
        };
        drop(env.spawner.spawn(what, Box::pin(task)));
        Self { what, result }
    }

    /// Waits for the end. Cancel-safe; not to be called again once it returned.
    pub(crate) async fn done(&mut self) -> Result<T> {
        (&mut self.result).await.unwrap_or(Err(Error::Cancelled(self.what.into())))
    }
}
