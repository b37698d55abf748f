//! A simulated file system that knows what is durable and what is not.
//!
//! [`SimFs`] keeps the contract of [`FileSystem`](connector_api::env::FileSystem) to the letter and no more: what was not
//! synced does not survive a [`power_cut`](SimFs::power_cut). Operations are counted, so that a test can cut the power
//! before every single one:
//!
//! ```
//! # use std::path::Path;
//! # use connector_api::env::{Access, FileSystem};
//! use testkit::fs::{PowerCut, SimFs};
//!
//! fn job(fs: &dyn FileSystem) -> std::io::Result<()> {
//!     let file = fs.open(Path::new("/a"), Access::CreateNew)?;
//!     file.write_all_at(b"content", 0)?;
//!     file.sync_data()?;
//!     fs.sync_dir(Path::new("/"))
//! }
//!
//! let fs = SimFs::new();
//! job(&fs).unwrap();
//! for k in 1..=fs.operations() {
//!     let fs = SimFs::new();
//!     fs.freeze_at(k);
//!     assert!(job(&fs).is_err());
//!     for seed in 0..10 {
//!         let fs = fs.power_cut(PowerCut::Seeded(seed));
//!         // recovery runs here
//!     }
//! }
//! ```

mod disk;
mod fault;
mod file;
mod power;
mod sim;

pub use fault::{Fault, OpKind, Operation, Rule};
pub use power::PowerCut;
pub use sim::SimFs;

#[cfg(test)]
mod tests;
