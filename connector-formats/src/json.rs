//! JSON objects to columns, and back.

use std::collections::HashSet;

use arrow_array::RecordBatch;
use arrow_json::reader::{Decoder, ReaderBuilder};
use arrow_json::writer::{LineDelimited, WriterBuilder};
use arrow_schema::{ArrowError, SchemaRef};
use bytes::Bytes;
use connector_api::message::Span;
use connector_api::{Error, MessageBatch, Result, RowBatch};

use crate::{ArrowBatch, exact, zone};

/// The most that is set aside for text before there is any.
const LARGEST_GUESS: usize = 64 << 20;

/// Turns JSON objects into rows of one schema. Reused, it keeps its buffers.
///
/// # What becomes of a record
///
/// Columns are found by name. A column that a record lacks is null; where nulls are not allowed, the record is bad. A
/// name that the schema does not know is ignored, or with [`strict`](Self::strict) makes the record bad.
///
/// | column | takes |
/// |---|---|
/// | `boolean` | `true`, `false`, also as text |
/// | `int32`, `int64` | whole numbers in range, also written as `1.0` or as text; never one with a fraction |
/// | `float64` | numbers, also as text |
/// | `string` | texts; of numbers and booleans their text as it stands there |
/// | `binary` | texts of hexadecimal digits |
/// | `date` | texts such as `2024-05-01`; days since the Unix epoch |
/// | `timestamp` | texts such as `2024-05-01T10:00:00Z`, UTC without an offset; milliseconds since the Unix epoch. What is finer than a millisecond is cut off |
/// | `decimal(p,s)` | numbers and texts of numbers, with the digits behind the last kept cut off |
///
/// A bad record spoils no other of its batch. The parser is that of `arrow-json`: it takes a comma too many or too few within
/// an object or a list, and the last of several values under one name.
///
/// Takes about as much memory as the text, beside the rows.
#[derive(Debug)]
pub struct JsonDecoder {
    schema: SchemaRef,
    /// The same with instants that need no time zone database.
    plain: SchemaRef,
    /// The same with texts for integers and booleans: what `arrow-json` decodes into.
    decoding: SchemaRef,
    strict: bool,
    /// The most rows that `spare` takes.
    capacity: usize,
    /// Empty, ready for records.
    spare: Option<Decoder>,
}

/// What a batch of records became.
#[derive(Clone, Debug, PartialEq)]
pub struct Decoded {
    /// The rows of the good records, in their order.
    pub batch: ArrowBatch,
    /// The records that are not among the rows, by rising index.
    pub bad: Vec<BadRecord>,
}

/// A record that could not be decoded.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct BadRecord {
    /// Which of the records that were given.
    pub index: usize,
    /// Why, with the column where it is one.
    pub reason: String,
}

impl Decoded {
    /// The indices of the records that became rows, in order; `records` is how many there were. Selects what stands
    /// beside the records, such as event times.
    pub fn kept(&self, records: usize) -> impl Iterator<Item = usize> {
        let mut bad = self.bad.iter().map(|b| b.index).peekable();
        (0..records).filter(move |index| bad.next_if_eq(index).is_none())
    }
}

impl JsonDecoder {
    /// Decodes into columns of this schema. Lists, maps and structs are read, too; a whole number in them loses its fraction.
    ///
    /// # Errors
    ///
    /// [`Error::Data`] for a type that JSON can't be read as; names it.
    pub fn new(schema: SchemaRef) -> Result<Self> {
        let plain = zone::without_zones(&schema);
        let decoding = exact::as_texts(&plain);
        let mut decoder = Self { schema, plain, decoding, strict: false, capacity: 1_024, spare: None };
        decoder.spare = Some(decoder.build()?);
        Ok(decoder)
    }

    /// Makes records bad that have a column which the schema does not know.
    #[must_use]
    pub fn strict(mut self) -> Self {
        (self.strict, self.spare) = (true, None);
        self
    }

    /// The schema of the rows.
    pub fn schema(&self) -> &SchemaRef {
        &self.schema
    }

    /// Decodes the values of messages. A tombstone is a bad record.
    ///
    /// # Errors
    ///
    /// [`Error::Data`] when the rows of all records together don't fit one batch (2 GiB of text in a column).
    pub fn decode(&mut self, records: &MessageBatch) -> Result<Decoded> {
        self.decode_records(records.rows(), &|index| records.get(index).value)
    }

    /// Decodes lines; the last may lack its terminator. An empty line is a bad record.
    ///
    /// # Errors
    ///
    /// As [`decode`](Self::decode).
    pub fn decode_lines(&mut self, text: &[u8]) -> Result<Decoded> {
        let text = text.strip_suffix(b"\n").unwrap_or(text);
        let lines: Vec<&[u8]> =
            if text.is_empty() { Vec::new() } else { text.split(|byte| *byte == b'\n').collect() };
        self.decode_records(lines.len(), &|index| Some(lines[index]))
    }

    fn decode_records<'a>(
        &mut self,
        count: usize,
        record: &dyn Fn(usize) -> Option<&'a [u8]>,
    ) -> Result<Decoded> {
        if count > self.capacity {
            (self.capacity, self.spare) = (count.next_power_of_two(), None);
        }
        let (mut good, mut bad): (Vec<usize>, Vec<BadRecord>) = ((0..count).collect(), Vec::new());
        // Most batches hold good records only: one pass. Each further one is about fewer records.
        loop {
            let known = bad.len();
            match self.attempt(&good, record)? {
                Attempt::Rows(batch) => {
                    bad.sort_by_key(|bad| bad.index);
                    return Ok(Decoded { batch, bad });
                }
                Attempt::Bad(found) => bad.extend(found),
                Attempt::Fails(reason) => {
                    self.search(&good, record, &mut bad)?;
                    if bad.len() == known {
                        // Each half of them can be decoded, but not all together.
                        return Err(Error::data("records of a batch", None, reason));
                    }
                }
            }
            let found: HashSet<usize> = bad[known..].iter().map(|bad| bad.index).collect();
            good.retain(|index| !found.contains(index));
        }
    }

    /// Finds the bad ones: halves that can be decoded hold none.
    fn search<'a>(
        &mut self,
        among: &[usize],
        record: &dyn Fn(usize) -> Option<&'a [u8]>,
        bad: &mut Vec<BadRecord>,
    ) -> Result<()> {
        match self.attempt(among, record)? {
            Attempt::Rows(_) => {}
            Attempt::Bad(found) => bad.extend(found),
            Attempt::Fails(reason) if among.len() == 1 => bad.push(BadRecord { index: among[0], reason }),
            Attempt::Fails(_) => {
                let (one, other) = among.split_at(among.len() / 2);
                self.search(one, record, bad)?;
                self.search(other, record, bad)?;
            }
        }
        Ok(())
    }

    /// Decodes the records at these indices as one batch.
    fn attempt<'a>(
        &mut self,
        indices: &[usize],
        record: &dyn Fn(usize) -> Option<&'a [u8]>,
    ) -> Result<Attempt> {
        let mut decoder = self.spare.take().map_or_else(|| self.build(), Ok)?;
        let mut bad = Vec::new();
        for &index in indices {
            if let Err(reason) = feed(&mut decoder, record(index)) {
                bad.push(BadRecord { index, reason });
                // What it holds after an error is not known.
                decoder = self.build()?;
            }
        }
        if !bad.is_empty() {
            return Ok(Attempt::Bad(bad));
        }
        let texts = match decoder.flush() {
            Ok(Some(texts)) => texts,
            Ok(None) => RecordBatch::new_empty(self.decoding.clone()),
            Err(e) => return Ok(Attempt::Fails(text(&e))),
        };
        self.spare = Some(decoder);
        let (rows, wrong) = exact::exact(texts, &self.plain)?;
        if !wrong.is_empty() {
            let bad = |(row, reason): (usize, _)| BadRecord { index: indices[row], reason };
            return Ok(Attempt::Bad(wrong.into_iter().map(bad).collect()));
        }
        Ok(Attempt::Rows(zone::with_zones(rows, &self.schema)?.into()))
    }

    fn build(&self) -> Result<Decoder> {
        let builder = ReaderBuilder::new(self.decoding.clone())
            .with_batch_size(self.capacity)
            .with_coerce_primitive(true)
            .with_strict_mode(self.strict);
        builder.build_decoder().map_err(|e| Error::data("schema for JSON", None, text(&e)))
    }
}

enum Attempt {
    Rows(ArrowBatch),
    /// These are bad; of the others it is not known.
    Bad(Vec<BadRecord>),
    /// At least one is bad, or they are too many.
    Fails(String),
}

/// Adds one record.
fn feed(decoder: &mut Decoder, record: Option<&[u8]>) -> Result<(), String> {
    let Some(record) = record else { return Err("has no value (a tombstone)".into()) };
    let before = decoder.len();
    let read = decoder.decode(record).map_err(|e| text(&e))?;
    if decoder.has_partial_record() {
        return Err("is not a JSON object, or ends within one".into());
    }
    match decoder.len() - before {
        0 if read == record.len() => Err("is empty".into()),
        1 if read == record.len() => Ok(()),
        _ => Err("holds more than one JSON value".into()),
    }
}

fn text(error: &ArrowError) -> String {
    match error {
        ArrowError::JsonError(reason) | ArrowError::ParseError(reason) => reason.clone(),
        other => other.to_string(),
    }
}

/// Writes each row as one JSON object without a line break, all in one buffer.
///
/// A null is left out. Instants are written in UTC, bytes as hexadecimal digits, numbers that are none (NaN, infinity) as
/// `null`.
///
/// # Errors
///
/// [`Error::Data`] naming the type of a column that JSON can't hold; when the texts take more than 4 GiB.
pub fn encode(batch: &ArrowBatch) -> Result<MessageBatch> {
    let refused = |e: ArrowError| Error::data("rows to write as JSON", None, text(&e));
    let plain = zone::without_zones(&batch.schema());
    let columns = zone::with_zones(batch.columns().clone(), &plain)?;
    let mut buffer = Vec::with_capacity(batch.bytes().saturating_mul(2).min(LARGEST_GUESS));
    let mut writer = WriterBuilder::new().build::<_, LineDelimited>(&mut buffer);
    writer.write(&columns).and_then(|()| writer.finish()).map_err(refused)?;
    drop(writer);
    if u32::try_from(buffer.len()).is_err() {
        let reason = format!("{} bytes do not fit one batch (4 GiB)", buffer.len());
        return Err(Error::data("rows to write as JSON", None, reason));
    }
    let mut spans = Vec::with_capacity(batch.rows());
    let mut start = 0;
    for end in memchr::memchr_iter(b'\n', &buffer) {
        // Within 4 GiB, see above.
        spans.push(Span::new(start, end as u32));
        start = end as u32 + 1;
    }
    MessageBatch::from_spans(Bytes::from(buffer), spans)
}

#[cfg(test)]
mod tests;
