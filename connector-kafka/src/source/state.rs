//! What the enumerator keeps in checkpoints.

use std::sync::Arc;

use serde::{Deserialize, Serialize};

use super::split::KafkaSplit;

/// What the enumerator keeps in checkpoints.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct KafkaEnumeratorState {
    /// Whether the partitions were listed and their starts and stops resolved. What is found later is new.
    pub is_started: bool,
    /// How many partitions were found: the number of the next one.
    pub found: u32,
    /// The partitions that were found, by topic.
    pub known: Vec<(Arc<str>, Vec<i32>)>,
    /// The splits that no reader has.
    pub pending: Vec<KafkaSplit>,
}
connector_api::stored!(KafkaEnumeratorState, "kafka-enumerator");

#[cfg(test)]
mod tests {
    use super::super::split::Stop;
    use super::*;

    #[test]
    fn states_of_every_version_are_read() -> Result<(), testkit::golden::Broken> {
        let split = KafkaSplit {
            topic: "orders".into(),
            partition: 1,
            number: 1,
            next: Some(42),
            stop: Some(Stop { offset: 50, is_reached: true }),
        };
        let started = KafkaEnumeratorState {
            is_started: true,
            found: 3,
            known: vec![("orders".into(), vec![0, 1]), ("returns".into(), vec![0])],
            pending: vec![split],
        };
        let golden = crate::source::golden().value("before-listing", KafkaEnumeratorState::default());
        golden.value("started", started).check()
    }
}
