//! What becomes of a frame or a snapshot: told once, to everybody who waits for it.

use std::sync::{Arc, OnceLock};

use tokio::sync::Notify;

use crate::error::{Error, Result};

#[derive(Debug, Default)]
struct Told {
    result: OnceLock<Result<()>>,
    /// Wakes without holding its lock: a task woken under a lock that it takes itself would sleep at once again.
    told: Notify,
}

/// What becomes of it. Cloning is cheap.
#[derive(Clone, Debug)]
pub(super) struct Outcome(Arc<Told>);

impl Outcome {
    /// An outcome, and who tells it.
    pub(super) fn new() -> (Teller, Self) {
        let told = Arc::<Told>::default();
        (Teller(told.clone()), Self(told))
    }

    /// What was told, if that was done.
    pub(super) fn told(&self) -> Option<&Result<()>> {
        self.0.result.get()
    }

    /// Waits until it is told.
    pub(super) async fn wait(&self) -> Result<()> {
        loop {
            let mut told = std::pin::pin!(self.0.told.notified());
            told.as_mut().enable();
            if let Some(result) = self.told() {
                return result.clone();
            }
            told.await;
        }
    }
}

/// Tells an [`Outcome`]: [`Error::Closed`] if it is dropped without a word.
#[derive(Debug)]
pub(super) struct Teller(Arc<Told>);

impl Teller {
    pub(super) fn tell(self, result: Result<()>) {
        // Nobody else sets it, and dropping wakes those who wait.
        let _ = self.0.result.set(result);
    }
}

impl Drop for Teller {
    fn drop(&mut self) {
        // Unless it was told.
        let _ = self.0.result.set(Err(Error::Closed));
        self.0.told.notify_waiters();
    }
}

#[cfg(test)]
mod tests {
    use futures::FutureExt;

    use super::*;

    #[tokio::test]
    async fn everybody_who_waits_is_told() {
        let (teller, outcome) = Outcome::new();
        let mut waiting: Vec<_> = (0..100)
            .map(|_| {
                tokio::spawn({
                    let outcome = outcome.clone();
                    async move { outcome.wait().await }
                })
            })
            .collect();
        tokio::task::yield_now().await;
        assert!(outcome.told().is_none() && outcome.wait().now_or_never().is_none());
        teller.tell(Ok(()));
        for waiting in waiting.drain(..) {
            waiting.await.unwrap().unwrap();
        }
        outcome.wait().await.unwrap();
    }

    #[tokio::test]
    async fn what_is_dropped_without_a_word_is_closed() {
        let (teller, outcome) = Outcome::new();
        let waiting = tokio::spawn({
            let outcome = outcome.clone();
            async move { outcome.wait().await }
        });
        tokio::task::yield_now().await;
        drop(teller);
        assert!(matches!(waiting.await.unwrap(), Err(Error::Closed)));
        assert!(matches!(outcome.told(), Some(Err(Error::Closed))));
    }
}
