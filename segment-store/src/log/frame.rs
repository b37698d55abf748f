//! Frames: what is written and synced as one.
//!
//! ```text
//! magic u32 | payload length u32 | CRC-32C u32 | checksum of the frame before u32 | number u64 | store's incarnation u32 | records u32 | payload
//! ```
//!
//! Little endian, at a multiple of 8 bytes in a file. The checksum covers the store's id, the file's number, the frame's place in
//! it, the header behind the checksum and the payload: bytes that a user stored, and frames of a file's earlier life, are no frames.

use super::file::FileId;

/// The size of a frame's header.
pub(crate) const HEADER: usize = 32;
/// Frames begin at multiples of this.
pub(crate) const ALIGNMENT: u64 = 8;
const MAGIC: u32 = 0x4652_5347;

/// What a frame's header says.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Header {
    /// The size of its payload in bytes.
    pub(crate) length: u32,
    /// Its checksum.
    pub(crate) crc: u32,
    /// The checksum of the frame before it.
    pub(crate) previous: u32,
    /// Its number: one more than that of the frame before it.
    pub(crate) number: u64,
    /// Which opening of the store wrote it.
    pub(crate) incarnation: u32,
    /// How many records its payload holds.
    pub(crate) records: u32,
}

/// A frame in the making: room for the header, then the payload.
#[derive(Debug)]
pub(crate) struct Buffer {
    bytes: Vec<u8>,
    records: u32,
}

impl Buffer {
    pub(crate) fn new(capacity: usize) -> Self {
        let mut bytes = Vec::with_capacity(capacity + HEADER + ALIGNMENT as usize);
        bytes.resize(HEADER, 0);
        Self { bytes, records: 0 }
    }

    /// The size of the payload so far.
    pub(crate) fn len(&self) -> usize {
        self.bytes.len() - HEADER
    }

    pub(crate) fn is_empty(&self) -> bool {
        self.records == 0
    }

    /// Appends one record by `write`; says where in the frame it begins.
    pub(crate) fn record(&mut self, write: impl FnOnce(&mut Vec<u8>)) {
        write(&mut self.bytes);
        self.records += 1;
    }

    /// Where in the payload the next byte goes.
    pub(crate) fn at(&self) -> u32 {
        self.len() as u32
    }

    /// Fills in the header; the bytes to be written at `place`, padded.
    pub(crate) fn seal(&mut self, place: Place<'_>, number: u64, previous: u32, incarnation: u32) -> Header {
        let length = self.len() as u32;
        let mut header = Header { length, crc: 0, previous, number, incarnation, records: self.records };
        header.write(&mut self.bytes);
        header.crc = checksum(place, &self.bytes[12..]);
        self.bytes[8..12].copy_from_slice(&header.crc.to_le_bytes());
        let padded = self.bytes.len().next_multiple_of(ALIGNMENT as usize);
        self.bytes.resize(padded, 0);
        header
    }

    /// The sealed frame.
    pub(crate) fn bytes(&self) -> &[u8] {
        &self.bytes
    }

    /// The sealed frame, for keeping.
    pub(crate) fn into_bytes(self) -> bytes::Bytes {
        self.bytes.into()
    }
}

/// Where a frame is.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Place<'a> {
    pub(crate) file: &'a FileId,
    pub(crate) at: u64,
}

pub(super) fn checksum(place: Place<'_>, rest: &[u8]) -> u32 {
    let mut seed = [0; 32];
    seed[..16].copy_from_slice(&place.file.store.to_le_bytes());
    seed[16..24].copy_from_slice(&place.file.number.to_le_bytes());
    seed[24..].copy_from_slice(&place.at.to_le_bytes());
    crc32c::crc32c_append(crc32c::crc32c(&seed), rest)
}

fn u32_at(bytes: &[u8], at: usize) -> u32 {
    u32::from_le_bytes([bytes[at], bytes[at + 1], bytes[at + 2], bytes[at + 3]])
}

impl Header {
    fn write(&self, bytes: &mut [u8]) {
        bytes[0..4].copy_from_slice(&MAGIC.to_le_bytes());
        bytes[4..8].copy_from_slice(&self.length.to_le_bytes());
        bytes[8..12].copy_from_slice(&self.crc.to_le_bytes());
        bytes[12..16].copy_from_slice(&self.previous.to_le_bytes());
        bytes[16..24].copy_from_slice(&self.number.to_le_bytes());
        bytes[24..28].copy_from_slice(&self.incarnation.to_le_bytes());
        bytes[28..32].copy_from_slice(&self.records.to_le_bytes());
    }

    /// What stands at the beginning of `bytes`, if it looks like a header at all. Nothing is checked but the magic.
    pub(crate) fn read(bytes: &[u8]) -> Option<Self> {
        if bytes.len() < HEADER || u32_at(bytes, 0) != MAGIC {
            return None;
        }
        Some(Self {
            length: u32_at(bytes, 4),
            crc: u32_at(bytes, 8),
            previous: u32_at(bytes, 12),
            number: u64::from(u32_at(bytes, 16)) | u64::from(u32_at(bytes, 20)) << 32,
            incarnation: u32_at(bytes, 24),
            records: u32_at(bytes, 28),
        })
    }

    /// The size of the whole frame with its padding.
    pub(crate) fn padded(&self) -> u64 {
        (HEADER as u64 + u64::from(self.length)).next_multiple_of(ALIGNMENT)
    }

    /// Whether `frame`, header and payload, is what was sealed at this place.
    pub(crate) fn holds(&self, place: Place<'_>, frame: &[u8]) -> bool {
        frame.len() == HEADER + self.length as usize && checksum(place, &frame[12..]) == self.crc
    }
}

/// The frame at the beginning of `bytes`, which are what a file holds from `place` on: its header and its payload, if it is whole.
pub(crate) fn parse<'a>(place: Place<'_>, bytes: &'a [u8]) -> Option<(Header, &'a [u8])> {
    let header = Header::read(bytes)?;
    let frame = bytes.get(..HEADER.checked_add(header.length as usize)?)?;
    header.holds(place, frame).then(|| (header, &frame[HEADER..]))
}

#[cfg(test)]
mod tests {
    use super::*;

    const FILE: FileId = FileId { store: 7, number: 3 };

    fn sealed(at: u64) -> Vec<u8> {
        let mut buffer = Buffer::new(16);
        buffer.record(|out| out.extend_from_slice(b"payload"));
        buffer.seal(Place { file: &FILE, at }, 9, 5, 2);
        buffer.bytes().to_vec()
    }

    #[test]
    fn a_sealed_frame_is_read_back() {
        let bytes = sealed(4096);
        assert_eq!(bytes.len() % 8, 0);
        let (header, payload) = parse(Place { file: &FILE, at: 4096 }, &bytes).unwrap();
        assert_eq!((header.number, header.previous, header.incarnation, header.records), (9, 5, 2, 1));
        assert_eq!(payload, b"payload");
    }

    #[test]
    fn a_frame_that_was_damaged_or_moved_is_none() {
        let bytes = sealed(4096);
        for i in 0..HEADER + 7 {
            let mut bad = bytes.clone();
            bad[i] ^= 0x20;
            assert!(parse(Place { file: &FILE, at: 4096 }, &bad).is_none(), "byte {i}");
            assert!(parse(Place { file: &FILE, at: 4096 }, &bytes[..i]).is_none(), "cut at {i}");
        }
        assert!(parse(Place { file: &FILE, at: 4104 }, &bytes).is_none());
        for file in [FileId { store: 8, ..FILE }, FileId { number: 4, ..FILE }] {
            assert!(parse(Place { file: &file, at: 4096 }, &bytes).is_none());
        }
    }
}
