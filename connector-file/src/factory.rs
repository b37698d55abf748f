//! The connector by name.

use connector_api::MessageBatch;
use connector_api::factory::{ConnectorFactory, SinkFactory, SourceFactory};

use crate::{sink, source};

/// The connector `file`.
#[derive(Clone, Copy, Debug, Default)]
pub struct FileConnector;

impl ConnectorFactory<MessageBatch> for FileConnector {
    fn identifier(&self) -> &'static str {
        "file"
    }

    fn about(&self) -> &'static str {
        "Local files: reads a file, directory or glob; writes exactly-once part files, compacted if wanted."
    }

    fn source(&self) -> Option<&dyn SourceFactory<MessageBatch>> {
        Some(source::factory())
    }

    fn sink(&self) -> Option<&dyn SinkFactory<MessageBatch>> {
        Some(&sink::FileSinkFactory)
    }
}
