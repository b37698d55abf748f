//! Producers that live: a cache that writers and the committer of one attempt share. Without it, commits go over the wire and every
//! transaction gets an id of its own.

use std::collections::HashMap;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError, Weak};

use connector_api::id::AttemptId;

use super::committable::KafkaCommittable;
use super::producer::Producer;

/// A producer with the id that it has.
#[derive(Debug)]
pub(crate) struct Live {
    pub(crate) producer: Producer,
    pub(crate) id: String,
    pub(crate) producer_id: i64,
    pub(crate) epoch: i16,
}

/// The producers of one attempt in this process.
#[derive(Debug, Default)]
pub(crate) struct Pool(Mutex<State>);

#[derive(Debug, Default)]
struct State {
    /// Counts preparations and outcomes, in their order.
    events: u64,
    /// By id: what was prepared and not committed by its producer yet, and when it was.
    prepared: HashMap<String, (u64, Live)>,
    /// Committed, each with the moment of its outcome. A checkpoint that was taken before it may still name the id.
    resting: Vec<(u64, Live)>,
    ready: Vec<Live>,
    /// What was prepared up to here is in a savepoint, which may be restored at any later time: its ids are not used again.
    retired: u64,
}

impl Pool {
    fn state(&self) -> MutexGuard<'_, State> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// A producer whose id no checkpoint names that could be restored.
    pub(crate) fn take(&self) -> Option<Live> {
        self.state().ready.pop()
    }

    /// Its transaction is prepared.
    pub(crate) fn prepared(&self, live: Live) {
        let mut state = self.state();
        state.events += 1;
        let at = state.events;
        state.prepared.insert(live.id.clone(), (at, live));
    }

    /// A savepoint holds everything that is prepared now.
    pub(crate) fn savepoint(&self) {
        let mut state = self.state();
        state.retired = state.events;
    }

    /// The commit of this one was asked for: so a checkpoint is complete that was taken after it was prepared. Gives the producer
    /// that can commit it, once, with the moment of its preparation.
    ///
    /// What had its outcome before that preparation is not in that checkpoint, and no earlier one is restored: those ids are free.
    pub(crate) fn claim(&self, committable: &KafkaCommittable) -> Option<(u64, Live)> {
        let mut state = self.state();
        let (at, live) = state.prepared.remove(&committable.transactional_id)?;
        let (free, resting) = std::mem::take(&mut state.resting).into_iter().partition(|(end, _)| *end < at);
        state.resting = resting;
        let free: Vec<(u64, Live)> = free;
        state.ready.extend(free.into_iter().map(|(_, live)| live));
        Some((at, live))
    }

    /// The outcome of what was prepared at this moment is known: it is committed.
    pub(crate) fn committed(&self, at: u64, live: Live) {
        let mut state = self.state();
        state.events += 1;
        if at > state.retired {
            let end = state.events;
            state.resting.push((end, live));
        }
    }
}

/// The pools of a sink: one per attempt, as long as a part of the attempt lives.
#[derive(Debug, Default)]
pub(crate) struct Pools(Mutex<HashMap<AttemptId, Weak<Pool>>>);

impl Pools {
    pub(crate) fn of(&self, attempt: AttemptId) -> Arc<Pool> {
        let mut pools = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        pools.retain(|_, pool| pool.strong_count() > 0);
        if let Some(pool) = pools.get(&attempt).and_then(Weak::upgrade) {
            return pool;
        }
        let pool = Arc::new(Pool::default());
        pools.insert(attempt, Arc::downgrade(&pool));
        pool
    }
}
