//! Asynchronous stores from work that blocks.

use std::pin::pin;

use connector_api::{Error, Result};
use futures::FutureExt;
use tokio::runtime::Handle;

/// Waits for a future, from work that may block.
///
/// One that is ready at once (a store in memory) needs no runtime, so that a simulation can run the work on its only thread.
///
/// # Errors
///
/// [`Error::Contract`] when the host runs blocking work outside of a tokio runtime.
pub(crate) fn wait<F: Future>(future: F) -> Result<F::Output> {
    let mut future = pin!(future);
    if let Some(ready) = future.as_mut().now_or_never() {
        return Ok(ready);
    }
    let runtime = Handle::try_current().map_err(|_| {
        Error::contract("host", "runs blocking work outside of the tokio runtime that an object store needs")
    })?;
    Ok(runtime.block_on(future))
}
