//! Frames in memory: those that were written last, and those that readers asked for.

use std::collections::{HashMap, VecDeque};

use crate::log::Payload;

/// The newest frames, as many as fit; the first ones in are the first ones out.
#[derive(Debug)]
pub(crate) struct FrameCache {
    frames: HashMap<u64, Payload>,
    order: VecDeque<u64>,
    bytes: usize,
    capacity: usize,
}

impl FrameCache {
    pub(crate) fn new(capacity: usize) -> Self {
        Self { frames: HashMap::new(), order: VecDeque::new(), bytes: 0, capacity }
    }

    /// Gives back what had to make room, to be dropped where nobody waits for it.
    pub(crate) fn insert(&mut self, number: u64, frame: Payload) -> Vec<Payload> {
        let mut old = Vec::new();
        self.bytes += frame.len();
        match self.frames.insert(number, frame) {
            Some(replaced) => {
                self.bytes -= replaced.len();
                old.push(replaced);
            }
            None => self.order.push_back(number),
        }
        while self.bytes > self.capacity && self.order.len() > 1 {
            let Some(oldest) = self.order.pop_front() else { break };
            let Some(frame) = self.frames.remove(&oldest) else { continue };
            self.bytes -= frame.len();
            old.push(frame);
        }
        old
    }

    pub(crate) fn get(&self, number: u64) -> Option<&Payload> {
        self.frames.get(&number)
    }

    pub(crate) fn clear(&mut self) {
        self.frames.clear();
        self.order.clear();
        self.bytes = 0;
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn frame(length: usize) -> Payload {
        Payload::whole(vec![0; length].into())
    }

    #[test]
    fn the_oldest_frames_make_room_and_the_newest_stays() {
        let mut cache = FrameCache::new(10);
        for number in 0..4 {
            cache.insert(number, frame(4));
        }
        assert!(cache.get(1).is_none() && cache.get(2).is_some() && cache.get(3).is_some());
        cache.insert(4, frame(100));
        assert!(cache.get(3).is_none() && cache.get(4).is_some());
    }
}
