//! Metrics of this source, for the `metrics` facade, by Flink's names. Labels: `connector` = `kafka`, `subtask` where a reader
//! says it, and `split` where it is about a partition. `pendingRecords` is `connector_api`'s.

/// Gauge: the offset of the last row of a partition that was read.
pub const CURRENT_OFFSET: &str = "currentOffset";
/// Gauge: the offset of a partition that was committed to the group last.
pub const COMMITTED_OFFSET: &str = "committedOffset";
/// Gauge: records of a partition between the position and the readable end, markers of transactions included.
pub const RECORDS_LAG: &str = "recordsLag";
/// Counter: commits to the group that succeeded.
pub const COMMITS_SUCCEEDED: &str = "commitsSucceeded";
/// Counter: commits to the group that failed.
pub const COMMITS_FAILED: &str = "commitsFailed";
/// Counter: looks for new partitions that failed and are tried again.
pub const FAILED_DISCOVERIES: &str = "discoveriesFailed";
/// Counter: partitions that were found.
pub const PARTITIONS_FOUND: &str = "partitionsFound";
/// Counter: partitions that were removed and did not fail the job.
pub const PARTITIONS_REMOVED: &str = "partitionsRemoved";
/// Counter: times that reading went on elsewhere, because an offset was out of range.
pub const OFFSET_RESETS: &str = "offsetResets";

pub(super) fn count(name: &'static str, by: u64) {
    if by > 0 {
        metrics::counter!(name, "connector" => "kafka").increment(by);
    }
}
