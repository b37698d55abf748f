//! The factories.

use async_trait::async_trait;
use connector_api::MessageBatch;
use connector_api::env::Environment;
use connector_api::factory::ConnectorFactory;
use connector_api::{Error, Result};
use connector_kafka::KafkaConnector;
use serde_json::{Value, json};
use testkit::factory::Values;
use testkit::{Example, FactorySubject};

pub(crate) struct KafkaFactory;

fn values(value: Value) -> Values {
    value.as_object().cloned().unwrap_or_default()
}

#[async_trait]
impl FactorySubject for KafkaFactory {
    type Batch = MessageBatch;

    fn factory(&self) -> Box<dyn ConnectorFactory<MessageBatch>> {
        Box::new(KafkaConnector)
    }

    fn source(&self) -> Option<Example> {
        None
    }

    fn sink(&self) -> Option<Example> {
        let bootstrap = super::broker::bootstrap().unwrap_or_default();
        Some(Example {
            options: values(json!({
                "bootstrap_servers": bootstrap, "topic": "copies", "delivery_guarantee": "at-least-once",
                "partitioner": "round-robin", "properties": { "compression.type": "zstd" },
            })),
            elsewhere: values(json!({ "topic": "others" })),
            tuned: values(json!({ "partitioner": "fixed", "properties": { "linger.ms": "20" } })),
            // The port of TCP's discard service: nobody is there.
            unreachable: values(json!({ "bootstrap_servers": "127.0.0.1:9" })),
        })
    }

    async fn prepare(&mut self, _: &Environment) -> Result<()> {
        super::broker::bootstrap().map(drop).map_err(|_| Error::config("bootstrap_servers", "no broker"))
    }
}
