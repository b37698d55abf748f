//! Merging Parquet files.

use arrow_array::RecordBatch;
use arrow_schema::SchemaRef;
use bytes::Bytes;
use connector_api::{Error, Result};
use parquet::arrow::ArrowWriter;
use parquet::arrow::arrow_reader::{ArrowReaderMetadata, ParquetRecordBatchReaderBuilder};
use parquet::arrow::arrow_writer::{ArrowColumnWriter, ArrowRowGroupWriterFactory, compute_leaves};
use parquet::column::writer::ColumnCloseResult;
use parquet::errors::ParquetError;
use parquet::file::metadata::PageIndexPolicy;
use parquet::file::page_index::column_index::ColumnIndexMetaData;
use parquet::file::writer::SerializedFileWriter;

use super::chunks::{Chunks, Group, groups};
use super::read::{batch_rows, open};
use super::write::{Buffer, conform, properties, unwritable};
use crate::format::Rewrite;
use crate::format::parquet::ParquetOptions;
use crate::input::Input;

/// Writes the rows of several files as one, in row groups of the wanted size. A row group of 80 % of it or more is copied as
/// it is, without being decoded.
///
/// Holds a row group of what is written, one column of what is copied, and what a decoder holds.
#[derive(Debug)]
pub(super) struct ParquetRewrite(pub(super) ParquetOptions);

impl Rewrite for ParquetRewrite {
    fn rewrite(
        &self,
        inputs: &mut dyn Iterator<Item = Result<Box<dyn Input>>>,
        write: &mut dyn FnMut(Vec<Bytes>) -> Result<()>,
    ) -> Result<u64> {
        let (mut into, mut rows) = (None, 0);
        for input in inputs {
            let chunks = Chunks::new(input?);
            let metadata = open(&chunks, PageIndexPolicy::Optional)?;
            if into.is_none() {
                into = Some(Into::new(&self.0, metadata.schema().clone())?);
            }
            let Some(into) = &mut into else { continue };
            for group in groups(&chunks, metadata.metadata())? {
                rows += group.rows;
                if into.takes_whole(&metadata, group) {
                    into.end_group()?;
                    into.copy(&chunks, &metadata, group, write)?;
                } else {
                    into.decode(&chunks, &metadata, group, write)?;
                }
            }
            chunks.input().check_name(chunks.input().len())?;
        }
        if let Some(into) = into {
            write(into.finish()?)?;
        }
        Ok(rows)
    }
}

/// The file that is written.
struct Into {
    schema: SchemaRef,
    options: ParquetOptions,
    writer: SerializedFileWriter<Buffer>,
    factory: ArrowRowGroupWriterFactory,
    buffer: Buffer,
    open: Option<Vec<ArrowColumnWriter>>,
    /// The rows of the row group that is open.
    rows: u64,
}

impl Into {
    fn new(options: &ParquetOptions, schema: SchemaRef) -> Result<Self> {
        let buffer = Buffer::default();
        let writer = ArrowWriter::try_new(buffer.clone(), schema.clone(), Some(properties(options)));
        let (writer, factory) = writer.and_then(ArrowWriter::into_serialized_writer).map_err(unwritable)?;
        Ok(Self { schema, options: options.clone(), writer, factory, buffer, open: None, rows: 0 })
    }

    /// Whether a row group is near the wanted size, and its columns are stored as they are in this file.
    fn takes_whole(&self, metadata: &ArrowReaderMetadata, group: Group) -> bool {
        let size = u64::try_from(metadata.metadata().row_group(group.index).compressed_size()).unwrap_or(0);
        let is_near = u128::from(size) * 10 >= u128::from(self.options.row_group.0) * 8
            || u128::from(group.rows) * 10 >= u128::from(self.options.row_group_rows) * 8;
        // The library writes an index of the pages of all columns or of none, and this file has one.
        let columns = metadata.metadata().row_group(group.index).num_columns();
        let pages = metadata.metadata().offset_index().and_then(|index| index.get(group.index));
        is_near
            && pages.is_some_and(|pages| pages.len() == columns)
            && metadata.schema() == &self.schema
            && metadata.parquet_schema().columns() == self.writer.schema_descr().columns()
    }

    fn copy(
        &mut self,
        chunks: &Chunks,
        metadata: &ArrowReaderMetadata,
        group: Group,
        write: &mut dyn FnMut(Vec<Bytes>) -> Result<()>,
    ) -> Result<()> {
        let source = metadata.metadata().row_group(group.index);
        let mut target = self.writer.next_row_group().map_err(unwritable)?;
        let offsets = metadata.metadata().offset_index().and_then(|index| index.get(group.index));
        let values = metadata.metadata().column_index().and_then(|index| index.get(group.index));
        for (index, column) in source.columns().iter().enumerate() {
            // `groups` checked that it is not negative.
            let bytes_written = u64::try_from(column.compressed_size()).unwrap_or(0);
            let close = ColumnCloseResult {
                bytes_written,
                rows_written: group.rows,
                metadata: column.clone(),
                bloom_filter: None,
                column_index: values
                    .and_then(|all| all.get(index))
                    .filter(|index| !matches!(index, ColumnIndexMetaData::NONE))
                    .cloned(),
                offset_index: offsets.and_then(|all| all.get(index)).cloned(),
            };
            chunks.call(group.start, "can't copy a row group", || target.append_column(chunks, close))?;
            write(vec![self.buffer.take()])?;
        }
        target.close().map_err(unwritable)?;
        Ok(())
    }

    fn decode(
        &mut self,
        chunks: &Chunks,
        metadata: &ArrowReaderMetadata,
        group: Group,
        write: &mut dyn FnMut(Vec<Bytes>) -> Result<()>,
    ) -> Result<()> {
        let mut reader = chunks.call(group.start, "can't read a row group", || {
            ParquetRecordBatchReaderBuilder::new_with_metadata(chunks.clone(), metadata.clone())
                .with_row_groups(vec![group.index])
                .with_batch_size(batch_rows(metadata, group))
                .build()
        })?;
        let mut found = 0;
        while let Some(batch) =
            chunks.call(group.start, "can't decode a row group", || reader.next().transpose())?
        {
            found += batch.num_rows() as u64;
            let batch = conform(&batch, &self.schema).map_err(|e| in_file(e, chunks))?;
            self.add(&batch).map_err(unwritable)?;
            write(vec![self.buffer.take()])?;
        }
        if found != group.rows {
            let reason = format!("a row group has {found} rows, its metadata says {}", group.rows);
            return Err(chunks.refuse(Some(group.start), reason));
        }
        Ok(())
    }

    fn add(&mut self, batch: &RecordBatch) -> Result<(), ParquetError> {
        let mut done = 0;
        while done < batch.num_rows() {
            let room = self.options.row_group_rows - self.rows;
            let rows = usize::try_from(room).unwrap_or(usize::MAX).min(batch.num_rows() - done);
            let part = batch.slice(done, rows);
            let writers = match &mut self.open {
                Some(writers) => writers,
                none => {
                    none.insert(self.factory.create_column_writers(self.writer.flushed_row_groups().len())?)
                }
            };
            let mut each = writers.iter_mut();
            for (field, column) in self.schema.fields().iter().zip(part.columns()) {
                for leaf in compute_leaves(field, column)? {
                    match each.next() {
                        Some(writer) => writer.write(&leaf)?,
                        None => return Err(ParquetError::General("more columns than the file has".into())),
                    }
                }
            }
            let size: u64 = writers.iter().map(|w| w.get_estimated_total_bytes() as u64).sum();
            done += rows;
            self.rows += rows as u64;
            if size >= self.options.row_group.0 || self.rows >= self.options.row_group_rows {
                self.flush()?;
            }
        }
        Ok(())
    }

    fn end_group(&mut self) -> Result<()> {
        self.flush().map_err(unwritable)
    }

    fn flush(&mut self) -> Result<(), ParquetError> {
        self.rows = 0;
        let Some(writers) = self.open.take() else { return Ok(()) };
        let mut target = self.writer.next_row_group()?;
        for writer in writers {
            writer.close()?.append_to_row_group(&mut target)?;
        }
        target.close()?;
        Ok(())
    }

    fn finish(mut self) -> Result<Vec<Bytes>> {
        self.end_group()?;
        self.writer.close().map_err(unwritable)?;
        Ok(vec![self.buffer.take()])
    }
}

fn in_file(error: Error, chunks: &Chunks) -> Error {
    match error {
        Error::Data { reason, .. } => chunks.refuse(None, reason),
        other => other,
    }
}
