//! Batches of Arrow: Parquet, and JSON lines as typed columns.

mod chunks;
mod json;
mod read;
mod rewrite;
mod stamp;
mod write;

use connector_api::factory::Payload;
use connector_api::{Error, Result};
use connector_formats::ArrowBatch;

pub(crate) use stamp::clash;
pub use stamp::with_metadata;

use super::batch::not_carried;
use super::field::FieldValue;
use super::field_arrow::arrow_field;
use super::{Decode, Encode, FileBatch, Format, Opening, Rewrite};
use crate::sink::WriteOptions;

impl FileBatch for ArrowBatch {
    const NAME: &'static str = "batches of Arrow";
    const HAS_METADATA: bool = true;
    const TYPED: bool = true;

    fn carries(format: Format) -> Result<(), String> {
        match format {
            Format::Parquet | Format::Json | Format::Csv => Ok(()),
            other => Err(not_carried::<Self>(other)),
        }
    }

    fn payload(_: Format) -> Payload {
        Payload::Columns
    }

    fn decoder(opening: Opening<'_>) -> Result<Box<dyn Decode<Self>>> {
        match opening.options.format {
            Format::Parquet => Ok(Box::new(read::ParquetDecoder::new(opening)?)),
            Format::Json => Ok(Box::new(json::JsonLines::new(opening)?)),
            Format::Csv => Ok(Box::new(json::CsvColumns::new(opening)?)),
            other => Err(Error::config("format", not_carried::<Self>(other))),
        }
    }

    fn encoder(options: &WriteOptions, begun: bool) -> Result<Box<dyn Encode<Self>>> {
        match options.format {
            Format::Parquet => Ok(Box::new(write::ParquetEncoder::new(&options.parquet, begun))),
            Format::Json => options.packed(Box::new(json::JsonEncoder)),
            Format::Csv => Err(Error::config(
                "format",
                "`csv` can't be written from batches of Arrow; write `json` or `parquet`",
            )),
            other => Err(Error::config("format", not_carried::<Self>(other))),
        }
    }

    fn field(&self, row: usize, name: &str) -> Result<FieldValue<'_>, String> {
        arrow_field(self.columns(), row, name)
    }

    fn rewrite(options: &WriteOptions) -> Option<Box<dyn Rewrite>> {
        match options.format {
            Format::Parquet => Some(Box::new(rewrite::ParquetRewrite(options.parquet.clone()))),
            _ => options.rewrite(),
        }
    }
}
