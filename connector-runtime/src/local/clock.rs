//! The system's clock and a generator seeded by the system.

use std::hash::{BuildHasher, Hasher, RandomState};
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::{Duration, SystemTime};

use connector_api::env::{Clock, Random};
use futures::future::BoxFuture;
use tokio::runtime::Handle;
use tokio::time::Instant;

/// The system's clock, with tokio's timers.
#[derive(Clone, Debug)]
pub struct SystemClock {
    runtime: Handle,
    start: Instant,
}

impl SystemClock {
    /// A clock whose timers run on `runtime`, which must have its time driver enabled.
    pub fn new(runtime: Handle) -> Self {
        Self { runtime, start: Instant::now() }
    }
}

impl Clock for SystemClock {
    fn now_millis(&self) -> i64 {
        match SystemTime::now().duration_since(SystemTime::UNIX_EPOCH) {
            Ok(since) => i64::try_from(since.as_millis()).unwrap_or(i64::MAX),
            Err(before) => i64::try_from(before.duration().as_millis()).map_or(i64::MIN, |millis| -millis),
        }
    }

    fn monotonic(&self) -> Duration {
        self.start.elapsed()
    }

    fn sleep(&self, duration: Duration) -> BoxFuture<'static, ()> {
        // Callers may stand on a thread without a runtime; the timer is registered with ours.
        let _entered = self.runtime.enter();
        Box::pin(tokio::time::sleep(duration))
    }
}

/// SplitMix64 (Steele, Lea, Flood 2014) from a seed of the system's. Lock-free.
#[derive(Debug)]
pub struct SystemRandom(AtomicU64);

const STEP: u64 = 0x9e37_79b9_7f4a_7c15;

impl SystemRandom {
    /// A generator with a seed of its own.
    pub fn new() -> Self {
        // The standard library keys its hashers from the system's source of randomness.
        Self(AtomicU64::new(RandomState::new().build_hasher().finish()))
    }
}

impl Default for SystemRandom {
    fn default() -> Self {
        Self::new()
    }
}

impl Random for SystemRandom {
    fn next_u64(&self) -> u64 {
        let mut z = self.0.fetch_add(STEP, Ordering::Relaxed).wrapping_add(STEP);
        z = (z ^ (z >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        z ^ (z >> 31)
    }
}

#[cfg(test)]
mod tests {
    use std::collections::HashSet;

    use super::*;

    #[test]
    fn two_generators_draw_different_numbers() {
        let (a, b) = (SystemRandom::new(), SystemRandom::new());
        let drawn: HashSet<u64> = (0..1000).flat_map(|_| [a.next_u64(), b.next_u64()]).collect();
        assert_eq!(drawn.len(), 2000);
    }

    #[tokio::test]
    async fn a_sleep_begun_on_a_plain_thread_ends() {
        let clock = SystemClock::new(Handle::current());
        let before = clock.monotonic();
        let sleep = {
            let clock = clock.clone();
            std::thread::spawn(move || clock.sleep(Duration::from_millis(5))).join().unwrap()
        };
        sleep.await;
        assert!(clock.monotonic() - before >= Duration::from_millis(5));
        assert!(clock.now_millis() > 1_600_000_000_000);
    }
}
