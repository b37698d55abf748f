//! Identifiers, each a type of its own.

use std::fmt;
use std::sync::Arc;

use serde::{Deserialize, Serialize};

/// The number of a checkpoint. Rises within an attempt; after a restore the host goes on above the highest number it has
/// ever triggered *and persisted*, so a number may be used again by a later attempt: never use it alone in an external name.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
pub struct CheckpointId(pub u64);

/// The index of a reader among the readers of one source: `0..parallelism`.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
pub struct ReaderId(pub u32);

/// One lineage of a job's state: made when a job starts without state, kept by every restore.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
pub struct RunId(pub u64);

/// One execution of a job: a start of the process or a restart after a failure.
///
/// The number is made durable before the attempt begins and is never used twice within a run. Whatever a connector
/// creates outside (files, transactions, subscriptions) carries it, so that two attempts never collide and what a dead
/// attempt left behind can be told from what is in use.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
pub struct AttemptId {
    /// The run that this attempt belongs to.
    pub run: RunId,
    /// Counts the attempts of a run, from 1.
    pub number: u64,
}

/// The identifier of a split: unique within its source for ever. It is the key of state, watermarks and metrics.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
pub struct SplitId(Arc<str>);

impl SplitId {
    /// Makes an id from text.
    pub fn new(id: impl Into<Arc<str>>) -> Self {
        Self(id.into())
    }

    /// The id as text.
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl fmt::Display for SplitId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

impl fmt::Display for CheckpointId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.fmt(f)
    }
}

impl fmt::Display for ReaderId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.fmt(f)
    }
}

impl fmt::Display for RunId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{:016x}", self.0)
    }
}

/// `<run>_<number>`: letters, digits and `_` only, fit for file names and transactional ids.
impl fmt::Display for AttemptId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}_{}", self.run, self.number)
    }
}
