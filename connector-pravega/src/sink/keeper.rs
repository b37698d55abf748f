//! Keeps the leases of transactions: those that are open, and those whose commit is pending, also after a restore.

use std::collections::BTreeSet;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError, Weak};
use std::time::Duration;

use connector_api::env::{Environment, TaskHandle};
use connector_api::id::AttemptId;
use segment_store::client::StoreClient;
use segment_store::{Error, StreamName, TransactionId};

use super::metrics::{PINGS_FAILED, count};

type Kept = Mutex<BTreeSet<(StreamName, TransactionId)>>;

/// Pings transactions, three times in a lease, for as long as somebody holds this.
#[derive(Debug)]
pub(super) struct Keeper {
    kept: Arc<Kept>,
    task: Box<dyn TaskHandle>,
}

fn locked<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

impl Keeper {
    fn start(env: &Environment, client: Arc<dyn StoreClient>, lease: Duration) -> Self {
        let kept = Arc::<Kept>::default();
        let (clock, all) = (env.clock.clone(), kept.clone());
        let work = async move {
            loop {
                clock.sleep(lease / 3).await;
                let now: Vec<_> = locked(&all).iter().cloned().collect();
                for (stream, id) in now {
                    match client.ping(&stream, id, lease).await {
                        Ok(()) => {}
                        Err(Error::TransactionEnded { .. } | Error::NoTransaction { .. }) => {
                            // Whoever writes to it or commits it finds out.
                            locked(&all).remove(&(stream, id));
                        }
                        Err(error) => {
                            tracing::warn!(%stream, %id, %error, "a transaction could not be kept alive");
                            count(PINGS_FAILED, 1);
                        }
                    }
                }
            }
        };
        Self { kept, task: env.spawner.spawn("keep transactions alive", Box::pin(work)) }
    }

    /// It is kept alive from now on.
    pub(super) fn keep(&self, stream: &StreamName, id: TransactionId) {
        locked(&self.kept).insert((stream.clone(), id));
    }

    /// It has ended, or is left to its lease.
    pub(super) fn forget(&self, stream: &StreamName, id: TransactionId) {
        locked(&self.kept).remove(&(stream.clone(), id));
    }
}

impl Drop for Keeper {
    fn drop(&mut self) {
        self.task.abort();
    }
}

/// The keeper that writers and committers of an attempt share.
#[derive(Debug, Default)]
pub(super) struct Keepers(Mutex<Option<(AttemptId, Weak<Keeper>)>>);

impl Keepers {
    pub(super) fn of(
        &self,
        env: &Environment,
        attempt: AttemptId,
        client: &Arc<dyn StoreClient>,
        lease: Duration,
    ) -> Arc<Keeper> {
        let mut current = locked(&self.0);
        let there =
            current.as_ref().filter(|(of, _)| *of == attempt).and_then(|(_, keeper)| keeper.upgrade());
        there.unwrap_or_else(|| {
            let keeper = Arc::new(Keeper::start(env, client.clone(), lease));
            *current = Some((attempt, Arc::downgrade(&keeper)));
            keeper
        })
    }
}
