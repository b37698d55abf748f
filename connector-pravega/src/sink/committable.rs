//! What passes from a writer to the committer: a prepared transaction.

use segment_store::{StreamName, TransactionId};
use serde::{Deserialize, Serialize};

/// A transaction all of whose rows are durable, and that was found open then. Its bytes alone are enough to commit it, from another process
/// and at any later time within its lease.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct PravegaCommittable {
    /// The stream.
    pub stream: StreamName,
    /// The transaction.
    pub transaction: TransactionId,
}
connector_api::stored!(PravegaCommittable, "pravega-committable");

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn committables_of_every_version_are_read() -> Result<(), testkit::golden::Broken> {
        let stream = StreamName::new("shop", "orders").unwrap();
        let one = PravegaCommittable { stream, transaction: TransactionId::new(3, 7, 1 << 60) };
        testkit::golden::Golden::new(concat!(env!("CARGO_MANIFEST_DIR"), "/tests/golden"))
            .value("one", one)
            .check()
    }
}
