//! The sink by name.

use async_trait::async_trait;
use connector_api::factory::{FactoryContext, OptionSet, Options, SinkFactory};
use connector_api::sink::Sink;
use connector_api::{MessageBatch, Result};
use segment_store::Durability;

use super::config::{SinkConfig, SinkOptions};
use super::{PravegaSink, no_stream};
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

    /// The directory holds a store with this stream, or may become one. Nothing is written to it, and another process may be writing.
    async fn check(&self, options: &Options, context: &FactoryContext) -> Result<()> {
        let config = read(options, context)?;
        if config.at.options.durability == Durability::Memory {
            return Ok(());
        }
        let dir = |e: connector_api::Error| options.error("dir", e.to_string());
        if config.create.is_some() {
            return embedded::may_become_one(&context.env, &config.at).await.map_err(dir);
        }
        embedded::is_there(&context.env, &config.at).await.map_err(dir)?;
        if embedded::has_stream(&context.env, &config.at, &config.stream).await? {
            return Ok(());
        }
        Err(options.error("stream", no_stream(&config.stream)))
    }
}
