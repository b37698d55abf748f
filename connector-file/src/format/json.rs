//! JSON lines: every record is one object.

use std::fmt;
use std::marker::PhantomData;

use connector_api::message::Span;
use connector_api::{Batch, Error, MessageBatch, Result, RowBatch};
use connector_base::format::Lines;
use connector_base::reader::{Fetched, Positions};
use serde::Serialize;
use serde::de::{DeserializeOwned, IgnoredAny};

use super::lines::LineReader;
use super::{Decode, ENOUGH, Encode, Gathered, Opening, Stamp};
use crate::bad::BadRecords;

const BYTE_ORDER_MARK: &[u8] = b"\xef\xbb\xbf";

/// The lines of a file that have content.
#[derive(Debug)]
struct JsonLines {
    lines: LineReader,
    bad: BadRecords,
}

/// A line that has content.
struct Line<'a> {
    span: Span,
    text: &'a [u8],
    /// Whether it is known to be UTF-8.
    is_utf8: bool,
}

/// Rows of a fetch that are good.
struct Good<R> {
    lines: Lines,
    rows: Vec<R>,
    positions: Vec<u64>,
}

impl JsonLines {
    fn new(opening: Opening<'_>) -> Result<Self> {
        let bad = opening.bad.clone();
        Ok(Self { lines: LineReader::new(opening)?, bad })
    }

    /// Decodes the next lines, and refuses those for which `decode` has a reason.
    fn next<R>(&mut self, decode: impl Fn(&Line<'_>) -> Result<R, String>) -> Result<Option<Good<R>>> {
        let Some(lines) = self.lines.next()? else { return Ok(None) };
        let spans = lines.batch.value_spans();
        let (mut rows, mut positions) = (Vec::with_capacity(spans.len()), Vec::with_capacity(spans.len()));
        let buffer = lines.batch.buffer();
        // Lines that are text together are so one by one: one look instead of many.
        let from = spans.first().and_then(|span| span.range()).map_or(0, |range| range.start);
        let is_utf8 = std::str::from_utf8(&buffer[from..]).is_ok();
        for (index, span) in spans.iter().enumerate() {
            let Some(mut range) = span.range() else { continue };
            let begins = lines.position(index);
            if begins == 0 && buffer[range.clone()].starts_with(BYTE_ORDER_MARK) {
                range.start += BYTE_ORDER_MARK.len();
            }
            let text = &buffer[range.clone()];
            if text.trim_ascii_start().is_empty() {
                continue;
            }
            // Both fit: they did before.
            let span = Span::new(range.start as u32, range.end as u32);
            match decode(&Line { span, text, is_utf8 }) {
                Ok(row) => {
                    rows.push(row);
                    positions.push(lines.position(index + 1));
                }
                Err(reason) => self.bad.refuse(self.lines.origin(), begins, &reason, text)?,
            }
        }
        // What is left out behind the last row is not met again.
        if let Some(last) = positions.last_mut() {
            *last = lines.position(spans.len());
        }
        Ok(Some(Good { lines, rows, positions }))
    }
}

impl<R> Good<R> {
    fn into_fetched<B: RowBatch>(
        self,
        batch: impl FnOnce(&Lines, Vec<R>) -> Result<B>,
    ) -> Result<Fetched<B, u64>> {
        if self.rows.is_empty() {
            return Ok(Fetched::Position(self.lines.position(self.lines.batch.rows())));
        }
        Ok(Fetched::rows(Batch::new(batch(&self.lines, self.rows)?), Positions::Each(self.positions)))
    }
}

fn no_object(why: impl fmt::Display) -> String {
    format!("is no JSON object: {why}")
}

fn begins_object(text: &[u8]) -> bool {
    text.trim_ascii_start().first() == Some(&b'{')
}

/// Whether it is one JSON object, in UTF-8.
fn check(text: &[u8], is_utf8: bool) -> Result<(), String> {
    if !begins_object(text) {
        return Err(no_object("it does not begin with `{`"));
    }
    if !is_utf8 {
        std::str::from_utf8(text).map_err(no_object)?;
    }
    serde_json::from_slice::<IgnoredAny>(text).map_err(no_object)?;
    Ok(())
}

/// Reads each line as a value that is one JSON object.
#[derive(Debug)]
pub(super) struct JsonDecoder {
    lines: JsonLines,
    stamp: Stamp,
}

impl JsonDecoder {
    pub(super) fn new(opening: Opening<'_>) -> Result<Self> {
        let stamp = opening.stamp();
        Ok(Self { lines: JsonLines::new(opening)?, stamp })
    }
}

impl Decode<MessageBatch> for JsonDecoder {
    fn fetch(&mut self) -> Result<Option<Fetched<MessageBatch, u64>>> {
        let Some(good) = self.lines.next(|line| check(line.text, line.is_utf8).map(|()| line.span))? else {
            return Ok(None);
        };
        let stamp = &self.stamp;
        let batch = |lines: &Lines, spans: Vec<Span>| {
            // Of the buffer in the file.
            let first = lines
                .batch
                .value_spans()
                .first()
                .and_then(|span| span.range())
                .map_or(0, |range| range.start);
            let base = lines.position(0) - first as u64;
            let begin = |span: &Span| span.range().map_or(base, |range| base + range.start as u64);
            let begins = |batch: &MessageBatch| batch.value_spans().iter().map(begin).collect();
            stamp.on(MessageBatch::from_spans(lines.batch.buffer().clone(), spans)?, begins)
        };
        good.into_fetched(batch).map(Some)
    }
}

/// Reads each line as a row of one's own.
pub(super) struct JsonRowDecoder<T> {
    lines: JsonLines,
    row: PhantomData<fn() -> T>,
}

impl<T> JsonRowDecoder<T> {
    pub(super) fn new(opening: Opening<'_>) -> Result<Self> {
        Ok(Self { lines: JsonLines::new(opening)?, row: PhantomData })
    }
}

impl<T> fmt::Debug for JsonRowDecoder<T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_tuple("JsonRowDecoder").field(&self.lines).finish()
    }
}

impl<T: DeserializeOwned + Send + 'static> Decode<Vec<T>> for JsonRowDecoder<T> {
    fn fetch(&mut self) -> Result<Option<Fetched<Vec<T>, u64>>> {
        let decode = |line: &Line<'_>| {
            if !begins_object(line.text) {
                return Err(no_object("it does not begin with `{`"));
            }
            serde_json::from_slice(line.text).map_err(|e| format!("does not fit the row type: {e}"))
        };
        let Some(good) = self.lines.next(decode)? else { return Ok(None) };
        good.into_fetched(|_, rows| Ok(rows)).map(Some)
    }
}

/// Writes each value, which must be one JSON object, as a line.
#[derive(Debug)]
pub(super) struct JsonEncoder;

impl Encode<MessageBatch> for JsonEncoder {
    fn add(&mut self, batch: &MessageBatch, row: usize, room: u64, out: &mut Gathered) -> Result<usize> {
        let next = out.add_lines(batch, row, room)?;
        for index in row..next {
            let checked = check(batch.get(index).value.unwrap_or_default(), false);
            checked.map_err(|reason| refused(index, &reason))?;
        }
        Ok(next)
    }
}

/// Writes each row of one's own as a line.
#[derive(Debug, Default)]
pub(super) struct JsonRowEncoder {
    line: Vec<u8>,
}

impl<T: Serialize + Send + 'static> Encode<Vec<T>> for JsonRowEncoder {
    fn add(&mut self, batch: &Vec<T>, row: usize, room: u64, out: &mut Gathered) -> Result<usize> {
        let full = out.bytes().saturating_add(usize::try_from(room).unwrap_or(usize::MAX)).min(ENOUGH);
        for (index, item) in batch.iter().enumerate().skip(row) {
            self.line.clear();
            serde_json::to_writer(&mut self.line, item).map_err(|e| refused(index, &no_object(e)))?;
            if !begins_object(&self.line) {
                return Err(refused(index, &no_object("the row type is no struct or map")));
            }
            self.line.push(b'\n');
            out.copy(&self.line);
            if out.bytes() >= full {
                return Ok(index + 1);
            }
        }
        Ok(batch.len())
    }
}

/// The error of a row that can't be written.
pub(super) fn refused(row: usize, reason: &str) -> Error {
    Error::data("a record to write", None, format!("row {row} of the batch {reason}"))
}
