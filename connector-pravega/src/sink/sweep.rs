//! Aborts the transactions that dead attempts left open and that no checkpoint needs, before their leases do.

use std::collections::HashSet;
use std::sync::Arc;

use async_trait::async_trait;
use connector_api::Result;
use connector_api::sink::{References, SweepOrphans, WriterContext};
use segment_store::Error::{NoTransaction, TransactionEnded};

use super::committable::PravegaCommittable;
use super::config::SinkConfig;
use super::ids::Label;
use super::{metrics, open};
use crate::error::{failed, unless_missing};

/// Sweeps the open transactions of the stream.
#[derive(Debug)]
pub(super) struct PravegaSweep {
    pub(super) config: Arc<SinkConfig>,
}

#[async_trait]
impl SweepOrphans for PravegaSweep {
    async fn sweep(&self, context: WriterContext, references: References) -> Result<u64> {
        let committables = references.all::<PravegaCommittable>()?.into_iter();
        let needed: HashSet<_> = committables.map(|c| (c.stream, c.transaction)).collect();
        let stream = &self.config.stream;
        let client = open(&context.env, &self.config).await?;
        let asked = client.open_transactions(stream).await;
        let Some(open) = unless_missing(asked, "list open transactions of", stream)?.flatten() else {
            // It can't be asked: they end by their leases.
            return Ok(0);
        };
        let mut aborted = 0;
        for found in open {
            let is_dead = found.label.parse::<Label>().is_ok_and(|label| label.is_dead(&context));
            if !is_dead || needed.contains(&(stream.clone(), found.id)) {
                continue;
            }
            context.env.crash.hit("pravega-sweep/before-abort");
            match client.abort(stream, found.id).await {
                Ok(()) | Err(TransactionEnded { .. } | NoTransaction { .. }) => {}
                Err(error) => return Err(failed("abort a transaction of", stream)(error)),
            }
            context.env.crash.hit("pravega-sweep/after-abort");
            tracing::info!(label = found.label, id = %found.id, "aborted the transaction of a dead attempt");
            aborted += 1;
        }
        metrics::count(metrics::TRANSACTIONS_ABORTED, aborted);
        Ok(aborted)
    }
}
