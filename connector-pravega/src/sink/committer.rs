//! The committer: asks what a transaction's state is before and, where the answer is lost, behind the commit.

use std::sync::Arc;

use async_trait::async_trait;
use connector_api::Error;
use connector_api::env::Environment;
use connector_api::sink::{CommitRequest, Committer, OperatorContext, Outcome, Proof};
use segment_store::client::StoreClient;
use segment_store::model::TransactionState;

use super::committable::PravegaCommittable;
use super::config::SinkConfig;
use super::keeper::{Keeper, Keepers};
use super::{metrics, open};
use crate::error::StoreError;

type End = Outcome<PravegaCommittable>;

/// Commits prepared transactions.
///
/// | the transaction is | outcome |
/// |---|---|
/// | open | it is committed: `Committed`; where the answer is lost it is looked again |
/// | committed | `AlreadyCommitted`, or `Committed` when it was this call whose answer was lost |
/// | aborted | `Lost`: its lease ran out, the stream was sealed, or somebody aborted it |
/// | not known | `Fatal`: another store, or so long ago that nothing is kept of it; it can't be told whether its rows are visible |
/// | not to be asked | `Retry` where that may pass, else `Fatal` |
#[derive(Debug)]
pub(crate) struct PravegaCommitter {
    context: OperatorContext,
    config: Arc<SinkConfig>,
    keepers: Arc<Keepers>,
    /// Opened with the first commit.
    opened: Option<(Arc<dyn StoreClient>, Arc<Keeper>)>,
}

impl PravegaCommitter {
    pub(super) fn new(context: OperatorContext, config: Arc<SinkConfig>, keepers: Arc<Keepers>) -> Self {
        Self { context, config, keepers, opened: None }
    }

    async fn opened(&mut self) -> connector_api::Result<(Arc<dyn StoreClient>, Arc<Keeper>)> {
        if let Some(opened) = &self.opened {
            return Ok(opened.clone());
        }
        let env = &self.context.env;
        let client = open(env, &self.config).await?;
        let keeper = self.keepers.of(env, self.context.attempt, &client, self.config.lease);
        Ok(self.opened.insert((client, keeper)).clone())
    }
}

async fn settle(env: &Environment, client: &dyn StoreClient, due: &PravegaCommittable) -> End {
    let PravegaCommittable { stream, transaction: id } = due;
    let ask = || client.transaction(stream, *id);
    let state = match ask().await {
        Ok(state) => state,
        Err(error) => return refused(due, error),
    };
    if state != TransactionState::Open {
        return ended(due, state);
    }
    env.crash.hit("pravega-committer/after-look");
    match client.commit(stream, *id).await {
        Ok(()) => {
            env.crash.hit("pravega-committer/after-commit");
            Outcome::Committed
        }
        Err(error) if error.has_no_side_effects() => match ask().await {
            // Somebody else ended it meanwhile.
            Ok(state) if state != TransactionState::Open => ended(due, state),
            _ => refused(due, error),
        },
        // It may be committed all the same.
        Err(error) => match ask().await {
            Ok(TransactionState::Committed) => Outcome::Committed,
            Ok(state @ (TransactionState::Aborted | TransactionState::Unknown)) => ended(due, state),
            Ok(TransactionState::Open) | Err(_) => refused(due, error),
        },
    }
}

fn refused(due: &PravegaCommittable, error: segment_store::Error) -> End {
    let target = format!("transaction {} of {}", due.transaction, due.stream);
    Outcome::failed(Error::connector("commit", target, None, StoreError(error)))
}

fn ended(due: &PravegaCommittable, state: TransactionState) -> End {
    let PravegaCommittable { stream, transaction: id } = due;
    match state {
        TransactionState::Committed => Outcome::AlreadyCommitted { proof: Proof::TransactionCommitted },
        TransactionState::Aborted => Outcome::Lost {
            reason: format!(
                "transaction {id} of {stream} was aborted, and its rows are gone: nobody kept it alive within its lease while the store was \
                 open, the stream was sealed, or somebody aborted it. Raise `lease` above the longest pause of the job; to get the rows, \
                 restore an earlier checkpoint whose commits did not begin"
            ),
        },
        TransactionState::Unknown | TransactionState::Open => Outcome::Fatal(Error::state(
            "pravega-committable",
            format!(
                "the store knows nothing of transaction {id} of {stream}: it was begun in another store or in a stream of this name that was \
                 deleted, or it ended so long ago that nothing is kept of it. Whether its rows are visible can't be told"
            ),
        )),
    }
}

#[async_trait]
impl Committer<PravegaCommittable> for PravegaCommitter {
    async fn commit(&mut self, request: &CommitRequest<PravegaCommittable>) -> End {
        let due = &request.committable;
        let env = self.context.env.clone();
        env.crash.hit("pravega-committer/before-commit");
        let (client, keeper) = match self.opened().await {
            Ok(opened) => opened,
            Err(error) => return Outcome::failed(error),
        };
        // Also one that was restored: until it is settled its lease is kept.
        keeper.keep(&due.stream, due.transaction);
        let end = settle(&env, &*client, due).await;
        match &end {
            Outcome::Committed => {
                env.crash.hit("pravega-committer/before-outcome");
                metrics::count(metrics::TRANSACTIONS_COMMITTED, 1);
            }
            Outcome::AlreadyCommitted { .. } => metrics::count(metrics::TRANSACTIONS_FOUND_COMMITTED, 1),
            Outcome::Lost { .. } => metrics::count(metrics::TRANSACTIONS_LOST, 1),
            Outcome::Retry { .. } => return end,
            Outcome::Fatal(_) => {}
        }
        keeper.forget(&due.stream, due.transaction);
        end
    }
}
