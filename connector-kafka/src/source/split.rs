//! A split: a partition of a topic, with the offset to read on from and the offset to stop at.

use std::sync::Arc;

use connector_api::id::SplitId;
use connector_api::source::Split;
use serde::{Deserialize, Serialize};

use super::offsets::TopicPartition;

/// A partition of a topic, and how far it was read.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct KafkaSplit {
    /// The topic.
    pub topic: Arc<str>,
    /// The partition.
    pub partition: i32,
    /// Which of the partitions that the source has found this is, counted from 0: it decides which reader gets it.
    pub number: u32,
    /// The offset to read on from; none is the first one that the partition holds.
    pub next: Option<i64>,
    /// Where reading stops.
    pub stop: Option<Stop>,
}
connector_api::stored!(KafkaSplit, "kafka-split");

/// Where reading stops.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Stop {
    /// The first offset that is not read.
    pub offset: i64,
    /// Whether the partition's readable end had reached the offset when it was resolved: then whoever is at the end of the
    /// partition is at the stop, also when what lies before it are markers of transactions.
    pub is_reached: bool,
}

impl KafkaSplit {
    /// The partition.
    pub fn topic_partition(&self) -> TopicPartition {
        TopicPartition { topic: Arc::clone(&self.topic), partition: self.partition }
    }

    /// Whether everything before the stop was read.
    pub(super) fn is_finished(&self) -> bool {
        self.stop.is_some_and(|stop| stop.offset <= self.next.unwrap_or(0))
    }
}

impl Split for KafkaSplit {
    fn id(&self) -> SplitId {
        SplitId::new(format!("{}:{}", self.topic, self.partition))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn splits_of_every_version_are_read() -> Result<(), testkit::golden::Broken> {
        let split = KafkaSplit { topic: "orders".into(), partition: 3, number: 7, next: None, stop: None };
        let stop = Some(Stop { offset: 300, is_reached: true });
        crate::source::golden()
            .value("untouched", split.clone())
            .value("half-read", KafkaSplit { next: Some(150), stop, ..split.clone() })
            .value("beyond", KafkaSplit { stop: Some(Stop { offset: 1 << 40, is_reached: false }), ..split })
            .check()
    }

    #[test]
    fn a_split_is_finished_at_its_stop_not_before() {
        let stop = |next, offset| KafkaSplit {
            topic: "t".into(),
            partition: 0,
            number: 0,
            next,
            stop: Some(Stop { offset, is_reached: true }),
        };
        assert!(stop(Some(5), 5).is_finished() && stop(None, 0).is_finished());
        assert!(!stop(Some(4), 5).is_finished() && !stop(None, 1).is_finished());
    }
}
