//! The source.
//!
//! A split is a segment. The [enumerator](PravegaEnumerator) follows the stream from segment to segment over scaling; a reader has a
//! task for each of its segments.
//!
//! # What is promised
//!
//! - *Each event once.* The position is the offset behind the last event that was emitted, stored in checkpoints.
//! - *Keys stay in order*, also over scaling of the stream and rescaling of the job: a segment is read when a completed checkpoint holds
//!   all those that it follows on at their ends.
//! - *A start is resolved once*, and so is a stop. Until the first checkpoint a restart is a first start and resolves anew.
//! - *Nothing is skipped silently.* Truncated data fails the job, or is counted and logged.
//! - *Watermarks* are those that writers of the stream noted: behind a mark's cut no event is older than the mark.
//!
//! # Rows
//!
//! The event as value, without a key: the store keeps none. Columns [`SEGMENT`] and [`OFFSET`]. No event times.

mod config;
mod discovery;
mod enumerator;
mod factory;
mod finished;
mod keeping;
mod marks;
pub mod metrics;
mod reader;
mod split;
mod splits;
mod state;
#[cfg(test)]
mod tests;

use std::path::Path;
use std::sync::Arc;

use connector_api::source::{Boundedness, EnumeratorSetup, ReaderContext, Source};
use connector_api::{Error, Result};
use connector_base::reader::{ReaderOptions, SplitFetchReader};
use segment_store::StoreOptions;

pub use config::{OnTruncated, SourceOptions, Start, Stop};
pub use enumerator::{CRASH_POINTS, PravegaEnumerator};
pub use factory::PravegaSourceFactory;
pub use keeping::PravegaSegments;
pub use reader::{OFFSET, PravegaReader, SEGMENT};
pub use split::PravegaSplit;
pub use splits::{PravegaHooks, PravegaSplits};
pub use state::{PravegaEnumeratorState, Waiting};

use config::SourceConfig;

/// A source over the segments of a stream.
#[derive(Clone, Debug)]
pub struct PravegaSource {
    config: Arc<SourceConfig>,
}

impl PravegaSource {
    /// A source of these options. A relative directory is relative to `base`.
    ///
    /// # Errors
    ///
    /// [`Error::Config`] naming the option.
    pub fn new(options: &SourceOptions, base: &Path) -> Result<Self> {
        Ok(Self::of(options.checked(base, &|name, reason| Error::config(name, reason))?))
    }

    /// The store is opened with these options, whatever the source's say. All of a process that use one store say the same.
    #[must_use]
    pub fn kept_as(self, options: StoreOptions) -> Self {
        let mut config = (*self.config).clone();
        config.at.options = options;
        Self::of(config)
    }

    fn of(config: SourceConfig) -> Self {
        Self { config: Arc::new(config) }
    }
}

impl Source for PravegaSource {
    type Enumerator = PravegaEnumerator;
    type Reader = PravegaSegments;

    fn boundedness(&self) -> Boundedness {
        if self.config.stop.is_some() { Boundedness::Bounded } else { Boundedness::Unbounded }
    }

    fn enumerator(
        &self,
        setup: EnumeratorSetup,
        restored: Option<PravegaEnumeratorState>,
    ) -> Result<PravegaEnumerator> {
        Ok(PravegaEnumerator::new(Arc::clone(&self.config), setup, restored))
    }

    fn reader(&self, context: ReaderContext) -> Result<Self::Reader> {
        let splits = PravegaSplits::new(Arc::clone(&self.config), context.env.clone());
        let hooks = splits.hooks();
        // Splits are assigned unasked.
        let options = ReaderOptions { splits: 0, ..ReaderOptions::default() };
        let reader = SplitFetchReader::new(splits, context.env, options).with_hooks(hooks);
        Ok(PravegaSegments::new(reader))
    }
}

#[cfg(test)]
fn golden<T: connector_api::Stored>() -> testkit::golden::Golden<T> {
    testkit::golden::Golden::new(concat!(env!("CARGO_MANIFEST_DIR"), "/tests/golden"))
}
