//! The source by name.

use async_trait::async_trait;
use connector_api::factory::{FactoryContext, OptionSet, Options, Payload, SourceFactory};
use connector_api::source::{BoxSource, erase};
use connector_api::{Error, MessageBatch, Result};

use super::KafkaSource;
use super::cluster::Cluster;
use super::config::{SourceConfig, SourceOptions, ValueFormat};

/// Makes Kafka sources from options.
#[derive(Clone, Copy, Debug, Default)]
pub struct KafkaSourceFactory;

fn read(options: &Options) -> Result<SourceConfig> {
    let parsed: SourceOptions = options.parse()?;
    parsed.checked(None).map_err(|error| match error {
        Error::Config { option, reason } => options.error(&option, reason),
        other => other,
    })
}

#[async_trait]
impl SourceFactory<MessageBatch> for KafkaSourceFactory {
    fn options(&self) -> OptionSet {
        OptionSet::of::<SourceOptions>()
    }

    fn create(&self, options: &Options, _: &FactoryContext) -> Result<BoxSource<MessageBatch>> {
        Ok(erase(KafkaSource::of(read(options)?)))
    }

    fn payload(&self, options: &Options) -> Result<Option<Payload>> {
        Ok(Some(match read(options)?.value_format {
            ValueFormat::Bytes => Payload::Records,
            ValueFormat::Json => Payload::Json,
        }))
    }

    /// The cluster answers, and the partitions that are named are there.
    async fn check(&self, options: &Options, context: &FactoryContext) -> Result<()> {
        let config = read(options)?;
        let env = context.env.clone();
        let ask = move || config.subscriber.partitions(&Cluster::new(&config, &env)?, true).map(|_| ());
        context.env.blocking("asking the cluster", ask).await
    }
}
