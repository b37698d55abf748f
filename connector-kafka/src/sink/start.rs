//! What is found out and checked before the first transaction.

use std::time::Duration;

use connector_api::sink::WriterContext;
use connector_api::{Error, Result};

use super::config::TransactionConfig;
use super::ids::Whose;
use super::metrics;
use crate::error::KafkaError;
use crate::wire::Wire;

/// Levels of the cluster's feature `transaction.version` that commits over the wire were tried at. 0 and 1 are the same protocol; at 2
/// clients may choose, and librdkafka chooses the old one.
const TRIED_LEVELS: std::ops::RangeInclusive<i16> = 0..=2;
/// How many foreign ids are listed.
const LISTED: usize = 20;

/// What transactions are begun with.
#[derive(Clone, Debug)]
pub(crate) struct Start {
    pub(crate) cluster_id: String,
    pub(crate) timeout: Duration,
}

fn failed(operation: &'static str, target: &str, error: KafkaError) -> Error {
    Error::connector(operation, target.to_owned(), None, error)
}

/// Checks the cluster and the options against each other. The first writer looks for others under the prefix, too.
pub(crate) async fn check(context: &WriterContext, config: &TransactionConfig, wire: &Wire) -> Result<Start> {
    let start = speaks(config, wire).await?;
    let timeout = start.timeout;
    if let Some(interval) = context.checkpoint_interval
        && timeout < interval * 2
    {
        let reason = format!(
            "is {timeout:?}, and checkpoints are {interval:?} apart: a transaction lives from one checkpoint to the commit of the next, and \
             would be aborted; at least twice the interval is taken, and outages come on top"
        );
        return Err(Error::config("transaction_timeout", reason));
    }
    if context.subtask == 0 {
        others(context, config, wire).await?;
    }
    Ok(start)
}

/// Checks that the cluster speaks what is needed, and allows what the options ask for.
pub(crate) async fn speaks(config: &TransactionConfig, wire: &Wire) -> Result<Start> {
    let versions = wire.versions().await.map_err(|e| failed("ask what the cluster speaks", "", e))?;
    let level = versions
        .features
        .iter()
        .find(|(name, _)| name == "transaction.version")
        .map_or(0, |(_, level)| *level);
    if !TRIED_LEVELS.contains(&level) {
        let reason = format!(
            "\"exactly-once\" was tried on clusters at transaction.version {} to {}; this one is at {level}",
            TRIED_LEVELS.start(),
            TRIED_LEVELS.end()
        );
        return Err(Error::config("delivery_guarantee", reason));
    }
    let cluster = wire.cluster().await.map_err(|e| failed("ask for the cluster's id", "", e))?;
    let cluster_id =
        cluster.id.ok_or_else(|| Error::data("the cluster", None, "names no id of its own (Metadata)"))?;
    let timeout = timeout(config.timeout, wire).await?;
    Ok(Start { cluster_id, timeout })
}

async fn timeout(wanted: Option<Duration>, wire: &Wire) -> Result<Duration> {
    const KEY: &str = "transaction.max.timeout.ms";
    let most = wire.broker_config(KEY).await;
    let most = most.map(|value| value.and_then(|value| value.parse().ok()).map(Duration::from_millis));
    match (wanted, most) {
        (Some(wanted), Ok(Some(most))) if wanted > most => {
            let reason = format!("is {wanted:?}, and the cluster allows at most {most:?} ({KEY})");
            Err(Error::config("transaction_timeout", reason))
        }
        (Some(wanted), Ok(_)) => Ok(wanted),
        (None, Ok(Some(most))) => Ok(most),
        // Who may not ask for the cluster's properties gets an answer from the first transaction.
        (Some(wanted), Err(KafkaError::Answer { .. })) => Ok(wanted),
        (None, Ok(None) | Err(KafkaError::Answer { .. })) => {
            let reason = format!("is left out, and the cluster does not tell what it allows ({KEY}): set it");
            Err(Error::config("transaction_timeout", reason))
        }
        (_, Err(error)) => Err(failed("ask for", KEY, error)),
    }
}

/// Ids under the prefix that neither this run nor one that it comes from made: they stop the start, or are taken over.
async fn others(context: &WriterContext, config: &TransactionConfig, wire: &Wire) -> Result<()> {
    let start = config.prefix.start();
    let listed = wire.list(&start).await.map_err(|e| failed("list transactions of", &start, e))?;
    let is_foreign = |id: &str| match config.prefix.whose(id) {
        Some(Whose::Ours(made)) => !is_of_this_lineage(context, made.attempt.run),
        Some(Whose::Foreign) => true,
        Some(Whose::OtherPrefix) | None => false,
    };
    let foreign: Vec<_> = listed.into_iter().filter(|(id, _)| is_foreign(id)).collect();
    if foreign.is_empty() {
        return Ok(());
    }
    if !config.take_over {
        let names: Vec<_> =
            foreign.iter().take(LISTED).map(|(id, state)| format!("{id} ({state})")).collect();
        let more = foreign.len().saturating_sub(LISTED);
        let more = if more > 0 { format!(" and {more} more") } else { String::new() };
        let reason = format!(
            "others use it, or used it within the last days: {}{more}. Two jobs with one prefix would abort each other's rows. Take another \
             prefix; or, if none of these runs any more, abort what they left open by `take_over` = true",
            names.join(", ")
        );
        return Err(Error::config("transactional_id_prefix", reason));
    }
    for (id, state) in foreign.iter().filter(|(_, state)| state == "Ongoing") {
        tracing::warn!(id, state, "aborting the transaction of another, as `take_over` says");
        wire.fence(id, Duration::from_secs(60))
            .await
            .map_err(|e| failed("abort the transaction of", id, e))?;
        metrics::count(metrics::TRANSACTIONS_ABORTED, 1);
    }
    Ok(())
}

/// Whether a run is this one or one that it comes from.
pub(crate) fn is_of_this_lineage(context: &WriterContext, run: connector_api::id::RunId) -> bool {
    run == context.attempt.run || context.ancestors.contains(&run)
}
