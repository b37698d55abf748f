//! Positions in a stream.

use std::collections::BTreeMap;
use std::fmt;
use std::str::FromStr;

use serde::{Deserialize, Serialize};

use crate::error::{Error, Result};
use crate::id::SegmentId;

/// A position in a whole stream: an offset in bytes in each of the segments that together hold all keys, each at the beginning of an event.
///
/// As text: `0.#epoch.0:1024,1.#epoch.0:0`.
#[derive(Clone, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
pub struct StreamCut(pub BTreeMap<SegmentId, u64>);

impl StreamCut {
    /// The offset in a segment, if the cut goes through it.
    pub fn offset(&self, segment: SegmentId) -> Option<u64> {
        self.0.get(&segment).copied()
    }

    /// The segments that it goes through, with the offsets.
    pub fn iter(&self) -> impl Iterator<Item = (SegmentId, u64)> {
        self.0.iter().map(|(&id, &offset)| (id, offset))
    }
}

impl FromIterator<(SegmentId, u64)> for StreamCut {
    fn from_iter<T: IntoIterator<Item = (SegmentId, u64)>>(offsets: T) -> Self {
        Self(offsets.into_iter().collect())
    }
}

impl fmt::Display for StreamCut {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for (n, (id, offset)) in self.iter().enumerate() {
            write!(f, "{}{id}:{offset}", if n == 0 { "" } else { "," })?;
        }
        Ok(())
    }
}

impl FromStr for StreamCut {
    type Err = Error;

    fn from_str(text: &str) -> Result<Self> {
        let bad = |part: &str| {
            Error::invalid("a stream cut", format!("`{part}` is not `<number>.#epoch.<epoch>:<offset>`"))
        };
        text.split(',')
            .map(|part| {
                let (id, offset) = part.split_once(':').ok_or_else(|| bad(part))?;
                Ok((id.parse()?, offset.parse().map_err(|_| bad(part))?))
            })
            .collect()
    }
}
