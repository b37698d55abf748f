//! Files: a bounded source and an exactly-once sink with rolling and small-file compaction.
//!
//! # Rows of a struct
//!
//! Beside messages of bytes, CSV and JSON lines are read into and written from rows of any struct with serde:
//!
//! ```
//! use connector_file::format::Format;
//! use connector_file::sink::{FileSink, SinkOptions};
//! use connector_file::source::{FileSource, SourceOptions};
//! use serde::{Deserialize, Serialize};
//!
//! #[derive(Serialize, Deserialize)]
//! struct Order {
//!     id: u64,
//!     /// An empty value in CSV.
//!     note: Option<String>,
//! }
//!
//! # fn main() -> connector_api::Result<()> {
//! let base = std::path::Path::new("/data");
//! // `orders/2026-01.csv.gz` is decompressed, by its name.
//! let csv = SourceOptions { format: Format::Csv, ..SourceOptions::lines("orders") };
//! let source = FileSource::<Vec<Order>>::new(&csv, base)?;
//! let json = SinkOptions { format: Format::Json, ..SinkOptions::lines("out") };
//! let sink = FileSink::<Vec<Order>>::new(&json, base)?;
//! # let _ = (source, sink);
//! # Ok(())
//! # }
//! ```

pub mod bad;
mod factory;
pub mod format;
pub mod input;
pub mod place;
pub mod sink;
pub mod source;

pub use factory::FileConnector;

// What unit tests and test targets share names this crate from outside.
#[cfg(test)]
extern crate self as connector_file;

// What unit tests of source and sink share with the test targets.
#[cfg(test)]
#[path = "../tests/support/store.rs"]
mod store;

/// Where the bytes of released versions are.
#[cfg(test)]
fn golden<T: connector_api::Stored>() -> testkit::golden::Golden<T> {
    testkit::golden::Golden::new(concat!(env!("CARGO_MANIFEST_DIR"), "/tests/golden"))
}
