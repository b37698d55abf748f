//! Runs the real binary in directories of its own.

#![allow(clippy::disallowed_methods, reason = "tests prepare files and wait on a real machine")]
#![allow(clippy::unwrap_used, clippy::expect_used, reason = "a test ends where it fails")]
#![allow(unreachable_pub, reason = "nothing here is public")]

mod commands;
mod configuration;
#[cfg(feature = "parquet")]
mod converting;
#[cfg(feature = "crash-points")]
mod crashing;
mod full_disk;
mod listing;
mod logs_and_metrics;
mod restoring;
mod running;
mod stopping;
mod stores;
mod support;
