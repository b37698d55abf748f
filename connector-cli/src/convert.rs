//! What stands between a source and a sink that carry different things.
//!
//! [`plan`] decides it from what both ends carry, before anything moves; [`flow`] makes both ends; [`schema`] finds the
//! columns of a conversion to columns, and [`kept`] keeps those that were inferred; [`columns`] converts; [`envelope`] writes records
//! of a message system whole.

#[cfg(feature = "parquet")]
mod columns;
#[cfg(not(feature = "parquet"))]
#[path = "convert/without.rs"]
mod columns;
mod envelope;
mod flow;
mod kept;
mod plan;
mod schema;
mod table;

#[cfg(not(feature = "parquet"))]
pub(crate) use columns::NoColumns;
pub(crate) use columns::{Schema, records_to_columns, to_columns, to_messages};
pub(crate) use envelope::records_to_messages;
pub(crate) use flow::Flow;
pub(crate) use schema::{for_check, for_run};
pub(crate) use table::{ConvertTable, ValueEncoding};
