//! The watermark of several inputs is the smallest of those that are not idle.

use std::collections::HashMap;
use std::hash::Hash;

/// Combines the watermarks of inputs (the splits of a reader, the channels of a writer).
///
/// An input that has said nothing yet holds the watermark back; so every input is added before any of them emits.
#[derive(Debug)]
pub struct WatermarkCombiner<K> {
    inputs: HashMap<K, State>,
    emitted: Option<i64>,
}

#[derive(Clone, Copy, Debug, Default)]
struct State {
    watermark: Option<i64>,
    idle: bool,
}

impl<K: Hash + Eq> WatermarkCombiner<K> {
    /// Without inputs.
    pub fn new() -> Self {
        Self { inputs: HashMap::new(), emitted: None }
    }

    /// Adds an input; one that is there stays as it is.
    pub fn add(&mut self, input: K) {
        self.inputs.entry(input).or_default();
    }

    /// An input is at its end: it no longer counts.
    pub fn remove(&mut self, input: &K) -> Option<i64> {
        self.inputs.remove(input);
        self.advance()
    }

    /// An input's watermark. Going back is ignored. Gives the combined watermark when it rose.
    pub fn update(&mut self, input: &K, millis: i64) -> Option<i64> {
        let state = self.inputs.get_mut(input)?;
        state.watermark = state.watermark.max(Some(millis));
        state.idle = false;
        self.advance()
    }

    /// All inputs' watermark at once.
    pub fn update_all(&mut self, millis: i64) -> Option<i64> {
        for state in self.inputs.values_mut() {
            state.watermark = state.watermark.max(Some(millis));
            state.idle = false;
        }
        self.advance()
    }

    /// An input is idle, or active again: idle ones do not hold the watermark back.
    pub fn set_idle(&mut self, input: &K, idle: bool) -> Option<i64> {
        self.inputs.get_mut(input)?.idle = idle;
        self.advance()
    }

    /// Whether all inputs are idle (also: there are none).
    pub fn is_idle(&self) -> bool {
        self.inputs.values().all(|s| s.idle)
    }

    fn advance(&mut self) -> Option<i64> {
        let mut smallest = None;
        for state in self.inputs.values().filter(|s| !s.idle) {
            let watermark = state.watermark?;
            smallest = Some(smallest.map_or(watermark, |s: i64| s.min(watermark)));
        }
        let risen = smallest.filter(|s| Some(*s) > self.emitted)?;
        self.emitted = Some(risen);
        Some(risen)
    }
}

impl<K: Hash + Eq> Default for WatermarkCombiner<K> {
    fn default() -> Self {
        Self::new()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn two() -> WatermarkCombiner<u8> {
        let mut c = WatermarkCombiner::new();
        c.add(0);
        c.add(1);
        c
    }

    #[test]
    fn an_input_that_said_nothing_holds_the_watermark_back() {
        let mut c = two();
        assert_eq!(c.update(&0, 50), None);
        assert_eq!(c.update(&1, 30), Some(30));
        assert_eq!(c.update(&1, 40), Some(40));
        assert_eq!(c.update(&1, 20), None, "a watermark never goes back");
    }

    #[test]
    fn an_idle_or_finished_input_does_not_hold_it_back() {
        let mut c = two();
        c.update(&0, 50);
        assert_eq!(c.set_idle(&1, true), Some(50));
        assert_eq!(c.update(&1, 10), None, "it is active again, and behind");
        assert_eq!(c.update(&0, 90), None);
        assert_eq!(c.remove(&1), Some(90));
    }

    #[test]
    fn when_all_are_idle_nothing_is_emitted() {
        let mut c = two();
        assert_eq!(c.set_idle(&0, true), None);
        assert_eq!(c.set_idle(&1, true), None);
        assert!(c.is_idle());
    }
}
