//! What a checkpoint holds.

use std::collections::BTreeMap;

use bytes::Bytes;
use connector_api::id::RunId;
use connector_api::source::DynSplit;
use serde::{Deserialize, Serialize};

/// A completed checkpoint or savepoint: everything a job goes on from. States are in their own envelopes.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct CheckpointRecord {
    /// Its number.
    pub checkpoint: u64,
    /// Whether it is a savepoint.
    pub savepoint: bool,
    /// Whether the job ended with it: the input is read and nothing is pending.
    pub finished: bool,
    /// The run that it belongs to.
    pub run: RunId,
    /// The number of the attempt that made it.
    pub attempt: u64,
    /// When it was made, in milliseconds since the Unix epoch.
    pub time_millis: i64,
    /// What makes the state belong to a job: connectors, uids and identity options with their values.
    pub identity: BTreeMap<String, String>,
    /// The enumerator's state.
    pub enumerator: Option<Bytes>,
    /// Every split that a reader had, at its position. In no particular order.
    pub splits: Vec<DynSplit>,
    /// The writers' states; one entry is the unit of redistribution.
    pub writers: Vec<Bytes>,
    /// The stages' states by their uids.
    pub stages: BTreeMap<String, Vec<Bytes>>,
    /// What waits for its commit, of this and earlier checkpoints.
    pub committer: Vec<StoredCommittable>,
    /// Counts since the run began, by name: `records_in` and the like.
    pub totals: BTreeMap<String, u64>,
}

/// A committable that waits for its commit.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct StoredCommittable {
    /// The checkpoint that it belongs to.
    pub checkpoint: u64,
    /// How often a commit was tried.
    pub retries: u32,
    /// The committable in its envelope.
    pub bytes: Bytes,
}

connector_api::stored!(CheckpointRecord, "checkpoint");

impl Default for CheckpointRecord {
    fn default() -> Self {
        Self {
            checkpoint: 0,
            savepoint: false,
            finished: false,
            run: RunId(0),
            attempt: 0,
            time_millis: 0,
            identity: BTreeMap::new(),
            enumerator: None,
            splits: Vec::new(),
            writers: Vec::new(),
            stages: BTreeMap::new(),
            committer: Vec::new(),
            totals: BTreeMap::new(),
        }
    }
}
