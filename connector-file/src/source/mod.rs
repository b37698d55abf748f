//! The source over a file, a directory or a glob: bounded, or continuous.
//!
//! # The life of a file
//!
//! 1. The [enumerator](FileEnumerator) lists the files, in a task of its own, and notes size, modification time and file id
//!    of each. Each becomes one split, or several byte ranges of `split_size`.
//! 2. Readers ask for splits one by one. A reader reads the records that *start* in its range; the record that the range
//!    begins inside belongs to the split before.
//! 3. The [reader](FileReader) compares the file with what was noted when it opens it, after every read and at the end:
//!    a file that shrank, vanished or changed is an error that names it.
//!
//! A bounded source lists once, also over restores: files that appear later are not part of the input. A continuous one
//! lists again and again, and the enumerator remembers which paths it found.

mod config;
mod discovery;
mod disposal;
mod enumerator;
mod factory;
mod kept;
mod listing;
pub mod metrics;
mod objects;
mod place;
mod reader;
mod sample;
mod seen;
mod select;
mod split;
mod state;
#[cfg(test)]
mod tests;
mod watch;

use std::marker::PhantomData;
use std::path::Path;
use std::sync::Arc;

use connector_api::factory::SourceFactory;
use connector_api::source::{Boundedness, EnumeratorSetup, ReaderContext, Source};
use connector_api::{Error, MessageBatch, Result};
use connector_base::reader::{ReaderOptions, SplitFetchReader};

pub use config::{ReadOptions, SourceOptions};
pub use disposal::AfterRead;
pub use enumerator::{CRASH_POINTS, FileEnumerator};
pub use factory::FileSourceFactory;
pub use reader::{FileReader, FileSplits};
pub use seen::SeenPaths;
#[cfg(test)]
pub(crate) use split::cut;
pub use split::{FileSplit, FileState, RelativePath};
pub use state::{FileEnumeratorState, KeptFile};
pub use watch::{LateFiles, Order};

use crate::format::FileBatch;
use crate::place::{Place, Store};
use config::SourceConfig;

/// The source by name, for batches `B`.
pub(crate) fn factory<B: FileBatch>() -> &'static dyn SourceFactory<B> {
    &FileSourceFactory
}

/// A source over files, as batches `B`.
#[derive(Clone, Debug)]
pub struct FileSource<B = MessageBatch> {
    config: Arc<SourceConfig>,
    batch: PhantomData<fn() -> B>,
}

impl<B: FileBatch> FileSource<B> {
    /// A source of these options. A relative `path` is relative to `base_dir`.
    ///
    /// # Errors
    ///
    /// [`Error::Config`] naming the option.
    pub fn new(options: &SourceOptions, base_dir: &Path) -> Result<Self> {
        Ok(Self::of(options.checked::<B>(base_dir, &str::to_owned)?))
    }

    /// A source over a store that the program made; `path` is below its root.
    ///
    /// # Errors
    ///
    /// [`Error::Config`] naming the option.
    pub fn on(store: Arc<dyn Store>, options: &SourceOptions) -> Result<Self> {
        let (objects, below) =
            Place::within(store, &options.path, &|name, reason| Error::config(name, reason))?;
        Ok(Self::of(options.checked_on::<B>(objects, below, Path::new(""), &str::to_owned)?))
    }

    fn of(config: SourceConfig) -> Self {
        Self { config: Arc::new(config), batch: PhantomData }
    }
}

impl<B: FileBatch> Source for FileSource<B> {
    type Enumerator = FileEnumerator;
    type Reader = SplitFetchReader<FileSplits<B>>;

    fn boundedness(&self) -> Boundedness {
        match self.config.watch.interval {
            None => Boundedness::Bounded,
            Some(_) => Boundedness::Unbounded,
        }
    }

    fn enumerator(
        &self,
        setup: EnumeratorSetup,
        restored: Option<FileEnumeratorState>,
    ) -> Result<FileEnumerator> {
        FileEnumerator::new(Arc::clone(&self.config), setup.env, restored)
    }

    fn reader(&self, context: ReaderContext) -> Result<Self::Reader> {
        let splits = FileSplits::new(Arc::clone(&self.config), &context);
        Ok(SplitFetchReader::new(splits, context.env, ReaderOptions::default()))
    }
}
