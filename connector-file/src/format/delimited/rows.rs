//! CSV as rows of one's own, in both directions.

use std::fmt;
use std::marker::PhantomData;

use connector_api::{Batch, Error, Result};
use connector_base::reader::{Fetched, Positions};
use csv::{ByteRecord, StringRecord};
use serde::Serialize;
use serde::de::DeserializeOwned;

use super::CsvShape;
use super::messages::RECORDS;
use super::records::Records;
use super::write::{Fields, Written};
use crate::format::json::refused;
use crate::format::{Decode, ENOUGH, Encode, Gathered, Opening};

/// How many rows a fetch gives.
const FETCH: usize = 4 << 10;

/// Reads each record as a row: by the names of the columns, or by their order in a file without names.
pub(in crate::format) struct CsvRowDecoder<T> {
    records: Records,
    null: Vec<u8>,
    names: Option<StringRecord>,
    record: ByteRecord,
    row: PhantomData<fn() -> T>,
}

impl<T> CsvRowDecoder<T> {
    pub(in crate::format) fn new(opening: Opening<'_>) -> Result<Self> {
        let null = opening.options.csv.null.clone().into_bytes();
        let records = Records::new(opening)?;
        let names = records.names().map(StringRecord::from);
        Ok(Self { records, null, names, record: ByteRecord::new(), row: PhantomData })
    }
}

impl<T> fmt::Debug for CsvRowDecoder<T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("CsvRowDecoder").field("records", &self.records).finish_non_exhaustive()
    }
}

impl<T: DeserializeOwned> CsvRowDecoder<T> {
    fn row(&mut self) -> Result<T, String> {
        self.records.check()?;
        self.record.clear();
        for value in self.records.values() {
            // An absent value is an empty one to serde's CSV.
            self.record.push_field(if value == self.null { b"" } else { value });
        }
        let record = StringRecord::from_byte_record(std::mem::take(&mut self.record))
            .map_err(|e| format!("is no text: {e}"))?;
        let row = record.deserialize(self.names.as_ref());
        let row = row.map_err(|e| format!("does not fit the row type: {e}"));
        self.record = record.into_byte_record();
        row
    }
}

impl<T: DeserializeOwned + Send + 'static> Decode<Vec<T>> for CsvRowDecoder<T> {
    fn fetch(&mut self) -> Result<Option<Fetched<Vec<T>, u64>>> {
        let (mut rows, mut positions) = (Vec::new(), Vec::new());
        let mut ended = true;
        for _ in 0..RECORDS {
            if rows.len() >= FETCH {
                ended = false;
                break;
            }
            ended = !self.records.next()?;
            if ended {
                break;
            }
            match self.row() {
                Ok(row) => {
                    rows.push(row);
                    positions.push(self.records.position());
                }
                Err(reason) => self.records.refuse(&reason)?,
            }
        }
        let position = self.records.position();
        if let Some(last) = positions.last_mut() {
            *last = position;
            return Ok(Some(Fetched::rows(Batch::new(rows), Positions::Each(positions))));
        }
        if !ended {
            return Ok(Some(Fetched::Position(position)));
        }
        self.records.check_name()?;
        Ok(None)
    }
}

/// Writes each row as a record; the names of the columns are those of the row type's fields.
#[derive(Debug)]
pub(in crate::format) struct CsvRowEncoder {
    shape: CsvShape,
    quote: u8,
    text: Vec<u8>,
    /// Whether the names of the columns stand in the part already.
    begun: bool,
}

impl CsvRowEncoder {
    /// # Errors
    ///
    /// For options that only records of JSON have.
    pub(in crate::format) fn new(shape: &CsvShape, begun: bool) -> Result<Self> {
        if !shape.null.is_empty() {
            let reason = "rows of a type of one's own write what is absent as an empty value";
            return Err(Error::config("csv.null", reason));
        }
        let Some(quote) = shape.quote else {
            let reason =
                "can't be empty for rows of a type of one's own: whether a value needs quotes is not seen";
            return Err(Error::config("csv.quote", reason));
        };
        Ok(Self { shape: shape.clone(), quote, text: Vec::new(), begun })
    }

    fn writer(&self, names: bool, text: Vec<u8>) -> csv::Writer<Vec<u8>> {
        csv::WriterBuilder::new()
            .delimiter(self.shape.delimiter)
            .quote(self.quote)
            .has_headers(names)
            .from_writer(text)
    }

    /// Writes the names of the columns, as far as the part is to begin with them.
    fn begin<T: Serialize>(&mut self, first: &T, out: &mut Gathered) -> Result<(), String> {
        let mut writer = self.writer(true, Vec::new());
        writer.serialize(first).map_err(no_record)?;
        let text = writer.into_inner().map_err(no_record)?;
        let mut reader = csv::ReaderBuilder::new();
        reader.delimiter(self.shape.delimiter).quote(self.quote).has_headers(false).flexible(true);
        let records: Result<Vec<StringRecord>, _> = reader.from_reader(&*text).into_records().collect();
        let records = records.map_err(no_record)?;
        let columns = &self.shape.columns;
        let fits = match &records[..] {
            [names, _] => columns.is_empty() || names.iter().eq(columns),
            [row] => row.len() == columns.len() || (columns.is_empty() && !self.shape.header),
            _ => return Err(no_record("it makes no record, or more than one")),
        };
        match &records[..] {
            _ if !fits && columns.is_empty() => {
                return Err(
                    "is of a type without names of columns: give `csv.columns`, or `csv.header = false`"
                        .into(),
                );
            }
            [found, ..] if !fits => {
                return Err(format!("has the columns {found:?}, and `csv.columns` says {columns:?}"));
            }
            [names, _] if self.shape.header => {
                Fields::new(&self.shape).write(names.iter().map(Written::of), out)?
            }
            [_] if self.shape.header => {
                Fields::new(&self.shape).write(columns.iter().map(|name| Written::of(name)), out)?;
            }
            _ => {}
        }
        self.begun = true;
        Ok(())
    }

    /// Adds rows to the text; gives the first that was not added.
    fn rows<T: Serialize>(&mut self, rows: &[T], row: usize, full: usize) -> Result<usize, (usize, String)> {
        let mut text = std::mem::take(&mut self.text);
        text.clear();
        let mut writer = self.writer(false, text);
        let mut next = row;
        while next < rows.len() && (next == row || writer.get_ref().len() < full) {
            writer.serialize(&rows[next]).map_err(|e| (next, no_record(e)))?;
            writer.flush().map_err(|e| (next, no_record(e)))?;
            next += 1;
        }
        self.text = writer.into_inner().map_err(|e| (row, no_record(e)))?;
        Ok(next)
    }
}

fn no_record(why: impl fmt::Display) -> String {
    format!("can't be a CSV record: {why}")
}

impl<T: Serialize + Send + 'static> Encode<Vec<T>> for CsvRowEncoder {
    fn add(&mut self, batch: &Vec<T>, row: usize, room: u64, out: &mut Gathered) -> Result<usize> {
        if row >= batch.len() {
            return Ok(row);
        }
        let before = out.bytes();
        if !self.begun {
            self.begin(&batch[row], out).map_err(|reason| refused(row, &reason))?;
        }
        let room = usize::try_from(room).unwrap_or(usize::MAX).min(ENOUGH);
        let full = room.saturating_sub(out.bytes() - before);
        let next = self.rows(batch, row, full).map_err(|(row, reason)| refused(row, &reason))?;
        out.copy(&self.text);
        Ok(next)
    }
}
