//! The connectors that `connect` knows.

use connector_api::factory::{ConnectorFactory, Registry, SinkFactory, SourceFactory};
use connector_api::{Error, MessageBatch, Result};
use connector_file::FileConnector;

/// All of them.
pub(crate) fn registry() -> Registry<MessageBatch> {
    Registry::new().with(FileConnector)
}

/// The source of the connector `name`, which was given at `option`.
///
/// # Errors
///
/// [`Error::Config`] that lists what there is.
pub(crate) fn source<'a>(
    registry: &'a Registry<MessageBatch>,
    name: &str,
    option: &str,
) -> Result<&'a dyn SourceFactory<MessageBatch>> {
    registry.get(name, option)?.source().ok_or_else(|| {
        let known = names(registry, |connector| connector.source().is_some());
        Error::config(option, format!("`{name}` has no source; connectors with one: {known}"))
    })
}

/// The sink of the connector `name`, which was given at `option`.
///
/// # Errors
///
/// [`Error::Config`] that lists what there is.
pub(crate) fn sink<'a>(
    registry: &'a Registry<MessageBatch>,
    name: &str,
    option: &str,
) -> Result<&'a dyn SinkFactory<MessageBatch>> {
    registry.get(name, option)?.sink().ok_or_else(|| {
        let known = names(registry, |connector| connector.sink().is_some());
        Error::config(option, format!("`{name}` has no sink; connectors with one: {known}"))
    })
}

fn names(
    registry: &Registry<MessageBatch>,
    which: impl Fn(&dyn ConnectorFactory<MessageBatch>) -> bool,
) -> String {
    let names = registry.iter().filter(|connector| which(*connector));
    names.map(|connector| format!("`{}`", connector.identifier())).collect::<Vec<_>>().join(", ")
}
