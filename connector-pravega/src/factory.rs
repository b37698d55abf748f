//! The connector by name.

use connector_api::MessageBatch;
use connector_api::factory::{ConnectorFactory, SinkFactory, SourceFactory};

use crate::{sink, source};

/// The connector `pravega`.
#[derive(Clone, Copy, Debug, Default)]
pub struct PravegaConnector;

impl ConnectorFactory<MessageBatch> for PravegaConnector {
    fn identifier(&self) -> &'static str {
        "pravega"
    }

    fn about(&self) -> &'static str {
        "Streams in Pravega's model, in a directory: reads segments in the order of their keys; writes events exactly once, in transactions."
    }

    fn source(&self) -> Option<&dyn SourceFactory<MessageBatch>> {
        Some(&source::PravegaSourceFactory)
    }

    fn sink(&self) -> Option<&dyn SinkFactory<MessageBatch>> {
        Some(&sink::PravegaSinkFactory)
    }
}
