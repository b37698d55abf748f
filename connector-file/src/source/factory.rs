//! The source by name.

use std::sync::Arc;

use async_trait::async_trait;
use connector_api::Result;
use connector_api::factory::{FactoryContext, OptionSet, Options, Payload, SourceFactory};
use connector_api::source::{BoxSource, erase};

use super::FileSource;
use super::config::{SourceConfig, SourceOptions};
use super::sample::sample;
use crate::format::FileBatch;

/// Makes file sources from options.
#[derive(Clone, Copy, Debug, Default)]
pub struct FileSourceFactory;

fn read<B: FileBatch>(options: &Options, context: &FactoryContext) -> Result<SourceConfig> {
    let parsed: SourceOptions = options.parse()?;
    parsed.checked::<B>(&context.base_dir, &|name| options.path(name))
}

#[async_trait]
impl<B: FileBatch> SourceFactory<B> for FileSourceFactory {
    fn options(&self) -> OptionSet {
        OptionSet::of::<SourceOptions>()
    }

    fn create(&self, options: &Options, context: &FactoryContext) -> Result<BoxSource<B>> {
        Ok(erase(FileSource::<B>::of(read::<B>(options, context)?)))
    }

    /// The path exists, and can be opened (a file) or listed (a directory, or the part of a glob without wildcards).
    async fn check(&self, options: &Options, context: &FactoryContext) -> Result<()> {
        let config = read::<B>(options, context)?;
        let env = context.env.clone();
        context.env.blocking("check the path", move || config.place.check(&config.selection, &env)).await
    }

    fn payload(&self, options: &Options) -> Result<Option<Payload>> {
        Ok(options.parse::<SourceOptions>()?.payload::<B>())
    }

    /// The rows that the first files in the order of their paths begin with.
    async fn sample(
        &self,
        options: &Options,
        context: &FactoryContext,
        max_rows: usize,
    ) -> Result<Option<Vec<B>>> {
        let config = Arc::new(read::<B>(options, context)?);
        sample(config, &context.env, max_rows).await.map(Some)
    }
}
