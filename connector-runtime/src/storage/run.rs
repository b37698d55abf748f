//! The small records beside the checkpoints.

use connector_api::id::RunId;
use serde::{Deserialize, Serialize};

/// The run that a directory is at.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(super) struct RunRecord {
    pub(super) run: RunId,
    /// Runs whose checkpoints this run may go on from, oldest first.
    pub(super) ancestors: Vec<Ancestor>,
    /// The attempts of this run so far.
    pub(super) attempts: u64,
    /// Checkpoint numbers up to this may have been used.
    pub(super) reserved: u64,
    /// Where the run goes on from until it has a checkpoint of its own.
    pub(super) base: Base,
}

/// Checkpoints with numbers up to `until` of a run.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(super) struct Ancestor {
    pub(super) run: RunId,
    pub(super) until: u64,
}

/// What a start chose. Checkpoints with numbers above `after` were made since.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub(super) struct Base {
    pub(super) after: u64,
    /// The name of the file in the directory; none for a run that began from nothing.
    pub(super) start: Option<String>,
    /// When that file was restored the user accepted duplicates up to this high-water mark.
    pub(super) accepted: u64,
}

connector_api::stored!(RunRecord, "checkpoint-run");

impl RunRecord {
    /// Whether a checkpoint is of this run or of an ancestor's part of the lineage.
    pub(super) fn has(&self, run: RunId, checkpoint: u64) -> bool {
        self.run == run
            || self.ancestors.iter().any(|ancestor| ancestor.run == run && checkpoint <= ancestor.until)
    }
}

/// The newest checkpoint whose commits may have begun.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(super) struct HighWater {
    pub(super) run: RunId,
    pub(super) checkpoint: u64,
}

connector_api::stored!(HighWater, "checkpoint-high-water");
