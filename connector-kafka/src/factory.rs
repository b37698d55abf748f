//! The connector by name.

use connector_api::MessageBatch;
use connector_api::factory::{ConnectorFactory, SinkFactory, SourceFactory};

use crate::sink;

/// The connector `kafka`.
#[derive(Clone, Copy, Debug, Default)]
pub struct KafkaConnector;

impl ConnectorFactory<MessageBatch> for KafkaConnector {
    fn identifier(&self) -> &'static str {
        "kafka"
    }

    fn about(&self) -> &'static str {
        "Apache Kafka: writes records to topics, exactly once in transactions that survive a crash."
    }

    fn source(&self) -> Option<&dyn SourceFactory<MessageBatch>> {
        None
    }

    fn sink(&self) -> Option<&dyn SinkFactory<MessageBatch>> {
        Some(&sink::KafkaSinkFactory)
    }
}
