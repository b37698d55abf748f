//! The checkpoint directory: what a job goes on from, stored so that no crash and no power cut can leave half of it.
//!
//! | file | what it holds | made durable |
//! |---|---|---|
//! | `lock` | the process id of the holder | never: the lock ends with the process |
//! | `run` | run id and ancestors, number of attempts, checkpoint numbers in use, what the run goes on from | before an attempt begins |
//! | `high-water` | the newest checkpoint whose commits may have begun | before the first commit notice of that checkpoint |
//! | `chk-<n>.ckpt` | a completed checkpoint | before anybody is told that it is complete |
//! | `sav-<n>.ckpt` | a completed savepoint; never cleaned | as above |
//! | `.tmp-*` | what a crash left unfinished; removed at the next opening | never |
//!
//! Each is written under a hidden name, synced, renamed and its directory synced; all but `lock` are in the state envelope.
//! A file under its final name is complete: one that does not decode is an error that names it, never skipped.
//!
//! # Numbers
//!
//! A checkpoint number is used once in a directory, whatever run or attempt used it and whether or not the checkpoint
//! completed: numbers are reserved in the `run` file in advance. So numbers order everything in a directory, also across
//! runs, and "older" is a comparison of numbers.
//!
//! # Runs
//!
//! A *run* is one lineage of state. `--from none` begins a new one. The old run's checkpoints stay where they are until
//! the new run's own checkpoints push them out (the newest `retain` are kept, whoever's they are), savepoints for ever; the
//! old run becomes an *ancestor*, and a restore of one of its files by path is allowed, as going back. A checkpoint of a run
//! that is neither this nor an ancestor is foreign and refused; except in a directory without a run, which takes the
//! checkpoint over: it begins a new run (so that names made outside never collide with those of the old one, which may
//! have gone on), keeps a copy, and judges "older" by the high-water mark beside the original.

mod files;
mod fits;
mod job;
mod look;
mod record;
mod run;
mod start;
mod store;
#[cfg(test)]
mod tests;

pub use files::CheckpointFile;
pub use job::{AttemptStart, JobStore};
pub(crate) use job::{SharedStore, write};
pub use look::Look;
pub use record::{CheckpointRecord, StoredCommittable};
pub use start::RunStart;
pub use store::CheckpointStore;
