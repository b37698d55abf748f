//! Time and randomness.

use std::fmt::Debug;
use std::time::Duration;

use futures::future::BoxFuture;

/// Where time comes from.
pub trait Clock: Send + Sync + Debug {
    /// The time of day in milliseconds since the Unix epoch. May jump.
    fn now_millis(&self) -> i64;

    /// Time since some fixed moment. Never goes back: for durations and deadlines.
    fn monotonic(&self) -> Duration;

    /// Ends after `duration`. Dropping it cancels the timer.
    fn sleep(&self, duration: Duration) -> BoxFuture<'static, ()>;
}

/// Where randomness comes from. Not for secrets.
pub trait Random: Send + Sync + Debug {
    /// 64 evenly distributed bits.
    fn next_u64(&self) -> u64;
}
