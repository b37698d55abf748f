//! Batch types that files are read into and written from.

use connector_api::batch::Rows;
use connector_api::factory::Payload;
use connector_api::{Error, MessageBatch, Result};

use super::delimited::{CsvDecoder, CsvEncoder, CsvShape};
use super::field::json_field;
use super::json::{JsonDecoder, JsonEncoder};
use super::lines::{LineDecoder, LineEncoder};
use super::raw::RawDecoder;
use super::{Decode, Encode, FieldValue, Format, Opening, Rewrite};
use crate::sink::WriteOptions;

/// A batch type that files are read into and written from.
///
/// [`MessageBatch`] carries bytes: CSV records as JSON objects. `Vec<T>` carries rows of a struct, by serde. Nothing outside
/// this crate implements it.
pub trait FileBatch: Rows + Sync + Sealed {
    /// What the type is called in messages.
    const NAME: &'static str;

    /// Whether columns of metadata can stand beside the records.
    const HAS_METADATA: bool;
    /// Whether its columns have types, which text is read into by a schema.
    const TYPED: bool;

    /// Whether records of this format can be carried.
    ///
    /// # Errors
    ///
    /// Why they can't, and what can.
    fn carries(format: Format) -> Result<(), String>;

    /// What rows of this format are in this type. Asked for a format that is carried.
    fn payload(format: Format) -> Payload;

    /// Whether CSV files that look so can be read; gives the option's name and the reason.
    #[doc(hidden)]
    fn reads_csv(shape: &CsvShape) -> Result<(), (&'static str, String)> {
        let _ = shape;
        Ok(())
    }

    /// Reads a split.
    ///
    /// # Errors
    ///
    /// When the file does not begin as its format says.
    #[doc(hidden)]
    fn decoder(opening: Opening<'_>) -> Result<Box<dyn Decode<Self>>>;

    /// Writes a part; `begun` for one that has records already.
    #[doc(hidden)]
    fn encoder(options: &WriteOptions, begun: bool) -> Result<Box<dyn Encode<Self>>>;

    /// Merges parts; none when they are joined byte by byte.
    #[doc(hidden)]
    fn rewrite(options: &WriteOptions) -> Option<Box<dyn Rewrite>>;

    /// A field of a row, for buckets.
    ///
    /// # Errors
    ///
    /// Why it can't be told. A field that is missing is null.
    #[doc(hidden)]
    fn field(&self, row: usize, name: &str) -> Result<FieldValue<'_>, String>;
}

mod sealed {
    pub trait Sealed {}
    impl Sealed for connector_api::MessageBatch {}
    #[cfg(feature = "parquet")]
    impl Sealed for connector_formats::ArrowBatch {}
}

pub(super) use sealed::Sealed;

impl FileBatch for MessageBatch {
    const NAME: &'static str = "messages";
    const HAS_METADATA: bool = true;
    const TYPED: bool = false;

    fn carries(format: Format) -> Result<(), String> {
        match format {
            Format::Lines | Format::Json | Format::Csv | Format::Raw => Ok(()),
            Format::Parquet => Err(not_carried::<Self>(format)),
        }
    }

    fn payload(format: Format) -> Payload {
        match format {
            Format::Lines | Format::Raw => Payload::Bytes,
            Format::Json | Format::Csv => Payload::Json,
            Format::Parquet => Payload::Columns,
        }
    }

    /// Their keys are the names of the columns.
    fn reads_csv(shape: &CsvShape) -> Result<(), (&'static str, String)> {
        if !shape.header && shape.columns.is_empty() {
            return Err(("csv.columns", "must be given for files without a header".into()));
        }
        Ok(())
    }

    fn decoder(opening: Opening<'_>) -> Result<Box<dyn Decode<Self>>> {
        match opening.options.format {
            Format::Lines => Ok(Box::new(LineDecoder::new(opening)?)),
            Format::Json => Ok(Box::new(JsonDecoder::new(opening)?)),
            Format::Csv => Ok(Box::new(CsvDecoder::new(opening)?)),
            Format::Raw => Ok(Box::new(RawDecoder::new(opening)?)),
            other => Err(Error::config("format", not_carried::<Self>(other))),
        }
    }

    fn encoder(options: &WriteOptions, begun: bool) -> Result<Box<dyn Encode<Self>>> {
        let plain: Box<dyn Encode<Self>> = match options.format {
            Format::Lines => Box::new(LineEncoder),
            Format::Json => Box::new(JsonEncoder),
            Format::Csv => Box::new(CsvEncoder::new(&options.csv, begun)?),
            Format::Raw => return Err(only_read()),
            other => return Err(Error::config("format", not_carried::<Self>(other))),
        };
        options.packed(plain)
    }

    fn rewrite(options: &WriteOptions) -> Option<Box<dyn Rewrite>> {
        options.rewrite()
    }

    /// Of the JSON object that the value is.
    fn field(&self, row: usize, name: &str) -> Result<FieldValue<'_>, String> {
        let value = self.get(row).value.ok_or("it has no value (a tombstone)")?;
        json_field(value, name)
    }
}

pub(super) fn not_carried<B: FileBatch>(format: Format) -> String {
    if format == Format::Parquet && !cfg!(feature = "parquet") {
        return "this build has no Parquet; build with `--features parquet`".to_owned();
    }
    format!("`{}` can't be carried as {}", format.name(), B::NAME)
}

pub(super) fn only_read() -> Error {
    let reason = "`raw` is only read: a file per record would be a rename and a committable per record; \
                  write `lines` or `json`";
    Error::config("format", reason)
}
