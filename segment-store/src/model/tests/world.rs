//! A mirror of the segments, which does what the state machine says and refuses what makes no sense.

use super::*;
use crate::id::SegmentName;

/// As many keys as there are, at positions that are spread evenly.
pub(super) const KEYS: u8 = 16;

pub(super) fn position(key: u8) -> f64 {
    (f64::from(key) + 0.5) / f64::from(KEYS)
}

/// An event: one byte long, so that its offset is its place.
#[derive(Clone, Copy)]
struct Event {
    key: u8,
    number: u64,
}

#[derive(Default)]
struct Data {
    start: u64,
    events: Vec<Event>,
    sealed: bool,
    dropped: bool,
}

#[derive(Default)]
pub(super) struct World {
    pub(super) streams: Streams,
    segments: BTreeMap<SegmentName, Data>,
    /// Of each key what was written or committed, in this order.
    written: BTreeMap<(StreamName, u8), Vec<u64>>,
    numbers: u64,
    pub(super) begun: BTreeMap<(StreamName, TransactionId), TransactionState>,
}

impl Lengths for BTreeMap<SegmentName, Data> {
    fn length(&self, segment: &SegmentName) -> u64 {
        self[segment].events.len() as u64
    }

    fn start(&self, segment: &SegmentName) -> u64 {
        self[segment].start
    }
}

impl World {
    /// Checks an operation and makes it. One that is refused changes nothing, in check and in apply.
    pub(super) fn run(&mut self, op: &StreamOp) -> Result<Vec<SegmentEffect>> {
        let bytes = postcard::to_allocvec(op).unwrap();
        // As text, because what is no number does not equal itself.
        assert_eq!(format!("{:?}", postcard::from_bytes::<StreamOp>(&bytes).unwrap()), format!("{op:?}"));
        let before = self.streams.clone();
        let checked = self.streams.check(op, &self.segments);
        assert_eq!(self.streams, before);
        let mut effects = Vec::new();
        let applied = self.streams.apply(op, &mut effects, &self.segments);
        assert_eq!(format!("{checked:?}"), format!("{applied:?}"));
        if applied.is_err() {
            assert_eq!(self.streams, before);
            assert!(effects.is_empty());
        }
        applied?;
        for effect in &effects {
            self.follow(effect);
        }
        self.keep_account(op);
        Ok(effects)
    }

    fn follow(&mut self, effect: &SegmentEffect) {
        match effect {
            SegmentEffect::Create(name) => {
                assert!(self.segments.insert(name.clone(), Data::default()).is_none(), "{name} was there");
            }
            SegmentEffect::Seal(name) => {
                assert!(!std::mem::replace(&mut self.data(name).sealed, true), "{name} was sealed");
            }
            SegmentEffect::Truncate { segment, offset } => {
                let data = self.data(segment);
                assert!(!data.dropped && data.start < *offset && *offset <= data.events.len() as u64);
                data.start = *offset;
            }
            SegmentEffect::Drop(name) => {
                let data = self.data(name);
                assert!(data.sealed && !std::mem::replace(&mut data.dropped, true), "{name} was dropped");
                data.start = data.events.len() as u64;
            }
            SegmentEffect::Delete(name) => {
                assert!(self.segments.remove(name).is_some(), "{name} is not there");
            }
            SegmentEffect::Merge { from, into } => {
                assert!(from.transaction.is_some() && into.transaction.is_none());
                let moved = self.segments.remove(from).unwrap().events;
                for event in &moved {
                    self.write_down(&into.stream, *event);
                }
                let data = self.data(into);
                assert!(!data.sealed && !data.dropped, "{into} takes nothing");
                data.events.extend(moved);
            }
        }
    }

    /// What became of transactions, told without the state machine.
    fn keep_account(&mut self, op: &StreamOp) {
        match op {
            StreamOp::Begin { stream, .. } => {
                let id = self.stream(stream).last_begun().unwrap();
                assert!(self.begun.insert((stream.clone(), id), TransactionState::Open).is_none());
            }
            StreamOp::Commit { stream, id, .. } => {
                self.begun.insert((stream.clone(), *id), TransactionState::Committed);
            }
            StreamOp::Abort { stream, id, .. } => {
                self.begun.insert((stream.clone(), *id), TransactionState::Aborted);
            }
            StreamOp::SealStream { stream, .. } => {
                let open = self
                    .begun
                    .iter_mut()
                    .filter(|(key, state)| key.0 == *stream && **state == TransactionState::Open);
                open.for_each(|(_, state)| *state = TransactionState::Aborted);
            }
            StreamOp::DeleteStream { stream } => {
                self.begun.retain(|key, _| key.0 != *stream);
                self.written.retain(|key, _| key.0 != *stream);
            }
            _ => {}
        }
    }

    fn data(&mut self, name: &SegmentName) -> &mut Data {
        self.segments.get_mut(name).unwrap_or_else(|| panic!("{name} is not there"))
    }

    pub(super) fn stream(&self, name: &StreamName) -> &Stream {
        self.streams.stream(name).unwrap()
    }

    pub(super) fn lengths(&self) -> &dyn Lengths {
        &self.segments
    }

    /// How many segments there are, also those of transactions.
    pub(super) fn segments(&self) -> usize {
        self.segments.len()
    }

    fn write_down(&mut self, stream: &StreamName, event: Event) {
        self.written.entry((stream.clone(), event.key)).or_default().push(event.number);
    }

    /// Appends an event, in a transaction if one is given. Not to a sealed stream.
    pub(super) fn append(&mut self, stream: &StreamName, key: u8, transaction: Option<TransactionId>) {
        self.numbers += 1;
        let event = Event { key, number: self.numbers };
        let s = self.stream(stream);
        let segment = match transaction {
            None => s.segment_name(s.segment_for(position(key))),
            Some(id) => {
                let (_, open) = s.open_transactions().find(|(open, _)| *open == id).unwrap();
                let holds = |parent: &&SegmentId| s.segment(**parent).unwrap().range.contains(position(key));
                s.segment_name(*open.segments.iter().find(holds).unwrap()).within(id)
            }
        };
        let data = self.data(&segment);
        assert!(!data.sealed, "{segment} is sealed");
        data.events.push(event);
        if transaction.is_none() {
            self.write_down(stream, event);
        }
    }

    /// What a reader that begins at a cut and ends at the tail reads of a key, and all that was written to it.
    pub(super) fn read(&self, name: &StreamName, from: &StreamCut, key: u8) -> (Vec<u64>, &[u64]) {
        let stream = self.stream(name);
        let mut read = Vec::new();
        for (id, start, end) in stream.segments_between(from, Some(&stream.tail(self.lengths()))) {
            if stream.segment(id).unwrap().range.contains(position(key)) {
                let data = &self.segments[&stream.segment_name(id)];
                assert!(start >= data.start, "{id} was truncated");
                let end = end.unwrap_or(data.events.len() as u64);
                let events = &data.events[start as usize..end as usize];
                read.extend(events.iter().filter(|event| event.key == key).map(|event| event.number));
            }
        }
        (read, self.written.get(&(name.clone(), key)).map_or(&[], Vec::as_slice))
    }

    pub(super) fn is_sealed(&self, segment: &SegmentName) -> bool {
        self.segments[segment].sealed
    }

    pub(super) fn is_dropped(&self, segment: &SegmentName) -> bool {
        self.segments[segment].dropped
    }
}
