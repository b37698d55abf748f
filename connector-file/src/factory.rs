//! The connector by name.

use connector_api::factory::{ConnectorFactory, SinkFactory, SourceFactory};

use crate::format::FileBatch;
use crate::{sink, source};

/// The connector `file`.
#[derive(Clone, Copy, Debug, Default)]
pub struct FileConnector;

impl<B: FileBatch> ConnectorFactory<B> for FileConnector {
    fn identifier(&self) -> &'static str {
        "file"
    }

    fn about(&self) -> &'static str {
        "Local files: reads a file, directory or glob; writes exactly-once part files, compacted if wanted."
    }

    fn source(&self) -> Option<&dyn SourceFactory<B>> {
        Some(source::factory())
    }

    fn sink(&self) -> Option<&dyn SinkFactory<B>> {
        Some(&sink::FileSinkFactory)
    }
}
