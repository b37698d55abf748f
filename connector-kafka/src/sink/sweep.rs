//! Aborts the transactions that dead attempts left open and that no checkpoint needs: they would hold back every reader of committed
//! records until they time out.

use std::collections::HashSet;
use std::sync::Arc;
use std::time::Duration;

use async_trait::async_trait;
use connector_api::sink::{References, SweepOrphans, WriterContext};
use connector_api::{Error, Result};

use super::committable::KafkaCommittable;
use super::config::{SinkConfig, TransactionConfig};
use super::ids::Whose;
use super::start::is_of_this_lineage;
use super::{PATIENCE, metrics};
use crate::error::KafkaError;
use crate::wire::Described;

/// Sweeps the ids under the job's prefix.
#[derive(Debug)]
pub(crate) struct KafkaSweep {
    pub(crate) config: Arc<SinkConfig>,
    pub(crate) transactions: TransactionConfig,
}

/// A transaction that a checkpoint may still commit: its id alone may stand for a later one by now.
type Needed = HashSet<(String, i64, i16, i64)>;

fn is_needed(needed: &Needed, found: &Described) -> bool {
    needed.contains(&(found.id.clone(), found.producer_id, found.epoch, found.started_at))
}

#[async_trait]
impl SweepOrphans for KafkaSweep {
    async fn sweep(&self, context: WriterContext, references: References) -> Result<u64> {
        let committables = references.all::<KafkaCommittable>()?.into_iter();
        let needed: Needed =
            committables.map(|c| (c.transactional_id, c.producer_id, c.epoch, c.started_at)).collect();
        let prefix = &self.transactions.prefix;
        let failed = |operation: &'static str, target: &str, error: KafkaError| {
            Error::connector(operation, target.to_owned(), None, error)
        };
        let wire = self.config.connection.wire(&context.env, PATIENCE)?;
        let start = prefix.start();
        let listed = wire.list(&start).await.map_err(|e| failed("list transactions of", &start, e))?;
        let is_ours = |id: &str| match prefix.whose(id) {
            Some(Whose::Ours(made)) if made.attempt.run == context.attempt.run => {
                made.attempt.is_before(context.attempt)
            }
            Some(Whose::Ours(made)) => is_of_this_lineage(&context, made.attempt.run),
            Some(Whose::Foreign | Whose::OtherPrefix) | None => false,
        };
        let mut aborted = 0;
        for (id, _) in listed.iter().filter(|(id, state)| state == "Ongoing" && is_ours(id)) {
            let found = wire.describe(id).await.map_err(|e| failed("describe transaction", id, e))?;
            if found.code != 0 || found.state != "Ongoing" || is_needed(&needed, &found) {
                continue;
            }
            context.env.crash.hit("kafka-sweep/before-abort");
            let timeout = Duration::from_millis(found.timeout_ms.max(1).unsigned_abs().into());
            wire.fence(id, timeout).await.map_err(|e| failed("abort transaction", id, e))?;
            context.env.crash.hit("kafka-sweep/after-abort");
            tracing::info!(id, "aborted the transaction of a dead attempt");
            aborted += 1;
        }
        metrics::count(metrics::TRANSACTIONS_ABORTED, aborted);
        Ok(aborted)
    }
}
