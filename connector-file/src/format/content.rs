//! The bytes of a file from front to back, decompressed where it is compressed.

use std::fmt;
use std::io::{self, BufRead, Read};
use std::sync::Arc;

use connector_api::{Error, Result};
use flate2::bufread::MultiGzDecoder;

use super::Compression;
use crate::input::Input;

/// What is read of a compressed file at once.
const WINDOW: usize = 256 << 10;
/// What is passed over at once.
const SKIPPED: usize = 64 << 10;

/// The bytes of a file, decompressed where it is compressed: every member of a gzip file, every frame of a Zstandard file.
///
/// Offsets count decompressed bytes. A file that is cut short within a member or frame, and bytes that are none, are
/// errors. Also a [`Read`], whose errors carry those of [`fill`](Self::fill): [`error_of`] takes them out.
pub(crate) struct Content {
    input: Arc<dyn Input>,
    kind: Kind,
    at: u64,
}

enum Kind {
    Plain,
    Gzip(Box<MultiGzDecoder<Window>>),
    Zstd(Box<zstd::Decoder<'static, Window>>),
}

impl fmt::Debug for Content {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Content").field("input", &self.input).field("at", &self.at).finish_non_exhaustive()
    }
}

impl Content {
    /// The content from its beginning.
    ///
    /// # Errors
    ///
    /// When the file can't be decompressed.
    pub(crate) fn open(input: Box<dyn Input>, compression: Compression) -> Result<Self> {
        let input: Arc<dyn Input> = input.into();
        let window = || Window { input: input.clone(), at: 0, buffer: Vec::new(), used: 0 };
        let kind = match compression {
            Compression::None => Kind::Plain,
            Compression::Gzip => Kind::Gzip(Box::new(MultiGzDecoder::new(window()))),
            Compression::Zstd => {
                let decoder = zstd::Decoder::with_buffer(window())
                    .map_err(|e| Error::data(input.origin(), None, format!("no Zstandard decoder: {e}")))?;
                Kind::Zstd(Box::new(decoder))
            }
        };
        Ok(Self { input, kind, at: 0 })
    }

    /// What names the file in errors.
    pub(crate) fn origin(&self) -> &str {
        self.input.origin()
    }

    /// How many bytes follow, where that is known without reading them.
    pub(crate) fn left(&self) -> Option<u64> {
        match self.kind {
            Kind::Plain => Some(self.input.len().saturating_sub(self.at)),
            Kind::Gzip(_) | Kind::Zstd(_) => None,
        }
    }

    /// Fills `buffer`; fewer bytes only where the content ends.
    ///
    /// # Errors
    ///
    /// Those of the input; [`Error::Data`] with the offset for compressed data that is corrupt or cut short.
    pub(crate) fn fill(&mut self, buffer: &mut [u8]) -> Result<usize> {
        let mut filled = 0;
        while filled < buffer.len() {
            let rest = &mut buffer[filled..];
            let (read, kind) = match &mut self.kind {
                Kind::Plain => {
                    filled += self.input.read(rest, self.at)?;
                    self.at += filled as u64;
                    return Ok(filled);
                }
                Kind::Gzip(decoder) => (decoder.read(rest), "gzip"),
                Kind::Zstd(decoder) => (decoder.read(rest), "Zstandard"),
            };
            match read {
                Ok(0) => break,
                Ok(n) => {
                    filled += n;
                    self.at += n as u64;
                }
                Err(e) if e.kind() == io::ErrorKind::Interrupted => {}
                Err(e) => return Err(self.broken(e, kind)),
            }
        }
        Ok(filled)
    }

    fn broken(&self, error: io::Error, kind: &str) -> Error {
        match error_of(error) {
            Ok(error) => error,
            Err(e) => {
                let how =
                    if e.kind() == io::ErrorKind::UnexpectedEof { "ends too early" } else { "is corrupt" };
                let reason = format!("the {kind} data {how} (the offset counts decompressed bytes): {e}");
                Error::data(self.origin(), Some(self.at), reason)
            }
        }
    }

    /// Goes on at this offset, which is not behind the end; a compressed file is read up to it. Never back.
    ///
    /// # Errors
    ///
    /// Those of [`fill`](Self::fill); [`Error::Data`] when the content ends before.
    pub(crate) fn skip_to(&mut self, offset: u64) -> Result<()> {
        if matches!(self.kind, Kind::Plain) {
            self.at = self.at.max(offset);
            return Ok(());
        }
        let mut scratch = vec![0; SKIPPED];
        while self.at < offset {
            let most = usize::try_from(offset - self.at).map_or(SKIPPED, |left| left.min(SKIPPED));
            if self.fill(&mut scratch[..most])? < most && self.at < offset {
                let reason = format!("the content ends here, and was read up to {offset} before");
                return Err(Error::data(self.origin(), Some(self.at), reason));
            }
        }
        Ok(())
    }

    /// Whether the file's name still stands for what was read.
    ///
    /// # Errors
    ///
    /// When it does not.
    pub(crate) fn check_name(&self) -> Result<()> {
        self.input.check_name(self.at)
    }
}

impl Read for Content {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        self.fill(buffer).map_err(io::Error::other)
    }
}

/// Takes the error of an [`Input`] out of one that passed through a [`Read`]; gives it back where there is none.
///
/// # Errors
///
/// The error itself, when it carries none.
pub(crate) fn error_of(error: io::Error) -> Result<Error, io::Error> {
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
