//! Compaction of small parts, as stages between writers and committer.
//!
//! # The life of a merge
//!
//! The coordinator (one) takes what all writers staged. Parts near the wanted size pass at once; the others are held until
//! enough checkpoints went by, then packed into requests, in the order of their names. A compactor (as many as there are
//! committers) holds a request until its checkpoint is complete, copies the parts into one hidden file in the background, and at
//! the next barrier hands over *one* committable: publish the result, then remove the inputs. Until its commit, every file
//! involved bears a hidden name; nothing is visible twice, and nothing visible goes away.

mod compactor;
mod coordinator;
mod merge;
mod pack;
mod present;
mod rewrite;
mod state;

use std::sync::Arc;

use connector_api::sink::{Parallelism, Partition, Topology};

use super::committable::FileCommittable;
use super::config::{Compaction, SinkConfig};

pub(crate) use compactor::Compactor;
pub(crate) use coordinator::Coordinator;
pub(crate) use rewrite::check_rows;
pub(crate) use state::{CompactorState, CoordinatorState, Request};

/// The uid of the coordinator's stage.
pub const COORDINATOR_UID: &str = "file-compaction-coordinator";
/// The uid of the compactors' stage.
pub const COMPACTOR_UID: &str = "file-compactor";
/// What the user is told who leaves compaction out while state of it exists.
pub const ABSENT_HINT: &str = "the checkpoint holds parts that wait to be merged: set sink.compaction = \"drain\" to publish \
     them as they are, and leave it out once that run has ended";

/// Both stages, behind these.
pub(crate) fn topology(
    before: Topology<FileCommittable, FileCommittable>,
    config: &Arc<SinkConfig>,
    compaction: &Compaction,
) -> Topology<FileCommittable, FileCommittable> {
    let (for_coordinator, compaction) = (config.clone(), compaction.clone());
    let (for_compactor, drains) = (config.clone(), compaction == Compaction::Drain);
    before
        .stage(COORDINATOR_UID, Parallelism::One, Partition::Rebalance, move |context, states| {
            let (config, compaction) = (for_coordinator.clone(), compaction.clone());
            async move { Coordinator::open(context, config, &compaction, states).await }
        })
        .stage(COMPACTOR_UID, Parallelism::Same, Partition::Rebalance, move |context, states| {
            Compactor::open(context, for_compactor.clone(), drains, states)
        })
}
