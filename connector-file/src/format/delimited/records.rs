//! Cuts the bytes of a CSV file into records and values.

use connector_api::{Error, Result};
use csv_core::ReadRecordResult;

use super::{CsvShape, twice};
use crate::bad::BadRecords;
use crate::format::Opening;
use crate::format::content::Content;

const BYTE_ORDER_MARK: &[u8] = b"\xef\xbb\xbf";

/// Reads the records of a CSV file, from a position on.
///
/// Memory: two buffers that hold the longest record. Lines without content are no records. A quote within a value that does
/// not begin with one is content.
#[derive(Debug)]
pub(super) struct Records {
    content: Content,
    bad: BadRecords,
    core: csv_core::Reader,
    /// What is read at once.
    chunk: usize,
    max_record: usize,
    /// The names of the columns, where they are known.
    names: Option<Vec<String>>,
    buffer: Vec<u8>,
    /// The offset in the content of `buffer[0]`.
    base: u64,
    /// Where the record begins in `buffer`.
    start: usize,
    /// Where what was not taken yet begins in `buffer`.
    taken: usize,
    filled: usize,
    /// The values of the record, one behind the other, and where each ends.
    values: Vec<u8>,
    ends: Vec<usize>,
    count: usize,
    /// Whether a quoted value of the record does not end.
    is_open: bool,
}

impl Records {
    /// Reads the names of the columns, and goes to the position of the split.
    pub(super) fn new(opening: Opening<'_>) -> Result<Self> {
        let compression = opening.compression();
        let Opening { options, split, input, pool, bad, spawner } = opening;
        let shape = &options.csv;
        let mut builder = csv_core::ReaderBuilder::new();
        builder.delimiter(shape.delimiter);
        match shape.quote {
            Some(quote) => builder.quote(quote),
            None => builder.quoting(false),
        };
        let mut records = Self {
            content: Content::open(input, compression, Some(spawner))?,
            bad,
            core: builder.build(),
            chunk: pool.size(),
            max_record: options.max_record,
            names: (!shape.columns.is_empty()).then(|| shape.columns.clone()),
            buffer: Vec::new(),
            base: 0,
            start: 0,
            taken: 0,
            filled: 0,
            values: vec![0; 4 << 10],
            ends: vec![0; 64],
            count: 0,
            is_open: false,
        };
        // A byte order mark is passed over here, where the file begins, and not by whoever reads a record that begins so.
        records.core.read_record(b"\n", &mut records.values, &mut records.ends);
        if shape.header {
            records.pass_mark()?;
            records.read_header(shape)?;
        } else if split.position.is_none() {
            records.pass_mark()?;
        }
        if let Some(position) = split.position {
            records.go_to(position)?;
        }
        Ok(records)
    }

    fn pass_mark(&mut self) -> Result<()> {
        while self.filled < BYTE_ORDER_MARK.len() && self.more()? {}
        if self.buffer[..self.filled].starts_with(BYTE_ORDER_MARK) {
            self.taken = BYTE_ORDER_MARK.len();
        }
        Ok(())
    }

    fn read_header(&mut self, shape: &CsvShape) -> Result<()> {
        self.names = None;
        if !self.next()? {
            return Ok(());
        }
        let names: Result<Vec<String>, String> = self.check().and_then(|()| {
            let text = |value: &[u8]| String::from_utf8(value.to_vec()).map_err(|e| e.to_string());
            self.values().map(text).collect()
        });
        let refuse = |reason: String| Err(Error::data(self.content.origin(), Some(self.begin()), reason));
        let names = match names {
            Ok(names) => names,
            Err(reason) => return refuse(format!("the header {reason}")),
        };
        if let Some(name) = twice(&names) {
            return refuse(format!("the header names {name:?} twice"));
        }
        if !shape.columns.is_empty() && shape.columns != names {
            return refuse(format!(
                "the header has the columns {names:?}, `csv.columns` {:?}",
                shape.columns
            ));
        }
        self.names = Some(names);
        Ok(())
    }

    fn go_to(&mut self, position: u64) -> Result<()> {
        if position < self.position() {
            return Ok(());
        }
        match usize::try_from(position - self.base) {
            Ok(at) if at <= self.filled => self.taken = at,
            _ => {
                self.content.skip_to(position)?;
                (self.base, self.taken, self.filled) = (position, 0, 0);
            }
        }
        self.start = self.taken;
        Ok(())
    }

    /// Goes to the next record; false when there is none.
    ///
    /// # Errors
    ///
    /// Those of reading; [`Error::Data`] for a record above the limit.
    pub(super) fn next(&mut self) -> Result<bool> {
        self.start = self.taken;
        (self.count, self.is_open) = (0, false);
        loop {
            if self.taken == self.filled && !self.more()? {
                return Ok(false);
            }
            if !matches!(self.buffer[self.taken], b'\r' | b'\n') {
                break;
            }
            self.taken += 1;
            self.start = self.taken;
        }
        let mut length = 0;
        loop {
            if self.taken == self.filled && !self.more()? {
                self.end_of_content(&mut length);
                break;
            }
            let rest = &self.buffer[self.taken..self.filled];
            let (result, read, written, ended) =
                self.core.read_record(rest, &mut self.values[length..], &mut self.ends[self.count..]);
            self.taken += read;
            length += written;
            self.count += ended;
            match result {
                ReadRecordResult::OutputFull => self.values.resize(self.values.len() * 2, 0),
                ReadRecordResult::OutputEndsFull => self.ends.resize(self.ends.len() * 2, 0),
                ReadRecordResult::InputEmpty => {}
                ReadRecordResult::Record | ReadRecordResult::End => break,
            }
            // With room for a terminator that belongs to it or not.
            if self.taken - self.start > self.max_record.saturating_add(1) {
                return Err(self.too_long());
            }
        }
        if self.raw().len() > self.max_record { Err(self.too_long()) } else { Ok(true) }
    }

    /// Ends a record that the content ends with. A line break ends it, unless it stands within quotes.
    fn end_of_content(&mut self, length: &mut usize) {
        loop {
            let (result, _, written, ended) =
                self.core.read_record(b"\n", &mut self.values[*length..], &mut self.ends[self.count..]);
            *length += written;
            self.count += ended;
            match result {
                ReadRecordResult::OutputFull => self.values.resize(self.values.len() * 2, 0),
                ReadRecordResult::OutputEndsFull => self.ends.resize(self.ends.len() * 2, 0),
                ReadRecordResult::Record | ReadRecordResult::End => return,
                ReadRecordResult::InputEmpty => {
                    self.is_open = true;
                    return;
                }
            }
        }
    }

    /// Reads more; false when the content ends. Moves the record to the front of the buffer.
    fn more(&mut self) -> Result<bool> {
        if self.start > 0 {
            self.buffer.copy_within(self.start..self.filled, 0);
            self.base += self.start as u64;
            self.taken -= self.start;
            self.filled -= self.start;
            self.start = 0;
        }
        let most = self.filled + self.chunk;
        if self.buffer.len() < most {
            self.buffer.resize(most, 0);
        }
        let read = self.content.fill(&mut self.buffer[self.filled..most])?;
        self.filled += read;
        Ok(read > 0)
    }

    fn too_long(&self) -> Error {
        let reason = format!(
            "no end within {} bytes, the largest record that `max_record` allows (a quote without its partner?)",
            self.max_record
        );
        Error::data(self.content.origin(), Some(self.begin()), reason)
    }

    /// Whether the record can be used: all text, all quotes closed, as many values as there are names.
    pub(super) fn check(&self) -> Result<(), String> {
        if self.is_open {
            return Err("has a quoted value that does not end".into());
        }
        // Delimiters are ASCII: when the whole is text, each value is.
        std::str::from_utf8(self.raw()).map_err(|e| format!("is no text: {e}"))?;
        match &self.names {
            Some(names) if names.len() != self.count => {
                Err(format!("has {} values for {} columns", self.count, names.len()))
            }
            _ => Ok(()),
        }
    }

    /// Leaves the record out, for a reason.
    ///
    /// # Errors
    ///
    /// When it ends the job.
    pub(super) fn refuse(&self, reason: &str) -> Result<()> {
        self.bad.refuse(self.content.origin(), self.begin(), reason, self.raw())
    }

    /// The names of the columns; none for a file without header whose columns are not given.
    pub(super) fn names(&self) -> Option<&[String]> {
        self.names.as_deref()
    }

    /// The values of the record.
    pub(super) fn values(&self) -> impl Iterator<Item = &[u8]> {
        let starts = std::iter::once(0).chain(self.ends.iter().copied());
        starts.zip(&self.ends[..self.count]).map(|(start, &end)| &self.values[start..end])
    }

    /// The bytes of the record, without its terminator.
    pub(super) fn raw(&self) -> &[u8] {
        let raw = &self.buffer[self.start..self.taken];
        if self.is_open {
            return raw;
        }
        let raw = raw.strip_suffix(b"\n").unwrap_or(raw);
        raw.strip_suffix(b"\r").unwrap_or(raw)
    }

    /// The offset of the record.
    pub(super) fn begin(&self) -> u64 {
        self.base + self.start as u64
    }

    /// The offset behind the record.
    pub(super) fn position(&self) -> u64 {
        self.base + self.taken as u64
    }

    /// Whether the file's name still stands for what was read.
    ///
    /// # Errors
    ///
    /// When it does not.
    pub(super) fn check_name(&self) -> Result<()> {
        self.content.check_name()
    }
}
