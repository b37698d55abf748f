//! The connectors that `connect` knows: for messages, and (with the feature `parquet`) for columns.

use std::collections::BTreeMap;

use connector_api::factory::{ConnectorFactory, OptionSet, Registry, SinkFactory, SourceFactory};
use connector_api::{Error, MessageBatch, Result, RowBatch};
use connector_file::FileConnector;
use connector_pravega::PravegaConnector;

/// Batches of columns.
#[cfg(feature = "parquet")]
pub(crate) type Columns = connector_formats::ArrowBatch;
/// Batches of columns, of which a build without the feature `parquet` has none.
#[cfg(not(feature = "parquet"))]
pub(crate) type Columns = crate::convert::NoColumns;

/// All connectors, by what they carry. One name may stand in both: then it is one connector.
pub(crate) struct Registries {
    pub(crate) messages: Registry<MessageBatch>,
    pub(crate) columns: Registry<Columns>,
}

/// The factories of one end, by what its batches are. At least one of them is there.
pub(crate) struct Both<'a, M: ?Sized, C: ?Sized> {
    pub(crate) messages: Option<&'a M>,
    pub(crate) columns: Option<&'a C>,
}

pub(crate) type Sources<'a> = Both<'a, dyn SourceFactory<MessageBatch> + 'a, dyn SourceFactory<Columns> + 'a>;
pub(crate) type Sinks<'a> = Both<'a, dyn SinkFactory<MessageBatch> + 'a, dyn SinkFactory<Columns> + 'a>;

/// What is known of a connector, whatever it carries.
#[derive(Clone, Debug)]
pub(crate) struct About {
    pub(crate) name: &'static str,
    pub(crate) about: &'static str,
    pub(crate) source: Option<OptionSet>,
    pub(crate) sink: Option<OptionSet>,
}

/// All of them.
pub(crate) fn registries() -> Registries {
    #[cfg(feature = "parquet")]
    let columns = Registry::new().with(FileConnector);
    #[cfg(not(feature = "parquet"))]
    let columns = Registry::new();
    let messages = Registry::new().with(FileConnector).with(PravegaConnector);
    #[cfg(feature = "kafka")]
    let messages = messages.with(connector_kafka::KafkaConnector);
    Registries { messages, columns }
}

impl Registries {
    /// All connectors, by name.
    pub(crate) fn list(&self) -> Vec<About> {
        let mut all = BTreeMap::new();
        add(&self.columns, &mut all);
        add(&self.messages, &mut all);
        all.into_values().collect()
    }

    /// The connector `name`, which was given at `option`.
    ///
    /// # Errors
    ///
    /// [`Error::Config`] that lists the known names.
    pub(crate) fn get(&self, name: &str, option: &str) -> Result<About> {
        let all = self.list();
        let found = all.iter().find(|about| about.name == name).cloned();
        found.ok_or_else(|| {
            let known = names(&all, |_| true);
            Error::config(option, format!("there is no connector `{name}`; known: {known}"))
        })
    }

    /// The source of the connector `name`, which was given at `option`.
    ///
    /// # Errors
    ///
    /// [`Error::Config`] that lists what there is.
    pub(crate) fn source(&self, name: &str, option: &str) -> Result<Sources<'_>> {
        if self.get(name, option)?.source.is_none() {
            let known = names(&self.list(), |about| about.source.is_some());
            return Err(Error::config(
                option,
                format!("`{name}` has no source; connectors with one: {known}"),
            ));
        }
        Ok(Both {
            messages: self.messages.get(name, option).ok().and_then(ConnectorFactory::source),
            columns: self.columns.get(name, option).ok().and_then(ConnectorFactory::source),
        })
    }

    /// The sink of the connector `name`, which was given at `option`.
    ///
    /// # Errors
    ///
    /// [`Error::Config`] that lists what there is.
    pub(crate) fn sink(&self, name: &str, option: &str) -> Result<Sinks<'_>> {
        if self.get(name, option)?.sink.is_none() {
            let known = names(&self.list(), |about| about.sink.is_some());
            return Err(Error::config(option, format!("`{name}` has no sink; connectors with one: {known}")));
        }
        Ok(Both {
            messages: self.messages.get(name, option).ok().and_then(ConnectorFactory::sink),
            columns: self.columns.get(name, option).ok().and_then(ConnectorFactory::sink),
        })
    }
}

fn add<B: RowBatch>(registry: &Registry<B>, all: &mut BTreeMap<&'static str, About>) {
    for connector in registry.iter() {
        let name = connector.identifier();
        let about = About {
            name,
            about: connector.about(),
            source: connector.source().map(|factory| factory.options()),
            sink: connector.sink().map(|factory| factory.options()),
        };
        let known = all.remove(name);
        let (source, sink) = known.map_or((None, None), |known| (known.source, known.sink));
        all.insert(name, About { source: about.source.or(source), sink: about.sink.or(sink), ..about });
    }
}

fn names(all: &[About], which: impl Fn(&About) -> bool) -> String {
    let names = all.iter().filter(|about| which(about)).map(|about| format!("`{}`", about.name));
    names.collect::<Vec<_>>().join(", ")
}
