//! The whole job, from files through the runtime into files with rolling and compaction, on simulated files in simulated
//! time: it dies at every crash point and at every write, its disk fails and fills up, it is stopped, rescaled and sent
//! back. Every line is visible exactly once, and nothing visible ever changes or goes away.
//!
//! A test run tries every crash point and every write with one seed, and a choice of the rest. `ROUNDS=n` tries every case,
//! with n seeds; `SEED=s` begins at seed s, which a failure prints.
#![allow(missing_docs, unreachable_pub, clippy::unwrap_used)]

mod crash_points;
mod drain;
mod faults;
mod going_back;
mod power_cuts;
mod restores;
mod savepoints;
mod support;
mod twins;
