//! Events within a segment's bytes, framed as Pravega's clients do: type 0 and the length, 32 bits each, big endian, then the event.

use std::ops::Range;

use crate::error::{Error, Result};
use crate::options::MAX_EVENT;

/// What stands before each event.
pub const HEADER: usize = 8;

/// Appends an event with its header.
///
/// # Errors
///
/// [`Error::Limit`] above [`MAX_EVENT`].
pub fn push(out: &mut Vec<u8>, event: &[u8]) -> Result<()> {
    check(event)?;
    put(out, event);
    Ok(())
}

/// Whether it is small enough to be an event.
pub(crate) fn check(event: &[u8]) -> Result<()> {
    if event.len() > MAX_EVENT {
        let (given, limit) = (event.len() as u64, MAX_EVENT as u64);
        return Err(Error::Limit { what: "an event", given, limit });
    }
    Ok(())
}

/// Appends an event that was checked, with its header.
pub(crate) fn put(out: &mut Vec<u8>, event: &[u8]) {
    // Type 0 is its upper half.
    out.extend_from_slice(&(event.len() as u64).to_be_bytes());
    out.extend_from_slice(event);
}

/// The whole events at the beginning of `bytes`: the range of each without its header. What is cut off at the end is left.
///
/// # Errors
///
/// [`Error::Invalid`] for what is no event, with its place.
pub fn parse(bytes: &[u8]) -> Events<'_> {
    Events { bytes, at: 0 }
}

/// See [`parse`].
#[derive(Clone, Debug)]
pub struct Events<'a> {
    bytes: &'a [u8],
    at: usize,
}

impl Events<'_> {
    /// Where the next event begins, whole or not.
    pub fn at(&self) -> usize {
        self.at
    }

    /// How many bytes the next event needs with its header, as far as what is there of it says; none when not even its header is there.
    pub fn needed(&self) -> Option<usize> {
        let header = self.bytes.get(self.at + 4..self.at + HEADER)?;
        Some(HEADER + u32::from_be_bytes([header[0], header[1], header[2], header[3]]) as usize)
    }
}

impl Iterator for Events<'_> {
    type Item = Result<Range<usize>>;

    fn next(&mut self) -> Option<Self::Item> {
        let rest = &self.bytes[self.at..];
        if rest.len() < HEADER {
            return None;
        }
        let needed = self.needed()?;
        if rest[..4] != [0; 4] || needed > MAX_EVENT + HEADER {
            let reason = format!("no event begins at byte {} of what was read", self.at);
            return Some(Err(Error::invalid("an event", reason)));
        }
        if rest.len() < needed {
            return None;
        }
        let start = self.at + HEADER;
        self.at += needed;
        Some(Ok(start..self.at))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn events_are_framed_as_the_official_clients_frame_them() {
        let mut bytes = Vec::new();
        push(&mut bytes, b"abc").unwrap();
        assert_eq!(bytes, b"\0\0\0\0\0\0\0\x03abc");
        push(&mut bytes, b"").unwrap();
        let all: Vec<_> = parse(&bytes).map(Result::unwrap).collect();
        assert_eq!(all, [8..11, 19..19]);
    }

    #[test]
    fn an_event_that_is_cut_off_is_left() {
        let mut bytes = Vec::new();
        push(&mut bytes, b"abc").unwrap();
        push(&mut bytes, b"defg").unwrap();
        for end in 11..23 {
            let mut events = parse(&bytes[..end]);
            assert_eq!(events.by_ref().count(), 1);
            assert_eq!(events.at(), 11);
            assert_eq!(events.needed(), (end >= 19).then_some(12));
        }
        assert!(parse(b"\0\0\0\x01\0\0\0\0").next().unwrap().is_err());
    }
}
