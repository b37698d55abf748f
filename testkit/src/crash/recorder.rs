//! Dying at named crash points, deterministically.
//!
//! A first run records which points are hit how often; then each (name, k) is a run of its own:
//!
//! ```
//! # use testkit::{crash::CrashRecorder, fs::SimFs};
//! # fn job(points: &connector_api::env::CrashPoints) { points.hit("a"); points.hit("b"); points.hit("a"); }
//! let recorder = CrashRecorder::new();
//! job(&recorder.points());
//! for (name, k) in recorder.every_hit() {
//!     let fs = SimFs::new();
//!     let armed = CrashRecorder::new();
//!     armed.kill_at(name, k, &fs);
//!     job(&armed.points());
//!     assert!(armed.has_fired() && fs.is_frozen());
//! }
//! ```

use std::collections::BTreeMap;
use std::fmt;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use connector_api::env::CrashPoints;

use crate::fs::SimFs;

type Handler = Box<dyn FnOnce() + Send>;

/// Records hits of crash points, and calls handlers at chosen ones. Clones share the record.
#[derive(Clone, Default)]
pub struct CrashRecorder(Arc<Mutex<Record>>);

#[derive(Default)]
struct Record {
    hits: BTreeMap<&'static str, u64>,
    order: Vec<&'static str>,
    armed: Vec<(String, u64, Handler)>,
    fired: u64,
}

impl CrashRecorder {
    /// Nothing recorded, nothing armed.
    pub fn new() -> Self {
        Self::default()
    }

    /// The crash points to put into an environment.
    pub fn points(&self) -> CrashPoints {
        let recorder = self.clone();
        CrashPoints::new(move |name| recorder.hit(name))
    }

    /// Calls `handler`, once, at the `k`th hit of `name` from the beginning of the record, counted from 1.
    pub fn arm(&self, name: &str, k: u64, handler: impl FnOnce() + Send + 'static) {
        self.lock().armed.push((name.to_owned(), k, Box::new(handler)));
    }

    /// Lets the simulated process die at the `k`th hit of `name`.
    pub fn kill_at(&self, name: &str, k: u64, fs: &SimFs) {
        let fs = fs.clone();
        self.arm(name, k, move || fs.freeze());
    }

    /// How often each point was hit.
    pub fn hits(&self) -> BTreeMap<&'static str, u64> {
        self.lock().hits.clone()
    }

    /// All hits in their order.
    pub fn order(&self) -> Vec<&'static str> {
        self.lock().order.clone()
    }

    /// Every (name, k) that was hit: the runs of a campaign.
    pub fn every_hit(&self) -> Vec<(&'static str, u64)> {
        self.hits().into_iter().flat_map(|(name, count)| (1..=count).map(move |k| (name, k))).collect()
    }

    /// Whether a handler was called.
    pub fn has_fired(&self) -> bool {
        self.lock().fired > 0
    }

    fn lock(&self) -> MutexGuard<'_, Record> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn hit(&self, name: &'static str) {
        let handlers = {
            let mut record = self.lock();
            record.order.push(name);
            let count = record.hits.entry(name).or_default();
            *count += 1;
            let count = *count;
            let (now, later): (Vec<_>, Vec<_>) =
                record.armed.drain(..).partition(|(armed, k, _)| armed == name && *k == count);
            record.armed = later;
            record.fired += now.len() as u64;
            now
        };
        // Outside the lock: a handler may look at the record, or never return.
        for (_, _, handler) in handlers {
            handler();
        }
    }
}

impl fmt::Debug for CrashRecorder {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("CrashRecorder").field("hits", &self.hits()).finish_non_exhaustive()
    }
}
