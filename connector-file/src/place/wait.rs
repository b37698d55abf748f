//! Asynchronous stores from work that blocks.

use std::pin::pin;

use connector_api::{Error, Result};
use futures::FutureExt;
use tokio::runtime::Handle;
use tokio::task::unconstrained;

/// Waits for a future, from work that may block.
///
/// One that is ready at once (a store in memory) needs no runtime, so that a simulation can run the work on its only thread.
///
/// # Errors
///
/// [`Error::Contract`] when the host runs blocking work outside of a tokio runtime.
pub(crate) fn wait<F: Future>(future: F) -> Result<F::Output> {
    // A store in memory whose future gave way to other tasks of the caller would look as if it waited.
    let mut future = pin!(unconstrained(future));
    if let Some(ready) = future.as_mut().now_or_never() {
        return Ok(ready);
    }
    let runtime = Handle::try_current().map_err(|_| {
        Error::contract("host", "runs blocking work outside of the tokio runtime that an object store needs")
    })?;
    Ok(runtime.block_on(future))
}

#[cfg(test)]
mod tests {
    use tokio::sync::Semaphore;

    use super::*;

    #[tokio::test]
    async fn work_of_many_steps_that_are_ready_needs_no_runtime() {
        // More than a task may do before tokio has it give way.
        let steps = async {
            let permits = Semaphore::new(1);
            for _ in 0..1000 {
                drop(permits.acquire().await);
            }
        };
        // Blocking on a runtime's own thread would panic.
        wait(steps).unwrap();
    }
}
