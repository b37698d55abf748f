//! Writing Parquet.

use std::fmt;
use std::io::{self, Write};
use std::sync::{Arc, Mutex, PoisonError};

use arrow_array::{RecordBatch, RecordBatchOptions};
use arrow_schema::SchemaRef;
use bytes::Bytes;
use connector_api::{Error, Result, RowBatch};
use connector_formats::ArrowBatch;
use parquet::arrow::ArrowWriter;
use parquet::basic::{Compression, GzipLevel, ZstdLevel};
use parquet::errors::ParquetError;
use parquet::file::properties::WriterProperties;

use crate::format::parquet::{Codec, ParquetOptions};
use crate::format::{Encode, Gathered};

/// Writes rows as one Parquet file, with the schema of its first batch.
///
/// Holds a row group as it is being encoded.
pub(super) struct ParquetEncoder {
    properties: WriterProperties,
    /// From the first row on.
    writer: Option<ArrowWriter<Buffer>>,
    schema: Option<SchemaRef>,
    buffer: Buffer,
    /// What was taken out of the buffer.
    handed: u64,
    /// The part has rows of a run before.
    begun: bool,
}

impl fmt::Debug for ParquetEncoder {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("ParquetEncoder").field("schema", &self.schema).field("handed", &self.handed).finish()
    }
}

/// Bytes that were written and not taken yet. Clones share them.
#[derive(Clone, Debug, Default)]
pub(super) struct Buffer(Arc<Mutex<Vec<u8>>>);

impl Buffer {
    /// Takes what was written.
    pub(super) fn take(&self) -> Bytes {
        std::mem::take(&mut *self.0.lock().unwrap_or_else(PoisonError::into_inner)).into()
    }
}

impl Write for Buffer {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner).extend_from_slice(bytes);
        Ok(bytes.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

/// How the library is to write.
pub(super) fn properties(options: &ParquetOptions) -> WriterProperties {
    let compression = match options.compression {
        Codec::Zstd => Compression::ZSTD(ZstdLevel::default()),
        Codec::Snappy => Compression::SNAPPY,
        Codec::Gzip => Compression::GZIP(GzipLevel::default()),
        Codec::None => Compression::UNCOMPRESSED,
    };
    WriterProperties::builder()
        .set_compression(compression)
        .set_max_row_group_bytes(Some(usize::try_from(options.row_group.0).unwrap_or(usize::MAX)))
        .set_max_row_group_row_count(Some(usize::try_from(options.row_group_rows).unwrap_or(usize::MAX)))
        .build()
}

/// The batch under the schema of a file that has begun.
///
/// # Errors
///
/// [`Error::Data`] naming the first column that differs in name or type, or may be null where the file's may not.
pub(super) fn conform(batch: &RecordBatch, schema: &SchemaRef) -> Result<RecordBatch> {
    if batch.schema_ref() == schema {
        return Ok(batch.clone());
    }
    let refuse = |reason: String| Err(Error::data("a batch to write", None, reason));
    let found = batch.schema_ref().fields();
    for (index, field) in schema.fields().iter().enumerate() {
        match found.get(index) {
            Some(other) if other.name() != field.name() => {
                return refuse(format!(
                    "column `{}` stands where the file has `{}`",
                    other.name(),
                    field.name()
                ));
            }
            Some(other) if other.data_type() != field.data_type() => {
                let (now, before) = (other.data_type(), field.data_type());
                return refuse(format!("column `{}` is {now}, in the file it is {before}", field.name()));
            }
            Some(_) if !field.is_nullable() && batch.column(index).logical_null_count() > 0 => {
                return refuse(format!(
                    "column `{}` has no value in a row, in the file it must have one",
                    field.name()
                ));
            }
            Some(_) => {}
            None => return refuse(format!("column `{}` of the file is missing", field.name())),
        }
    }
    if let Some(more) = found.get(schema.fields().len()) {
        return refuse(format!("column `{}` is not in the file", more.name()));
    }
    let rows = RecordBatchOptions::new().with_row_count(Some(batch.num_rows()));
    RecordBatch::try_new_with_options(schema.clone(), batch.columns().to_vec(), &rows)
        .map_err(|e| Error::data("a batch to write", None, e.to_string()))
}

/// The error of the library on what is to be written.
pub(super) fn unwritable(e: ParquetError) -> Error {
    Error::data("a batch to write as Parquet", None, e.to_string())
}

impl ParquetEncoder {
    pub(super) fn new(options: &ParquetOptions, begun: bool) -> Self {
        Self {
            properties: properties(options),
            writer: None,
            schema: None,
            buffer: Buffer::default(),
            handed: 0,
            begun,
        }
    }

    fn hand_over(&mut self, out: &mut Gathered) {
        let bytes = self.buffer.take();
        if !bytes.is_empty() {
            self.handed += bytes.len() as u64;
            out.share(bytes);
        }
    }
}

impl Encode<ArrowBatch> for ParquetEncoder {
    fn add(&mut self, batch: &ArrowBatch, row: usize, room: u64, out: &mut Gathered) -> Result<usize> {
        if self.begun {
            let reason = "a checkpoint left a part open that is to be Parquet, which can't be gone on with";
            return Err(Error::state("file-writer", reason));
        }
        let (writer, schema) = match (&mut self.writer, &self.schema) {
            (Some(writer), Some(schema)) => (writer, schema.clone()),
            _ => {
                let (schema, properties) = (batch.schema(), self.properties.clone());
                let writer = ArrowWriter::try_new(self.buffer.clone(), schema.clone(), Some(properties));
                self.schema = Some(schema.clone());
                (self.writer.insert(writer.map_err(unwritable)?), schema)
            }
        };
        let rest = batch.rows() - row;
        // In the file a row takes less, mostly: the caller asks again while there is room.
        let per_row = (batch.bytes() / batch.rows().max(1)).max(1) as u64;
        let rows = usize::try_from(room / per_row).unwrap_or(usize::MAX).clamp(1, rest);
        let columns = conform(batch.columns(), &schema)?.slice(row, rows);
        writer.write(&columns).map_err(unwritable)?;
        self.hand_over(out);
        Ok(row + rows)
    }

    fn held(&self) -> u64 {
        self.writer.as_ref().map_or(0, |writer| {
            writer.in_progress_size() as u64 + (writer.bytes_written() as u64).saturating_sub(self.handed)
        })
    }

    fn finish(&mut self, out: &mut Gathered) -> Result<()> {
        if let Some(writer) = self.writer.take() {
            writer.close().map_err(unwritable)?;
            self.hand_over(out);
        }
        Ok(())
    }
}
