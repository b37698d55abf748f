//! Sets of ranges of keys.
//!
//! Bounds are compared exactly: ranges that touch have the same number there, because one was copied from the other.

use std::collections::BTreeMap;

use crate::key_range::KeyRange;

/// Sorts ranges by their keys and joins those that touch. None if two of them overlap.
pub(super) fn joined(ranges: impl IntoIterator<Item = KeyRange>) -> Option<Vec<KeyRange>> {
    let mut ranges: Vec<KeyRange> = ranges.into_iter().collect();
    ranges.sort_by(|a, b| a.low.total_cmp(&b.low));
    let mut joined: Vec<KeyRange> = Vec::new();
    for range in ranges {
        match joined.last_mut() {
            Some(last) if range.low < last.high => return None,
            Some(last) if range.low == last.high => last.high = range.high,
            _ => joined.push(range),
        }
    }
    Some(joined)
}

/// Whether each key belongs to one of the ranges, and to one only.
pub(super) fn tile_all(ranges: impl IntoIterator<Item = KeyRange>) -> bool {
    joined(ranges).is_some_and(|joined| joined == [KeyRange::ALL])
}

/// Keys that something was found for.
#[derive(Default)]
pub(super) struct Covered {
    /// Parts that don't overlap: the bits of `low` (which sort as the numbers do, none being negative), and `high`.
    parts: BTreeMap<u64, f64>,
}

impl Covered {
    /// Adds a range and returns the parts of it that were not covered before, in order.
    pub(super) fn cover(&mut self, range: KeyRange) -> Vec<KeyRange> {
        let from = range.low.to_bits();
        let first = self.parts.range(..=from).next_back().map_or(from, |(&low, _)| low);
        let mut at = range.low;
        let mut gaps = Vec::new();
        for (&low, &high) in self.parts.range(first..range.high.to_bits()) {
            let low = f64::from_bits(low);
            if at < low {
                gaps.push(KeyRange { low: at, high: low });
            }
            at = at.max(high);
        }
        if at < range.high {
            gaps.push(KeyRange { low: at, high: range.high });
        }
        self.parts.extend(gaps.iter().map(|gap| (gap.low.to_bits(), gap.high)));
        gaps
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn range(low: f64, high: f64) -> KeyRange {
        KeyRange::new(low, high).unwrap()
    }

    #[test]
    fn ranges_that_touch_are_joined_and_those_that_overlap_refused() {
        assert_eq!(joined([range(0.5, 0.75), range(0.0, 0.5)]), Some(vec![range(0.0, 0.75)]));
        assert_eq!(
            joined([range(0.5, 0.75), range(0.0, 0.25)]),
            Some(vec![range(0.0, 0.25), range(0.5, 0.75)])
        );
        assert_eq!(joined([range(0.0, 0.5), range(0.25, 1.0)]), None);
        assert!(tile_all(KeyRange::even(7)));
        assert!(!tile_all([range(0.0, 0.5)]));
        assert!(!tile_all([]));
    }

    #[test]
    fn what_was_not_covered_is_told_once() {
        let mut covered = Covered::default();
        assert_eq!(covered.cover(range(0.25, 0.5)), [range(0.25, 0.5)]);
        assert_eq!(covered.cover(range(0.0, 0.75)), [range(0.0, 0.25), range(0.5, 0.75)]);
        assert_eq!(covered.cover(range(0.125, 0.625)), []);
        assert_eq!(covered.cover(KeyRange::ALL), [range(0.75, 1.0)]);
    }
}
