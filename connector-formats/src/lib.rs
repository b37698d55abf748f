//! Arrow record batches as the batches of sources and sinks, and what turns bytes into them and back.
//!
//! Arrow stays out of `connector-api` (docs/design): what needs it depends on this crate, whose [`ArrowBatch`] is Arrow's
//! `RecordBatch` as a batch of rows that sources emit and sinks take.

mod batch;

pub use batch::{ArrowBatch, ArrowRow};
