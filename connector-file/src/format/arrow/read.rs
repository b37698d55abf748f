//! Reading Parquet.

use std::collections::VecDeque;
use std::fmt;

use connector_api::{Batch, Error, Result, RowBatch};
use connector_base::reader::{Fetched, Positions};
use connector_formats::ArrowBatch;
use parquet::arrow::ProjectionMask;
use parquet::arrow::arrow_reader::{
    ArrowReaderMetadata, ArrowReaderOptions, ParquetRecordBatchReader, ParquetRecordBatchReaderBuilder,
};
use parquet::file::metadata::PageIndexPolicy;

use super::chunks::{Chunks, Group, groups};
use super::stamp::{append, check_names};
use crate::format::{Decode, Opening, Stamp};

/// The most rows of a batch.
const MOST_ROWS: u64 = 8 << 10;
/// What a batch takes in memory, as far as the average row of its row group tells.
const BATCH_BYTES: u64 = 4 << 20;

/// Reads the row groups that begin in a byte range. A position is the number of a row in the file.
///
/// Holds one batch, the decompressed pages of one row group that it lies in, and the compressed bytes of those pages.
pub(super) struct ParquetDecoder {
    chunks: Chunks,
    metadata: ArrowReaderMetadata,
    columns: Vec<String>,
    stamp: Stamp,
    /// Those left to read.
    groups: VecDeque<Group>,
    open: Option<Open>,
    /// The number of the first row that is to be read, where that is not the first of a group.
    position: u64,
}

/// A row group that is being read.
struct Open {
    group: Group,
    reader: ParquetRecordBatchReader,
    /// The number of the next row.
    next: u64,
}

impl fmt::Debug for ParquetDecoder {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("ParquetDecoder").field("chunks", &self.chunks).field("groups", &self.groups).finish()
    }
}

impl ParquetDecoder {
    pub(super) fn new(opening: Opening<'_>) -> Result<Self> {
        let stamp = opening.stamp();
        let Opening { options, split, input, .. } = opening;
        let chunks = Chunks::new(input);
        let metadata = open(&chunks, PageIndexPolicy::Skip)?;
        if options.columns.is_empty() {
            check_names(chunks.input().origin(), metadata.schema(), &stamp.names())?;
        }
        let position = split.position.unwrap_or(0);
        let mine = groups(&chunks, metadata.metadata())?.into_iter().filter(|group| {
            (split.offset..split.end()).contains(&group.start)
                && group.rows > 0
                && group.first_row + group.rows > position
        });
        let groups = mine.collect();
        Ok(Self { metadata, columns: options.columns.clone(), stamp, groups, open: None, position, chunks })
    }

    /// Begins the next row group; none when all were read.
    fn next_group(&mut self) -> Result<Option<Open>> {
        let Some(group) = self.groups.pop_front() else { return Ok(None) };
        let skip = self.position.saturating_sub(group.first_row);
        let (chunks, columns, metadata) = (&self.chunks, &self.columns, &self.metadata);
        let selected = projection(chunks, metadata, columns)?;
        let reader = chunks.call(group.start, "can't read a row group", || {
            let mut builder =
                ParquetRecordBatchReaderBuilder::new_with_metadata(chunks.clone(), metadata.clone())
                    .with_row_groups(vec![group.index])
                    .with_batch_size(batch_rows(metadata, group));
            if let Some(indices) = selected {
                let mask = ProjectionMask::roots(metadata.parquet_schema(), indices);
                builder = builder.with_projection(mask);
            }
            if skip > 0 {
                builder = builder.with_offset(usize::try_from(skip).unwrap_or(usize::MAX));
            }
            builder.build()
        })?;
        Ok(Some(Open { group, reader, next: group.first_row + skip }))
    }
}

/// The metadata of a file.
pub(super) fn open(chunks: &Chunks, pages: PageIndexPolicy) -> Result<ArrowReaderMetadata> {
    let end = chunks.input().len();
    chunks.call(end, "not a whole Parquet file", || {
        ArrowReaderMetadata::load(chunks, ArrowReaderOptions::new().with_page_index_policy(pages))
    })
}

/// Rows of a batch, so that it takes about [`BATCH_BYTES`].
pub(super) fn batch_rows(metadata: &ArrowReaderMetadata, group: Group) -> usize {
    let bytes = u64::try_from(metadata.metadata().row_group(group.index).total_byte_size()).unwrap_or(0);
    let per_row = (bytes / group.rows.max(1)).max(1);
    // At most 8,192.
    (BATCH_BYTES / per_row).clamp(1, MOST_ROWS) as usize
}

/// The indices of the wanted columns; none for all.
fn projection(
    chunks: &Chunks,
    metadata: &ArrowReaderMetadata,
    columns: &[String],
) -> Result<Option<Vec<usize>>> {
    if columns.is_empty() {
        return Ok(None);
    }
    let schema = metadata.schema();
    let index = |name: &String| {
        schema.index_of(name).map_err(|_| {
            let names: Vec<_> = schema.fields().iter().map(|f| f.name().as_str()).collect();
            chunks.refuse(
                None,
                format!("has no column `{name}` (option `columns`); it has {}", names.join(", ")),
            )
        })
    };
    columns.iter().map(index).collect::<Result<_>>().map(Some)
}

impl Decode<ArrowBatch> for ParquetDecoder {
    fn fetch(&mut self) -> Result<Option<Fetched<ArrowBatch, u64>>> {
        loop {
            let Some(open) = &mut self.open else {
                match self.next_group()? {
                    Some(open) => self.open = Some(open),
                    None => {
                        self.chunks.input().check_name(self.chunks.input().len())?;
                        return Ok(None);
                    }
                }
                continue;
            };
            let (group, next) = (open.group, open.next);
            let what = format!("can't decode row {next}");
            let Some(batch) = self.chunks.call(group.start, &what, || open.reader.next().transpose())? else {
                let end = group.first_row + group.rows;
                if next != end {
                    let reason = format!("a row group ends at row {next}, its metadata says {end}");
                    return Err(self.chunks.refuse(Some(group.start), reason));
                }
                self.open = None;
                continue;
            };
            let batch = if self.columns.is_empty() { batch } else { in_order(batch, &self.columns)? };
            let rows = batch.num_rows();
            open.next = next + rows as u64;
            let batch = append(ArrowBatch::from(batch), self.stamp.arrays(next, rows))?;
            debug_assert_eq!(batch.rows(), rows);
            let positions = Positions::by(move |n| next + n as u64);
            return Ok(Some(Fetched::rows(Batch::new(batch), positions)));
        }
    }
}

/// The columns in the order of the option.
fn in_order(batch: arrow_array::RecordBatch, columns: &[String]) -> Result<arrow_array::RecordBatch> {
    let refused = |e: arrow_schema::ArrowError| Error::config("columns", e.to_string());
    let indices = columns.iter().map(|name| batch.schema_ref().index_of(name)).collect::<Result<Vec<_>, _>>();
    batch.project(&indices.map_err(refused)?).map_err(refused)
}
