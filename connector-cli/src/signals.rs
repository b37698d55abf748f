//! SIGINT and SIGTERM.

use connector_api::{Error, Result};
use tokio::signal::unix::{Signal, SignalKind, signal};

/// Both signals, from the moment of [`install`](Signals::install): none is missed, and none ends the process by itself.
pub(crate) struct Signals {
    interrupt: Signal,
    terminate: Signal,
}

impl Signals {
    /// Takes the signals over.
    ///
    /// # Errors
    ///
    /// When the system refuses.
    pub(crate) fn install() -> Result<Self> {
        let take = |kind, name: &'static str| {
            signal(kind).map_err(|e| Error::config("signals", format!("{name} can't be taken over: {e}")))
        };
        Ok(Self {
            interrupt: take(SignalKind::interrupt(), "SIGINT")?,
            terminate: take(SignalKind::terminate(), "SIGTERM")?,
        })
    }

    /// The name of the next one. May be dropped and called again without missing one.
    pub(crate) async fn next(&mut self) -> &'static str {
        tokio::select! {
            Some(()) = self.interrupt.recv() => "SIGINT",
            Some(()) = self.terminate.recv() => "SIGTERM",
            // The streams of signals never end; if they did, there is nothing to wait for.
            else => std::future::pending().await,
        }
    }
}
