//! The watermark of several inputs is the smallest of those that are not idle.

use std::collections::HashMap;
use std::hash::Hash;

use connector_api::id::SplitId;
use connector_api::source::{DynSplit, ReaderEvent, Split};

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

/// The watermark of a whole source, for a host that has all readers in one place: the smallest of each reader's splits, then
/// the smallest of all readers.
#[derive(Debug)]
pub struct SourceWatermarks {
    readers: Vec<WatermarkCombiner<SplitId>>,
    all: WatermarkCombiner<usize>,
}

impl SourceWatermarks {
    /// For this many readers, none of which has a split.
    pub fn new(readers: u32) -> Self {
        let mut all = WatermarkCombiner::new();
        (0..readers as usize).for_each(|reader| all.add(reader));
        Self { readers: (0..readers).map(|_| WatermarkCombiner::new()).collect(), all }
    }

    /// A reader gets these splits: to be told before any of them emits, so that the first can't push the watermark past the
    /// others.
    pub fn add(&mut self, reader: usize, splits: &[DynSplit]) {
        if let Some(combiner) = self.readers.get_mut(reader) {
            splits.iter().for_each(|split| combiner.add(split.id()));
        }
    }

    /// Takes what a reader said. Gives the source's watermark when it rose.
    pub fn event<B>(&mut self, reader: usize, event: &ReaderEvent<B>) -> Option<i64> {
        let splits = self.readers.get_mut(reader)?;
        let risen = match event {
            ReaderEvent::Watermark { split: Some(split), millis } => splits.update(split, *millis),
            ReaderEvent::Watermark { split: None, millis } => splits.update_all(*millis),
            ReaderEvent::SplitFinished(split) => splits.remove(split),
            // A reader is idle when all of its splits are.
            ReaderEvent::Idle(Some(split)) => {
                let risen = splits.set_idle(split, true).and_then(|millis| self.all.update(&reader, millis));
                let idle = splits.is_idle().then(|| self.all.set_idle(&reader, true)).flatten();
                return idle.or(risen);
            }
            ReaderEvent::Active(Some(split)) => {
                splits.set_idle(split, false);
                return self.all.set_idle(&reader, false);
            }
            ReaderEvent::Idle(None) => return self.all.set_idle(&reader, true),
            ReaderEvent::Active(None) => return self.all.set_idle(&reader, false),
            ReaderEvent::EndOfInput => return self.all.remove(&reader),
            ReaderEvent::Batch { .. } | ReaderEvent::SplitRequest | ReaderEvent::EnumeratorEvent(_) => None,
        };
        self.all.update(&reader, risen?)
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

    #[derive(Clone, serde::Serialize, serde::Deserialize)]
    struct Named(String);
    connector_api::stored!(Named, "named-for-watermarks");
    impl Split for Named {
        fn id(&self) -> SplitId {
            SplitId::new(self.0.as_str())
        }
    }

    type Said = ReaderEvent<Vec<u8>>;

    fn at(split: &str, millis: i64) -> Said {
        ReaderEvent::Watermark { split: Some(SplitId::new(split)), millis }
    }

    /// Reader 0 has a and b, reader 1 has c.
    fn source() -> SourceWatermarks {
        let mut w = SourceWatermarks::new(2);
        let split = |name: &str| DynSplit::of(&Named(name.to_owned())).unwrap();
        w.add(0, &[split("a"), split("b")]);
        w.add(1, &[split("c")]);
        w
    }

    #[test]
    fn a_source_is_where_the_last_of_its_splits_is() {
        let mut w = source();
        assert_eq!(w.event(0, &at("a", 50)), None);
        assert_eq!(w.event(0, &at("b", 40)), None, "reader 1 has said nothing");
        assert_eq!(w.event(1, &at("c", 30)), Some(30));
        assert_eq!(w.event(1, &Said::SplitFinished(SplitId::new("c"))), None, "it may get another split");
        assert_eq!(w.event(1, &Said::EndOfInput), Some(40));
    }

    #[test]
    fn a_reader_does_not_hold_the_source_back_when_all_of_its_splits_are_idle() {
        let mut w = source();
        w.event(0, &at("a", 50));
        w.event(0, &at("b", 40));
        w.event(1, &at("c", 10));
        assert_eq!(w.event(1, &Said::Idle(Some(SplitId::new("c")))), Some(40));
        assert_eq!(w.event(0, &Said::Idle(Some(SplitId::new("b")))), Some(50), "b is idle, and a is not");
        w.event(1, &Said::Active(Some(SplitId::new("c"))));
        assert_eq!(w.event(0, &at("a", 90)), None, "c is active again, and behind");
    }

    #[test]
    fn a_watermark_is_emitted_once() {
        let mut c = two();
        c.update(&0, 50);
        assert_eq!(c.update(&1, 50), Some(50));
        assert_eq!(c.update(&1, 50), None);
        assert_eq!(c.update(&1, 60), None, "the other one is at 50");
        assert_eq!(c.update(&7, 90), None, "it was not added");
    }

    #[test]
    fn the_watermark_of_all_inputs_rises_at_once_and_wakes_idle_ones() {
        let mut c = two();
        c.update(&0, 50);
        c.set_idle(&1, true);
        assert_eq!(c.update_all(70), Some(70));
        assert!(!c.is_idle());
        assert_eq!(c.update_all(60), None, "a watermark never goes back");
        assert_eq!(c.update(&0, 80), None, "the other one is active, and at 70");
        assert_eq!(c.update(&1, 75), Some(75));
    }
}
