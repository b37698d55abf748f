//! Crash points from the environment, for tests of recovery: only with the feature `crash-points`.

use connector_api::env::CrashPoints;

/// With `CONNECT_CRASH_AT=NAME:K`, the process aborts at the K-th hit of the crash point NAME (K from 1).
#[cfg(feature = "crash-points")]
pub(crate) fn points() -> CrashPoints {
    use std::sync::atomic::{AtomicU64, Ordering};

    let Ok(text) = std::env::var("CONNECT_CRASH_AT") else { return CrashPoints::none() };
    let parsed = text.rsplit_once(':').and_then(|(name, k)| Some((name.to_owned(), k.parse::<u64>().ok()?)));
    let Some((name, k)) = parsed.filter(|(_, k)| *k > 0) else {
        // A test that crashes nowhere because of a typing error would prove nothing.
        eprintln!("error: CONNECT_CRASH_AT={text}: expected NAME:K with K from 1");
        std::process::exit(i32::from(crate::failure::BAD_CONFIGURATION));
    };
    let hits = AtomicU64::new(0);
    CrashPoints::new(move |hit| {
        if hit == name && hits.fetch_add(1, Ordering::SeqCst) + 1 == k {
            std::process::abort();
        }
    })
}

/// None: the feature `crash-points` is off.
#[cfg(not(feature = "crash-points"))]
pub(crate) fn points() -> CrashPoints {
    CrashPoints::none()
}
