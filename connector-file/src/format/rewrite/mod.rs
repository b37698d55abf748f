//! Merging parts of text that can't be joined byte by byte: compressed ones, and CSV with a header.

#[cfg(test)]
mod tests;

use bytes::Bytes;
use connector_api::{Error, Result};

use super::content::Content;
use super::packed::Packer;
use super::{Compression, ENOUGH, Format, Gathered, Rewrite};
use crate::input::Input;
use crate::sink::WriteOptions;

/// What is read at once.
const CHUNK: usize = 256 << 10;
/// The longest header.
const HEADER: usize = 16 << 20;

impl WriteOptions {
    /// How parts of text are merged; none where they are joined byte by byte.
    pub(crate) fn rewrite(&self) -> Option<Box<dyn Rewrite>> {
        let (has_header, quote) = match self.format {
            Format::Lines | Format::Json => (false, None),
            Format::Csv => (self.csv.header, self.csv.quote),
            Format::Raw | Format::Parquet => return None,
        };
        let compression = self.compression;
        let joined = compression == Compression::None && !has_header;
        (!joined).then(|| Box::new(TextRewrite { compression, has_header, quote }) as Box<dyn Rewrite>)
    }
}

/// Writes the content of several parts as one member or frame, and a header once.
///
/// Holds one stretch of 256 KiB, what the compressor holds, and a header.
#[derive(Debug)]
struct TextRewrite {
    compression: Compression,
    has_header: bool,
    /// Between two of these, a line break ends no record.
    quote: Option<u8>,
}

impl Rewrite for TextRewrite {
    fn rewrite(
        &self,
        inputs: &mut dyn Iterator<Item = Result<Box<dyn Input>>>,
        write: &mut dyn FnMut(Vec<Bytes>) -> Result<()>,
    ) -> Result<u64> {
        let mut into = Into { packer: Packer::new(self.compression)?, out: Gathered::default(), write };
        let mut header: Option<(String, Vec<u8>)> = None;
        let mut buffer = vec![0; CHUNK];
        let mut rows = 0;
        for input in inputs {
            let mut content = Content::open(input?, self.compression, None)?;
            let mut records = Records { quote: self.quote, is_open: false };
            let mut rest = Vec::new();
            if self.has_header {
                let found;
                (found, rest) = records.header(&mut content)?;
                match &header {
                    None => {
                        into.add(&found)?;
                        header = Some((content.origin().to_owned(), found));
                    }
                    Some((_, header)) if *header == found => {}
                    Some((first, header)) => return Err(differs(&content, &found, first, header)),
                }
            }
            rows += records.count(&rest);
            into.add(&rest)?;
            let mut last = rest.last().copied();
            loop {
                let read = content.fill(&mut buffer)?;
                rows += records.count(&buffer[..read]);
                into.add(&buffer[..read])?;
                last = buffer[..read].last().copied().or(last);
                if read < buffer.len() {
                    break;
                }
            }
            if records.is_open || last.is_some_and(|last| last != b'\n') {
                return Err(Error::data(
                    content.origin(),
                    None,
                    "ends within a record: it was changed after it was closed",
                ));
            }
            content.check_name()?;
        }
        into.finish()?;
        Ok(rows)
    }
}

fn differs(content: &Content, found: &[u8], first: &str, header: &[u8]) -> Error {
    let text = |bytes: &[u8]| String::from_utf8_lossy(bytes.trim_ascii_end()).into_owned();
    let reason = format!(
        "has the header `{}`, and {first} that it is to be merged with has `{}`: set compaction = \"drain\" once to publish \
         both as they are",
        text(found),
        text(header)
    );
    Error::data(content.origin(), Some(0), reason)
}

/// Tells where records end, as far as this crate writes them: a value that has a quote stands between quotes.
struct Records {
    quote: Option<u8>,
    is_open: bool,
}

impl Records {
    /// How many records end in these bytes.
    fn count(&mut self, bytes: &[u8]) -> u64 {
        let Some(quote) = self.quote else { return memchr::memchr_iter(b'\n', bytes).count() as u64 };
        let mut ends = 0;
        for at in memchr::memchr2_iter(b'\n', quote, bytes) {
            if bytes[at] == quote {
                self.is_open = !self.is_open;
            } else if !self.is_open {
                ends += 1;
            }
        }
        ends
    }

    /// The first record, with its end, and what was read behind it.
    fn header(&mut self, content: &mut Content) -> Result<(Vec<u8>, Vec<u8>)> {
        let mut header = Vec::new();
        while header.len() < HEADER {
            let from = header.len();
            header.resize(from + CHUNK, 0);
            let read = content.fill(&mut header[from..])?;
            header.truncate(from + read);
            for at in from..header.len() {
                if self.count(&header[at..=at]) > 0 {
                    let rest = header.split_off(at + 1);
                    return Ok((header, rest));
                }
            }
            if read < CHUNK {
                break;
            }
        }
        Err(Error::data(content.origin(), Some(0), "has no header: it was changed after it was closed"))
    }
}

/// The file that is written.
struct Into<'a> {
    packer: Option<Packer>,
    out: Gathered,
    write: &'a mut dyn FnMut(Vec<Bytes>) -> Result<()>,
}

impl Into<'_> {
    fn add(&mut self, bytes: &[u8]) -> Result<()> {
        match &mut self.packer {
            Some(packer) => packer.add(bytes, &mut self.out)?,
            None => self.out.copy(bytes),
        }
        // Also with nothing to write: it may give the work up.
        let chunks = if self.out.bytes() >= ENOUGH { self.out.take() } else { Vec::new() };
        (self.write)(chunks)
    }

    fn finish(mut self) -> Result<()> {
        if let Some(packer) = &mut self.packer {
            packer.finish(&mut self.out)?;
        }
        (self.write)(self.out.take())
    }
}
