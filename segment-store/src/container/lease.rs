//! What ends by itself: transactions that nobody keeps alive, and writers of times that fell silent.
//!
//! Time runs while the store is open: a lease begins anew when it is opened, so that what a dead process prepared can be
//! committed by the next one however long that took to come.

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError, Weak};
use std::time::Duration;

use tokio::sync::Notify;

use super::Container;
use crate::error::Error;
use crate::id::{StreamName, TransactionId, WriterId};
use crate::model::{StreamOp, Streams};

/// How long at most the watch sleeps.
const LONGEST: Duration = Duration::from_secs(3600);
/// How soon what could not be ended is tried again.
const AGAIN: Duration = Duration::from_secs(1);

/// What ends.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(super) enum Ends {
    Transaction(StreamName, TransactionId),
    TimeWriter(StreamName, WriterId),
}

/// When what ends.
#[derive(Clone, Debug, Default)]
pub(super) struct Leases(Arc<Shared>);

#[derive(Debug, Default)]
struct Shared {
    deadlines: Mutex<BTreeMap<Ends, Duration>>,
    changed: Notify,
}

impl Leases {
    fn lock(&self) -> MutexGuard<'_, BTreeMap<Ends, Duration>> {
        self.0.deadlines.lock().unwrap_or_else(PoisonError::into_inner)
    }

    pub(super) fn set(&self, ends: Ends, at: Duration) {
        self.lock().insert(ends, at);
        self.0.changed.notify_one();
    }

    /// Nobody asks any more.
    pub(super) fn dismiss(&self) {
        self.0.changed.notify_one();
    }

    pub(super) fn forget(&self, ends: &Ends) {
        self.lock().remove(ends);
    }

    /// All open transactions have their whole lease from now on, and all writers of times their whole time-out.
    pub(super) fn restart(&self, streams: &Streams, now: Duration, silence: Duration) {
        let mut deadlines = self.lock();
        deadlines.clear();
        for scope in streams.scopes() {
            for name in streams.streams(scope) {
                let Ok(stream) = streams.stream(&name) else { continue };
                for (id, open) in stream.open_transactions() {
                    let lease = Duration::from_millis(open.lease_millis);
                    deadlines.insert(Ends::Transaction(name.clone(), id), now + lease);
                }
                for (writer, _) in stream.time_writers() {
                    deadlines.insert(Ends::TimeWriter(name.clone(), writer), now + silence);
                }
            }
        }
        drop(deadlines);
        self.0.changed.notify_one();
    }

    /// What is over, and when the next is.
    fn due(&self, now: Duration) -> (Vec<Ends>, Duration) {
        let deadlines = self.lock();
        let over = deadlines.iter().filter(|(_, at)| **at <= now).map(|(ends, _)| ends.clone()).collect();
        let next = deadlines.values().filter(|at| **at > now).min();
        (over, next.map_or(LONGEST, |&at| at - now))
    }
}

impl Container {
    /// Ends what is over, for as long as the container lives.
    pub(super) fn watch_leases(container: &Arc<Self>) {
        let (weak, env, leases) =
            (Arc::downgrade(container), container.env.clone(), container.leases.clone());
        let clock = env.clock.clone();
        let task = async move {
            while weak.strong_count() > 0 {
                let (over, next) = leases.due(clock.monotonic());
                let mut pause = next;
                for ends in over {
                    if !end(&weak, &leases, &ends).await {
                        pause = AGAIN;
                    }
                }
                let changed = std::pin::pin!(leases.0.changed.notified());
                futures::future::select(changed, clock.sleep(pause)).await;
            }
        };
        // It ends with the container.
        drop(env.spawner.spawn("segment-store leases", Box::pin(task)));
    }
}

/// Ends it; says whether that is settled.
async fn end(container: &Weak<Container>, leases: &Leases, ends: &Ends) -> bool {
    let Some(container) = container.upgrade() else { return true };
    let at = container.env.clock.now_millis();
    let op = match ends.clone() {
        Ends::Transaction(stream, id) => StreamOp::Abort { stream, id, at },
        Ends::TimeWriter(stream, writer) => StreamOp::ForgetWriter { stream, writer },
    };
    match container.change(op, |_| Ok(())).await {
        Err(Error::Unavailable { .. }) => false,
        Err(Error::Closed) => {
            leases.forget(ends);
            true
        }
        // Done, or there is nothing to do any more: it was committed, or its stream deleted.
        Ok(()) | Err(_) => {
            tracing::info!(?ends, "ended: nobody kept it alive");
            leases.forget(ends);
            true
        }
    }
}
