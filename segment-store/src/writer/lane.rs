//! What was written for a segment and is not durable yet.

use std::collections::VecDeque;

use bytes::Bytes;

use crate::error::Result;
use crate::event;
use crate::id::{SegmentId, SegmentName};
use crate::key_range::KeyRange;
use crate::pool::Pool;
use crate::summed::{Summed, Summing};

/// A current segment.
#[derive(Debug)]
pub(super) struct Lane {
    pub(super) segment: SegmentId,
    pub(super) name: SegmentName,
    pub(super) range: KeyRange,
    /// All events that are not durable, in order: those that were appended, those of the full blocks, those of the open one.
    events: VecDeque<Placed>,
    open: Summing,
    /// How many events the open block has.
    opened: usize,
    /// As much of it as is appended at once ends here.
    pub(super) full: VecDeque<Block>,
    /// The last event that was appended.
    pub(super) previous: Option<i64>,
}

/// Events that are appended at once: nothing is added any more.
#[derive(Debug)]
pub(super) struct Block {
    pub(super) bytes: Summed,
    /// How many they are.
    pub(super) events: usize,
    /// The number of the last one.
    pub(super) last: i64,
}

/// An event, whose bytes say where it ends.
#[derive(Clone, Copy, Debug)]
pub(super) struct Placed {
    pub(super) number: i64,
    pub(super) position: f64,
}

impl Lane {
    pub(super) fn new(segment: SegmentId, name: SegmentName, range: KeyRange, previous: Option<i64>) -> Self {
        let (events, open, full) = (VecDeque::new(), Summing::default(), VecDeque::new());
        Self { segment, name, range, events, open, opened: 0, full, previous }
    }

    /// The number of the first event that is not durable.
    pub(super) fn first(&self) -> Option<i64> {
        self.events.front().map(|event| event.number)
    }

    /// The number of the last event that was written.
    pub(super) fn last(&self) -> Option<i64> {
        self.events.back().map(|event| event.number).or(self.previous)
    }

    /// How many bytes are not appended.
    pub(super) fn unsent(&self) -> usize {
        self.full.iter().map(|block| block.bytes.bytes().len()).sum::<usize>() + self.open.len()
    }

    /// Writes an event into a block of at most `size` bytes, unless it is larger itself; says how many bytes that made.
    ///
    /// # Errors
    ///
    /// Those of [`event::check`].
    pub(super) fn push(&mut self, placed: Placed, event: &[u8], size: usize, pool: &Pool) -> Result<usize> {
        event::check(event)?;
        let needed = event::HEADER + event.len();
        if self.open.len() + needed > size {
            self.close(size, pool);
        }
        let length = self.open.len();
        if length == 0 {
            self.open = Summing::into(pool.take(needed.max(size)));
        }
        self.open.push(|out| event::put(out, event));
        self.events.push_back(placed);
        self.opened += 1;
        Ok(self.open.len() - length)
    }

    /// An event with its header, which was written before.
    pub(super) fn put_back(&mut self, event: Placed, bytes: &[u8]) {
        self.open.push(|out| out.extend_from_slice(bytes));
        self.events.push_back(event);
        self.opened += 1;
    }

    /// The oldest appended block is durable.
    pub(super) fn acknowledged(&mut self, block: &Block) {
        self.events.drain(..block.events.min(self.events.len()));
    }

    /// All events, in order, with their bytes. None may be appended and not acknowledged: those are given back before.
    pub(super) fn take(&mut self) -> impl Iterator<Item = (Placed, Bytes)> {
        let open = std::mem::take(&mut self.open).end(Bytes::from);
        self.opened = 0;
        let full = std::mem::take(&mut self.full).into_iter().map(|block| block.bytes);
        let bytes = full.chain([open]).flat_map(|bytes| each(bytes.bytes()).collect::<Vec<_>>());
        std::mem::take(&mut self.events).into_iter().zip(bytes)
    }

    /// Closes the open block, in pieces of about `size`.
    pub(super) fn close(&mut self, size: usize, pool: &Pool) {
        if self.open.len() == 0 {
            return;
        }
        let bytes = std::mem::take(&mut self.open).end(|bytes| pool.share(bytes));
        let events = std::mem::take(&mut self.opened);
        let mut numbers = self.events.range(self.events.len() - events..).map(|event| event.number);
        if bytes.bytes().len() <= size.saturating_mul(2) {
            let last = numbers.next_back();
            self.full.extend(last.map(|last| Block { bytes, events, last }));
            return;
        }
        // What a failure put together is more than one append may bring.
        let bytes = bytes.bytes();
        let (mut start, mut end, mut count) = (0, 0, 0);
        for (event, last) in each(bytes).zip(numbers) {
            (end, count) = (end + event.len(), count + 1);
            if end - start >= size || end == bytes.len() {
                let bytes = Summed::of(bytes.slice(start..end));
                self.full.push_back(Block { bytes, events: count, last });
                (start, count) = (end, 0);
            }
        }
    }
}

/// Each event with its header.
fn each(bytes: &Bytes) -> impl Iterator<Item = Bytes> {
    // They were framed here.
    let ranges = event::parse(bytes).map_while(Result::ok);
    ranges.map(|range| bytes.slice(range.start - event::HEADER..range.end))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::id::StreamName;

    fn lane() -> Lane {
        let segment = SegmentId::new(0, 0);
        let stream = StreamName { scope: "a".into(), stream: "b".into() };
        Lane::new(segment, SegmentName::new(stream, segment), KeyRange::ALL, None)
    }

    #[test]
    fn a_block_ends_where_its_buffer_does_and_one_event_may_be_larger() {
        let (mut lane, pool) = (lane(), Pool::new(1 << 20));
        for (number, length) in [30, 30, 30, 500, 10].into_iter().enumerate() {
            let placed = Placed { number: number as i64, position: 0.5 };
            lane.push(placed, &vec![number as u8; length], 100, &pool).unwrap();
        }
        lane.close(100, &pool);
        let blocks: Vec<_> =
            lane.full.iter().map(|block| (block.events, block.last, block.bytes.bytes().len())).collect();
        assert_eq!(blocks, [(2, 1, 76), (1, 2, 38), (1, 3, 508), (1, 4, 18)]);
        let numbers: Vec<_> = lane.take().map(|(event, bytes)| (event.number, bytes.len())).collect();
        assert_eq!(numbers, [(0, 38), (1, 38), (2, 38), (3, 508), (4, 18)]);
    }

    #[test]
    fn what_was_put_back_is_closed_in_pieces() {
        let (mut lane, pool) = (lane(), Pool::new(1 << 20));
        for number in 0..10 {
            let mut event = Vec::new();
            event::push(&mut event, &[number as u8; 32]).unwrap();
            lane.put_back(Placed { number, position: 0.5 }, &event);
        }
        lane.close(100, &pool);
        let blocks: Vec<_> = lane.full.iter().map(|block| (block.events, block.last)).collect();
        assert_eq!(blocks, [(3, 2), (3, 5), (3, 8), (1, 9)]);
    }
}
