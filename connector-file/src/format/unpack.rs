//! Decompresses a file from front to back.

use std::fmt;
use std::io::{self, BufRead, Read};
use std::sync::Arc;

use connector_api::{Error, Result};
use flate2::bufread::MultiGzDecoder;

use crate::input::Input;

/// What is read of a compressed file at once.
const WINDOW: usize = 256 << 10;

/// How a file is compressed that is compressed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Packing {
    Gzip,
    Zstd,
}

/// Decompresses every member of a gzip file, every frame of a Zstandard file.
pub(super) struct Unpacker {
    input: Arc<dyn Input>,
    decoder: Decoder,
    /// How many bytes came out.
    at: u64,
}

enum Decoder {
    Gzip(Box<MultiGzDecoder<Window>>),
    Zstd(Box<zstd::Decoder<'static, Window>>),
}

impl Unpacker {
    /// From the beginning of the file.
    ///
    /// # Errors
    ///
    /// When there is no memory for a decoder.
    pub(super) fn new(input: Arc<dyn Input>, packing: Packing) -> Result<Self> {
        let window = Window { input: Arc::clone(&input), at: 0, buffer: Vec::new(), used: 0 };
        let decoder = match packing {
            Packing::Gzip => Decoder::Gzip(Box::new(MultiGzDecoder::new(window))),
            Packing::Zstd => {
                let decoder = zstd::Decoder::with_buffer(window)
                    .map_err(|e| Error::data(input.origin(), None, format!("no Zstandard decoder: {e}")))?;
                Decoder::Zstd(Box::new(decoder))
            }
        };
        Ok(Self { input, decoder, at: 0 })
    }

    /// Fills `buffer`; fewer bytes only where the content ends.
    ///
    /// # Errors
    ///
    /// Those of the input; [`Error::Data`] with the offset for data that is corrupt or cut short.
    pub(super) fn fill(&mut self, buffer: &mut [u8]) -> Result<usize> {
        let mut filled = 0;
        while filled < buffer.len() {
            let rest = &mut buffer[filled..];
            let read = match &mut self.decoder {
                Decoder::Gzip(decoder) => decoder.read(rest),
                Decoder::Zstd(decoder) => decoder.read(rest),
            };
            match read {
                Ok(0) => break,
                Ok(n) => {
                    filled += n;
                    self.at += n as u64;
                }
                Err(e) if e.kind() == io::ErrorKind::Interrupted => {}
                Err(e) => return Err(self.broken(e)),
            }
        }
        Ok(filled)
    }

    fn broken(&self, error: io::Error) -> Error {
        match error_of(error) {
            Ok(error) => error,
            Err(e) => {
                let kind = match self.decoder {
                    Decoder::Gzip(_) => "gzip",
                    Decoder::Zstd(_) => "Zstandard",
                };
                let how =
                    if e.kind() == io::ErrorKind::UnexpectedEof { "ends too early" } else { "is corrupt" };
                let reason = format!("the {kind} data {how} (the offset counts decompressed bytes): {e}");
                Error::data(self.input.origin(), Some(self.at), reason)
            }
        }
    }
}

impl fmt::Debug for Unpacker {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Unpacker").field("input", &self.input).field("at", &self.at).finish_non_exhaustive()
    }
}

/// Takes the error of an [`Input`] out of one that passed through a [`Read`]; gives it back where there is none.
///
/// # Errors
///
/// The error itself, when it carries none.
fn error_of(error: io::Error) -> Result<Error, io::Error> {
    if error.get_ref().is_some_and(|inner| inner.is::<Error>()) {
        if let Some(Ok(inner)) = error.into_inner().map(|inner| inner.downcast::<Error>()) {
            return Ok(*inner);
        }
        return Err(io::Error::other("an error of the input"));
    }
    Err(error)
}

/// The bytes of a compressed file, in large pieces.
struct Window {
    input: Arc<dyn Input>,
    /// The offset in the file behind `buffer`.
    at: u64,
    buffer: Vec<u8>,
    used: usize,
}

impl BufRead for Window {
    fn fill_buf(&mut self) -> io::Result<&[u8]> {
        if self.used == self.buffer.len() {
            let left = usize::try_from(self.input.len().saturating_sub(self.at)).unwrap_or(usize::MAX);
            self.buffer.resize(WINDOW.min(left), 0);
            self.used = 0;
            if !self.buffer.is_empty() {
                let read = match self.input.read(&mut self.buffer, self.at) {
                    Ok(read) => read,
                    Err(e) => {
                        self.buffer.clear();
                        return Err(io::Error::other(e));
                    }
                };
                self.buffer.truncate(read);
                self.at += read as u64;
            }
        }
        Ok(&self.buffer[self.used..])
    }

    fn consume(&mut self, amount: usize) {
        self.used = (self.used + amount).min(self.buffer.len());
    }
}

impl Read for Window {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        let from = self.fill_buf()?;
        let n = from.len().min(buffer.len());
        buffer[..n].copy_from_slice(&from[..n]);
        self.consume(n);
        Ok(n)
    }
}
