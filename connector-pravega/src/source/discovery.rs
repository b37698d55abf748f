//! What the enumerator asks the store, in the background.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;
use std::time::Duration;

use connector_api::env::Environment;
use connector_api::{Error, Result};
use segment_store::SegmentId;
use segment_store::client::{SegmentPart, StoreClient, Successor};

use super::config::{At, SourceConfig};
use crate::embedded;
use crate::error::failed;

/// How long what may pass is tried again before it fails the job.
const PATIENCE: Duration = Duration::from_secs(10);
const AGAIN: Duration = Duration::from_millis(200);

/// What a look found.
#[derive(Debug)]
pub(super) enum Look {
    /// The segments from the start to the stop (or to the end, as it is now), oldest first, each with those of them that it follows on.
    First(Vec<(SegmentPart, Vec<SegmentId>)>),
    /// What follows on segments that are read.
    Successors(Vec<(SegmentId, Vec<Successor>)>),
}

/// What is looked for.
#[derive(Clone, Debug)]
pub(super) enum Ask {
    First,
    Successors(Vec<SegmentId>),
}

/// Asks, again and again where it may help.
pub(super) async fn look(
    env: Environment,
    config: Arc<SourceConfig>,
    client: Option<Arc<dyn StoreClient>>,
    ask: Ask,
) -> Result<(Arc<dyn StoreClient>, Look)> {
    let until = env.clock.monotonic() + PATIENCE;
    loop {
        match once(&env, &config, client.clone(), &ask).await {
            Err(error) if error.is_retryable() && env.clock.monotonic() < until => {
                tracing::warn!(%error, stream = %config.stream, "looking for segments failed: it is tried again");
                env.clock.sleep(AGAIN).await;
            }
            looked => return looked,
        }
    }
}

async fn once(
    env: &Environment,
    config: &SourceConfig,
    client: Option<Arc<dyn StoreClient>>,
    ask: &Ask,
) -> Result<(Arc<dyn StoreClient>, Look)> {
    let client = match client {
        Some(client) => client,
        None => embedded::attach(env, &config.at).await?,
    };
    let look = match ask {
        Ask::First => Look::First(first(config, &*client).await?),
        Ask::Successors(finished) => {
            let mut found = Vec::with_capacity(finished.len());
            for &segment in finished {
                let of_one = client.successors(&config.stream, segment).await;
                found.push((segment, of_one.map_err(failed("ask for successors in", &config.stream))?));
            }
            Look::Successors(found)
        }
    };
    Ok((client, look))
}

async fn first(
    config: &SourceConfig,
    client: &dyn StoreClient,
) -> Result<Vec<(SegmentPart, Vec<SegmentId>)>> {
    let info = client.stream(&config.stream).await.map_err(failed("read", &config.stream))?;
    let cut = |at: &At| match at {
        At::Head => info.head.clone(),
        At::Tail => info.tail.clone(),
        At::Cut(cut) => cut.clone(),
    };
    let (start, stop) = (cut(&config.start), config.stop.as_ref().map(cut));
    let parts = client.segments_between(&config.stream, &start, stop.as_ref()).await;
    let parts = parts.map_err(|error| match error {
        segment_store::Error::Invalid { reason, .. } => Error::config("start", reason),
        error => failed("find the segments of", &config.stream)(error),
    })?;
    let ids: BTreeSet<SegmentId> = parts.iter().map(|part| part.id).collect();
    let mut before: BTreeMap<SegmentId, Vec<SegmentId>> = BTreeMap::new();
    for &id in &ids {
        let after = client.successors(&config.stream, id).await;
        for successor in after.map_err(failed("ask for successors in", &config.stream))? {
            if ids.contains(&successor.id) {
                before.entry(successor.id).or_default().push(id);
            }
        }
    }
    Ok(parts.into_iter().map(|part| (part, before.remove(&part.id).unwrap_or_default())).collect())
}
