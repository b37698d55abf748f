//! What the measurements share: pairs, runs of other programs, a source and a sink that cost nothing, a clock.
//!
//! How to read the tables stands in `docs/benchmarks.md`.

pub mod alloc;
pub mod blackhole;
pub mod child;
pub mod generator;
pub mod job;
pub mod kafka;
pub mod pairs;
pub mod programs;
pub mod slow_s3;
pub mod store;

use std::time::Instant;

/// Every failure is told to a person; nobody matches on it.
pub type Result<T = (), E = String> = std::result::Result<T, E>;

/// The one place that reads the clock: these are programs that measure, no libraries that are simulated.
#[allow(clippy::disallowed_methods)]
pub fn now() -> Instant {
    Instant::now()
}

/// Waits, outside of what is measured.
#[allow(clippy::disallowed_methods)]
pub fn sleep(time: std::time::Duration) {
    std::thread::sleep(time);
}

/// The end of a measuring program.
pub fn exit(done: Result) -> std::process::ExitCode {
    match done {
        Ok(()) => std::process::ExitCode::SUCCESS,
        Err(why) => {
            eprintln!("{why}");
            std::process::ExitCode::FAILURE
        }
    }
}
