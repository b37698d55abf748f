//! What is left to do when a job has ended.

use std::time::Duration;

use connector_api::Result;
use connector_api::env::{Clock, Environment};
use connector_api::id::{AttemptId, RunId};
use connector_api::sink::{References, WriterContext};

use super::Shared;
use crate::coordinate::source::SourceCoordinator;

/// Lets the enumerator bring to an end what it does outside, such as removing files that were read.
pub(super) async fn settle(
    source: &mut SourceCoordinator,
    clock: &dyn Clock,
    timeout: Duration,
) -> Result<()> {
    tokio::select! {
        settled = source.settle() => settled,
        () = clock.sleep(timeout) => {
            tracing::warn!(?timeout, "what the source does outside did not come to an end");
            Ok(())
        }
    }
}

/// Removes everything hidden that any attempt of the run made.
///
/// The job has ended, so all of its rows are visible, and no checkpoint needs what it names: one that is gone back to
/// later misses only what became visible. Without this, what abandoned checkpoints name would stay for ever once the user has
/// gone back behind them, since no attempt follows that could sweep it.
pub(super) async fn sweep(shared: &Shared, env: &Environment, run: RunId) -> Result<()> {
    let config = &shared.config;
    let Some(sweep) = shared.graph.plan(config.source_parallelism, config.sink_parallelism)?.sweep else {
        return Ok(());
    };
    // All attempts are over, and their numbers are below this one.
    let attempt = AttemptId { run, number: u64::MAX };
    let parallelism = config.sink_parallelism;
    let context = WriterContext { parallelism, ..WriterContext::first(env.clone(), attempt) };
    let swept = sweep.sweep(context, References::new(Vec::new())).await?;
    if swept > 0 {
        tracing::info!(swept, "removed what the ended job had left");
    }
    Ok(())
}
