//! The connector by name: `journal`, with one option.

use std::io::ErrorKind;
use std::path::PathBuf;

use async_trait::async_trait;
use connector_api::factory::{
    ConnectorFactory, FactoryContext, OptionSet, Options, SinkFactory, SourceFactory,
};
use connector_api::sink::Sink;
use connector_api::source::{BoxSource, erase};
use connector_api::{Error, MessageBatch, Result};
use schemars::JsonSchema;
use serde::Deserialize;

use crate::sink::JournalSink;
use crate::source::JournalSource;

/// The options of source and sink.
#[derive(Clone, Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct JournalOptions {
    /// The directory of the journals. Relative paths are relative to the pipeline's file.
    #[schemars(extend("x-identity" = true))]
    pub dir: PathBuf,
}

fn dir(options: &Options, context: &FactoryContext) -> Result<PathBuf> {
    let JournalOptions { dir } = options.parse()?;
    if dir.as_os_str().is_empty() {
        return Err(options.error("dir", "is empty; give a directory"));
    }
    Ok(context.resolve(dir))
}

/// Lists the directory; `may_be_missing` when it is made later.
async fn list(options: &Options, context: &FactoryContext, may_be_missing: bool) -> Result<()> {
    let (dir, fs, option) = (dir(options, context)?, context.env.fs.clone(), options.path("dir"));
    let list = move || match fs.list(&dir) {
        Ok(_) => Ok(()),
        Err(e) if may_be_missing && e.kind() == ErrorKind::NotFound => Ok(()),
        Err(e) => Err(Error::config(option, format!("can't list {}: {e}", dir.display()))),
    };
    context.env.blocking("list the directory", list).await
}

/// Makes journal sources and sinks from options.
#[derive(Clone, Copy, Debug, Default)]
pub struct Journal;

#[async_trait]
impl SourceFactory<MessageBatch> for Journal {
    fn options(&self) -> OptionSet {
        OptionSet::of::<JournalOptions>()
    }

    fn create(&self, options: &Options, context: &FactoryContext) -> Result<BoxSource<MessageBatch>> {
        Ok(erase(JournalSource { dir: dir(options, context)? }))
    }

    async fn check(&self, options: &Options, context: &FactoryContext) -> Result<()> {
        list(options, context, false).await
    }
}

#[async_trait]
impl SinkFactory<MessageBatch> for Journal {
    fn options(&self) -> OptionSet {
        OptionSet::of::<JournalOptions>()
    }

    fn create(&self, options: &Options, context: &FactoryContext) -> Result<Box<dyn Sink<MessageBatch>>> {
        Ok(Box::new(JournalSink { dir: dir(options, context)? }))
    }

    async fn check(&self, options: &Options, context: &FactoryContext) -> Result<()> {
        list(options, context, true).await
    }
}

impl ConnectorFactory<MessageBatch> for Journal {
    fn identifier(&self) -> &'static str {
        "journal"
    }

    fn about(&self) -> &'static str {
        "Journals: files of length-prefixed records, exactly once. The connector of the tutorial."
    }

    fn source(&self) -> Option<&dyn SourceFactory<MessageBatch>> {
        Some(self)
    }

    fn sink(&self) -> Option<&dyn SinkFactory<MessageBatch>> {
        Some(self)
    }
}
