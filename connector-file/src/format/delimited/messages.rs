//! CSV as values that are JSON objects, in both directions.

use std::fmt;

use bytes::Bytes;
use connector_api::message::Span;
use connector_api::{Batch, Error, MessageBatch, Result, RowBatch};
use connector_base::reader::{Fetched, Positions};
use serde::de::{MapAccess, Visitor};
use serde::{Deserializer, de};
use serde_json::Value;

use super::CsvShape;
use super::records::Records;
use super::write::{Fields, Written};
use crate::format::json::refused;
use crate::format::{Decode, ENOUGH, Encode, Gathered, Opening, Stamp};

/// How many bytes of values a fetch gives, or a little more.
const FETCH: usize = 256 << 10;
/// How many records a fetch looks at, so that one of nothing but bad records ends too.
pub(super) const RECORDS: usize = 16 << 10;

/// Reads each record as a JSON object of texts, keyed by the names of the columns; a value that stands for an absent one as
/// `null`.
#[derive(Debug)]
pub(in crate::format) struct CsvDecoder {
    records: Records,
    null: Vec<u8>,
    /// What stands before each value: `{"a":` and `,"b":`.
    keys: Vec<Vec<u8>>,
    stamp: Stamp,
}

impl CsvDecoder {
    pub(in crate::format) fn new(opening: Opening<'_>) -> Result<Self> {
        let null = opening.options.csv.null.clone().into_bytes();
        let stamp = opening.stamp();
        let records = Records::new(opening)?;
        let names = records.names().unwrap_or_default().iter().enumerate();
        let keys = names.map(|(i, name)| {
            let mut key = if i == 0 { b"{".to_vec() } else { b",".to_vec() };
            quote(name.as_bytes(), &mut key);
            key.push(b':');
            key
        });
        let keys = keys.collect();
        Ok(Self { records, null, keys, stamp })
    }
}

impl Decode<MessageBatch> for CsvDecoder {
    fn fetch(&mut self) -> Result<Option<Fetched<MessageBatch, u64>>> {
        let mut text = Vec::with_capacity(FETCH + (FETCH >> 3));
        let (mut spans, mut begins, mut positions) = (Vec::new(), Vec::new(), Vec::new());
        let mut ended = true;
        for _ in 0..RECORDS {
            if text.len() >= FETCH {
                ended = false;
                break;
            }
            ended = !self.records.next()?;
            if ended {
                break;
            }
            if let Err(reason) = self.records.check() {
                self.records.refuse(&reason)?;
                continue;
            }
            let start = text.len();
            for (key, value) in self.keys.iter().zip(self.records.values()) {
                text.extend_from_slice(key);
                if value == self.null {
                    text.extend_from_slice(b"null");
                } else {
                    quote(value, &mut text);
                }
            }
            text.push(b'}');
            let (Ok(start), Ok(end)) = (u32::try_from(start), u32::try_from(text.len())) else {
                return Err(Error::data("a record", None, "has more than 4 GiB as JSON"));
            };
            spans.push(Span::new(start, end));
            begins.push(self.records.begin());
            positions.push(self.records.position());
        }
        let position = self.records.position();
        if let Some(last) = positions.last_mut() {
            *last = position;
            let batch = self.stamp.on(MessageBatch::from_spans(Bytes::from(text), spans)?, |_| begins)?;
            return Ok(Some(Fetched::rows(Batch::new(batch), Positions::Each(positions))));
        }
        if !ended {
            return Ok(Some(Fetched::Position(position)));
        }
        self.records.check_name()?;
        Ok(None)
    }
}

/// Writes a text as JSON does.
fn quote(text: &[u8], out: &mut Vec<u8>) {
    const HEX: &[u8; 16] = b"0123456789abcdef";
    out.push(b'"');
    let mut rest = text;
    while let Some(at) = rest.iter().position(|&b| b < 0x20 || b == b'"' || b == b'\\') {
        out.extend_from_slice(&rest[..at]);
        let byte = rest[at];
        match byte {
            b'"' | b'\\' => out.extend_from_slice(&[b'\\', byte]),
            b'\n' => out.extend_from_slice(b"\\n"),
            b'\r' => out.extend_from_slice(b"\\r"),
            b'\t' => out.extend_from_slice(b"\\t"),
            _ => {
                out.extend_from_slice(b"\\u00");
                out.extend_from_slice(&[HEX[usize::from(byte >> 4)], HEX[usize::from(byte & 15)]]);
            }
        }
        rest = &rest[at + 1..];
    }
    out.extend_from_slice(rest);
    out.push(b'"');
}

/// Writes each value, which must be a JSON object, as a record: texts as they are, numbers and truth values as JSON
/// writes them, objects and lists as their JSON, `null` and what is missing as the value for that.
#[derive(Debug)]
pub(in crate::format) struct CsvEncoder {
    shape: CsvShape,
    fields: Fields,
    /// Whether the names of the columns stand in the part already.
    begun: bool,
}

impl CsvEncoder {
    /// # Errors
    ///
    /// When a part is gone on with, and the columns of its beginning can't be known.
    pub(in crate::format) fn new(shape: &CsvShape, begun: bool) -> Result<Self> {
        if begun && shape.columns.is_empty() {
            let reason = "must be given when parts go on over checkpoints (rolling.on_checkpoint = false) or are \
                          merged (compaction): the first records of parts need not have the same keys";
            return Err(Error::config("csv.columns", reason));
        }
        Ok(Self { shape: shape.clone(), fields: Fields::new(shape), begun })
    }

    fn begin(&mut self, first: &Object, out: &mut Gathered) -> Result<(), String> {
        if self.shape.columns.is_empty() {
            self.shape.columns = first.0.iter().map(|(key, _)| key.clone()).collect();
        }
        if self.shape.header && !self.begun {
            self.fields.write(self.shape.columns.iter().map(|name| Written::of(name)), out)?;
        }
        self.begun = true;
        Ok(())
    }

    fn add_row(&mut self, value: Option<&[u8]>, out: &mut Gathered) -> Result<(), String> {
        let value = value.ok_or("has no value (a tombstone), and a record can't say so")?;
        let object: Object = {
            let mut json = serde_json::Deserializer::from_slice(value);
            let object = json.deserialize_map(Entries).map_err(|e| format!("is no JSON object: {e}"))?;
            json.end().map_err(|e| format!("is no JSON object: {e}"))?;
            object
        };
        self.begin(&object, out)?;
        let mut row = vec![None; self.shape.columns.len()];
        for (at, (key, value)) in object.0.into_iter().enumerate() {
            // Most often the keys come in the order of the columns.
            let named = |i: usize| self.shape.columns.get(i) == Some(&key);
            let column = if named(at) { Some(at) } else { (0..row.len()).find(|&i| named(i)) };
            let Some(column) = column else {
                return Err(format!(
                    "has the key {key:?}, which is none of the columns {:?}",
                    self.shape.columns
                ));
            };
            row[column] = match value {
                Value::Null => None,
                Value::String(text) => Some(text),
                other => Some(other.to_string()),
            };
        }
        let null = &self.shape.null;
        let values = row.iter().map(|value| Written::of(value.as_deref().unwrap_or(null)));
        self.fields.write(values, out)
    }
}

impl Encode<MessageBatch> for CsvEncoder {
    fn add(&mut self, batch: &MessageBatch, row: usize, room: u64, out: &mut Gathered) -> Result<usize> {
        let full = out.bytes().saturating_add(usize::try_from(room).unwrap_or(usize::MAX)).min(ENOUGH);
        for index in row..batch.rows() {
            self.add_row(batch.get(index).value, out).map_err(|reason| refused(index, &reason))?;
            if out.bytes() >= full {
                return Ok(index + 1);
            }
        }
        Ok(batch.rows())
    }
}

/// The entries of a JSON object, in its order.
struct Object(Vec<(String, Value)>);

struct Entries;

impl<'de> Visitor<'de> for Entries {
    type Value = Object;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("an object")
    }

    fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<Object, A::Error> {
        let mut entries: Vec<(String, Value)> = Vec::new();
        while let Some(entry) = map.next_entry::<String, Value>()? {
            if entries.iter().any(|(key, _)| *key == entry.0) {
                return Err(de::Error::custom(format_args!("the key {:?} occurs twice", entry.0)));
            }
            entries.push(entry);
        }
        Ok(Object(entries))
    }
}
