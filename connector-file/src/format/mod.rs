//! Formats: how the bytes of a file are records, in both directions.
//!
//! A [`Decode`] reads the records of one split, an [`Encode`] writes those of one part; a batch type that files are read
//! into and written from is a [`FileBatch`], which says what it carries and makes both.

mod ahead;
#[cfg(feature = "parquet")]
mod arrow;
mod batch;
mod compression;
mod content;
mod delimited;
mod field;
#[cfg(feature = "parquet")]
mod field_arrow;
mod gathered;
mod json;
mod lines;
mod packed;
pub(crate) mod parquet;
mod raw;
mod rewrite;
mod rows;
mod stamp;
#[cfg(test)]
mod tests;
mod unpack;

use std::fmt::Debug;
use std::sync::Arc;

use bytes::Bytes;
use connector_api::Result;
use connector_api::env::Spawner;
use connector_base::format::BufferPool;
use connector_base::reader::Fetched;
use schemars::JsonSchema;
use serde::de::value::StrDeserializer;
use serde::{Deserialize, Serialize, de};

use crate::bad::BadRecords;
use crate::input::Input;
use crate::source::{FileSplit, ReadOptions};

#[cfg(feature = "parquet")]
pub(crate) use arrow::clash;
#[cfg(feature = "parquet")]
pub use arrow::with_metadata;
pub use batch::FileBatch;
pub use compression::{Compressed, Compression};
pub use delimited::{CsvOptions, CsvShape};
pub use field::FieldValue;
pub(crate) use gathered::{ENOUGH, Gathered};
pub use parquet::{Codec, ParquetOptions};
pub(crate) use stamp::Stamp;
pub use stamp::{MODIFIED_COLUMN, Metadata, OFFSET_COLUMN, PATH_COLUMN};

/// What a file consists of.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "lowercase")]
pub enum Format {
    /// Each line is a record: its bytes without the terminator, which is `\n` or `\r\n`; written with `\n`. The last line
    /// of a file may lack it. A record that contains `\n` and a tombstone can't be written.
    Lines,
    /// JSON lines: each line is one JSON object.
    Json,
    /// CSV (RFC 4180): a header row with the names of the columns, values that may be quoted and then hold line breaks.
    Csv,
    /// Each file is one record, whole.
    Raw,
    /// Parquet, as batches of Arrow.
    Parquet,
}

impl Format {
    /// Its name in options.
    pub fn name(self) -> &'static str {
        match self {
            Self::Lines => "lines",
            Self::Json => "json",
            Self::Csv => "csv",
            Self::Raw => "raw",
            Self::Parquet => "parquet",
        }
    }
}

/// Merges parts record by record, for formats whose files can't be joined byte by byte.
pub trait Rewrite: Send + Sync + Debug {
    /// Writes the records of the inputs, in their order, as the bytes of one file; says how many records there are. Holds
    /// little of them at a time. `write` takes the bytes as they come, and may give the work up.
    ///
    /// # Errors
    ///
    /// When an input can't be read or is not of the format; those of `write`.
    fn rewrite(
        &self,
        inputs: &mut dyn Iterator<Item = Result<Box<dyn Input>>>,
        write: &mut dyn FnMut(Vec<Bytes>) -> Result<()>,
    ) -> Result<u64>;
}

impl std::str::FromStr for Format {
    type Err = de::value::Error;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        Self::deserialize(StrDeserializer::new(text))
    }
}

/// Reads the records of one split. Its calls block.
pub trait Decode<B>: Send + Debug {
    /// The next records, with the position behind each; none when the split is read to its end.
    ///
    /// A position is what the split stores: an offset in the file for formats that are cut into byte ranges, whatever the
    /// format counts by for the others.
    ///
    /// # Errors
    ///
    /// When the file can't be read, changed, or is not of the format; each names the file and the offset.
    fn fetch(&mut self) -> Result<Option<Fetched<B, u64>>>;
}

/// What a decoder is made with.
#[derive(Debug)]
pub struct Opening<'a> {
    /// How the source reads.
    pub(crate) options: &'a ReadOptions,
    /// What to read, at the position to begin at.
    pub(crate) split: &'a FileSplit,
    /// The file of the split.
    pub(crate) input: Box<dyn Input>,
    /// Buffers of the reader.
    pub(crate) pool: BufferPool,
    /// Where records go that can't be decoded.
    pub(crate) bad: BadRecords,
    /// Where what is compressed is decompressed ahead.
    pub(crate) spawner: Arc<dyn Spawner>,
}

impl Opening<'_> {
    /// The columns of metadata that the source wants.
    pub(crate) fn stamp(&self) -> Stamp {
        Stamp::new(&self.options.metadata, self.split)
    }

    /// How the file is compressed.
    pub(crate) fn compression(&self) -> Compression {
        self.options.compression.of(self.split.path.as_path())
    }
}

/// Writes records as the bytes of one part.
pub trait Encode<B>: Send + Debug {
    /// Adds the rows from `row` on: until the batch ends, `room` bytes are used up (by less than one row more), or there is
    /// enough in `out` to hand over. Gives the first row that was not added. Adds at least one row.
    ///
    /// # Errors
    ///
    /// When a row can't be written in this format; names the row.
    fn add(&mut self, batch: &B, row: usize, room: u64, out: &mut Gathered) -> Result<usize>;

    /// About how many bytes of the part were taken in and are not in `out` yet.
    fn held(&self) -> u64 {
        0
    }

    /// Ends the part: adds what is held, and what closes a file of this format.
    ///
    /// # Errors
    ///
    /// When what is held can't be written.
    fn finish(&mut self, out: &mut Gathered) -> Result<()> {
        let _ = out;
        Ok(())
    }
}
