//! What the enumerator keeps in checkpoints.

use segment_store::SegmentId;
use serde::{Deserialize, Serialize};

use super::split::PravegaSplit;

/// A segment that was found and whose predecessors are not all read.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Waiting {
    /// The segment.
    pub split: PravegaSplit,
    /// The predecessors that are not read to their ends.
    pub predecessors: Vec<SegmentId>,
}

/// What the enumerator keeps in checkpoints.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct PravegaEnumeratorState {
    /// Whether start and stop were resolved.
    pub is_started: bool,
    /// The newest epoch of which a segment was found then. What belongs to it or an older one and was not found lies before the start.
    pub newest: u32,
    /// How many segments were found: the number of the next one.
    pub found: u32,
    /// The segments that no reader has and one may have.
    pub pending: Vec<PravegaSplit>,
    /// The segments that wait for others.
    pub waiting: Vec<Waiting>,
    /// The segments that may be read and were not reported finished, pending ones too.
    pub reading: Vec<SegmentId>,
    /// The segments that are read to their ends in this checkpoint, and whose successors are not known.
    pub finished: Vec<SegmentId>,
}
connector_api::stored!(PravegaEnumeratorState, "pravega-enumerator");

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn states_of_every_version_are_read() -> Result<(), testkit::golden::Broken> {
        let split = |number| PravegaSplit {
            stream: "shop/orders".parse().unwrap(),
            segment: SegmentId::new(1, number),
            number,
            offset: 8,
            end: None,
        };
        let started = PravegaEnumeratorState {
            is_started: true,
            newest: 1,
            found: 4,
            pending: vec![split(1)],
            waiting: vec![Waiting { split: split(3), predecessors: vec![SegmentId::new(1, 1)] }],
            reading: vec![SegmentId::new(1, 1), SegmentId::new(1, 2)],
            finished: vec![SegmentId::new(0, 0)],
        };
        let golden = crate::source::golden().value("before-start", PravegaEnumeratorState::default());
        golden.value("started", started).check()
    }
}
