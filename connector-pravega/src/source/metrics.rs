//! Metrics of this source, for the `metrics` facade. Labels: `connector` = `pravega`, and `split` where it is about a segment.
//! `pendingBytes` is `connector_api`'s.

/// Gauge: the offset behind the last event of a segment that was read.
pub const CURRENT_OFFSET: &str = "currentOffset";
/// Counter: segments that were found.
pub const SEGMENTS_FOUND: &str = "segmentsFound";
/// Counter: bytes that were to be read and were truncated away, skipped because `on_truncated` says so.
pub const TRUNCATED_BYTES: &str = "truncatedBytes";

pub(super) fn count(name: &'static str, by: u64) {
    if by > 0 {
        metrics::counter!(name, "connector" => "pravega").increment(by);
    }
}

/// Sets a gauge of a segment.
pub(super) fn gauge(name: &'static str, split: &str, value: u64) {
    metrics::gauge!(name, "connector" => "pravega", "split" => split.to_owned()).set(value as f64);
}
