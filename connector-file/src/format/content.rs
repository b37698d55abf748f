//! The bytes of a file from front to back, decompressed where it is compressed.

use std::io::{self, Read};
use std::sync::Arc;

use connector_api::env::Spawner;
use connector_api::{Error, Result};

use super::Compression;
use super::ahead::Ahead;
use super::unpack::{Packing, Unpacker};
use crate::input::Input;

/// What is passed over at once.
const SKIPPED: usize = 64 << 10;

/// The bytes of a file, decompressed where it is compressed: every member of a gzip file, every frame of a Zstandard file.
///
/// Offsets count decompressed bytes. A file that is cut short within a member or frame, and bytes that are none, are
/// errors. Also a [`Read`], whose errors carry those of [`fill`](Self::fill).
#[derive(Debug)]
pub(crate) struct Content {
    input: Arc<dyn Input>,
    kind: Kind,
    at: u64,
}

#[derive(Debug)]
enum Kind {
    Plain,
    Packed(Unpacker),
    Ahead(Ahead),
}

impl Content {
    /// The content from its beginning. With a spawner, what is compressed is decompressed ahead of what is asked for, on
    /// another thread.
    ///
    /// # Errors
    ///
    /// When the file can't be decompressed.
    pub(crate) fn open(
        input: Box<dyn Input>,
        compression: Compression,
        ahead: Option<Arc<dyn Spawner>>,
    ) -> Result<Self> {
        let input: Arc<dyn Input> = input.into();
        let packing = match compression {
            Compression::None => return Ok(Self { input, kind: Kind::Plain, at: 0 }),
            Compression::Gzip => Packing::Gzip,
            Compression::Zstd => Packing::Zstd,
        };
        let unpacker = Unpacker::new(Arc::clone(&input), packing)?;
        let kind = match ahead {
            Some(spawner) => Kind::Ahead(Ahead::new(unpacker, spawner)),
            None => Kind::Packed(unpacker),
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
            Kind::Packed(_) | Kind::Ahead(_) => None,
        }
    }

    /// Fills `buffer`; fewer bytes only where the content ends.
    ///
    /// # Errors
    ///
    /// Those of the input; [`Error::Data`] with the offset for compressed data that is corrupt or cut short.
    pub(crate) fn fill(&mut self, buffer: &mut [u8]) -> Result<usize> {
        let filled = match &mut self.kind {
            Kind::Plain => self.input.read(buffer, self.at)?,
            Kind::Packed(unpacker) => unpacker.fill(buffer)?,
            Kind::Ahead(ahead) => ahead.fill(buffer)?,
        };
        self.at += filled as u64;
        Ok(filled)
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
