//! The sink: events in a stream, exactly once if wanted.
//!
//! # The life of a row, exactly once
//!
//! A writer begins a transaction with the first row behind a checkpoint. At the barrier of the next checkpoint all appends are durable, and
//! the store is asked: only a transaction that is open is handed over as a [committable](PravegaCommittable). From then on it outlives
//! the process. It is kept alive until it is settled, by this attempt or the next. When the checkpoint is complete the committer commits
//! it, and takes nothing but the transaction's state for proof. The sweep aborts what attempts that died left open and no checkpoint names.
//!
//! # At least once
//!
//! What is written is visible when the store has it, and a checkpoint waits until all is durable.

mod committable;
mod committer;
mod config;
mod crash_points;
mod factory;
mod ids;
mod keeper;
pub mod metrics;
mod routing;
mod sweep;
#[cfg(test)]
mod tests;
mod writer;

use std::path::Path;
use std::sync::Arc;

use connector_api::env::Environment;
use connector_api::sink::{Each, OperatorContext, Sink, SinkPlan, WriterContext};
use connector_api::{Error, MessageBatch, Result};
use segment_store::client::StoreClient;
use segment_store::{StoreOptions, StreamName};

pub use committable::PravegaCommittable;
pub use config::{DeliveryGuarantee, SinkOptions};
pub use crash_points::CRASH_POINTS;
pub use factory::PravegaSinkFactory;
pub use routing::RoutingKey;

use crate::embedded;
use crate::error::{failed, unless_missing};
use committer::PravegaCommitter;
use config::SinkConfig;
use keeper::Keepers;
use sweep::PravegaSweep;
use writer::PravegaWriter;

/// A sink of messages into a stream.
#[derive(Debug)]
pub struct PravegaSink {
    config: Arc<SinkConfig>,
    keepers: Arc<Keepers>,
}

impl PravegaSink {
    /// A sink of these options. A relative directory is relative to `base`.
    ///
    /// # Errors
    ///
    /// [`Error::Config`] naming the option.
    pub fn new(options: &SinkOptions, base: &Path) -> Result<Self> {
        Ok(Self::of(options.checked(base, &|name, reason| Error::config(name, reason))?))
    }

    /// The store is opened with these options, whatever the sink's say. All of a process that use one store say the same.
    #[must_use]
    pub fn kept_as(self, options: StoreOptions) -> Self {
        let mut config = (*self.config).clone();
        config.at.options = options;
        Self::of(config)
    }

    fn of(config: SinkConfig) -> Self {
        Self { config: Arc::new(config), keepers: Arc::default() }
    }
}

impl Sink<MessageBatch> for PravegaSink {
    fn plan(&self) -> Result<SinkPlan<MessageBatch>> {
        let (config, keepers) = (self.config.clone(), self.keepers.clone());
        let writer = SinkPlan::writer(move |context: WriterContext| {
            PravegaWriter::open(context, config.clone(), keepers.clone())
        });
        if self.config.guarantee == DeliveryGuarantee::AtLeastOnce {
            return Ok(writer.at_least_once());
        }
        let (config, keepers) = (self.config.clone(), self.keepers.clone());
        let plan = writer.committer(move |context: OperatorContext| {
            let committer = PravegaCommitter::new(context, config.clone(), keepers.clone());
            async move { Ok(Each(committer)) }
        });
        Ok(plan.sweep(PravegaSweep { config: self.config.clone() }))
    }
}

fn no_stream(stream: &StreamName) -> String {
    format!("there is no stream `{stream}`; set `create` to have it made")
}

/// Opens the store; makes the stream if it is missing and the options say so.
async fn open(env: &Environment, config: &SinkConfig) -> Result<Arc<dyn StoreClient>> {
    let (client, stream) = (embedded::open(env, &config.at).await?, &config.stream);
    let found = unless_missing(client.stream(stream).await, "ask for", stream)?;
    match (found, config.create) {
        (Some(_), _) => {}
        (None, None) => {
            return Err(Error::config("stream", no_stream(stream)));
        }
        (None, Some(segments)) => {
            // Another writer may be at it, too.
            let there = |made: segment_store::Result<()>| match made {
                Err(segment_store::Error::Exists(_)) => Ok(()),
                made => made.map_err(failed("make", stream)),
            };
            there(client.create_scope(&stream.scope).await)?;
            there(client.create_stream(stream, segments).await)?;
        }
    }
    Ok(client)
}
