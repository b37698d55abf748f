//! The options of Parquet files that are written.

use connector_api::factory::ByteSize;
use schemars::JsonSchema;
use serde::Deserialize;

/// How Parquet files are written.
#[derive(Clone, Debug, PartialEq, Eq, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, default)]
pub struct ParquetOptions {
    /// How the pages within a file are compressed.
    pub compression: Codec,
    /// About the size of a row group in the file. A writer holds one in memory for each open part.
    pub row_group: ByteSize,
    /// The most rows of a row group.
    pub row_group_rows: u64,
}

/// How pages are compressed.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Deserialize, JsonSchema)]
#[serde(rename_all = "lowercase")]
pub enum Codec {
    /// Zstandard, at its lowest level.
    Zstd,
    /// Snappy.
    Snappy,
    /// gzip.
    Gzip,
    /// Not at all.
    None,
}

impl Default for ParquetOptions {
    fn default() -> Self {
        Self { compression: Codec::Zstd, row_group: ByteSize(64 << 20), row_group_rows: 1 << 20 }
    }
}

impl ParquetOptions {
    /// The option that is wrong, below `parquet`, and why.
    pub(crate) fn check(&self) -> Result<(), (&'static str, &'static str)> {
        if self.row_group.0 == 0 {
            return Err(("parquet.row_group", "must be at least 1 B"));
        }
        if self.row_group_rows == 0 {
            return Err(("parquet.row_group_rows", "must be at least 1"));
        }
        Ok(())
    }
}
