//! Arrow record batches as the batches of sources and sinks, and what turns bytes into them and back.
//!
//! Arrow stays out of `connector-api` (docs/design): what needs it depends on this crate, whose [`ArrowBatch`] is Arrow's
//! `RecordBatch` as a batch of rows that sources emit and sinks take.
//!
//! | module | what stands there |
//! |---|---|
//! | [`schema`] | the columns of a table as users write them, and Arrow's schema from it and back |
//! | [`infer`](mod@infer) | the columns of records that are there |
//! | [`records`] | records of a message system to columns |
//! | [`json`] | JSON objects to columns, with the records that are none put aside, and back |

mod batch;
mod exact;
pub mod infer;
pub mod json;
pub mod records;
pub mod schema;
mod zone;

pub use batch::{ArrowBatch, ArrowRow};
pub use infer::{infer, infer_csv};
pub use schema::{Column, ColumnType, Schema};
