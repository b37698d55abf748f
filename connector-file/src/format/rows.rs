//! Rows of a type of one's own, by serde.

use connector_api::factory::Payload;
use connector_api::{Error, Result};
use serde::Serialize;
use serde::de::DeserializeOwned;

use super::batch::{FileBatch, Sealed, not_carried, only_read};
use super::delimited::{CsvRowDecoder, CsvRowEncoder};
use super::field::serde_field;
use super::json::{JsonRowDecoder, JsonRowEncoder};
use super::{Decode, Encode, FieldValue, Format, Opening, Rewrite};
use crate::sink::WriteOptions;

impl<T: Send + 'static> Sealed for Vec<T> {}

/// Rows of a struct, in CSV and JSON lines: a field for each column or key.
///
/// What is absent (an `Option`) is an empty value in CSV, whatever `csv.null` says on reading.
impl<T: Serialize + DeserializeOwned + Send + Sync + 'static> FileBatch for Vec<T> {
    const HAS_METADATA: bool = false;
    const NAME: &'static str = "rows of a type of one's own";
    const TYPED: bool = false;

    fn carries(format: Format) -> Result<(), String> {
        match format {
            Format::Csv | Format::Json => Ok(()),
            other => Err(not_carried::<Self>(other)),
        }
    }

    /// Fields with names and types.
    fn payload(_: Format) -> Payload {
        Payload::Columns
    }

    fn decoder(opening: Opening<'_>) -> Result<Box<dyn Decode<Self>>> {
        match opening.options.format {
            Format::Json => Ok(Box::new(JsonRowDecoder::new(opening)?)),
            Format::Csv => Ok(Box::new(CsvRowDecoder::new(opening)?)),
            other => Err(Error::config("format", not_carried::<Self>(other))),
        }
    }

    fn encoder(options: &WriteOptions, begun: bool) -> Result<Box<dyn Encode<Self>>> {
        let plain: Box<dyn Encode<Self>> = match options.format {
            Format::Json => Box::new(JsonRowEncoder::default()),
            Format::Csv => Box::new(CsvRowEncoder::new(&options.csv, begun)?),
            Format::Raw => return Err(only_read()),
            other => return Err(Error::config("format", not_carried::<Self>(other))),
        };
        options.packed(plain)
    }

    fn rewrite(options: &WriteOptions) -> Option<Box<dyn Rewrite>> {
        options.rewrite()
    }

    /// Under the name that serde gives it.
    fn field(&self, row: usize, name: &str) -> Result<FieldValue<'_>, String> {
        serde_field(&self[row], name)
    }
}
