//! What was written for a segment and is not appended yet.

use std::collections::VecDeque;

use bytes::Bytes;

use crate::event;
use crate::id::{SegmentId, SegmentName};
use crate::key_range::KeyRange;
use crate::pool::Pool;

/// A current segment.
#[derive(Debug)]
pub(super) struct Lane {
    pub(super) segment: SegmentId,
    pub(super) name: SegmentName,
    pub(super) range: KeyRange,
    pub(super) open: Block,
    /// As much of it as is appended at once ends here.
    pub(super) full: VecDeque<Closed>,
    /// The last event that was appended.
    pub(super) previous: Option<i64>,
}

/// Events that are to be appended at once.
#[derive(Debug, Default)]
pub(super) struct Block {
    pub(super) bytes: Vec<u8>,
    pub(super) events: Vec<Placed>,
}

/// Events that are appended at once: nothing is added any more.
#[derive(Debug)]
pub(super) struct Closed {
    pub(super) bytes: Bytes,
    pub(super) events: Vec<Placed>,
}

/// An event in a block, whose bytes say where it ends.
#[derive(Clone, Copy, Debug)]
pub(super) struct Placed {
    pub(super) number: i64,
    pub(super) position: f64,
}

impl Lane {
    pub(super) fn new(segment: SegmentId, name: SegmentName, range: KeyRange, previous: Option<i64>) -> Self {
        let (open, full) = (Block::default(), VecDeque::new());
        Self { segment, name, range, open, full, previous }
    }

    /// The number of the first event that is not appended.
    pub(super) fn first(&self) -> Option<i64> {
        let events = self.full.front().map_or(&self.open.events, |block| &block.events);
        events.first().map(|event| event.number)
    }

    /// The number of the last event that was written.
    pub(super) fn last(&self) -> Option<i64> {
        let of = |events: &Vec<Placed>| events.last().map(|event| event.number);
        let waiting = of(&self.open.events).or_else(|| self.full.back().and_then(|block| of(&block.events)));
        waiting.or(self.previous)
    }

    /// All events that are not appended, in order, with their bytes.
    pub(super) fn take(&mut self) -> impl Iterator<Item = (Placed, Bytes)> {
        let open = std::mem::take(&mut self.open).close();
        std::mem::take(&mut self.full).into_iter().chain([open]).flat_map(Closed::each)
    }

    /// Closes the open block, in pieces of about `size`.
    pub(super) fn close(&mut self, size: usize, pool: &Pool) {
        let open = std::mem::take(&mut self.open);
        if open.events.is_empty() {
            return;
        }
        if open.bytes.len() <= size.saturating_mul(2) {
            self.full.push_back(Closed { bytes: pool.share(open.bytes), events: open.events });
            return;
        }
        // What a failure put together is more than one append may bring.
        let mut block = Block::default();
        for (event, bytes) in open.close().each() {
            block.bytes.extend_from_slice(&bytes);
            block.events.push(event);
            if block.bytes.len() >= size {
                self.full.push_back(std::mem::take(&mut block).close());
            }
        }
        if !block.events.is_empty() {
            self.full.push_back(block.close());
        }
    }
}

impl Block {
    pub(super) fn close(self) -> Closed {
        Closed { bytes: self.bytes.into(), events: self.events }
    }
}

impl Closed {
    /// Each event with its bytes, header included.
    pub(super) fn each(self) -> impl Iterator<Item = (Placed, Bytes)> {
        let Self { bytes, events } = self;
        let mut parsed = event::parse(&bytes);
        // They were framed here.
        let ranges: Vec<_> = parsed.by_ref().map_while(Result::ok).collect();
        events
            .into_iter()
            .zip(ranges)
            .map(move |(event, range)| (event, bytes.slice(range.start - event::HEADER..range.end)))
    }
}
