//! Metrics that only this sink has, for the `metrics` facade. Label: `connector` = `kafka`.

/// Counter: records that were not delivered.
pub const RECORDS_OUT_ERRORS: &str = "numRecordsOutErrors";
/// Counter: transactions that this process committed.
pub const TRANSACTIONS_COMMITTED: &str = "transactionsCommitted";
/// Counter: transactions that were found committed.
pub const TRANSACTIONS_FOUND_COMMITTED: &str = "transactionsFoundCommitted";
/// Counter: transactions of dead attempts that were aborted at a start.
pub const TRANSACTIONS_ABORTED: &str = "transactionsAborted";
/// Counter: transactions that were lost.
pub const TRANSACTIONS_LOST: &str = "transactionsLost";

pub(crate) fn count(name: &'static str, by: u64) {
    if by > 0 {
        metrics::counter!(name, "connector" => "kafka").increment(by);
    }
}
