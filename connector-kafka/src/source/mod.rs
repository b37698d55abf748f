//! The source.
//!
//! A split is a partition. The enumerator looks for partitions, resolves where each begins and stops, and stores that; a reader
//! has one client for all of its partitions and a queue for each.
//!
//! ```no_run
//! use connector_api::source::Source;
//! use connector_kafka::source::{KafkaSource, Offsets, SourceOptions};
//!
//! # fn main() -> connector_api::Result<()> {
//! let mut options = SourceOptions::topics("127.0.0.1:9092", ["orders"]);
//! options.stop = Some(Offsets::Latest);
//! let source = KafkaSource::new(&options)?;
//! # let _ = source.boundedness();
//! # Ok(())
//! # }
//! ```
//!
//! # What is promised
//!
//! - *Each record once.* The position is the offset behind the last record that was emitted, stored in checkpoints. The group's
//!   offsets are for others to look at; nothing is restored from them.
//! - *A start is resolved once.* "latest", a time and the group's offsets become offsets before anything is read, and are stored:
//!   records that come between the start and the first checkpoint after it are read, also in partitions that were empty. Until the
//!   first checkpoint, a restart is a first start and resolves anew.
//! - *A stop is a position.* A partition is at its stop when everything before it was read, markers of transactions and aborted
//!   records included, which the client does not show. "latest" is the end of each partition when the source is first started;
//!   under `read_committed` the last stable offset, so that an open transaction holds nothing up.
//! - *New partitions* are read from their first offset. The partition that was found as number n belongs to reader n modulo the
//!   number of readers; after a restore the host deals what was assigned before evenly.
//! - *Bytes.* A reader holds about `byte_budget` bytes that its host has not taken: half in the client, divided by the number of
//!   partitions that it begins with (at least 64 KiB each), half in batches. The client may overshoot by one fetch for each
//!   partition, and its book-keeping of about 350 bytes for each record comes on top (at most 100,000 records).
//! - *Pause and resume* reach the client: it stops fetching, and drops what it has fetched of the partition.
//!
//! # Errors
//!
//! A cluster that can't be reached holds reading up, for as long as it takes; the client tries again. What ends the attempt: an
//! offset out of range, a partition that is gone (both by option), a client that is refused (authentication, authorization), and
//! damaged records. [`SourceError`] says which of them may pass by a restart.
//!
//! # Rows
//!
//! Key and value, a null value as none (a tombstone), the timestamp as event time, and the columns [`TOPIC`], [`PARTITION`],
//! [`OFFSET`], [`TIMESTAMP`], [`TIMESTAMP_TYPE`], [`LEADER_EPOCH`] and, where a record of the batch has some, [`HEADERS`].

mod batch;
mod client;
mod cluster;
mod config;
mod context;
mod discovery;
mod enumerator;
mod error;
mod factory;
pub mod metrics;
mod offsets;
mod reader;
mod split;
mod state;
mod subscribe;
mod unsafe_queue;

use std::sync::Arc;

use connector_api::Result;
use connector_api::source::{Boundedness, EnumeratorSetup, ReaderContext, Source};
use connector_base::reader::{ReaderOptions, SplitFetchReader};

pub use batch::{HEADERS, LEADER_EPOCH, OFFSET, PARTITION, TIMESTAMP, TIMESTAMP_TYPE, TOPIC};
pub use config::{Ends, Isolation, OnOutOfRange, OnRemoved, SourceConfig, SourceOptions, ValueFormat};
pub use enumerator::{CRASH_POINTS, KafkaEnumerator};
pub use error::SourceError;
pub use factory::KafkaSourceFactory;
pub use offsets::{Fallback, Offsets, TopicPartition};
pub use reader::{KafkaHooks, KafkaReader, KafkaSplits};
pub use split::{KafkaSplit, Stop};
pub use state::KafkaEnumeratorState;
pub use subscribe::{ClusterTopics, Partitions, Subscriber, TopicPattern, Topics};

/// A source over partitions of topics.
#[derive(Clone, Debug)]
pub struct KafkaSource {
    config: Arc<SourceConfig>,
}

impl KafkaSource {
    /// A source of these options.
    ///
    /// # Errors
    ///
    /// [`Error::Config`](connector_api::Error::Config) naming the option.
    pub fn new(options: &SourceOptions) -> Result<Self> {
        Ok(Self::of(options.checked(None)?))
    }

    /// A source whose partitions this subscriber names; `topics`, `topic_pattern` and `partitions` are left aside.
    ///
    /// # Errors
    ///
    /// [`Error::Config`](connector_api::Error::Config) naming the option.
    pub fn subscribing(options: &SourceOptions, subscriber: Arc<dyn Subscriber>) -> Result<Self> {
        Ok(Self::of(options.checked(Some(subscriber))?))
    }

    fn of(config: SourceConfig) -> Self {
        Self { config: Arc::new(config) }
    }
}

impl Source for KafkaSource {
    type Enumerator = KafkaEnumerator;
    type Reader = SplitFetchReader<KafkaSplits>;

    fn boundedness(&self) -> Boundedness {
        if self.config.is_bounded { Boundedness::Bounded } else { Boundedness::Unbounded }
    }

    fn enumerator(
        &self,
        setup: EnumeratorSetup,
        restored: Option<KafkaEnumeratorState>,
    ) -> Result<KafkaEnumerator> {
        Ok(KafkaEnumerator::new(Arc::clone(&self.config), setup, restored))
    }

    fn reader(&self, context: ReaderContext) -> Result<Self::Reader> {
        let splits = KafkaSplits::new(Arc::clone(&self.config), context.env.clone(), context.reader.0);
        let hooks = splits.hooks(context.env.clone());
        // The client's budget is the other half. Splits are assigned unasked.
        let budget = u32::try_from(self.config.budget / 4).unwrap_or(u32::MAX);
        let options = ReaderOptions { splits: 0, budget };
        Ok(SplitFetchReader::new(splits, context.env, options).with_hooks(hooks))
    }
}

#[cfg(test)]
fn golden<T: connector_api::Stored>() -> testkit::golden::Golden<T> {
    testkit::golden::Golden::new(concat!(env!("CARGO_MANIFEST_DIR"), "/tests/golden"))
}
