//! What this process has counted.

use std::collections::HashMap;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use metrics::{Counter, Gauge, Histogram, Key, KeyName, Metadata, Recorder, SharedString, Unit};

type Values = HashMap<Key, Arc<AtomicU64>>;

static COUNTERS: Mutex<Option<Values>> = Mutex::new(None);
static GAUGES: Mutex<Option<Values>> = Mutex::new(None);

struct Keeper;

fn lock(values: &'static Mutex<Option<Values>>) -> MutexGuard<'static, Option<Values>> {
    values.lock().unwrap_or_else(PoisonError::into_inner)
}

fn value(values: &'static Mutex<Option<Values>>, key: &Key) -> Arc<AtomicU64> {
    lock(values).get_or_insert_default().entry(key.clone()).or_default().clone()
}

impl Recorder for Keeper {
    fn describe_counter(&self, _: KeyName, _: Option<Unit>, _: SharedString) {}
    fn describe_gauge(&self, _: KeyName, _: Option<Unit>, _: SharedString) {}
    fn describe_histogram(&self, _: KeyName, _: Option<Unit>, _: SharedString) {}

    fn register_counter(&self, key: &Key, _: &Metadata<'_>) -> Counter {
        Counter::from_arc(value(&COUNTERS, key))
    }

    fn register_gauge(&self, key: &Key, _: &Metadata<'_>) -> Gauge {
        Gauge::from_arc(value(&GAUGES, key))
    }

    fn register_histogram(&self, _: &Key, _: &Metadata<'_>) -> Histogram {
        Histogram::noop()
    }
}

/// From here on, everything that this process counts is kept.
pub(crate) fn keep() {
    metrics::set_global_recorder(Keeper).expect("nobody else counts");
}

/// A counter, over all labels.
pub(crate) fn counter(name: &str) -> u64 {
    let counters = lock(&COUNTERS);
    let found = counters.iter().flatten().filter(|(key, _)| key.name() == name);
    found.map(|(_, value)| value.load(Ordering::Relaxed)).sum()
}

/// The gauge of a partition.
#[allow(dead_code, reason = "the sink has none")]
pub(crate) fn gauge(name: &str, split: &str) -> Option<f64> {
    let is_it = |key: &Key| {
        key.name() == name && key.labels().any(|label| label.key() == "split" && label.value() == split)
    };
    let gauges = lock(&GAUGES);
    let found = gauges.iter().flatten().find(|(key, _)| is_it(key))?;
    Some(f64::from_bits(found.1.load(Ordering::Relaxed)))
}
