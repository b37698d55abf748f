//! Batch types that files are read into and written from.

use connector_api::batch::Rows;
use connector_api::factory::Payload;
use connector_api::{Error, MessageBatch, Result};

use super::lines::{LineDecoder, LineEncoder};
use super::{Decode, Encode, Format, Opening, Rewrite};
use crate::sink::WriteOptions;

/// A batch type that files are read into and written from.
///
/// [`MessageBatch`] carries bytes. Nothing outside this crate implements it.
pub trait FileBatch: Rows + Sync + sealed::Sealed {
    /// What the type is called in messages.
    const NAME: &'static str;

    /// Whether records of this format can be carried.
    ///
    /// # Errors
    ///
    /// Why they can't, and what can.
    fn carries(format: Format) -> Result<(), String>;

    /// What rows of this format are in this type. Asked for a format that is carried.
    fn payload(format: Format) -> Payload;

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
}

mod sealed {
    pub trait Sealed {}
    impl Sealed for connector_api::MessageBatch {}
}

impl FileBatch for MessageBatch {
    const NAME: &'static str = "messages";

    fn carries(format: Format) -> Result<(), String> {
        match format {
            Format::Lines => Ok(()),
            other => Err(not_carried::<Self>(other)),
        }
    }

    fn payload(format: Format) -> Payload {
        match format {
            Format::Lines | Format::Raw => Payload::Bytes,
            Format::Json | Format::Csv => Payload::Json,
            Format::Parquet => Payload::Columns,
        }
    }

    fn decoder(opening: Opening<'_>) -> Result<Box<dyn Decode<Self>>> {
        match opening.options.format {
            Format::Lines => Ok(Box::new(LineDecoder::new(opening)?)),
            other => Err(Error::config("format", not_carried::<Self>(other))),
        }
    }

    fn encoder(options: &WriteOptions, _: bool) -> Result<Box<dyn Encode<Self>>> {
        match options.format {
            Format::Lines => Ok(Box::new(LineEncoder)),
            other => Err(Error::config("format", not_carried::<Self>(other))),
        }
    }

    fn rewrite(_: &WriteOptions) -> Option<Box<dyn Rewrite>> {
        None
    }
}

fn not_carried<B: FileBatch>(format: Format) -> String {
    if format == Format::Parquet && !cfg!(feature = "parquet") {
        return "this build has no Parquet; build with `--features parquet`".to_owned();
    }
    format!("`{}` can't be carried as {}", format.name(), B::NAME)
}
