//! Checkpoints of this host: in memory, and durable by definition.

use std::collections::BTreeMap;

use bytes::Bytes;
use connector_api::id::CheckpointId;
use connector_api::sink::{Checkpoint, References};
use connector_api::source::{DynSplit, DynState, Split};
use connector_runtime::coordinate::checkpoint::TaskId;

/// A completed checkpoint.
#[derive(Clone, Debug)]
pub struct Stored {
    /// Its number.
    pub checkpoint: CheckpointId,
    /// Whether it is a savepoint.
    pub savepoint: bool,
    /// The enumerator's state.
    pub enumerator: DynState,
    /// The readers' splits.
    pub splits: Vec<DynSplit>,
    /// The writers' states.
    pub writers: Vec<Bytes>,
    /// The stages' states, by uid.
    pub stages: BTreeMap<String, Vec<Bytes>>,
    /// What waits to be committed: checkpoint, retries, committable.
    pub committables: Vec<(CheckpointId, u32, Bytes)>,
}

impl Stored {
    /// Everything of the sink.
    pub fn references(&self) -> Vec<Bytes> {
        let stages = self.stages.values().flatten();
        let committables = self.committables.iter().map(|(_, _, bytes)| bytes);
        self.writers.iter().chain(stages).chain(committables).cloned().collect()
    }
}

pub(super) fn references(checkpoints: &[Stored]) -> References {
    References::new(checkpoints.iter().flat_map(Stored::references).collect())
}

/// The parts of a checkpoint in flight, as tasks give them.
pub(super) struct Building {
    pub(super) checkpoint: Checkpoint,
    pub(super) enumerator: DynState,
    pub(super) parts: BTreeMap<TaskId, Part>,
}

/// What one task adds to a checkpoint.
pub(super) enum Part {
    Splits(Vec<DynSplit>),
    Writer(Vec<Bytes>),
    Stage(String, Vec<Bytes>),
    Committer(Vec<(CheckpointId, u32, Bytes)>),
}

impl Building {
    pub(super) fn finish(self) -> Stored {
        let mut stored = Stored {
            checkpoint: self.checkpoint.id,
            savepoint: self.checkpoint.savepoint,
            enumerator: self.enumerator,
            splits: Vec::new(),
            writers: Vec::new(),
            stages: BTreeMap::new(),
            committables: Vec::new(),
        };
        for part in self.parts.into_values() {
            match part {
                Part::Splits(splits) => stored.splits.extend(splits),
                Part::Writer(states) => stored.writers.extend(states),
                Part::Stage(uid, states) => stored.stages.entry(uid).or_default().extend(states),
                Part::Committer(pending) => stored.committables.extend(pending),
            }
        }
        stored.splits.sort_by_key(Split::id);
        stored
    }
}
