//! Where the bytes of a segment are.

use std::collections::VecDeque;

use serde::{Deserialize, Serialize};

/// Where some bytes are stored.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) enum Location {
    /// In the payload of a frame of the log, from `at` on.
    Frame { number: u64, at: u32 },
    /// In an object.
    Object { id: u64, at: u64 },
}

impl Location {
    fn after(self, bytes: u64) -> Self {
        match self {
            Self::Frame { number, at } => Self::Frame { number, at: at + bytes as u32 },
            Self::Object { id, at } => Self::Object { id, at: at + bytes },
        }
    }
}

/// Consecutive bytes of a segment that are stored together.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct Extent {
    pub(crate) offset: u64,
    pub(crate) length: u64,
    pub(crate) location: Location,
}

impl Extent {
    fn end(&self) -> u64 {
        self.offset + self.length
    }

    /// Its first `length` bytes, and what is left.
    pub(crate) fn split(&self, length: u64) -> (Self, Option<Self>) {
        let first = Self { length: self.length.min(length), ..*self };
        (first, self.clipped(first.end(), u64::MAX))
    }

    /// The part of it within these offsets.
    fn clipped(&self, from: u64, until: u64) -> Option<Self> {
        let (start, end) = (self.offset.max(from), self.end().min(until));
        (start < end).then(|| Self {
            offset: start,
            length: end - start,
            location: self.location.after(start - self.offset),
        })
    }
}

/// All bytes of a segment from its start to its end, in order, without a hole.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct Extents(VecDeque<Extent>);

impl Extents {
    pub(crate) fn iter(&self) -> impl Iterator<Item = &Extent> {
        self.0.iter()
    }

    pub(crate) fn push(&mut self, extent: Extent) {
        if let Some(last) = self.0.back_mut()
            && last.end() == extent.offset
            && last.location.after(last.length) == extent.location
        {
            last.length += extent.length;
        } else {
            if self.0.is_empty() {
                // Most segments at rest have one.
                self.0.reserve_exact(1);
            }
            self.0.push_back(extent);
        }
    }

    /// Forgets what lies before `offset`.
    pub(crate) fn truncate(&mut self, offset: u64) {
        while self.0.front().is_some_and(|first| first.end() <= offset) {
            self.0.pop_front();
        }
        if let Some(first) = self.0.front_mut()
            && let Some(rest) = first.clipped(offset, u64::MAX)
        {
            *first = rest;
        }
    }

    /// Those of the bytes before `offset`.
    pub(crate) fn before(&self, offset: u64) -> Self {
        Self(self.between(0, offset).collect())
    }

    /// Appends those of another segment, whose first byte comes to `offset`.
    pub(crate) fn splice(&mut self, other: &Self, offset: u64) {
        let base = other.0.front().map_or(0, |first| first.offset);
        for extent in &other.0 {
            self.push(Extent { offset: offset + (extent.offset - base), ..*extent });
        }
    }

    /// Where the bytes from `from` to `until` are, in order.
    pub(crate) fn between(&self, from: u64, until: u64) -> impl Iterator<Item = Extent> {
        let first = self.0.partition_point(|extent| extent.end() <= from);
        self.0.range(first..).map_while(move |extent| extent.clipped(from, until))
    }

    /// The bytes from `from` to `until`, as far as they were not truncated, are in an object now, from `at` on. Says how many that are.
    pub(crate) fn moved(&mut self, (from, until): (u64, u64), (id, at): (u64, u64)) -> u64 {
        let first = self.0.partition_point(|extent| extent.end() <= from);
        let last = self.0.partition_point(|extent| extent.offset < until);
        let rest = self.0.split_off(last.max(first));
        let touched = self.0.split_off(first);
        let mut moved = 0;
        for extent in touched {
            for (start, end) in [(0, from), (from, until), (until, u64::MAX)] {
                let Some(part) = extent.clipped(start, end) else { continue };
                if (start, end) == (from, until) {
                    moved += part.length;
                    let location = Location::Object { id, at: at + (part.offset - from) };
                    self.push(Extent { location, ..part });
                } else {
                    self.push(part);
                }
            }
        }
        for extent in rest {
            self.push(extent);
        }
        moved
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn frame(offset: u64, length: u64, number: u64) -> Extent {
        Extent { offset, length, location: Location::Frame { number, at: 100 } }
    }

    fn three() -> Extents {
        Extents([frame(0, 10, 1), frame(10, 10, 2), frame(20, 10, 3)].into())
    }

    fn offsets(extents: &Extents) -> Vec<(u64, u64)> {
        extents.iter().map(|extent| (extent.offset, extent.length)).collect()
    }

    #[test]
    fn a_range_is_found_wherever_it_begins() {
        let extents = three();
        let found: Vec<_> = extents.between(5, 21).collect();
        assert_eq!(
            found.iter().map(|e| (e.offset, e.length)).collect::<Vec<_>>(),
            [(5, 5), (10, 10), (20, 1)]
        );
        assert_eq!(found[0].location, Location::Frame { number: 1, at: 105 });
        assert_eq!(extents.between(30, 40).count(), 0);
    }

    #[test]
    fn what_was_truncated_is_forgotten() {
        let mut extents = three();
        extents.truncate(15);
        assert_eq!(offsets(&extents), [(15, 5), (20, 10)]);
        extents.truncate(30);
        assert_eq!(offsets(&extents), []);
    }

    #[test]
    fn moved_bytes_are_in_the_object_and_the_others_stay() {
        let mut extents = three();
        assert_eq!(extents.moved((5, 20), (7, 1000)), 15);
        let all: Vec<_> = extents.iter().copied().collect();
        assert_eq!(all[0], frame(0, 5, 1));
        assert_eq!(all[1], Extent { offset: 5, length: 15, location: Location::Object { id: 7, at: 1000 } });
        assert_eq!(all[2], frame(20, 10, 3));
    }

    #[test]
    fn what_was_truncated_meanwhile_is_not_moved() {
        let mut extents = three();
        extents.truncate(12);
        assert_eq!(extents.moved((0, 20), (7, 0)), 8);
        let first = extents.iter().next().copied();
        assert_eq!(
            first,
            Some(Extent { offset: 12, length: 8, location: Location::Object { id: 7, at: 12 } })
        );
    }

    #[test]
    fn a_spliced_segment_follows_on_its_bytes() {
        let mut parent = three();
        let mut other = three();
        other.truncate(10);
        parent.splice(&other, 30);
        assert_eq!(offsets(&parent), [(0, 10), (10, 10), (20, 10), (30, 10), (40, 10)]);
    }
}
