//! What the client calls back: errors, statistics, its log.

use std::sync::{Arc, Mutex, PoisonError};

use rdkafka::Statistics;
use rdkafka::client::{ClientContext, OAuthToken};
use rdkafka::config::RDKafkaLogLevel;
use rdkafka::consumer::ConsumerContext;
use rdkafka::error::KafkaError;

use crate::error::is_refusal;
use crate::security::Tokens;

/// What a reader wants to hear of its client.
pub(super) trait Listener: Send + Sync + 'static {
    /// The cluster does not let this client in.
    fn refused(&self, why: &str);
    /// How far partitions go and were fetched.
    fn statistics(&self, statistics: &Statistics);
}

/// What the client calls back. Only within calls of `poll`.
#[derive(Clone)]
pub(super) struct Context {
    listener: Option<Arc<dyn Listener>>,
    last: Arc<Mutex<Option<Met>>>,
    tokens: Tokens,
}

/// An error of a connection.
#[derive(Clone)]
pub(super) struct Met {
    pub(super) reason: String,
    /// The cluster does not let this client in.
    pub(super) is_refusal: bool,
}

impl Context {
    pub(super) fn new(tokens: Tokens) -> Self {
        Self { listener: None, last: Arc::default(), tokens }
    }

    pub(super) fn listening(self, listener: Arc<dyn Listener>) -> Self {
        Self { listener: Some(listener), ..self }
    }

    /// Whether the cluster does not let this client in.
    pub(super) fn is_refused(&self) -> bool {
        let last = self.last.lock().unwrap_or_else(PoisonError::into_inner);
        last.as_ref().is_some_and(|last| last.is_refusal)
    }

    /// The last error of a connection: why a call timed out, probably.
    pub(super) fn take_last(&self) -> Option<Met> {
        self.last.lock().unwrap_or_else(PoisonError::into_inner).take()
    }
}

impl ClientContext for Context {
    fn log(&self, level: RDKafkaLogLevel, facility: &str, message: &str) {
        match level {
            RDKafkaLogLevel::Emerg
            | RDKafkaLogLevel::Alert
            | RDKafkaLogLevel::Critical
            | RDKafkaLogLevel::Error => tracing::warn!(facility, "{message}"),
            RDKafkaLogLevel::Warning | RDKafkaLogLevel::Notice => tracing::info!(facility, "{message}"),
            RDKafkaLogLevel::Info | RDKafkaLogLevel::Debug => tracing::debug!(facility, "{message}"),
        }
    }

    fn stats(&self, statistics: Statistics) {
        if let Some(listener) = &self.listener {
            listener.statistics(&statistics);
        }
    }

    fn error(&self, error: KafkaError, reason: &str) {
        tracing::debug!(%error, reason, "the client met an error");
        let is_refusal = is_refusal(&error, reason);
        if is_refusal && let Some(listener) = &self.listener {
            listener.refused(reason);
        }
        let mut last = self.last.lock().unwrap_or_else(PoisonError::into_inner);
        // "All brokers are down" follows, and says less.
        if is_refusal || !last.as_ref().is_some_and(|last| last.is_refusal) {
            *last = Some(Met { reason: reason.to_owned(), is_refusal });
        }
    }

    const ENABLE_REFRESH_OAUTH_TOKEN: bool = true;

    fn generate_oauth_token(&self, config: Option<&str>) -> Result<OAuthToken, Box<dyn std::error::Error>> {
        self.tokens.refresh(config)
    }
}

impl ConsumerContext for Context {}
