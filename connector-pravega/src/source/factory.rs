//! The source by name.

use async_trait::async_trait;
use connector_api::factory::{FactoryContext, OptionSet, Options, SourceFactory};
use connector_api::source::{BoxSource, erase};
use connector_api::{MessageBatch, Result};
use segment_store::Durability;

use super::PravegaSource;
use super::config::{SourceConfig, SourceOptions};
use crate::embedded;

/// Makes Pravega sources from options.
#[derive(Clone, Copy, Debug, Default)]
pub struct PravegaSourceFactory;

fn read(options: &Options, context: &FactoryContext) -> Result<SourceConfig> {
    let parsed: SourceOptions = options.parse()?;
    parsed.checked(&context.base_dir, &|name, reason| options.error(name, reason))
}

#[async_trait]
impl SourceFactory<MessageBatch> for PravegaSourceFactory {
    fn options(&self) -> OptionSet {
        OptionSet::of::<SourceOptions>()
    }

    fn create(&self, options: &Options, context: &FactoryContext) -> Result<BoxSource<MessageBatch>> {
        Ok(erase(PravegaSource::of(read(options, context)?)))
    }

    /// The directory holds a store with this stream. Nothing is written to it, and another process may be writing.
    async fn check(&self, options: &Options, context: &FactoryContext) -> Result<()> {
        let config = read(options, context)?;
        if config.at.options.durability == Durability::Memory {
            return Ok(());
        }
        let found = embedded::is_there(&context.env, &config.at).await;
        found.map_err(|e| options.error("dir", e.to_string()))?;
        if embedded::has_stream(&context.env, &config.at, &config.stream).await? {
            return Ok(());
        }
        let (dir, stream) = (config.at.dir.display(), &config.stream);
        Err(options.error("stream", format!("{dir} holds no stream `{stream}`")))
    }
}
