//! Parquet, as batches of Arrow.
#![cfg(feature = "parquet")]

use arrow_array::{Array, RecordBatch};
use bytes::Bytes;
use connector_api::factory::ByteSize;
use connector_api::{Error, Result};
use connector_file::format::{Format, ParquetOptions};
use connector_file::sink::{Rolling, SinkOptions};
use connector_file::source::SourceOptions;
use connector_formats::ArrowBatch;
use parquet::arrow::ArrowWriter;
use parquet::arrow::arrow_reader::ParquetRecordBatchReaderBuilder;
use parquet::file::properties::WriterProperties;
use testkit::{TestBatch, TestRow};

use super::Looks;

/// Files of several row groups, each read in several pieces.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Columns;

fn refused(e: impl ToString) -> Error {
    Error::data("a Parquet file of a test", None, e.to_string())
}

/// The rows of a file, read without the connector.
fn read(content: &[u8]) -> Result<Vec<RecordBatch>> {
    let content = Bytes::copy_from_slice(content);
    let reader =
        ParquetRecordBatchReaderBuilder::try_new(content).and_then(|b| b.build()).map_err(refused)?;
    reader.collect::<Result<_, _>>().map_err(refused)
}

impl Looks for Columns {
    type Batch = ArrowBatch;

    fn ending(self) -> &'static str {
        ".parquet"
    }

    fn source(self, options: SourceOptions) -> SourceOptions {
        SourceOptions { format: Format::Parquet, split_size: ByteSize(400), ..options }
    }

    fn sink(self, options: SinkOptions) -> SinkOptions {
        let rolling = Rolling { size: ByteSize(300), ..Rolling::default() };
        let parquet = Some(ParquetOptions { row_group_rows: 3, ..ParquetOptions::default() });
        SinkOptions { format: Format::Parquet, rolling, parquet, ..options }
    }

    fn piece_bytes(self) -> u64 {
        1_000
    }

    fn merged_bytes(self) -> u64 {
        20_000
    }

    /// A Parquet file can't be added to: it is written anew.
    fn added(self, content: Vec<u8>, rows: &[TestRow]) -> Result<Vec<u8>> {
        let mut batches = if content.is_empty() { Vec::new() } else { read(&content)? };
        let new = ArrowBatch::of(rows)?.into_columns();
        let properties = WriterProperties::builder().set_max_row_group_row_count(Some(7)).build();
        let mut writer = ArrowWriter::try_new(Vec::new(), new.schema(), Some(properties)).map_err(refused)?;
        batches.push(new);
        for batch in &batches {
            writer.write(batch).map_err(refused)?;
        }
        writer.into_inner().map_err(refused)
    }

    fn texts(self, content: &[u8]) -> Result<Vec<String>> {
        let mut texts = Vec::new();
        for batch in read(content)? {
            assert_eq!(batch.column(0).null_count(), 0);
            texts.extend(ArrowBatch::from(batch).texts()?);
        }
        Ok(texts)
    }
}
