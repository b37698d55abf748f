//! A split: a segment of the stream, with the offset to read on from.

use connector_api::id::SplitId;
use connector_api::source::Split;
use segment_store::{SegmentId, SegmentName, StreamName};
use serde::{Deserialize, Serialize};

/// A segment, and how far it was read.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct PravegaSplit {
    /// The stream.
    pub stream: StreamName,
    /// The segment.
    pub segment: SegmentId,
    /// Which of the segments that the source has found this is, counted from 0: it decides which reader gets it.
    pub number: u32,
    /// The offset to read on from.
    pub offset: u64,
    /// Where reading stops; none where it goes on to the segment's end.
    pub end: Option<u64>,
}
connector_api::stored!(PravegaSplit, "pravega-split");

impl PravegaSplit {
    /// The segment's full name.
    pub fn name(&self) -> SegmentName {
        SegmentName::new(self.stream.clone(), self.segment)
    }
}

impl Split for PravegaSplit {
    fn id(&self) -> SplitId {
        SplitId::new(self.name().to_string())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn splits_of_every_version_are_read() -> Result<(), testkit::golden::Broken> {
        let split = PravegaSplit {
            stream: StreamName::new("shop", "orders").unwrap(),
            segment: SegmentId::new(3, 7),
            number: 5,
            offset: 0,
            end: None,
        };
        crate::source::golden()
            .value("whole", split.clone())
            .value("part", PravegaSplit { offset: 1 << 40, end: Some(1 << 41), ..split })
            .check()
    }
}
