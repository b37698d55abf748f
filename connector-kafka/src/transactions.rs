//! Transactions of a cluster, for operators and tests: what is open, and how to end it.

use std::time::Duration;

use connector_api::env::Environment;
use connector_api::{Error, Result};

use crate::connection::Connection;
use crate::error::KafkaError;
use crate::wire::{Described, EndOf, Wire};

/// How long a call that fails in a way that may pass is tried again.
const PATIENCE: Duration = Duration::from_secs(30);
const NO_SUCH_ID: i16 = 105;

/// What a coordinator knows of a transactional id.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Transaction {
    /// The transactional id.
    pub id: String,
    /// The state as the broker names it: `Ongoing`, `CompleteCommit`, `Empty` and so on.
    pub state: String,
    /// The producer that has the id.
    pub producer_id: i64,
    /// The producer's epoch.
    pub epoch: i16,
    /// When the transaction began, by the broker's clock (milliseconds since the Unix epoch); none when none has.
    pub started_at: Option<i64>,
    /// How long after that the broker aborts it.
    pub timeout: Duration,
}

impl Transaction {
    /// Whether it holds back readers of committed records.
    pub fn is_open(&self) -> bool {
        matches!(&*self.state, "Ongoing" | "PrepareCommit" | "PrepareAbort" | "PrepareEpochFence")
    }
}

impl From<Described> for Transaction {
    fn from(described: Described) -> Self {
        Self {
            id: described.id,
            state: described.state,
            producer_id: described.producer_id,
            epoch: described.epoch,
            started_at: Some(described.started_at).filter(|at| *at >= 0),
            timeout: Duration::from_millis(described.timeout_ms.try_into().unwrap_or(0)),
        }
    }
}

/// The transactions of a cluster.
#[derive(Clone, Debug)]
pub struct Transactions {
    wire: Wire,
}

fn failed<'a>(operation: &'static str, target: &'a str) -> impl FnOnce(KafkaError) -> Error + 'a {
    move |error| Error::connector(operation, target, None, error)
}

impl Transactions {
    /// Those of this cluster. Connects to nothing yet.
    ///
    /// # Errors
    ///
    /// [`Error::Config`] for a security property that this client does not speak, or can't follow. It speaks TLS (with the feature
    /// `tls`), PLAIN, SCRAM and OAUTHBEARER with unsecured tokens, by librdkafka's names.
    pub fn of(env: &Environment, connection: &Connection) -> Result<Self> {
        Ok(Self { wire: connection.wire(env, PATIENCE)? })
    }

    /// All of ids that begin with `prefix`, open or not.
    ///
    /// # Errors
    ///
    /// The cluster can't be asked.
    pub async fn list(&self, prefix: &str) -> Result<Vec<Transaction>> {
        let mut all = Vec::new();
        for (id, _state) in self.wire.list(prefix).await.map_err(failed("list transactions of", prefix))? {
            all.extend(self.describe(&id).await?);
        }
        Ok(all)
    }

    /// The one of this id; none when the cluster does not know the id.
    ///
    /// # Errors
    ///
    /// The cluster can't be asked.
    pub async fn describe(&self, id: &str) -> Result<Option<Transaction>> {
        let described = self.wire.describe(id).await.map_err(failed("describe transaction", id))?;
        match described.code {
            0 => Ok(Some(described.into())),
            NO_SUCH_ID => Ok(None),
            code => Err(failed("describe transaction", id)(KafkaError::Answer {
                api: "DescribeTransactions",
                code,
            })),
        }
    }

    /// Aborts what is open under an id, and fences whoever wrote it. What a checkpoint of a job refers to is lost by that.
    ///
    /// # Errors
    ///
    /// The cluster can't be asked, or refuses.
    pub async fn abort(&self, id: &str) -> Result<()> {
        let timeout = Duration::from_secs(60);
        self.wire.fence(id, timeout).await.map_err(failed("abort transaction", id))
    }

    /// Commits or aborts by the producer's name, as the producer itself would. Gives the answer's code: 0 for done.
    ///
    /// # Errors
    ///
    /// The cluster can't be asked.
    pub async fn end(&self, transaction: &Transaction, commit: bool) -> Result<i16> {
        let Transaction { id, producer_id, epoch, .. } = transaction;
        let end = EndOf { id, producer_id: *producer_id, epoch: *epoch, commit };
        self.wire.end(end).await.map_err(failed("end transaction", id))
    }

    /// The level of a feature of the cluster that is in force, such as `transaction.version`; none when there is none.
    ///
    /// # Errors
    ///
    /// The cluster can't be asked.
    pub async fn feature(&self, name: &str) -> Result<Option<i16>> {
        let versions = self.wire.versions().await.map_err(failed("ask for the feature", name))?;
        Ok(versions.features.into_iter().find(|(feature, _)| feature == name).map(|(_, level)| level))
    }
}
