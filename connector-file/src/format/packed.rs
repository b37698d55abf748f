//! Compresses what another encoder writes: one gzip member or one Zstandard frame per part.

use std::fmt;
use std::io::{self, Write};

use connector_api::{Error, Result, RowBatch};
use flate2::write::GzEncoder;

use super::{Compression, ENOUGH, Encode, Gathered};
use crate::sink::WriteOptions;

/// How many bytes are given to the compressor at once, so that a part exceeds its size by little.
const PIECE: u64 = 64 << 10;

/// Compresses bytes as they come.
pub(crate) enum Packer {
    /// One gzip member.
    Gzip(GzEncoder<Vec<u8>>),
    /// One Zstandard frame.
    Zstd(zstd::stream::write::Encoder<'static, Vec<u8>>),
    /// Ended.
    Ended,
}

impl Packer {
    /// None where nothing is compressed.
    ///
    /// # Errors
    ///
    /// When there is no memory for it.
    pub(crate) fn new(compression: Compression) -> Result<Option<Self>> {
        Ok(match compression {
            Compression::None => None,
            // Without time and name, so that the same records are the same bytes.
            Compression::Gzip => Some(Self::Gzip(GzEncoder::new(Vec::new(), flate2::Compression::default()))),
            Compression::Zstd => {
                let mut encoder = zstd::stream::write::Encoder::new(Vec::new(), 0).map_err(broken)?;
                encoder.include_checksum(true).map_err(broken)?;
                Some(Self::Zstd(encoder))
            }
        })
    }

    /// Compresses; moves what is complete to `out`.
    ///
    /// # Errors
    ///
    /// When there is no memory for it.
    pub(crate) fn add(&mut self, bytes: &[u8], out: &mut Gathered) -> Result<()> {
        let packed = match self {
            Self::Gzip(encoder) => encoder.write_all(bytes).map(|()| encoder.get_mut()),
            Self::Zstd(encoder) => encoder.write_all(bytes).map(|()| encoder.get_mut()),
            Self::Ended => Err(io::Error::other("the part has ended")),
        };
        let packed = packed.map_err(broken)?;
        if !packed.is_empty() {
            out.copy(packed);
            packed.clear();
        }
        Ok(())
    }

    /// Ends the member or frame.
    ///
    /// # Errors
    ///
    /// When there is no memory for it.
    pub(crate) fn finish(&mut self, out: &mut Gathered) -> Result<()> {
        let packed = match std::mem::replace(self, Self::Ended) {
            Self::Gzip(encoder) => encoder.finish(),
            Self::Zstd(encoder) => encoder.finish(),
            Self::Ended => Ok(Vec::new()),
        };
        out.copy(&packed.map_err(broken)?);
        Ok(())
    }
}

impl fmt::Debug for Packer {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Gzip(_) => "Gzip",
            Self::Zstd(_) => "Zstd",
            Self::Ended => "Ended",
        })
    }
}

fn broken(error: io::Error) -> Error {
    Error::data("a part", None, format!("can't be compressed: {error}"))
}

/// An encoder whose bytes are compressed.
pub(super) struct PackedEncoder<B> {
    inner: Box<dyn Encode<B>>,
    packer: Packer,
    plain: Gathered,
    /// What came in since something came out last, and both over all.
    waiting: u64,
    taken: u64,
    given: u64,
}

impl<B> PackedEncoder<B> {
    pub(super) fn new(inner: Box<dyn Encode<B>>, packer: Packer) -> Self {
        Self { inner, packer, plain: Gathered::default(), waiting: 0, taken: 0, given: 0 }
    }

    fn pack(&mut self, out: &mut Gathered) -> Result<()> {
        let before = out.bytes();
        for chunk in self.plain.take() {
            self.packer.add(&chunk, out)?;
            self.waiting += chunk.len() as u64;
            self.taken += chunk.len() as u64;
        }
        let given = (out.bytes() - before) as u64;
        if given > 0 {
            (self.waiting, self.given) = (0, self.given + given);
        }
        Ok(())
    }
}

impl<B> fmt::Debug for PackedEncoder<B> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("PackedEncoder").field("packer", &self.packer).finish_non_exhaustive()
    }
}

impl<B: RowBatch> Encode<B> for PackedEncoder<B> {
    fn add(&mut self, batch: &B, row: usize, room: u64, out: &mut Gathered) -> Result<usize> {
        let (rows, before, held) = (batch.rows(), out.bytes(), Encode::held(self));
        let mut next = row;
        loop {
            let used = (out.bytes() - before) as u64 + Encode::held(self).saturating_sub(held);
            if next == rows || (next > row && used >= room) || out.bytes() >= ENOUGH {
                return Ok(next);
            }
            // What compresses takes more than its room in plain bytes, but never less than a little.
            let piece = room.saturating_sub(used).clamp(1, PIECE);
            next = self.inner.add(batch, next, piece, &mut self.plain)?;
            self.pack(out)?;
        }
    }

    /// What the compressor took since it gave something, by the ratio so far.
    fn held(&self) -> u64 {
        let plain = self.waiting.saturating_add(self.inner.held());
        if self.given == 0 {
            return plain;
        }
        let scaled = u128::from(plain) * u128::from(self.given) / u128::from(self.taken.max(1));
        u64::try_from(scaled).unwrap_or(u64::MAX).min(plain)
    }

    fn finish(&mut self, out: &mut Gathered) -> Result<()> {
        self.inner.finish(&mut self.plain)?;
        self.pack(out)?;
        self.packer.finish(out)
    }
}

impl WriteOptions {
    /// The encoder, or one that compresses what it writes.
    pub(crate) fn packed<B: RowBatch>(&self, plain: Box<dyn Encode<B>>) -> Result<Box<dyn Encode<B>>> {
        match Packer::new(self.compression)? {
            None => Ok(plain),
            Some(packer) => Ok(Box::new(PackedEncoder::new(plain, packer))),
        }
    }
}
