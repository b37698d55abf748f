//! Tasks and blocking work.

use std::fmt::Debug;
use std::time::Duration;

use futures::channel::oneshot;
use futures::future::BoxFuture;

/// Where tasks and blocking work run.
pub trait Spawner: Send + Sync + Debug {
    /// Runs a future to its end, concurrently. Dropping the handle does *not* stop it.
    fn spawn(&self, name: &str, task: BoxFuture<'static, ()>) -> Box<dyn TaskHandle>;

    /// Runs work that blocks, on a thread where that is allowed. Never cancelled once it began.
    fn spawn_blocking(&self, work: Box<dyn FnOnce() + Send>);

    /// How long blocking work that has come to its end may wait on its thread for more of the same, since waking a thread that waits takes a
    /// fraction of what handing work to another one takes. It must end its wait when nothing more can come.
    ///
    /// Zero unless a host says otherwise: nothing waits, as it must be where blocking work shares a thread.
    fn linger(&self) -> Duration {
        Duration::ZERO
    }
}

/// A running task.
pub trait TaskHandle: Send + Sync + Debug {
    /// Ends the task at its next await. It is dropped some time after this returns.
    fn abort(&self);
}

/// Runs blocking work and awaits its result; see [`Environment::blocking`](super::Environment::blocking).
///
/// # Errors
///
/// That of the work, or [`Error::Cancelled`](crate::Error::Cancelled) when it never ran or panicked.
pub async fn blocking<T: Send + 'static>(
    spawner: &dyn Spawner,
    what: &'static str,
    work: impl FnOnce() -> crate::Result<T> + Send + 'static,
) -> crate::Result<T> {
    let (done, result) = oneshot::channel();
    spawner.spawn_blocking(Box::new(move || {
        // The receiver is gone when the caller was dropped: then nobody wants the result.
        let _ = done.send(work());
    }));
    result.await.unwrap_or(Err(crate::Error::Cancelled(what.into())))
}
