//! Log files of any content, for tests that feed damage to what reads them.

use super::file::{FIRST, FileHeader, FileId};
use super::frame::{HEADER, Header, Place, checksum};

/// The first file of the store 1, with these bytes behind its header. With `deep` they are made a chain: what looks like a frame gets the
/// number, the checksum before it and the checksum that it needs to be taken.
pub(crate) fn file_of_frames(bytes: &[u8], deep: bool) -> Vec<u8> {
    let id = FileId { store: 1, number: 1 };
    let mut file = FileHeader { id, incarnation: 1, first: 1, previous: 0 }.encode();
    file.extend_from_slice(bytes);
    if !deep {
        return file;
    }
    let (mut at, mut number, mut previous) = (FIRST as usize, 1_u64, 0_u32);
    while let Some(rest) = file.get_mut(at..).filter(|rest| rest.len() >= HEADER) {
        // A length that does not fit is cut, so that the last frame is whole as well.
        let length = u32::from_le_bytes([rest[4], rest[5], rest[6], rest[7]]) as usize;
        let length = length.min(rest.len() - HEADER);
        rest[..4].copy_from_slice(&0x4652_5347_u32.to_le_bytes());
        rest[4..8].copy_from_slice(&(length as u32).to_le_bytes());
        rest[12..16].copy_from_slice(&previous.to_le_bytes());
        rest[16..24].copy_from_slice(&number.to_le_bytes());
        let crc = checksum(Place { file: &id, at: at as u64 }, &rest[12..HEADER + length]);
        rest[8..12].copy_from_slice(&crc.to_le_bytes());
        let Some(header) = Header::read(rest) else { break };
        at += header.padded() as usize;
        number += 1;
        previous = crc;
    }
    file
}
