//! Finished buckets: a manifest and a mark, written once nothing of a bucket is missing.
//!
//! # The life of a finish
//!
//! At each checkpoint every writer says how far it is. The tracker (one, before compaction) counts the parts of each bucket, and
//! once all writers have passed the end of a bucket, it sends word of how many parts went into it. That word
//! goes the way of the parts, through the commit, to the finisher (one, behind the committer). This one counts the parts that became
//! visible, a merged file as many as it consists of, and when none is missing it writes the manifest, then the mark.
//! Late parts are counted anew, and extend the manifest.

mod finisher;
mod manifest;
mod marks;
mod progress;
mod state;
mod tracker;

use std::sync::Arc;

use connector_api::factory::Span;
use connector_api::sink::{Parallelism, Partition, Topology};
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use super::committable::FileCommittable;
use super::config::SinkConfig;

pub(crate) use finisher::Finisher;
pub use manifest::{MANIFEST, Manifest, ManifestFile, SUCCESS};
pub(crate) use progress::Progress;
pub(crate) use tracker::Tracker;

/// The uid of the stage that tells when a bucket is finished.
pub const TRACKER_UID: &str = "file-bucket-tracker";
/// The uid of the stage that says so in the bucket's directory.
pub const FINISHER_UID: &str = "file-bucket-finisher";
/// What the user is told who leaves `on_finished` out while state of it exists.
pub(super) const ABSENT_HINT: &str = "the checkpoint holds buckets that are not finished: keep sink.on_finished until a run has \
     ended by the end of its input";

/// What is done in the directory of a bucket once nothing of it is missing.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, default)]
pub struct OnFinished {
    /// Write an empty file `_SUCCESS`.
    pub success: bool,
    /// Write `_manifest.json`, which lists the files; before `_SUCCESS`.
    pub manifest: bool,
    /// How long after its end a bucket is finished: the longer, the fewer late records. At the end of the input all are
    /// finished at once.
    pub delay: Span,
}

impl Default for OnFinished {
    fn default() -> Self {
        Self { success: true, manifest: true, delay: Span(std::time::Duration::ZERO) }
    }
}

/// The stage before compaction.
pub(crate) fn tracking(
    config: &Arc<SinkConfig>,
    on: &OnFinished,
) -> Topology<FileCommittable, FileCommittable> {
    let (config, delay) = (config.clone(), on.delay.0);
    Topology::new().stage(TRACKER_UID, Parallelism::One, Partition::Rebalance, move |context, states| {
        let tracker = Tracker::open(&context, config.clone(), delay, states);
        async move { Ok(tracker) }
    })
}

/// The stage behind the committer.
pub(crate) fn finishing(
    config: &Arc<SinkConfig>,
    on: &OnFinished,
) -> Topology<FileCommittable, FileCommittable> {
    let (config, on) = (config.clone(), on.clone());
    Topology::new().stage(FINISHER_UID, Parallelism::One, Partition::Rebalance, move |context, states| {
        let finisher = Finisher::open(&context, &config, on.clone(), states);
        async move { Ok(finisher) }
    })
}
