//! Work of an enumerator that may wait.

use std::fmt;
use std::future::Future;
use std::pin::Pin;
use std::task::{Context, Poll};

use connector_api::env::{Environment, TaskHandle};
use connector_api::{Error, Result};
use futures::channel::oneshot;

/// A task whose result the enumerator takes up in `poll`, since none of its calls may block (rule E-3).
///
/// At most one runs; dropping this ends it. What blocks its thread is started by [`blocking`](Self::blocking).
pub struct Background<T>(pub(super) Option<Running<T>>);

pub(super) struct Running<T> {
    name: &'static str,
    result: oneshot::Receiver<Result<T>>,
    pub(super) task: Box<dyn TaskHandle>,
}

impl<T: Send + 'static> Background<T> {
    /// Nothing runs.
    pub fn idle() -> Self {
        Self(None)
    }

    /// Starts the work.
    pub fn start(
        env: &Environment,
        name: &'static str,
        work: impl Future<Output = Result<T>> + Send + 'static,
    ) -> Self {
        let (done, result) = oneshot::channel();
        let work = async move {
            // The enumerator is gone when nobody receives.
            let _ = done.send(work.await);
        };
        let task = env.spawner.spawn(name, Box::pin(work));
        Self(Some(Running { name, result, task }))
    }

    /// Starts work that blocks its thread, such as calls of a file system.
    pub fn blocking(
        env: &Environment,
        name: &'static str,
        work: impl FnOnce() -> Result<T> + Send + 'static,
    ) -> Self {
        let inner = env.clone();
        Self::start(env, name, async move { inner.blocking(name, work).await })
    }

    /// The result, once, when it is there. Arranges for the waker while the work goes on.
    ///
    /// # Errors
    ///
    /// Those of the work; [`Error::Cancelled`] when its task went away without a result.
    pub fn poll(&mut self, cx: &mut Context<'_>) -> Result<Option<T>> {
        let Some(running) = &mut self.0 else { return Ok(None) };
        let Poll::Ready(result) = Pin::new(&mut running.result).poll(cx) else { return Ok(None) };
        let name = running.name;
        self.0 = None;
        result.unwrap_or(Err(Error::Cancelled(name.into()))).map(Some)
    }

    /// Whether work was started whose result was not taken up.
    pub fn is_running(&self) -> bool {
        self.0.is_some()
    }
}

impl<T> Drop for Running<T> {
    fn drop(&mut self) {
        self.task.abort();
    }
}

impl<T> fmt::Debug for Background<T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_tuple("Background").field(&self.0.as_ref().map(|running| running.name)).finish()
    }
}
