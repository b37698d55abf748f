//! Metrics that only this sink has, for the `metrics` facade. Label: `connector` = `file`.

use super::committable::StagedFile;

/// Counter: files that became visible.
pub const FILES_WRITTEN: &str = "filesWritten";
/// Counter: parts that were merged away.
pub const FILES_COMPACTED: &str = "filesCompacted";
/// Counter: bytes of the files that they were merged into.
pub const BYTES_COMPACTED: &str = "bytesCompacted";

/// Counter: parts that compactors merged. Counted when a merge is done, so one that is done again after a failure counts again.
pub const COMPACTION_FILES_IN: &str = "compactionFilesIn";
/// Counter: files that compactors wrote.
pub const COMPACTION_FILES_OUT: &str = "compactionFilesOut";
/// Counter: bytes of the parts that compactors merged.
pub const COMPACTION_BYTES_IN: &str = "compactionBytesIn";
/// Counter: bytes of the files that compactors wrote.
pub const COMPACTION_BYTES_OUT: &str = "compactionBytesOut";
/// Gauge: parts that wait to be merged, and are being merged, in this process.
pub const COMPACTION_BACKLOG_FILES: &str = "compactionBacklogFiles";
/// Gauge: bytes of these parts.
pub const COMPACTION_BACKLOG_BYTES: &str = "compactionBacklogBytes";

/// What one stage adds to the backlog; nothing any more when it is dropped.
#[derive(Debug, Default)]
pub(crate) struct Backlog {
    files: u64,
    bytes: u64,
}

impl Backlog {
    /// Says which parts the stage holds.
    pub(crate) fn set<'a>(&mut self, held: impl IntoIterator<Item = &'a StagedFile>) {
        let (mut files, mut bytes) = (0, 0_u64);
        for file in held {
            files += 1;
            bytes = bytes.saturating_add(file.length);
        }
        let change = |name: &'static str, before: u64, now: u64| {
            let gauge = metrics::gauge!(name, "connector" => "file");
            if now > before {
                gauge.increment((now - before) as f64);
            } else if before > now {
                gauge.decrement((before - now) as f64);
            }
        };
        change(COMPACTION_BACKLOG_FILES, self.files, files);
        change(COMPACTION_BACKLOG_BYTES, self.bytes, bytes);
        (self.files, self.bytes) = (files, bytes);
    }
}

impl Drop for Backlog {
    fn drop(&mut self) {
        self.set([]);
    }
}

pub(crate) fn count(name: &'static str, by: u64) {
    if by > 0 {
        metrics::counter!(name, "connector" => "file").increment(by);
    }
}
