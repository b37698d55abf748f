//! The connector by name.

use connector_api::MessageBatch;
use connector_api::factory::{ConnectorFactory, SinkFactory, SourceFactory};

use crate::{sink, source};

/// The connector `kafka`.
#[derive(Clone, Copy, Debug, Default)]
pub struct KafkaConnector;

impl ConnectorFactory<MessageBatch> for KafkaConnector {
    fn identifier(&self) -> &'static str {
        "kafka"
    }

    fn about(&self) -> &'static str {
        "Apache Kafka: reads partitions of topics; writes records exactly once, in transactions that survive a crash."
    }

    fn source(&self) -> Option<&dyn SourceFactory<MessageBatch>> {
        Some(&source::KafkaSourceFactory)
    }

    fn sink(&self) -> Option<&dyn SinkFactory<MessageBatch>> {
        Some(&sink::KafkaSinkFactory)
    }
}
