//! Connectors by name: factories, a registry, and options that are typed and documented in one place.

mod options;
mod payload;
mod units;

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use async_trait::async_trait;

use crate::env::Environment;
use crate::sink::Sink;
use crate::source::BoxSource;
use crate::{Error, Result, RowBatch};

pub use options::{OptionSet, OptionSpec, Options};
pub use payload::Payload;
pub use units::{ByteSize, Span};

/// What a factory is called with, besides the options.
#[derive(Clone, Debug)]
pub struct FactoryContext {
    /// The edges of the world.
    pub env: Environment,
    /// The directory that relative paths in options are relative to (that of the pipeline's file).
    pub base_dir: PathBuf,
}

impl FactoryContext {
    /// A path from an option, made absolute against [`base_dir`](Self::base_dir).
    pub fn resolve(&self, path: impl AsRef<Path>) -> PathBuf {
        self.base_dir.join(path)
    }
}

/// A connector for batches `B`: what [`Registry`] holds.
pub trait ConnectorFactory<B: RowBatch>: Send + Sync {
    /// The name in configurations: `file`.
    fn identifier(&self) -> &'static str;

    /// What it connects to, in one line.
    fn about(&self) -> &'static str;

    /// Its source, if it has one.
    fn source(&self) -> Option<&dyn SourceFactory<B>>;

    /// Its sink, if it has one.
    fn sink(&self) -> Option<&dyn SinkFactory<B>>;
}

/// Makes sources from options.
#[async_trait]
pub trait SourceFactory<B: RowBatch>: Send + Sync {
    /// The options, from the one struct that also parses them.
    fn options(&self) -> OptionSet;

    /// Makes the source. Checks everything that can be told from the options alone; no I/O.
    ///
    /// # Errors
    ///
    /// [`Error::Config`] naming the option.
    fn create(&self, options: &Options, context: &FactoryContext) -> Result<BoxSource<B>>;

    /// Whether what the options point at can be reached. Moves and changes nothing.
    ///
    /// # Errors
    ///
    /// What stands in the way, naming the option, path or address.
    async fn check(&self, options: &Options, context: &FactoryContext) -> Result<()>;

    /// What the rows of its batches are with these options, told from the options alone; none when it can't carry what they
    /// ask for as batches `B`, and another registry's factory of the same name may. By default bytes.
    ///
    /// # Errors
    ///
    /// [`Error::Config`] naming the option, for options that [`create`](Self::create) refuses whatever the batch type.
    fn payload(&self, options: &Options) -> Result<Option<Payload>> {
        let _ = options;
        Ok(Some(Payload::Bytes))
    }

    /// The first rows of what a source of these options would read now, to look at: batches of `max_rows` rows together, or
    /// of less when there are no more. None when it can't give any without a reader and its position; that is the default.
    /// Reads as [`check`](Self::check) does: moves and changes nothing.
    ///
    /// # Errors
    ///
    /// What stands in the way of reading, naming the option, path or address.
    async fn sample(
        &self,
        options: &Options,
        context: &FactoryContext,
        max_rows: usize,
    ) -> Result<Option<Vec<B>>> {
        let _ = (options, context, max_rows);
        Ok(None)
    }
}

/// Makes sinks from options.
#[async_trait]
pub trait SinkFactory<B: RowBatch>: Send + Sync {
    /// The options, from the one struct that also parses them.
    fn options(&self) -> OptionSet;

    /// Makes the sink. Checks everything that can be told from the options alone; no I/O.
    ///
    /// # Errors
    ///
    /// [`Error::Config`] naming the option.
    fn create(&self, options: &Options, context: &FactoryContext) -> Result<Box<dyn Sink<B>>>;

    /// Whether what the options point at can be reached. Moves and changes nothing.
    ///
    /// # Errors
    ///
    /// What stands in the way, naming the option, path or address.
    async fn check(&self, options: &Options, context: &FactoryContext) -> Result<()>;

    /// What the rows of its batches have to be with these options, told from the options alone; none when it can't carry
    /// what they ask for as batches `B`, and another registry's factory of the same name may. By default bytes.
    ///
    /// # Errors
    ///
    /// [`Error::Config`] naming the option, for options that [`create`](Self::create) refuses whatever the batch type.
    fn payload(&self, options: &Options) -> Result<Option<Payload>> {
        let _ = options;
        Ok(Some(Payload::Bytes))
    }
}

/// The connectors that a program knows, for one kind of batch.
#[derive(Clone)]
pub struct Registry<B> {
    factories: BTreeMap<&'static str, Arc<dyn ConnectorFactory<B>>>,
}

impl<B: RowBatch> Registry<B> {
    /// No connectors.
    pub fn new() -> Self {
        Self { factories: BTreeMap::new() }
    }

    /// Adds a connector; one of the same name is replaced.
    #[must_use]
    pub fn with(mut self, factory: impl ConnectorFactory<B> + 'static) -> Self {
        self.factories.insert(factory.identifier(), Arc::new(factory));
        self
    }

    /// All connectors, by name.
    pub fn iter(&self) -> impl Iterator<Item = &dyn ConnectorFactory<B>> {
        self.factories.values().map(|f| &**f)
    }

    /// The connector of this name. `option` is where the name was given, for the error.
    ///
    /// # Errors
    ///
    /// [`Error::Config`] that lists the known names.
    pub fn get(&self, name: &str, option: &str) -> Result<&dyn ConnectorFactory<B>> {
        self.factories.get(name).map(|f| &**f).ok_or_else(|| {
            let known: Vec<_> = self.factories.keys().map(|k| format!("`{k}`")).collect();
            Error::config(option, format!("there is no connector `{name}`; known: {}", known.join(", ")))
        })
    }
}

impl<B: RowBatch> Default for Registry<B> {
    fn default() -> Self {
        Self::new()
    }
}
