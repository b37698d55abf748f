//! The payload of a frame in memory.

use std::sync::Arc;

use bytes::Bytes;

/// Small records in one buffer, and between them the bytes of large ones as they were given. No record's bytes lie in two parts. A clone shares it.
#[derive(Clone, Debug)]
pub(crate) struct Payload(Arc<Parts>);

#[derive(Debug)]
struct Parts {
    small: Bytes,
    large: Vec<Large>,
    length: usize,
}

/// Bytes that were not copied.
#[derive(Debug)]
pub(super) struct Large {
    /// Where in the payload they begin.
    pub(super) at: usize,
    /// How much of the small records stands before them.
    pub(super) behind: usize,
    pub(super) bytes: Bytes,
}

impl Large {
    /// Where in the payload they end.
    fn end(&self) -> usize {
        self.at + self.bytes.len()
    }
}

impl Payload {
    pub(super) fn new(small: Bytes, large: Vec<Large>) -> Self {
        let length = small.len() + large.last().map_or(0, |last| last.end() - last.behind);
        Self(Arc::new(Parts { small, large, length }))
    }

    /// One that lies in one piece.
    pub(crate) fn whole(bytes: Bytes) -> Self {
        Self::new(bytes, Vec::new())
    }

    /// The parts, in order.
    pub(crate) fn parts(&self) -> impl Iterator<Item = &[u8]> {
        let Parts { small, large, .. } = &*self.0;
        let starts = std::iter::once(0).chain(large.iter().map(|large| large.behind));
        let ends = large.iter().map(|large| large.behind).chain([small.len()]);
        let between = starts.zip(ends).map(|(start, end)| &small[start..end]);
        let kept = large.iter().map(|large| &large.bytes[..]).chain([&[][..]]);
        between.zip(kept).flat_map(|(small, large)| [small, large]).filter(|part| !part.is_empty())
    }

    /// Its size.
    pub(crate) fn len(&self) -> usize {
        self.0.length
    }

    /// `length` bytes at `at`, which belong to one record; none when they are not there.
    pub(crate) fn slice(&self, at: u32, length: usize) -> Option<Bytes> {
        let Parts { small, large, .. } = &*self.0;
        let at = at as usize;
        let next = large.partition_point(|large| large.at <= at);
        let last = next.checked_sub(1).map(|last| &large[last]);
        let (part, from, end) = match last {
            Some(last) if at < last.end() => (&last.bytes, at - last.at, last.bytes.len()),
            _ => {
                let kept = last.map_or(0, |last| last.end() - last.behind);
                (small, at - kept, large.get(next).map_or(small.len(), |next| next.behind))
            }
        };
        (from + length <= end).then(|| part.slice(from..from + length))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_part_is_found_wherever_it_lies_and_nothing_beyond_it() {
        let large = |at, behind, bytes: &'static str| Large { at, behind, bytes: bytes.into() };
        // Two large ones side by side, and one at the end.
        let large = vec![large(2, 2, "LARGE"), large(7, 2, "MORE"), large(14, 5, "LAST")];
        let payload = Payload::new("abcde".into(), large);
        let whole: Vec<u8> = payload.parts().flatten().copied().collect();
        assert_eq!((whole.as_slice(), payload.len()), (&b"abLARGEMOREcdeLAST"[..], 18));
        let parts = [0..2, 2..7, 7..11, 11..14, 14..18];
        for from in 0..20 {
            for length in 1..20 {
                let is_within = parts.iter().any(|part| part.contains(&from) && from + length <= part.end);
                let expected = is_within.then(|| whole[from..from + length].to_vec());
                let found = payload.slice(from as u32, length).map(|bytes| bytes.to_vec());
                assert_eq!(found, expected, "{length} bytes at {from}");
            }
        }
        assert_eq!(Payload::whole("abc".into()).slice(1, 2).unwrap(), "bc");
        assert_eq!(Payload::whole("abc".into()).slice(4, 0), None);
    }
}
