//! Metrics that only this sink has, for the `metrics` facade. Label: `connector` = `file`.

/// Counter: files that became visible.
pub const FILES_WRITTEN: &str = "filesWritten";
/// Counter: parts that were merged away.
pub const FILES_COMPACTED: &str = "filesCompacted";
/// Counter: bytes of the files that they were merged into.
pub const BYTES_COMPACTED: &str = "bytesCompacted";

pub(crate) fn count(name: &'static str, by: u64) {
    if by > 0 {
        metrics::counter!(name, "connector" => "file").increment(by);
    }
}
