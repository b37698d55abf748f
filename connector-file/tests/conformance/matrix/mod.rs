//! The connector over {format} x {place} x {compaction}: one context of a source and one of a sink for all of them.

mod columns;
mod lines;
mod place;
mod rows;
mod sink;
mod source;

use connector_api::Result;
use connector_file::format::FileBatch;
use connector_file::sink::SinkOptions;
use connector_file::source::SourceOptions;
use testkit::{TestBatch, TestRow};

#[cfg(feature = "parquet")]
pub(crate) use columns::Columns;
pub(crate) use lines::Lines;
pub(crate) use place::{Local, Objects, Place};
pub(crate) use rows::{Rows, Shape};
pub(crate) use sink::{Sinks, is_of_objects};
pub(crate) use source::Sources;

/// Where the table of crash points is.
pub(crate) const README: &str = include_str!("../../../README.md");

/// A format as the tests write and read it, without the connector.
pub(crate) trait Looks: Copy + Send + Sync + 'static {
    type Batch: FileBatch + TestBatch;

    /// What its files' names end with.
    fn ending(self) -> &'static str;

    /// A source of this format, in several pieces for each file.
    fn source(self, options: SourceOptions) -> SourceOptions;

    /// A sink of this format, with small parts.
    fn sink(self, options: SinkOptions) -> SinkOptions;

    /// How large a merge gets: parts of the writers are below it, so that some are merged.
    fn merged_bytes(self) -> u64;

    /// How large the pieces of an upload are: so small that most parts have several.
    fn piece_bytes(self) -> u64;

    /// The content of a file with rows added.
    fn added(self, content: Vec<u8>, rows: &[TestRow]) -> Result<Vec<u8>>;

    /// The texts of a file's rows.
    fn texts(self, content: &[u8]) -> Result<Vec<String>>;
}
