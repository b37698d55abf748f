//! Blocking work that takes time, so that checkpoints fall between batches and not only at the end.

use std::sync::Arc;
use std::time::Duration;

use connector_api::env::{Clock, Environment, Spawner, TaskHandle};
use futures::future::BoxFuture;
use testkit::random::SeededRandom;

#[derive(Debug)]
struct Slow {
    inner: Arc<dyn Spawner>,
    clock: Arc<dyn Clock>,
    coins: SeededRandom,
}

/// The same environment, in which blocking work takes up to 3 ms.
pub(crate) fn slow(env: Environment, seed: u64) -> Environment {
    let coins = SeededRandom::new(seed ^ 0x510b);
    let spawner = Slow { inner: env.spawner.clone(), clock: env.clock.clone(), coins };
    Environment { spawner: Arc::new(spawner), ..env }
}

impl Spawner for Slow {
    fn spawn(&self, name: &str, task: BoxFuture<'static, ()>) -> Box<dyn TaskHandle> {
        self.inner.spawn(name, task)
    }

    fn spawn_blocking(&self, work: Box<dyn FnOnce() + Send>) {
        let wait = self.clock.sleep(Duration::from_millis(self.coins.below(4)));
        self.inner.spawn(
            "slow work",
            Box::pin(async move {
                wait.await;
                work();
            }),
        );
    }
}
