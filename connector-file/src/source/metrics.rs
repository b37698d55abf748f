//! Metrics that only this source has, for the `metrics` facade. Label: `connector` = `file`.

/// Counter: listings that failed and were tried again.
pub const FAILED_LISTINGS: &str = "filesListingsFailed";
/// Counter: files that were found.
pub const FILES_FOUND: &str = "filesFound";
/// Counter: late files that were skipped.
pub const LATE_FILES: &str = "filesLateSkipped";
/// Counter: files that were deleted or moved after they had been read.
pub const FILES_DISPOSED: &str = "filesDisposed";

pub(super) fn count(name: &'static str, by: u64) {
    if by > 0 {
        metrics::counter!(name, "connector" => "file").increment(by);
    }
}
