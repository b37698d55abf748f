//! JSON lines and CSV as typed columns.

use connector_api::message::Span;
use connector_api::{Batch, Error, MessageBatch, Result, RowBatch};
use connector_base::reader::{Fetched, Positions};
use connector_formats::ArrowBatch;
use connector_formats::json::{JsonDecoder, encode};

use super::stamp::with_metadata;
use crate::bad::BadRecords;
use crate::format::delimited::CsvDecoder;
use crate::format::lines::LineReader;
use crate::format::{Decode, Encode, Gathered, Opening, Stamp};

const BYTE_ORDER_MARK: &[u8] = b"\xef\xbb\xbf";

fn decoder(opening: &Opening<'_>) -> Result<JsonDecoder> {
    let missing = || Error::config("schema", "is needed to read this format as columns");
    JsonDecoder::new(opening.options.schema.as_ref().ok_or_else(missing)?.to_arrow())
}

/// Reads the lines that start in a byte range as objects of one schema.
#[derive(Debug)]
pub(super) struct JsonLines {
    lines: LineReader,
    decoder: JsonDecoder,
    bad: BadRecords,
    stamp: Stamp,
}

impl JsonLines {
    pub(super) fn new(opening: Opening<'_>) -> Result<Self> {
        let (decoder, bad, stamp) = (decoder(&opening)?, opening.bad.clone(), opening.stamp());
        Ok(Self { lines: LineReader::new(opening)?, decoder, bad, stamp })
    }
}

impl Decode<ArrowBatch> for JsonLines {
    fn fetch(&mut self) -> Result<Option<Fetched<ArrowBatch, u64>>> {
        let Some(lines) = self.lines.next()? else { return Ok(None) };
        let records = if lines.position(0) == 0 { without_mark(&lines.batch)? } else { lines.batch.clone() };
        let rows = records.rows();
        let decoded = self.decoder.decode(&records)?;
        for bad in &decoded.bad {
            let text = records.get(bad.index).value.unwrap_or_default();
            // An empty line is no record.
            if !text.trim_ascii().is_empty() {
                self.bad.refuse(self.lines.origin(), lines.position(bad.index), &bad.reason, text)?;
            }
        }
        let end = lines.position(rows);
        if decoded.batch.rows() == 0 {
            return Ok(Some(Fetched::Position(end)));
        }
        let kept: Vec<usize> = decoded.kept(rows).collect();
        let mut positions: Vec<u64> = kept.iter().map(|index| lines.position(index + 1)).collect();
        // What is left out behind the last row is not met again.
        if let Some(last) = positions.last_mut() {
            *last = end;
        }
        let mut batch = decoded.batch;
        if !self.stamp.is_empty() {
            // Behind a byte order mark the first record begins later.
            let shift = records.value_spans().first().zip(lines.batch.value_spans().first());
            let shift =
                shift.and_then(|(a, b)| Some(a.range()?.start - b.range()?.start)).unwrap_or(0) as u64;
            let begins = |row| lines.position(row) + if row == 0 { shift } else { 0 };
            let stamped = self.stamp.on(records, |_| (0..rows).map(begins).collect())?;
            batch = with_metadata(batch, &stamped, &kept)?;
        }
        Ok(Some(Fetched::rows(Batch::new(batch), Positions::Each(positions))))
    }
}

/// The lines at the beginning of a file, without its byte order mark.
fn without_mark(batch: &MessageBatch) -> Result<MessageBatch> {
    let marked = batch.rows() > 0 && batch.get(0).value.is_some_and(|v| v.starts_with(BYTE_ORDER_MARK));
    let Some(first) = batch.value_spans().first().and_then(|s| s.range()).filter(|_| marked) else {
        return Ok(batch.clone());
    };
    let mut spans = batch.value_spans().to_vec();
    // Both fit: they did before.
    spans[0] = Span::new((first.start + BYTE_ORDER_MARK.len()) as u32, first.end as u32);
    MessageBatch::from_spans(batch.buffer().clone(), spans)
}

/// Reads CSV as columns of one schema, by way of one JSON object per record.
#[derive(Debug)]
pub(super) struct CsvColumns {
    origin: String,
    records: CsvDecoder,
    decoder: JsonDecoder,
    bad: BadRecords,
    /// The position behind what was read.
    position: u64,
}

impl CsvColumns {
    pub(super) fn new(opening: Opening<'_>) -> Result<Self> {
        let (decoder, bad) = (decoder(&opening)?, opening.bad.clone());
        let position = opening.split.position.unwrap_or(opening.split.offset);
        let origin = opening.input.origin().to_owned();
        Ok(Self { origin, records: CsvDecoder::new(opening)?, decoder, bad, position })
    }
}

impl Decode<ArrowBatch> for CsvColumns {
    fn fetch(&mut self) -> Result<Option<Fetched<ArrowBatch, u64>>> {
        let (batch, positions) = match self.records.fetch()? {
            None => return Ok(None),
            Some(Fetched::Rows { batch, positions, .. }) => (batch.rows, positions),
            Some(Fetched::Position(position)) => {
                self.position = position;
                return Ok(Some(Fetched::Position(position)));
            }
            Some(Fetched::Watermark(watermark)) => return Ok(Some(Fetched::Watermark(watermark))),
            Some(Fetched::Idle) => return Ok(Some(Fetched::Idle)),
        };
        let begin = self.position;
        let behind = |rows: usize| match &positions {
            _ if rows == 0 => begin,
            Positions::Each(all) => all.get(rows - 1).copied().unwrap_or(begin),
            Positions::By(position) => position(rows),
            Positions::Whole(start) => *start,
        };
        let rows = batch.rows();
        let decoded = self.decoder.decode(&batch)?;
        for bad in &decoded.bad {
            let text = batch.get(bad.index).value.unwrap_or_default();
            self.bad.refuse(&self.origin, behind(bad.index), &bad.reason, text)?;
        }
        let end = behind(rows);
        self.position = end;
        if decoded.batch.rows() == 0 {
            return Ok(Some(Fetched::Position(end)));
        }
        let kept: Vec<usize> = decoded.kept(rows).collect();
        let mut after: Vec<u64> = kept.iter().map(|index| behind(index + 1)).collect();
        if let Some(last) = after.last_mut() {
            *last = end;
        }
        // They stand beside the records already.
        let columns = with_metadata(decoded.batch, &batch, &kept)?;
        Ok(Some(Fetched::rows(Batch::new(columns), Positions::Each(after))))
    }
}

/// Writes each row as one object on a line.
#[derive(Debug)]
pub(super) struct JsonEncoder;

impl Encode<ArrowBatch> for JsonEncoder {
    fn add(&mut self, batch: &ArrowBatch, row: usize, room: u64, out: &mut Gathered) -> Result<usize> {
        // A stretch at a time: what does not fit is encoded for the next part.
        const STRETCH: u64 = 256 << 10;
        let per_row = (batch.bytes() / batch.rows().max(1)).max(1) as u64;
        let rows = (room.min(STRETCH) / per_row).clamp(1, (batch.rows() - row) as u64);
        let mut rest = batch.clone();
        rest.take_front(row);
        let texts = encode(&rest.take_front(usize::try_from(rows).unwrap_or(usize::MAX)))?;
        Ok(row + out.add_lines(&texts, 0, room)?)
    }
}
