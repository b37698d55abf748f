//! Where parts are staged until their commit.

use std::collections::BTreeSet;
use std::fmt::Debug;
use std::sync::Arc;

use async_trait::async_trait;
use connector_api::Result;
use connector_api::env::Environment;
use connector_api::sink::WriterContext;

use super::committable::WriterState;
use super::config::SinkConfig;
use super::local::LocalStaging;
use super::objects::ObjectStaging;
use super::part::Body;
use super::place::SinkPlace;

/// Makes the bodies of parts for one writer.
#[async_trait]
pub(crate) trait Staging: Send + Sync + Debug {
    /// Before the first part.
    async fn prepare(&self) -> Result<()>;

    /// The body of a new part, for rows that will appear under `name`. `staged` is its hidden name, which no other part has.
    async fn create(&self, name: &str, staged: &str) -> Result<Box<dyn Body>>;

    /// The body of a part that a checkpoint left open, with what it is now; none when it has become visible since. A part that
    /// needs a new name takes the one of number `counter`.
    async fn reopen(
        &self,
        context: &WriterContext,
        state: WriterState,
        counter: u64,
    ) -> Result<Option<(Box<dyn Body>, WriterState)>>;

    /// Makes the hidden names of new parts durable.
    async fn sync_names(&self, names: BTreeSet<String>) -> Result<()>;

    /// How many closed parts may be on their way to being durable at the same time.
    fn max_closing(&self) -> usize;
}

/// The staging of a sink's place.
pub(crate) fn staging(
    env: &Environment,
    config: &Arc<SinkConfig>,
    uid: super::naming::Uid,
) -> Box<dyn Staging> {
    match &config.place {
        SinkPlace::Local => Box::new(LocalStaging::new(env.clone(), config.clone())),
        SinkPlace::Objects(place) => Box::new(ObjectStaging::new(env.clone(), config, place.clone(), uid)),
    }
}
