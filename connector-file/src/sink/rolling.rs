//! When a part is closed.

use std::time::Duration;

use connector_api::env::Environment;

use super::config::Rolling;

/// How many bytes a part may still take before it is closed.
pub(crate) fn room(rolling: &Rolling, length: u64) -> u64 {
    rolling.size.0.saturating_sub(length)
}

/// When a part that began `created_at` (milliseconds since the Unix epoch) is too old, on the monotonic clock.
///
/// The time of day may have jumped while the job was down: a part never counts as younger than nothing.
pub(crate) fn deadline(rolling: &Rolling, env: &Environment, created_at: i64) -> Option<Duration> {
    let age = rolling.age?.0;
    let lived = env.clock.now_millis().saturating_sub(created_at).max(0).unsigned_abs();
    Some(env.clock.monotonic() + age.saturating_sub(Duration::from_millis(lived)))
}
