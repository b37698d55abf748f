//! The few metrics that the report and the progress need, summed over all labels.

use std::collections::HashMap;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use metrics::{Counter, CounterFn, Gauge, GaugeFn, Key};

const FILES_WRITTEN: &str = "filesWritten";
const FILES_COMPACTED: &str = "filesCompacted";

/// Sums of counters and gauges. Cloning shares them.
#[derive(Clone, Debug, Default)]
pub(crate) struct Totals(Arc<Mutex<Cells>>);

#[derive(Debug, Default)]
struct Cells {
    counters: HashMap<Key, Arc<Total>>,
    gauges: HashMap<Key, Arc<Level>>,
}

#[derive(Debug)]
struct Total {
    value: AtomicU64,
    next: Counter,
}

/// A gauge; its value as the bits of a float.
#[derive(Debug)]
struct Level {
    bits: AtomicU64,
    next: Gauge,
}

impl Totals {
    /// Part files that became visible.
    pub(crate) fn files_written(&self) -> u64 {
        self.sum(FILES_WRITTEN)
    }

    /// Part files that were merged into others.
    pub(crate) fn files_compacted(&self) -> u64 {
        self.sum(FILES_COMPACTED)
    }

    /// Rows that are known and not yet read, if any source says so.
    pub(crate) fn pending_records(&self) -> Option<u64> {
        let cells = self.cells();
        let mut levels =
            cells.gauges.values().map(|level| f64::from_bits(level.bits.load(Ordering::Relaxed)));
        let first = levels.next()?;
        Some(levels.fold(first, |sum, level| sum + level).max(0.0) as u64)
    }

    /// The counter to hand out for `key`; it passes everything on to `next`.
    pub(super) fn counter(&self, key: &Key, next: Counter) -> Counter {
        if ![FILES_WRITTEN, FILES_COMPACTED].contains(&key.name()) {
            return next;
        }
        let mut cells = self.cells();
        let total = cells
            .counters
            .entry(key.clone())
            .or_insert_with(|| Arc::new(Total { value: AtomicU64::new(0), next }));
        Counter::from_arc(total.clone())
    }

    /// The gauge to hand out for `key`; it passes everything on to `next`.
    pub(super) fn gauge(&self, key: &Key, next: Gauge) -> Gauge {
        if key.name() != connector_api::metrics::PENDING_RECORDS {
            return next;
        }
        let mut cells = self.cells();
        let level = cells
            .gauges
            .entry(key.clone())
            .or_insert_with(|| Arc::new(Level { bits: AtomicU64::new(0), next }));
        Gauge::from_arc(level.clone())
    }

    fn sum(&self, name: &str) -> u64 {
        let cells = self.cells();
        let named = cells.counters.iter().filter(|(key, _)| key.name() == name);
        named.map(|(_, total)| total.value.load(Ordering::Relaxed)).sum()
    }

    fn cells(&self) -> MutexGuard<'_, Cells> {
        // Nothing that holds the lock can panic half-way through a change.
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl CounterFn for Total {
    fn increment(&self, value: u64) {
        self.value.fetch_add(value, Ordering::Relaxed);
        self.next.increment(value);
    }

    fn absolute(&self, value: u64) {
        self.value.fetch_max(value, Ordering::Relaxed);
        self.next.absolute(value);
    }
}

impl Level {
    fn change(&self, change: impl Fn(f64) -> f64) {
        let new = |bits| Some(change(f64::from_bits(bits)).to_bits());
        // The closure always answers, so this can't fail.
        let _ = self.bits.fetch_update(Ordering::Relaxed, Ordering::Relaxed, new);
    }
}

impl GaugeFn for Level {
    fn increment(&self, value: f64) {
        self.change(|level| level + value);
        self.next.increment(value);
    }

    fn decrement(&self, value: f64) {
        self.change(|level| level - value);
        self.next.decrement(value);
    }

    fn set(&self, value: f64) {
        self.change(|_| value);
        self.next.set(value);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn counters_of_all_labels_are_summed_and_others_pass() {
        let totals = Totals::default();
        let key = |name: &'static str, subtask: &'static str| {
            Key::from_parts(name, vec![metrics::Label::new("subtask", subtask)])
        };
        totals.counter(&key("filesWritten", "0"), Counter::noop()).increment(2);
        totals.counter(&key("filesWritten", "1"), Counter::noop()).increment(3);
        totals.counter(&key("filesWritten", "1"), Counter::noop()).increment(1);
        totals.counter(&key("filesCompacted", "0"), Counter::noop()).absolute(4);
        totals.counter(&key("numRecordsIn", "0"), Counter::noop()).increment(100);
        assert_eq!((totals.files_written(), totals.files_compacted()), (6, 4));
    }

    #[test]
    fn pending_rows_are_known_only_when_a_source_says_so() {
        let totals = Totals::default();
        assert_eq!(totals.pending_records(), None);
        totals.gauge(&Key::from_name("pendingRecords"), Gauge::noop()).set(7.0);
        assert_eq!(totals.pending_records(), Some(7));
    }
}
