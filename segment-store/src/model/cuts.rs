//! Positions in a stream: which are any, how they are ordered, and what lies between two.

use std::collections::BTreeMap;

use super::op::{Lengths, SegmentEffect};
use super::ranges::{Covered, tile_all};
use super::stream::Stream;
use crate::cut::StreamCut;
use crate::error::{Error, Result};
use crate::id::SegmentId;
use crate::key_range::KeyRange;

/// A new head, checked.
pub(super) struct Truncation {
    head: StreamCut,
    /// Segments of it that begin later than before.
    advanced: Vec<(SegmentId, u64)>,
    dropped: Vec<SegmentId>,
}

/// A segment of a cut.
struct Part {
    range: KeyRange,
    id: SegmentId,
    offset: u64,
}

/// Those of a cut's parts that share keys with a range.
fn overlapping<'a>(parts: &'a [Part], range: &KeyRange) -> &'a [Part] {
    let first = parts.partition_point(|part| part.range.high <= range.low);
    let end = parts.partition_point(|part| part.range.low < range.high);
    parts.get(first..end).unwrap_or(&[])
}

/// Whether a segment that holds these keys lies before the cut with all of them.
fn is_before(id: SegmentId, range: &KeyRange, parts: &[Part]) -> bool {
    overlapping(parts, range).iter().all(|part| part.id > id)
}

/// Whether it lies behind the cut with all of them.
fn is_behind(id: SegmentId, range: &KeyRange, parts: &[Part]) -> bool {
    overlapping(parts, range).iter().all(|part| part.id < id)
}

impl Stream {
    /// Where the stream begins: the cut of the last truncation, or the beginning of the first epoch.
    pub fn head(&self) -> StreamCut {
        self.head.clone()
    }

    /// Where it ends now: its current segments at their lengths.
    pub fn tail(&self, lengths: &dyn Lengths) -> StreamCut {
        self.current_segments().iter().map(|&id| (id, lengths.length(&self.segment_name(id)))).collect()
    }

    /// Whether a cut is a position in this stream that can be read from.
    ///
    /// # Errors
    ///
    /// [`Error::NoSegment`] for a segment that the stream never had, [`Error::Invalid`] unless each key is in exactly one of the cut's
    /// segments, [`Error::Truncated`] and [`Error::BeyondEnd`] for an offset outside of its segment.
    pub fn check_cut(&self, cut: &StreamCut, lengths: &dyn Lengths) -> Result<()> {
        self.check_segments(cut)?;
        for (id, offset) in cut.iter() {
            let segment = self.segment_name(id);
            let start = lengths.start(&segment);
            if offset < start {
                return Err(Error::Truncated { segment, offset, start });
            }
        }
        self.check_ends(cut, lengths)
    }

    /// Each key is in exactly one of the segments, which are known.
    pub(super) fn check_segments(&self, cut: &StreamCut) -> Result<()> {
        if let Some((unknown, _)) = cut.iter().find(|(id, _)| !self.segments.contains_key(id)) {
            return Err(Error::NoSegment(self.segment_name(unknown)));
        }
        if tile_all(cut.iter().map(|(id, _)| self.range(id))) {
            return Ok(());
        }
        let reason =
            format!("`{cut}` does not go through exactly one segment for each key of `{}`", self.name());
        Err(Error::invalid("a stream cut", reason))
    }

    /// No offset lies behind the end of its segment.
    pub(super) fn check_ends(&self, cut: &StreamCut, lengths: &dyn Lengths) -> Result<()> {
        for (id, offset) in cut.iter() {
            let segment = self.segment_name(id);
            let length = lengths.length(&segment);
            if offset > length {
                return Err(Error::BeyondEnd { segment, offset, length });
            }
        }
        Ok(())
    }

    /// Whether `cut` lies at `other` or behind it with all its keys: where they go through different segments for a key, the later id is
    /// later. Of two cuts, neither may be behind the other.
    pub fn is_at_or_behind(&self, cut: &StreamCut, other: &StreamCut) -> bool {
        let others = self.parts(other);
        cut.iter().all(|(id, offset)| {
            let mut shared = overlapping(&others, &self.range(id)).iter();
            shared.all(|other| id > other.id || (id == other.id && offset >= other.offset))
        })
    }

    /// What lies between two cuts, oldest segment first: each segment with the offset of its beginning, and the offset where `to` ends it.
    /// Without one it is to be read to its end.
    ///
    /// Segments that lie wholly before `from` or wholly behind `to` are not in it; without `to`, it goes to the newest segments.
    pub fn segments_between(
        &self,
        from: &StreamCut,
        to: Option<&StreamCut>,
    ) -> Vec<(SegmentId, u64, Option<u64>)> {
        let begin = self.parts(from);
        let end = to.map(|to| self.parts(to));
        // A segment before the first of `from` lies before it.
        let first = from.iter().next().map_or(SegmentId(0), |(id, _)| id);
        let mut between = Vec::new();
        for (&id, record) in self.segments.range(first..) {
            let start = from.offset(id).unwrap_or(0);
            let stop = to.and_then(|to| to.offset(id));
            let is_behind = end.as_ref().is_some_and(|end| is_behind(id, &record.range, end));
            if !is_before(id, &record.range, &begin) && !is_behind && stop.is_none_or(|stop| start <= stop) {
                between.push((id, start, stop));
            }
        }
        between
    }

    /// The first cut that is at each of the given ones or behind it; an empty one if none is given.
    ///
    /// It has the last segment that any of them has for a key, at the greatest offset. Where one can't be in the cut, because for other
    /// keys a later one is, its successors are, at their beginning.
    pub fn upper_bound<'a>(&self, cuts: impl IntoIterator<Item = &'a StreamCut>) -> StreamCut {
        let mut offsets: BTreeMap<SegmentId, u64> = BTreeMap::new();
        for (id, offset) in cuts.into_iter().flat_map(StreamCut::iter) {
            let greatest = offsets.entry(id).or_insert(0);
            *greatest = offset.max(*greatest);
        }
        loop {
            let mut covered = Covered::default();
            let mut bound = StreamCut::default();
            let mut missing = Vec::new();
            for (&id, &offset) in offsets.iter().rev() {
                let Some(record) = self.segments.get(&id) else { continue };
                let last_for = covered.cover(record.range);
                if last_for == [record.range] {
                    bound.0.insert(id, offset);
                } else if let Some(epoch) = record.sealed_in {
                    missing.extend(last_for.iter().flat_map(|keys| self.in_epoch(epoch, keys)).copied());
                }
            }
            // Each was not there before: it would have covered its keys. So this ends, at the newest segments at the latest.
            if missing.is_empty() {
                return bound;
            }
            offsets.extend(missing.into_iter().map(|id| (id, 0)));
        }
    }

    pub(super) fn plan_truncate(&self, cut: &StreamCut, lengths: &dyn Lengths) -> Result<Truncation> {
        self.check_segments(cut)?;
        if !self.is_at_or_behind(cut, &self.head) {
            let reason = format!("`{cut}` lies before the head of `{}`, `{}`", self.name(), self.head);
            return Err(Error::invalid("a stream cut", reason));
        }
        self.check_cut(cut, lengths)?;
        let parts = self.parts(cut);
        let is_dropped = |id: SegmentId| is_before(id, &self.range(id), &parts);
        Ok(Truncation {
            advanced: cut.iter().filter(|&(id, offset)| offset > self.head.offset(id).unwrap_or(0)).collect(),
            dropped: self.with_data.iter().copied().filter(|&id| is_dropped(id)).collect(),
            head: cut.clone(),
        })
    }

    pub(super) fn truncate(&mut self, truncation: Truncation, effects: &mut Vec<SegmentEffect>) {
        let Truncation { head, advanced, dropped } = truncation;
        for (id, offset) in advanced {
            effects.push(SegmentEffect::Truncate { segment: self.segment_name(id), offset });
        }
        for id in dropped {
            self.with_data.remove(&id);
            effects.push(SegmentEffect::Drop(self.segment_name(id)));
        }
        self.head = head;
        self.forget_marks_before_head();
    }

    /// The segments of a cut, in the order of their keys.
    fn parts(&self, cut: &StreamCut) -> Vec<Part> {
        let known = cut.iter().filter(|(id, _)| self.segments.contains_key(id));
        let mut parts: Vec<Part> =
            known.map(|(id, offset)| Part { range: self.range(id), id, offset }).collect();
        parts.sort_by(|a, b| a.range.low.total_cmp(&b.range.low));
        parts
    }
}
