//! Listing again and again, over failures, without blocking.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::task::Context;
use std::time::Duration;

use connector_api::env::Environment;
use connector_api::{Error, Result};
use connector_base::enumerator::Background;

use super::config::SourceConfig;
use super::listing::Found;
use super::metrics::{FAILED_LISTINGS, count};

/// The pause after the first failure in a row.
const FIRST_PAUSE: Duration = Duration::from_millis(500);

/// The longest pause after a failure.
const LONGEST_PAUSE: Duration = Duration::from_secs(60);

/// What is there.
#[derive(Debug)]
pub(super) struct Listing {
    /// In the order of their paths.
    pub(super) found: Vec<Found>,
    /// When the listing began, as time since the Unix epoch.
    pub(super) at: Duration,
}

/// Makes listings in a task of its own: one, or one after another.
#[derive(Debug)]
pub(super) struct Discovery {
    config: Arc<SourceConfig>,
    env: Environment,
    running: Background<Listing>,
    /// Listings that failed in a row.
    failures: u32,
    /// Whether a listing succeeded, now or in the life of the state.
    listed: bool,
    /// A listing itself can't be aborted: it looks here from time to time.
    cancelled: Arc<AtomicBool>,
}

impl Drop for Discovery {
    fn drop(&mut self) {
        self.cancelled.store(true, Ordering::Relaxed);
    }
}

impl Discovery {
    /// Nothing is listed yet; `listed` when the state knows of a listing.
    pub(super) fn new(config: Arc<SourceConfig>, env: Environment, listed: bool) -> Self {
        let (running, cancelled) = (Background::idle(), Arc::new(AtomicBool::new(false)));
        Self { config, env, running, failures: 0, listed, cancelled }
    }

    /// Begins a listing after this pause.
    pub(super) fn start(&mut self, pause: Duration) {
        let (config, env, stop) = (Arc::clone(&self.config), self.env.clone(), Arc::clone(&self.cancelled));
        self.running = Background::start(&self.env, "list files", async move {
            if !pause.is_zero() {
                env.clock.sleep(pause).await;
            }
            let at = Duration::from_millis(u64::try_from(env.clock.now_millis()).unwrap_or(0));
            let job_env = env.clone();
            let continuous = config.watch.interval.is_some();
            let work = move || config.place.list(&config.selection, &job_env, continuous, &stop);
            let found = env.blocking("list files", work).await?;
            Ok(Listing { found, at })
        });
    }

    /// A listing, when one is done; the next one begins after the interval.
    ///
    /// # Errors
    ///
    /// That of the listing, when it failed too often in a row, or when a first one can't be mended by trying again.
    pub(super) fn poll(&mut self, cx: &mut Context<'_>) -> Result<Option<Listing>> {
        loop {
            match self.running.poll(cx) {
                Ok(None) => return Ok(None),
                Ok(Some(listing)) => {
                    (self.failures, self.listed) = (0, true);
                    if let Some(interval) = self.config.watch.interval {
                        self.start(interval);
                    }
                    return Ok(Some(listing));
                }
                Err(error) => self.failed(error)?,
            }
        }
    }

    fn failed(&mut self, error: Error) -> Result<()> {
        self.failures += 1;
        let may_mend = self.listed || error.is_retryable();
        if !may_mend || matches!(error, Error::Cancelled(_)) || self.failures > self.config.watch.retries {
            return Err(error);
        }
        let pause = backoff(self.failures);
        tracing::warn!(%error, failures = self.failures, ?pause, "listing failed and is tried again");
        count(FAILED_LISTINGS, 1);
        self.start(pause);
        Ok(())
    }
}

/// The pause after this many failures in a row.
pub(super) fn backoff(failures: u32) -> Duration {
    FIRST_PAUSE.saturating_mul(1 << failures.saturating_sub(1).min(16)).min(LONGEST_PAUSE)
}
