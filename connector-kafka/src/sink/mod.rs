//! The sink: records in topics, exactly once if wanted.
//!
//! # The life of a row, exactly once
//!
//! A writer begins a transaction with the first row behind a checkpoint. At the barrier of the next checkpoint it flushes, and asks the
//! transaction's coordinator: only one that is open, in this producer's epoch, is handed over as a [committable](KafkaCommittable). From
//! then on the transaction outlives the process. When the checkpoint is complete, the committer commits it: by the producer that wrote
//! it, where that lives, else by EndTxn over the wire, from whichever process lives. It looks before it acts, and
//! what it finds has its outcome in [two tables](outcome_tables).
//! The sweep aborts what attempts that died left open and no checkpoint names.

mod committable;
mod committer;
mod config;
mod crash_points;
mod factory;
mod ids;
mod key;
mod member;
pub mod metrics;
mod outcomes;
mod pool;
mod producer;
mod routing;
mod start;
mod sweep;
mod writer;

use std::sync::Arc;
use std::time::Duration;

use connector_api::sink::{OperatorContext, Sink, SinkPlan, WriterContext};
use connector_api::{Error, MessageBatch, Result};

pub use committable::{KafkaCommittable, TransactionVersion};
pub use config::{DeliveryGuarantee, PartitionerOption, SinkOptions};
pub use crash_points::CRASH_POINTS;
pub use factory::KafkaSinkFactory;
pub use key::{KeyOptions, MissingKey};
pub use outcomes::outcome_tables;
pub use routing::{KafkaPartitioner, Target, TopicSelector};

use committer::KafkaCommitter;
use config::SinkConfig;
use pool::Pools;
use routing::{Partitions, Routing};
use sweep::KafkaSweep;
use writer::KafkaWriter;

/// How long a call to the cluster that fails in a way that may pass is tried again, before that is the host's business.
const PATIENCE: Duration = Duration::from_secs(30);

/// A sink of messages into topics.
#[derive(Debug)]
pub struct KafkaSink {
    config: Arc<SinkConfig>,
    routing: Routing,
    pools: Arc<Pools>,
}

impl KafkaSink {
    /// A sink of these options.
    ///
    /// # Errors
    ///
    /// [`Error::Config`] naming the option.
    pub fn new(options: &SinkOptions) -> Result<Self> {
        Ok(Self::of(options.checked(false, &|name, reason| Error::config(name, reason))?, None))
    }

    /// A sink whose rows go to the topics that `topics` says; the options name none.
    ///
    /// # Errors
    ///
    /// [`Error::Config`] naming the option.
    pub fn to(options: &SinkOptions, topics: impl TopicSelector) -> Result<Self> {
        let config = options.checked(true, &|name, reason| Error::config(name, reason))?;
        Ok(Self::of(config, Some(Arc::new(topics))))
    }

    /// Rows go to the partitions that `partitioner` says, whatever the options say.
    #[must_use]
    pub fn partitioned(mut self, partitioner: impl KafkaPartitioner) -> Self {
        self.routing.partitions = Partitions::By(Arc::new(partitioner));
        self
    }

    fn of(config: SinkConfig, topics: Option<Arc<dyn TopicSelector>>) -> Self {
        let mut routing = Routing::of(&config.options);
        if let Some(topics) = topics {
            routing.topics = topics;
        }
        Self { config: Arc::new(config), routing, pools: Arc::default() }
    }
}

impl Sink<MessageBatch> for KafkaSink {
    fn plan(&self) -> Result<SinkPlan<MessageBatch>> {
        let (config, routing, pools) = (self.config.clone(), self.routing.clone(), self.pools.clone());
        let writer = SinkPlan::writer(move |context: WriterContext| {
            let pool = pools.of(context.attempt);
            KafkaWriter::open(context, config.clone(), routing.clone(), pool)
        });
        let Some(transactions) = &self.config.transactions else { return Ok(writer.at_least_once()) };
        let (config, pools) = (self.config.clone(), self.pools.clone());
        let plan = writer.committer(move |context: OperatorContext| {
            let wire = config.connection.wire(&context.env, PATIENCE);
            let pool = pools.of(context.attempt);
            async move { Ok(KafkaCommitter::new(&context, wire?, pool)) }
        });
        Ok(plan.sweep(KafkaSweep { config: self.config.clone(), transactions: transactions.clone() }))
    }
}
