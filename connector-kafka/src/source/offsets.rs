//! Where reading begins and ends, as users say it.

use std::collections::BTreeMap;
use std::fmt;
use std::str::FromStr;
use std::sync::Arc;

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

/// A partition of a topic; as text `TOPIC:PARTITION`, as in options and errors.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
pub struct TopicPartition {
    /// The topic.
    pub topic: Arc<str>,
    /// The partition.
    pub partition: i32,
}

impl TopicPartition {
    /// The partition of a topic.
    pub fn new(topic: impl Into<Arc<str>>, partition: i32) -> Self {
        Self { topic: topic.into(), partition }
    }
}

impl fmt::Display for TopicPartition {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}:{}", self.topic, self.partition)
    }
}

impl FromStr for TopicPartition {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        let read = || {
            // A topic's name has no colon.
            let (topic, partition) = text.split_once(':')?;
            let partition = partition.parse::<u32>().ok().and_then(|number| i32::try_from(number).ok())?;
            (!topic.is_empty()).then(|| Self::new(topic, partition))
        };
        read()
            .ok_or_else(|| format!("`{text}` is not a partition; write TOPIC:PARTITION, as in \"orders:0\""))
    }
}

/// Where reading begins, or where it stops.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum Offsets {
    /// The first offset that a partition holds.
    Earliest,
    /// The end of a partition, resolved once, when the source is first started: under read_committed the last stable offset.
    Latest,
    /// The first record at or after this time (milliseconds since the Unix epoch); the end where there is none.
    Timestamp(u64),
    /// What the group has committed, and this where it has committed nothing.
    Committed(Fallback),
    /// These offsets, by `TOPIC:PARTITION`. As a start, partitions that are not named begin at the earliest offset; as a stop,
    /// each partition must be named.
    Offsets(BTreeMap<String, u64>),
}

/// What stands for an offset that the group has not committed.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum Fallback {
    /// The first offset.
    Earliest,
    /// The end.
    Latest,
    /// An error that names the partition.
    Fail,
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_partition_is_read_as_it_is_shown_and_nothing_else_is() {
        let orders = TopicPartition::new("orders.eu-1", 12);
        assert_eq!(orders.to_string().parse(), Ok(orders));
        for bad in ["", "orders", "orders:", ":1", "orders:-1", "orders:x", "a:b:1"] {
            assert!(bad.parse::<TopicPartition>().is_err(), "{bad}");
        }
    }

    #[test]
    fn starts_are_spelt_as_documented() {
        let read = |text| serde_json::from_str::<Offsets>(text).map_err(|e| e.to_string());
        assert_eq!(read(r#""latest""#), Ok(Offsets::Latest));
        assert_eq!(read(r#"{ "timestamp": 0 }"#), Ok(Offsets::Timestamp(0)));
        assert_eq!(read(r#"{ "committed": "earliest" }"#), Ok(Offsets::Committed(Fallback::Earliest)));
        let given = Offsets::Offsets(BTreeMap::from([("orders:0".to_owned(), 42)]));
        assert_eq!(read(r#"{ "offsets": { "orders:0": 42 } }"#), Ok(given));
        assert!(read(r#""newest""#).unwrap_err().contains("earliest"));
    }
}
