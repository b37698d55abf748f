//! Metrics that only this sink has, for the `metrics` facade. Label: `connector` = `pravega`.

/// Counter: transactions that this process committed.
pub const TRANSACTIONS_COMMITTED: &str = "transactionsCommitted";
/// Counter: transactions that were found committed.
pub const TRANSACTIONS_FOUND_COMMITTED: &str = "transactionsFoundCommitted";
/// Counter: transactions of dead attempts that were aborted at a start.
pub const TRANSACTIONS_ABORTED: &str = "transactionsAborted";
/// Counter: transactions that were lost.
pub const TRANSACTIONS_LOST: &str = "transactionsLost";
/// Counter: pings of transactions that failed.
pub const PINGS_FAILED: &str = "transactionPingsFailed";

pub(super) fn count(name: &'static str, by: u64) {
    if by > 0 {
        metrics::counter!(name, "connector" => "pravega").increment(by);
    }
}
