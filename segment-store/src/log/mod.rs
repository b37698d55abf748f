//! The log: one sequence of frames in files, each written and synced as one.
//!
//! # What recovery relies on
//!
//! - One frame is under way at a time: the next one is written when the one before is durable. So what a power cut
//!   tears is the last frame, which nobody was told of, and a damaged frame with a whole one behind it is not a torn tail but damage.
//! - A whole frame at the end may have been written and never synced (or its sync failed, after which the system takes the
//!   page for clean). Whoever opens the log writes the last frame again and syncs it before anything rests on it.
//! - After a failed write or sync the file is given up: what follows goes to a new file, whose header says from which number
//!   on the old one no longer counts.

mod ahead;
mod durable;
pub(crate) mod file;
pub(crate) mod frame;
#[cfg(feature = "fuzzing")]
pub(crate) mod fuzzing;
mod payload;
mod scan;
mod writer;

pub(crate) use ahead::Ahead;
pub(crate) use durable::told;
pub(crate) use payload::Payload;
pub(crate) use scan::{Frame, Scanner, read_frame};
pub(crate) use writer::{LogWriter, Setup, Start};

use std::path::PathBuf;

/// Where a frame is stored.
#[derive(Clone, Copy, Debug, PartialEq, Eq, serde::Serialize, serde::Deserialize)]
pub(crate) struct FramePlace {
    /// The number of its file.
    pub(crate) file: u64,
    /// Its place in it.
    pub(crate) at: u64,
    /// Header and payload, without padding.
    pub(crate) length: u32,
}

/// How far a log was read: where the next frame begins.
#[derive(Clone, Copy, Debug, PartialEq, Eq, serde::Serialize, serde::Deserialize)]
pub(crate) struct Position {
    /// The file.
    pub(crate) file: u64,
    /// The place in it.
    pub(crate) at: u64,
    /// The number of the next frame.
    pub(crate) next: u64,
    /// The checksum of the frame before it.
    pub(crate) previous: u32,
}

/// The directory of the log files in a store's directory.
pub(crate) fn dir(store: &std::path::Path) -> PathBuf {
    store.join("log")
}
