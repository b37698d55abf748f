//! Bytes that carry their checksum, computed while the processor has them near.

use bytes::Bytes;

use crate::checksum;

/// Bytes of at least this size are kept as they are when they are appended; smaller ones are copied together, and summed there.
pub(crate) const SHARED: usize = 4 * 1024;
/// So much is summed at once.
const STEP: usize = 4 * 1024;

/// Bytes to append, with their checksum.
#[derive(Clone, Debug, Default)]
pub struct Summed {
    bytes: Bytes,
    /// Their CRC-32C, and what it takes to put it behind another one; nothing of small bytes.
    crc: u32,
    shift: u32,
}

impl Summed {
    /// Sums them.
    pub fn of(bytes: Bytes) -> Self {
        let crc = if bytes.len() < SHARED { 0 } else { crc32c::crc32c(&bytes) };
        Self::with(bytes, crc)
    }

    fn with(bytes: Bytes, crc: u32) -> Self {
        let shift = if bytes.len() < SHARED { 0 } else { checksum::shift(bytes.len() as u32) };
        Self { bytes, crc, shift }
    }

    /// Without the checksum.
    pub fn bytes(&self) -> &Bytes {
        &self.bytes
    }

    /// Whether they are kept as they are.
    pub(crate) fn is_shared(&self) -> bool {
        self.bytes.len() >= SHARED
    }

    /// The checksum of something that has the checksum `first` with these behind it.
    pub(crate) fn behind(&self, first: u32) -> u32 {
        checksum::combine(first, self.crc, self.shift)
    }
}

impl<T: Into<Bytes>> From<T> for Summed {
    fn from(bytes: T) -> Self {
        Self::of(bytes.into())
    }
}

/// Bytes that are put together, and summed as they come.
#[derive(Debug, Default)]
pub(crate) struct Summing {
    bytes: Vec<u8>,
    crc: u32,
    /// How many of them are in the checksum.
    summed: usize,
}

impl Summing {
    /// Puts them into `buffer`, which is empty.
    pub(crate) fn into(buffer: Vec<u8>) -> Self {
        Self { bytes: buffer, crc: 0, summed: 0 }
    }

    pub(crate) fn len(&self) -> usize {
        self.bytes.len()
    }

    /// Appends what `write` does.
    pub(crate) fn push(&mut self, write: impl FnOnce(&mut Vec<u8>)) {
        write(&mut self.bytes);
        if self.bytes.len() - self.summed >= STEP {
            self.sum();
        }
    }

    fn sum(&mut self) {
        self.crc = crc32c::crc32c_append(self.crc, &self.bytes[self.summed..]);
        self.summed = self.bytes.len();
    }

    /// That is all; `share` makes bytes of the buffer.
    pub(crate) fn end(mut self, share: impl FnOnce(Vec<u8>) -> Bytes) -> Summed {
        if self.bytes.len() >= SHARED {
            self.sum();
        }
        Summed::with(share(self.bytes), self.crc)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_put_together_has_the_checksum_of_the_whole() {
        for pieces in [1, 3, 4, 5, 100] {
            let mut summing = Summing::default();
            let mut whole = Vec::new();
            for n in 0..pieces {
                let piece = vec![n as u8; 1000 + n];
                summing.push(|out| out.extend_from_slice(&piece));
                whole.extend(piece);
            }
            let summed = summing.end(Bytes::from);
            assert_eq!(summed.bytes(), &whole);
            if summed.is_shared() {
                let first = crc32c::crc32c(b"before");
                assert_eq!(summed.behind(first), crc32c::crc32c_append(first, &whole), "{pieces} pieces");
                assert_eq!(Summed::of(whole.into()).behind(first), summed.behind(first));
            }
        }
    }
}
