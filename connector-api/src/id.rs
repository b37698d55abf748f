//! Identifiers, each a type of its own.

use std::fmt;
use std::str::FromStr;
use std::sync::Arc;

use serde::{Deserialize, Serialize};

use crate::{Error, Result};

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

impl AttemptId {
    /// Whether this is an earlier attempt of the same run as `other`: then it is dead, and a sweep may remove what it made
    /// and nothing refers to (rule X-1).
    pub fn is_before(self, other: Self) -> bool {
        self.run == other.run && self.number < other.number
    }
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

/// Reads what [`Display`](fmt::Display) writes, and nothing else: a sweep tells by it who made a name.
impl FromStr for AttemptId {
    type Err = Error;

    fn from_str(text: &str) -> Result<Self> {
        let read = || {
            let (run, number) = text.split_once('_')?;
            let run = RunId(u64::from_str_radix(run, 16).ok()?);
            let attempt = Self { run, number: number.parse().ok()? };
            // Neither signs, capitals nor leading zeros: no two texts stand for one attempt.
            (attempt.to_string() == text).then_some(attempt)
        };
        read().ok_or_else(|| Error::data(text, None, "is not an attempt's id"))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_attempts_id_is_read_back_from_a_name() {
        for attempt in [(0, 1), (1, 12), (u64::MAX, u64::MAX)] {
            let attempt = AttemptId { run: RunId(attempt.0), number: attempt.1 };
            assert_eq!(attempt.to_string().parse::<AttemptId>().unwrap(), attempt);
        }
    }

    #[test]
    fn only_an_earlier_attempt_of_the_same_run_is_before() {
        let attempt = |run, number| AttemptId { run: RunId(run), number };
        assert!(attempt(1, 2).is_before(attempt(1, 3)));
        for other in [attempt(1, 2), attempt(1, 1), attempt(2, 3), attempt(0, 3)] {
            assert!(!attempt(1, 2).is_before(other), "{other}");
        }
    }

    #[test]
    fn no_two_texts_stand_for_one_attempt() {
        let good = "000000000000000a_7";
        assert!(good.parse::<AttemptId>().is_ok());
        for bad in [
            "",
            "_",
            "a_7",
            "000000000000000A_7",
            "000000000000000a_07",
            "000000000000000a_+7",
            "000000000000000a",
        ] {
            assert!(bad.parse::<AttemptId>().is_err(), "{bad}");
        }
    }
}
