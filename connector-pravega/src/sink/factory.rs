//! The sink by name.

use async_trait::async_trait;
use connector_api::factory::{FactoryContext, OptionSet, Options, SinkFactory};
use connector_api::sink::Sink;
use connector_api::{MessageBatch, Result};
use segment_store::Durability;

use super::PravegaSink;
use super::config::{SinkConfig, SinkOptions};
use crate::embedded;

/// Makes Pravega sinks from options.
#[derive(Clone, Copy, Debug, Default)]
pub struct PravegaSinkFactory;

fn read(options: &Options, context: &FactoryContext) -> Result<SinkConfig> {
    let parsed: SinkOptions = options.parse()?;
    parsed.checked(&context.base_dir, &|name, reason| options.error(name, reason))
}

#[async_trait]
impl SinkFactory<MessageBatch> for PravegaSinkFactory {
    fn options(&self) -> OptionSet {
        OptionSet::of::<SinkOptions>()
    }

    fn create(&self, options: &Options, context: &FactoryContext) -> Result<Box<dyn Sink<MessageBatch>>> {
        Ok(Box::new(PravegaSink::of(read(options, context)?)))
    }

    /// The directory holds a store, or may become one. Whether the stream is there is told only by opening it, which writes to it.
    async fn check(&self, options: &Options, context: &FactoryContext) -> Result<()> {
        let config = read(options, context)?;
        if config.at.options.durability == Durability::Memory {
            return Ok(());
        }
        let found = match config.at.makes {
            true => embedded::may_become_one(&context.env, &config.at).await,
            false => embedded::is_there(&context.env, &config.at).await,
        };
        found.map_err(|e| options.error("dir", e.to_string()))
    }
}
