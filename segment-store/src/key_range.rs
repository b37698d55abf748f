//! Parts of the space of routing keys.

use std::fmt;

use serde::{Deserialize, Serialize};

use crate::error::{Error, Result};

/// The keys whose [position](crate::routing::position) is at least `low` and below `high`, within [0, 1).
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
pub struct KeyRange {
    /// The first position that belongs to it.
    pub low: f64,
    /// The first position above it that does not; 1.0 is the end of all.
    pub high: f64,
}

impl KeyRange {
    /// All keys.
    pub const ALL: Self = Self { low: 0.0, high: 1.0 };

    /// The range from `low` to below `high`.
    ///
    /// # Errors
    ///
    /// [`Error::Invalid`] unless `0 <= low < high <= 1`.
    pub fn new(low: f64, high: f64) -> Result<Self> {
        if 0.0 <= low && low < high && high <= 1.0 {
            Ok(Self { low, high })
        } else {
            Err(Error::invalid("a range of keys", format!("[{low}, {high}) is not within [0, 1)")))
        }
    }

    /// All keys in `n` ranges of one size, in order. `n` is at least 1.
    pub fn even(n: u32) -> Vec<Self> {
        let at = |i: u32| if i == n { 1.0 } else { f64::from(i) / f64::from(n) };
        (0..n).map(|i| Self { low: at(i), high: at(i + 1) }).collect()
    }

    /// Whether the position belongs to it.
    pub fn contains(&self, position: f64) -> bool {
        self.low <= position && position < self.high
    }

    /// Whether some position belongs to both.
    pub fn overlaps(&self, other: &Self) -> bool {
        self.low < other.high && other.low < self.high
    }
}

impl fmt::Display for KeyRange {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "[{}, {})", self.low, self.high)
    }
}
