//! A stream as it must be: written down from what the store promises, not from how it works.

use std::collections::BTreeMap;

use segment_store::{KeyRange, SegmentId, StreamCut};

#[derive(Clone, Debug, Default, PartialEq)]
pub struct Segment {
    pub start: u64,
    /// From `start` on.
    pub bytes: Vec<u8>,
    pub sealed: bool,
    pub attributes: BTreeMap<u128, i64>,
}

impl Segment {
    pub fn length(&self) -> u64 {
        self.start + self.bytes.len() as u64
    }

    pub fn truncate(&mut self, offset: u64) {
        let gone = offset.saturating_sub(self.start).min(self.bytes.len() as u64);
        self.bytes.drain(..gone as usize);
        self.start += gone;
    }

    pub fn append(&mut self, writer: u128, event: i64, bytes: &[u8]) {
        self.bytes.extend_from_slice(bytes);
        self.attributes.insert(writer, event);
    }
}

/// What a transaction holds, by the segments that were current when it began.
pub type Parts = BTreeMap<SegmentId, Segment>;

#[derive(Clone, Debug, PartialEq)]
pub struct Stream {
    pub current: Vec<SegmentId>,
    pub ranges: BTreeMap<SegmentId, KeyRange>,
    pub segments: BTreeMap<SegmentId, Segment>,
    pub epoch: u32,
    pub next_number: u32,
    pub sealed: bool,
    pub head: StreamCut,
    /// By label.
    pub open: BTreeMap<String, Parts>,
    /// By label: whether it was committed.
    pub ended: BTreeMap<String, bool>,
}

impl Stream {
    pub fn new(segments: u32) -> Self {
        let mut stream = Self {
            current: Vec::new(),
            ranges: BTreeMap::new(),
            segments: BTreeMap::new(),
            epoch: 0,
            next_number: 0,
            sealed: false,
            head: StreamCut::default(),
            open: BTreeMap::new(),
            ended: BTreeMap::new(),
        };
        for range in KeyRange::even(segments) {
            let number = stream.next_number;
            stream.make(number, range);
        }
        stream.head = stream.current.iter().map(|&id| (id, 0)).collect();
        stream
    }

    fn make(&mut self, number: u32, range: KeyRange) -> SegmentId {
        let id = SegmentId::new(self.epoch, number);
        self.next_number = self.next_number.max(number + 1);
        self.segments.insert(id, Segment::default());
        self.ranges.insert(id, range);
        self.current.push(id);
        let ranges = &self.ranges;
        self.current.sort_by(|a, b| ranges[a].low.total_cmp(&ranges[b].low));
        id
    }

    fn retire(&mut self, id: SegmentId) {
        self.current.retain(|&current| current != id);
        self.segments.get_mut(&id).unwrap().sealed = true;
    }

    pub fn scale(&mut self, seal: &[SegmentId], ranges: &[KeyRange]) {
        self.epoch += 1;
        seal.iter().for_each(|&id| self.retire(id));
        for &range in ranges {
            let number = self.next_number;
            self.make(number, range);
        }
    }

    pub fn truncate(&mut self, cut: &StreamCut) {
        let first_of = |id: SegmentId, this: &Self| {
            // Wholly before the cut: for each of its keys the cut goes through a later segment.
            let range = this.ranges[&id];
            cut.iter().filter(|(other, _)| this.ranges[other].overlaps(&range)).all(|(other, _)| other > id)
        };
        let gone: Vec<_> = self
            .segments
            .keys()
            .copied()
            .filter(|&id| cut.offset(id).is_none() && first_of(id, self))
            .collect();
        for id in gone {
            let segment = self.segments.get_mut(&id).unwrap();
            segment.truncate(u64::MAX);
        }
        for (id, offset) in cut.iter() {
            self.segments.get_mut(&id).unwrap().truncate(offset);
        }
        self.head = cut.clone();
    }

    pub fn begin(&mut self, label: &str) {
        let parts = self.current.iter().map(|&id| (id, Segment::default())).collect();
        self.open.insert(label.into(), parts);
    }

    pub fn abort(&mut self, label: &str) {
        self.open.remove(label).unwrap();
        self.ended.insert(label.into(), false);
    }

    pub fn commit(&mut self, label: &str) {
        let parts = self.open.remove(label).unwrap();
        self.ended.insert(label.into(), true);
        let now: BTreeMap<u32, SegmentId> = self.current.iter().map(|&id| (id.number(), id)).collect();
        if parts.keys().all(|id| now.contains_key(&id.number())) {
            for (id, part) in parts {
                let into = self.segments.get_mut(&now[&id.number()]).unwrap();
                into.bytes.extend_from_slice(&part.bytes);
            }
            return;
        }
        // The stream was scaled since: the old segments once more, then the current ones once more.
        let current: Vec<_> = self.current.iter().map(|id| (id.number(), self.ranges[id])).collect();
        self.epoch += 1;
        self.current.clone().into_iter().for_each(|id| self.retire(id));
        for (id, part) in &parts {
            let made = self.make(id.number(), self.ranges[id]);
            self.segments.get_mut(&made).unwrap().bytes.extend_from_slice(&part.bytes);
        }
        self.epoch += 1;
        self.current.clone().into_iter().for_each(|id| self.retire(id));
        for (number, range) in current {
            self.make(number, range);
        }
    }

    pub fn seal(&mut self) {
        self.open.keys().cloned().collect::<Vec<_>>().iter().for_each(|label| self.abort(label));
        let current = self.current.clone();
        current.iter().for_each(|id| self.segments.get_mut(id).unwrap().sealed = true);
        self.sealed = true;
    }
}
