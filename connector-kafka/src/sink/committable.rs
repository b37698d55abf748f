//! What passes from a writer to the committer: a prepared transaction.

use connector_api::state::{from_payload, to_payload};
use connector_api::{Result, Stored};
use serde::{Deserialize, Serialize};

/// A transaction that was flushed and found open. Its bytes alone are enough to commit it, by another process and at any later time.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct KafkaCommittable {
    /// The cluster that it was prepared on.
    pub cluster_id: String,
    /// The transactional id.
    pub transactional_id: String,
    /// The producer that wrote it.
    pub producer_id: i64,
    /// The producer's epoch.
    pub epoch: i16,
    /// When it began, by the broker's clock: with id, producer and epoch the name of this one transaction among those of the id.
    pub started_at: i64,
    /// The version of the protocol that it was written under.
    pub version: TransactionVersion,
}

/// The version of the transaction protocol that a client speaks, which decides how a transaction is ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum TransactionVersion {
    /// The epoch stays over the end of a transaction: EndTxn up to version 4 (KIP-98, KIP-360). What librdkafka 2.12 speaks, whatever
    /// `transaction.version` the cluster is at.
    SameEpoch,
}

impl Stored for KafkaCommittable {
    const KIND: &'static str = "kafka-committable";
    const VERSION: u16 = 1;

    fn encode(&self) -> Result<Vec<u8>> {
        to_payload(self)
    }

    fn decode(_version: u16, payload: &[u8]) -> Result<Self> {
        from_payload(payload)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn committables_of_every_version_are_read() -> Result<(), testkit::golden::Broken> {
        let one = KafkaCommittable {
            cluster_id: "dGVzdGtpdC1jbHVzdGVyMQ".into(),
            transactional_id: "copy-0000000000000007-3.1.12".into(),
            producer_id: 4_000,
            epoch: 7,
            started_at: 1_795_295_776_999,
            version: TransactionVersion::SameEpoch,
        };
        testkit::golden::Golden::new(concat!(env!("CARGO_MANIFEST_DIR"), "/tests/golden"))
            .value("one", one)
            .check()
    }
}
