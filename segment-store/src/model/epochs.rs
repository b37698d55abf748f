//! Epochs of segments: which segment follows which.

use std::collections::{BTreeMap, BTreeSet};

use serde::{Deserialize, Serialize};

use super::op::SegmentEffect;
use super::ranges::joined;
use super::stream::Stream;
use crate::error::{Error, Result};
use crate::id::SegmentId;
use crate::key_range::KeyRange;

/// The most segments that a stream may have at a time. Over its whole life it may have any number.
pub const MAX_SEGMENTS: u32 = 10_000;

/// A time in the life of a stream in which its set of segments was the same.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Epoch {
    /// Its number; the first one is 0.
    pub number: u32,
    /// When it began, in milliseconds since 1970.
    pub at: i64,
    /// Its segments, in the order of their keys, all of which they hold.
    pub segments: Vec<SegmentId>,
}

/// What is known of a segment, also after its data is gone.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct SegmentRecord {
    /// The keys that it holds.
    pub range: KeyRange,
    /// When it was made, in milliseconds since 1970.
    pub made_at: i64,
    /// When it was sealed.
    pub sealed_at: Option<i64>,
    /// The epoch that replaced it. None for a current segment, also that of a sealed stream.
    pub sealed_in: Option<u32>,
}

/// The step from an epoch to the next, checked.
pub(super) struct Step {
    /// The number of the next one.
    epoch: u32,
    seal: BTreeSet<SegmentId>,
    made: Vec<(SegmentId, KeyRange)>,
}

impl Step {
    /// A step that seals all of an epoch and has other segments once more, with the same numbers and keys.
    pub(super) fn again(
        epoch: u32,
        seal: impl IntoIterator<Item = SegmentId>,
        again: &[(u32, KeyRange)],
    ) -> Self {
        let made = again.iter().map(|&(number, range)| (SegmentId::new(epoch, number), range)).collect();
        Self { epoch, seal: seal.into_iter().collect(), made }
    }
}

impl Stream {
    /// The epochs, oldest first: the number of each is its place.
    pub fn epochs(&self) -> &[Epoch] {
        &self.epochs
    }

    /// A segment, also one whose data is gone.
    pub fn segment(&self, id: SegmentId) -> Option<&SegmentRecord> {
        self.segments.get(&id)
    }

    /// All segments that the stream ever had, oldest first.
    pub fn segments(&self) -> impl Iterator<Item = (SegmentId, &SegmentRecord)> {
        self.segments.iter().map(|(&id, record)| (id, record))
    }

    /// The segments of the newest epoch, in the order of their keys; also of a sealed stream.
    pub fn current_segments(&self) -> &[SegmentId] {
        self.epochs.last().map_or(&[], |epoch| &epoch.segments)
    }

    /// The current segment that holds a position in [0, 1).
    pub fn segment_for(&self, position: f64) -> SegmentId {
        let current = self.current_segments();
        let behind = current.partition_point(|&id| self.range(id).low <= position);
        current.get(behind.saturating_sub(1)).copied().unwrap_or(SegmentId(0))
    }

    /// The segments that replaced this one: those of the epoch that did so which share keys with it, in the order of their keys. None
    /// for a current segment and for one that is not known.
    pub fn successors(&self, id: SegmentId) -> Vec<SegmentId> {
        match self.segments.get(&id) {
            Some(SegmentRecord { range, sealed_in: Some(epoch), .. }) => {
                self.in_epoch(*epoch, range).to_vec()
            }
            _ => Vec::new(),
        }
    }

    /// The segments that this one replaced, in the order of their keys.
    pub fn predecessors(&self, id: SegmentId) -> Vec<SegmentId> {
        let (Some(record), Some(before)) = (self.segments.get(&id), id.epoch().checked_sub(1)) else {
            return Vec::new();
        };
        self.in_epoch(before, &record.range).to_vec()
    }

    /// Every segment that ever held the position, whether it is sealed or not, oldest first.
    pub fn ancestors_covering(&self, position: f64) -> Vec<SegmentId> {
        self.segments().filter(|(_, record)| record.range.contains(position)).map(|(id, _)| id).collect()
    }

    /// The segments of an epoch that share keys with a range.
    pub(super) fn in_epoch(&self, epoch: u32, range: &KeyRange) -> &[SegmentId] {
        let Some(epoch) = self.epochs.get(epoch as usize) else { return &[] };
        let first = epoch.segments.partition_point(|&id| self.range(id).high <= range.low);
        let end = epoch.segments.partition_point(|&id| self.range(id).low < range.high);
        epoch.segments.get(first..end).unwrap_or(&[])
    }

    /// The keys of a segment; of one that is not known, all.
    pub(super) fn range(&self, id: SegmentId) -> KeyRange {
        self.segments.get(&id).map_or(KeyRange::ALL, |record| record.range)
    }

    /// The number of the epoch that is `ahead` of the newest.
    pub(super) fn epoch_ahead(&self, ahead: usize) -> Result<u32> {
        let number = self.epochs.len().saturating_sub(1).saturating_add(ahead);
        u32::try_from(number).map_err(|_| Error::Limit {
            what: "epochs of a stream",
            given: number as u64,
            limit: u32::MAX.into(),
        })
    }

    pub(super) fn plan_scale(&self, seal: &[SegmentId], ranges: &[KeyRange]) -> Result<Step> {
        const WHAT: &str = "scaling a stream";
        self.check_not_sealed()?;
        let sealed: BTreeSet<SegmentId> = seal.iter().copied().collect();
        if sealed.len() != seal.len() {
            return Err(Error::invalid(WHAT, "a segment to seal is given twice"));
        }
        let current: BTreeSet<SegmentId> = self.current_segments().iter().copied().collect();
        if let Some(old) = sealed.iter().find(|id| !current.contains(id)) {
            return Err(Error::invalid(WHAT, format!("segment {old} is not a current one")));
        }
        // Built anew: a zero below zero becomes zero, and whatever is no range is refused.
        let mut made: Vec<KeyRange> =
            ranges.iter().map(|range| KeyRange::new(range.low + 0.0, range.high)).collect::<Result<_>>()?;
        made.sort_by(|a, b| a.low.total_cmp(&b.low));
        let keys = joined(sealed.iter().map(|&id| self.range(id)));
        if sealed.is_empty() || keys.is_none() || joined(made.iter().copied()) != keys {
            return Err(Error::invalid(
                WHAT,
                "the new ranges have to hold exactly the keys of the sealed segments, each once; at least one of each is needed",
            ));
        }
        let given = (current.len() - sealed.len() + made.len()) as u64;
        if given > MAX_SEGMENTS.into() {
            return Err(Error::Limit { what: "segments of a stream", given, limit: MAX_SEGMENTS.into() });
        }
        let last = u64::from(self.next_number) + made.len() as u64;
        if last > u32::MAX.into() {
            let what = "segments over the life of a stream";
            return Err(Error::Limit { what, given: last, limit: u32::MAX.into() });
        }
        let epoch = self.epoch_ahead(1)?;
        let made =
            (self.next_number..).zip(made).map(|(number, range)| (SegmentId::new(epoch, number), range));
        Ok(Step { epoch, seal: sealed, made: made.collect() })
    }

    /// Begins the next epoch.
    pub(super) fn step(&mut self, step: Step, at: i64, effects: &mut Vec<SegmentEffect>) {
        let Step { epoch, seal, made } = step;
        for &id in &seal {
            if let Some(record) = self.segments.get_mut(&id) {
                record.sealed_at = Some(at);
                record.sealed_in = Some(epoch);
            }
            effects.push(SegmentEffect::Seal(self.segment_name(id)));
        }
        let mut segments: Vec<SegmentId> =
            self.current_segments().iter().copied().filter(|id| !seal.contains(id)).collect();
        for (id, range) in made {
            self.add_segment(id, range, at);
            effects.push(SegmentEffect::Create(self.segment_name(id)));
            segments.push(id);
        }
        segments.sort_by(|&a, &b| self.range(a).low.total_cmp(&self.range(b).low));
        self.epochs.push(Epoch { number: epoch, at, segments });
    }

    pub(super) fn add_segment(&mut self, id: SegmentId, range: KeyRange, at: i64) {
        self.segments.insert(id, SegmentRecord { range, made_at: at, sealed_at: None, sealed_in: None });
        self.with_data.insert(id);
        self.next_number = self.next_number.max(id.number().saturating_add(1));
    }
}

/// The first epoch: segments that share the keys evenly.
pub(super) fn first_segments(segments: u32) -> Result<BTreeMap<SegmentId, KeyRange>> {
    if segments == 0 {
        return Err(Error::invalid("the segments of a stream", "there are none; at least one is needed"));
    }
    if segments > MAX_SEGMENTS {
        let (given, limit) = (segments.into(), MAX_SEGMENTS.into());
        return Err(Error::Limit { what: "segments of a stream", given, limit });
    }
    Ok((0..).map(|number| SegmentId::new(0, number)).zip(KeyRange::even(segments)).collect())
}
