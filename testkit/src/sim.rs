//! An environment in which a job runs deterministically: one thread, paused time, simulated files, order from a seed.
//!
//! Time stands still while anything can run and jumps to the next timer when nothing can.

use std::sync::Arc;
use std::time::Duration;

use connector_api::env::{Clock, CrashPoints, Environment, Spawner, TaskHandle};
use futures::future::BoxFuture;
use tokio::task::AbortHandle;
use tokio::time::Instant;

use crate::fs::SimFs;
use crate::random::SeededRandom;

/// Midnight of 1 January 2026, when every simulated clock starts.
pub const START_MILLIS: i64 = 1_767_225_600_000;

/// Runs a future on one thread with paused time. Tasks that it leaves behind are dropped.
///
/// # Panics
///
/// Within another runtime, and when the system refuses what a runtime needs.
pub fn run<T>(future: impl Future<Output = T>) -> T {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_time().start_paused(true).build();
    match runtime {
        Ok(runtime) => runtime.block_on(future),
        Err(e) => panic!("no runtime for the simulation: {e}"),
    }
}

/// A simulated environment over `fs`; call within [`run`]. The same seed gives the same order of the same work.
pub fn environment(fs: &SimFs, seed: u64) -> Environment {
    Environment {
        clock: Arc::new(SimClock { start: Instant::now() }),
        random: Arc::new(SeededRandom::new(seed)),
        fs: Arc::new(fs.clone()),
        spawner: Arc::new(SimSpawner { order: Arc::new(SeededRandom::new(!seed)) }),
        crash: CrashPoints::none(),
    }
}

/// Tokio's clock, which [`run`] pauses.
#[derive(Debug)]
pub struct SimClock {
    start: Instant,
}

impl Clock for SimClock {
    fn now_millis(&self) -> i64 {
        START_MILLIS + i64::try_from(self.start.elapsed().as_millis()).unwrap_or(i64::MAX - START_MILLIS)
    }

    fn monotonic(&self) -> Duration {
        self.start.elapsed()
    }

    fn sleep(&self, duration: Duration) -> BoxFuture<'static, ()> {
        Box::pin(tokio::time::sleep(duration))
    }
}

/// Runs tasks on the current thread, and blocking work as a task among them, each some seeded number of turns later.
///
/// Blocking work must not wait for another task: nothing else runs meanwhile.
#[derive(Clone, Debug)]
pub struct SimSpawner {
    order: Arc<SeededRandom>,
}

impl SimSpawner {
    async fn delay(turns: u64) {
        for _ in 0..turns {
            tokio::task::yield_now().await;
        }
    }
}

impl Spawner for SimSpawner {
    fn spawn(&self, _name: &str, task: BoxFuture<'static, ()>) -> Box<dyn TaskHandle> {
        let turns = self.order.below(4);
        let task = tokio::spawn(async move {
            Self::delay(turns).await;
            task.await;
        });
        Box::new(SimTask(task.abort_handle()))
    }

    fn spawn_blocking(&self, work: Box<dyn FnOnce() + Send>) {
        let turns = self.order.below(8);
        drop(tokio::spawn(async move {
            Self::delay(turns).await;
            work();
        }));
    }
}

#[derive(Debug)]
struct SimTask(AbortHandle);

impl TaskHandle for SimTask {
    fn abort(&self) {
        self.0.abort();
    }
}

#[cfg(test)]
mod tests {
    use std::sync::Mutex;

    use super::*;

    fn order_of_ten(seed: u64) -> Vec<u32> {
        run(async {
            let env = environment(&SimFs::new(), seed);
            let done = Arc::new(Mutex::new(Vec::new()));
            for i in 0..10 {
                let done = done.clone();
                env.spawner.spawn_blocking(Box::new(move || done.lock().unwrap().push(i)));
            }
            env.clock.sleep(Duration::from_secs(1)).await;
            done.lock().unwrap().clone()
        })
    }

    #[test]
    fn the_seed_decides_the_order_and_nothing_else_does() {
        let orders: Vec<_> = (0..20).map(order_of_ten).collect();
        assert_eq!(orders, (0..20).map(order_of_ten).collect::<Vec<_>>());
        assert!(orders.iter().any(|order| *order != orders[0]));
        assert!(orders.iter().all(|order| order.len() == 10));
    }

    #[test]
    fn time_jumps_to_the_next_timer() {
        run(async {
            let clock = environment(&SimFs::new(), 1).clock;
            clock.sleep(Duration::from_secs(3600)).await;
            assert_eq!(clock.now_millis(), START_MILLIS + 3_600_000);
            assert_eq!(clock.monotonic(), Duration::from_secs(3600));
        });
    }
}
