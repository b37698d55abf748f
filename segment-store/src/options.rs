//! How a store keeps what it is given.

use std::time::Duration;

use serde::{Deserialize, Serialize};

use crate::error::{Error, Result};

/// When an append is acknowledged, and so what it survives.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Durability {
    /// When it is on the disk (fdatasync): survives the end of the process and of the machine's power.
    #[default]
    Sync,
    /// When the operating system has it: survives the end of the process. After a power cut the store may be missing its newest part, or be
    /// refused as damaged.
    Os,
    /// At once, in memory: survives nothing. The directory is not touched.
    Memory,
}

/// Options of a store. All sizes are in bytes.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct StoreOptions {
    /// When an append is acknowledged.
    pub durability: Durability,
    /// The size of a file of the log: 64 MiB. At least 64 KiB; an append, or all changes that are written at once, must fit into half of it.
    pub log_file_size: u64,
    /// How many full files the log may have before the oldest one's bytes are moved into an object: 16.
    pub log_files: usize,
    /// How many empty files are kept, besides the one that the log goes on in next: 1.
    pub spare_files: usize,
    /// The most that is written and synced at once, but for a larger append: 3 MiB. Half of [`log_file_size`](Self::log_file_size), if that is less.
    pub frame_size: usize,
    /// How much of what was written last is kept in memory for readers: 4 MiB. More costs the writer: memory that comes around
    /// late has left the processor's caches.
    pub tail_cache: usize,
    /// How much empty buffers may take that writers gave back and will fill again: 32 MiB.
    pub idle_buffers: usize,
    /// How much is logged between two snapshots: 128 MiB. It bounds what recovery replays.
    pub snapshot_every: u64,
    /// How long a writer that notes times may be silent before it no longer holds the stream's watermark back: 60 s.
    pub time_writer_timeout: Duration,
}

impl Default for StoreOptions {
    fn default() -> Self {
        Self {
            durability: Durability::Sync,
            log_file_size: 64 << 20,
            log_files: 16,
            spare_files: 1,
            frame_size: 3 << 20,
            tail_cache: 4 << 20,
            idle_buffers: 32 << 20,
            snapshot_every: 128 << 20,
            time_writer_timeout: Duration::from_secs(60),
        }
    }
}

/// The largest event: 8 MiB less its header of 8 bytes (Pravega's bound).
pub const MAX_EVENT: usize = 8 * 1024 * 1024 - 8;

impl StoreOptions {
    pub(crate) fn check(&self) -> Result<()> {
        if self.log_file_size < 64 * 1024 {
            return Err(Error::invalid("log_file_size", "must be at least 64 KiB"));
        }
        if self.frame_size == 0 {
            return Err(Error::invalid("frame_size", "must be above 0"));
        }
        Ok(())
    }

    /// The most that is put into one frame, but for a larger append.
    pub(crate) fn max_frame(&self) -> usize {
        usize::try_from(self.log_file_size / 2).unwrap_or(usize::MAX).min(self.frame_size)
    }

    /// The most bytes that one append may bring.
    pub(crate) fn max_append(&self) -> usize {
        usize::try_from(self.log_file_size / 2).unwrap_or(usize::MAX).min(MAX_EVENT + 8)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_frame_is_at_most_half_of_a_small_file() {
        let options = StoreOptions { log_file_size: 4 << 20, ..StoreOptions::default() };
        options.check().unwrap();
        assert_eq!(options.max_frame(), 2 << 20);
        assert_eq!(StoreOptions::default().max_frame(), 3 << 20);
    }
}
