//! What the client calls back: errors, statistics, results of commits, its log.

use std::sync::{Arc, Mutex, PoisonError};

use rdkafka::client::ClientContext;
use rdkafka::config::RDKafkaLogLevel;
use rdkafka::consumer::ConsumerContext;
use rdkafka::error::{KafkaError, KafkaResult};
use rdkafka::{Statistics, TopicPartitionList};

use super::error::is_refusal;

/// What a reader wants to hear of its client.
pub(super) trait Listener: Send + Sync + 'static {
    /// The cluster does not let this client in.
    fn refused(&self, why: &str);
    /// How far partitions go and were fetched.
    fn statistics(&self, statistics: &Statistics);
    /// Offsets were committed, or were not.
    fn committed(&self, offsets: &TopicPartitionList, result: KafkaResult<()>);
}

/// What the client calls back. Only within calls of `poll`.
#[derive(Clone, Default)]
pub(super) struct Context {
    listener: Option<Arc<dyn Listener>>,
    last: Arc<Mutex<Option<String>>>,
}

impl Context {
    pub(super) fn new(listener: Arc<dyn Listener>) -> Self {
        Self { listener: Some(listener), last: Arc::default() }
    }

    /// The last error of a connection: why a call timed out, probably.
    pub(super) fn take_last(&self) -> Option<String> {
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
        if error.rdkafka_error_code().is_some_and(is_refusal)
            && let Some(listener) = &self.listener
        {
            listener.refused(reason);
        }
        *self.last.lock().unwrap_or_else(PoisonError::into_inner) = Some(reason.to_owned());
    }
}

impl ConsumerContext for Context {
    fn commit_callback(&self, result: KafkaResult<()>, offsets: &TopicPartitionList) {
        if let Some(listener) = &self.listener {
            listener.committed(offsets, result);
        }
    }
}
