//! Writes CSV records.

use csv_core::{QuoteStyle, WriteResult, Writer, WriterBuilder};

use super::CsvShape;
use crate::format::Gathered;

/// A value on its way to a record.
pub(super) struct Written<'a>(&'a [u8]);

impl<'a> Written<'a> {
    pub(super) fn of(text: &'a str) -> Self {
        Self(text.as_bytes())
    }
}

/// Writes records, each ended by `\n`.
#[derive(Debug)]
pub(super) struct Fields {
    core: Writer,
    delimiter: u8,
    is_quoted: bool,
    line: Vec<u8>,
}

impl Fields {
    pub(super) fn new(shape: &CsvShape) -> Self {
        let mut builder = WriterBuilder::new();
        builder.delimiter(shape.delimiter);
        match shape.quote {
            Some(quote) => builder.quote(quote),
            None => builder.quote_style(QuoteStyle::Never),
        };
        Self {
            core: builder.build(),
            delimiter: shape.delimiter,
            is_quoted: shape.quote.is_some(),
            line: vec![0; 4 << 10],
        }
    }

    /// Writes one record.
    ///
    /// # Errors
    ///
    /// Why it would not be read back as it is.
    pub(super) fn write<'a>(
        &mut self,
        values: impl Iterator<Item = Written<'a>>,
        out: &mut Gathered,
    ) -> Result<(), String> {
        let (mut length, mut count) = (0, 0_usize);
        for Written(mut value) in values {
            if !self.is_quoted && value.iter().any(|&b| b == self.delimiter || matches!(b, b'\r' | b'\n')) {
                return Err("has a value with a delimiter or line break, and `csv.quote` is empty".into());
            }
            if count > 0 {
                length = self.step(length, |core, room| core.delimiter(room));
            }
            count += 1;
            loop {
                let (result, read, written) = self.core.field(value, &mut self.line[length..]);
                value = &value[read..];
                length += written;
                if result == WriteResult::InputEmpty {
                    break;
                }
                self.line.resize(self.line.len() * 2, 0);
            }
        }
        if count == 0 {
            return Err("has no columns, and a record can't say so".into());
        }
        if !self.is_quoted && length == 0 {
            return Err(
                "has one value, which is empty, and `csv.quote` is empty: it would be an empty line".into()
            );
        }
        length = self.step(length, |core, room| core.terminator(room));
        out.copy(&self.line[..length]);
        Ok(())
    }

    fn step(
        &mut self,
        mut length: usize,
        put: impl Fn(&mut Writer, &mut [u8]) -> (WriteResult, usize),
    ) -> usize {
        loop {
            let (result, written) = put(&mut self.core, &mut self.line[length..]);
            length += written;
            if result == WriteResult::InputEmpty {
                return length;
            }
            self.line.resize(self.line.len() * 2, 0);
        }
    }
}
