//! The sink by name.

use std::time::Duration;

use async_trait::async_trait;
use connector_api::factory::{FactoryContext, OptionSet, Options, SinkFactory};
use connector_api::sink::Sink;
use connector_api::{Error, MessageBatch, Result};

use super::config::{SinkConfig, SinkOptions};
use super::{KafkaSink, start};

/// Makes Kafka sinks from options.
#[derive(Clone, Copy, Debug, Default)]
pub struct KafkaSinkFactory;

/// How long a check waits for a cluster that does not answer.
const PATIENCE: Duration = Duration::from_secs(5);

fn read(options: &Options) -> Result<SinkConfig> {
    let parsed: SinkOptions = options.parse()?;
    parsed.checked(false, &|name, reason| options.error(name, reason))
}

#[async_trait]
impl SinkFactory<MessageBatch> for KafkaSinkFactory {
    fn options(&self) -> OptionSet {
        OptionSet::of::<SinkOptions>()
    }

    fn create(&self, options: &Options, _: &FactoryContext) -> Result<Box<dyn Sink<MessageBatch>>> {
        Ok(Box::new(KafkaSink::of(read(options)?, None)))
    }

    /// The cluster answers; for exactly once it also speaks what is needed and allows `transaction_timeout`. Whether the topic can be
    /// written to is told only by writing, which a check must not do.
    async fn check(&self, options: &Options, context: &FactoryContext) -> Result<()> {
        let config = read(options)?;
        let refuse = |e: Error| match e {
            Error::Config { option, reason } => options.error(&option, reason),
            other => options.error("bootstrap_servers", other.to_string()),
        };
        if let Some(transactions) = &config.transactions {
            let wire = config.connection.wire(&context.env, PATIENCE)?;
            return start::speaks(transactions, &wire).await.map(drop).map_err(refuse);
        }
        let Ok(wire) = config.connection.wire(&context.env, PATIENCE) else {
            // What our own client does not speak, librdkafka is asked.
            let producer = super::producer::Producer::open(&context.env, &config.client).map_err(refuse)?;
            let topic = config.options.topic.as_deref().unwrap_or_default();
            return producer.partitions(topic).await.map(drop).map_err(refuse);
        };
        let asked = wire.cluster().await;
        asked.map(drop).map_err(|e| options.error("bootstrap_servers", e.to_string()))
    }
}
