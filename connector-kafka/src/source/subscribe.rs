//! Which partitions a source reads.

use std::collections::{BTreeMap, BTreeSet};
use std::fmt::Debug;

use connector_api::{Error, Result};
use regex::Regex;

use super::error::SourceError;
use super::offsets::TopicPartition;

/// What a subscriber sees of the cluster.
pub trait ClusterTopics {
    /// The number of partitions of a topic; none when it is not there. Asks the cluster, and blocks meanwhile.
    ///
    /// # Errors
    ///
    /// When the cluster can't be asked, or does not know for now.
    fn partitions(&self, topic: &str) -> Result<Option<i32>>;

    /// All topics with the number of their partitions, those of the cluster itself (`__consumer_offsets`) too. Asks the
    /// cluster, and blocks meanwhile.
    ///
    /// # Errors
    ///
    /// When the cluster can't be asked, or does not know of one of them for now.
    fn all(&self) -> Result<BTreeMap<String, i32>>;
}

/// Says which partitions a source reads: at its start, and at each discovery.
///
/// Called on a thread where blocking is allowed. A partition that was named before and no longer is counts as removed.
pub trait Subscriber: Debug + Send + Sync + 'static {
    /// The partitions that are to be read now. `is_first` at the start of a source, when a partition that the user named and
    /// that is not there is an error; later it is left out.
    ///
    /// # Errors
    ///
    /// Those of the cluster, and what this source can't be without.
    fn partitions(&self, cluster: &dyn ClusterTopics, is_first: bool) -> Result<BTreeSet<TopicPartition>>;
}

fn missing(target: impl ToString, error: SourceError) -> Error {
    Error::connector("subscribe to", target.to_string(), None, error)
}

fn all_of(topic: &str, partitions: i32) -> impl Iterator<Item = TopicPartition> {
    let topic: std::sync::Arc<str> = topic.into();
    (0..partitions).map(move |partition| TopicPartition { topic: topic.clone(), partition })
}

/// All partitions of these topics.
#[derive(Clone, Debug)]
pub struct Topics(pub BTreeSet<String>);

impl Subscriber for Topics {
    fn partitions(&self, cluster: &dyn ClusterTopics, is_first: bool) -> Result<BTreeSet<TopicPartition>> {
        let mut found = BTreeSet::new();
        for topic in &self.0 {
            match cluster.partitions(topic)? {
                Some(count) => found.extend(all_of(topic, count)),
                None if is_first => return Err(missing(topic, SourceError::NoSuchTopic)),
                None => {}
            }
        }
        Ok(found)
    }
}

/// All partitions of the topics whose whole name matches, without those of the cluster itself (`__...`) unless the pattern
/// begins with `__`.
#[derive(Clone, Debug)]
pub struct TopicPattern {
    whole: Regex,
    internal: bool,
}

impl TopicPattern {
    /// The pattern, a regular expression of the crate `regex`.
    ///
    /// # Errors
    ///
    /// What is wrong with the pattern.
    pub fn new(pattern: &str) -> std::result::Result<Self, String> {
        let whole = Regex::new(&format!("^(?:{pattern})$")).map_err(|e| e.to_string())?;
        Ok(Self { whole, internal: pattern.starts_with("__") })
    }

    fn matches(&self, topic: &str) -> bool {
        (self.internal || !topic.starts_with("__")) && self.whole.is_match(topic)
    }
}

impl Subscriber for TopicPattern {
    fn partitions(&self, cluster: &dyn ClusterTopics, _: bool) -> Result<BTreeSet<TopicPartition>> {
        let all = cluster.all()?;
        let matching = all.iter().filter(|(topic, _)| self.matches(topic));
        Ok(matching.flat_map(|(topic, count)| all_of(topic, *count)).collect())
    }
}

/// These partitions.
#[derive(Clone, Debug)]
pub struct Partitions(pub BTreeSet<TopicPartition>);

impl Subscriber for Partitions {
    fn partitions(&self, cluster: &dyn ClusterTopics, is_first: bool) -> Result<BTreeSet<TopicPartition>> {
        let mut counts = BTreeMap::new();
        let mut found = BTreeSet::new();
        for wanted in &self.0 {
            let count = match counts.get(&wanted.topic) {
                Some(count) => *count,
                None => {
                    let count = cluster.partitions(&wanted.topic)?;
                    counts.insert(wanted.topic.clone(), count);
                    count
                }
            };
            match count {
                Some(count) if wanted.partition < count => {
                    found.insert(wanted.clone());
                }
                Some(count) if is_first => {
                    return Err(missing(wanted, SourceError::NoSuchPartition(count)));
                }
                None if is_first => return Err(missing(wanted, SourceError::NoSuchTopic)),
                _ => {}
            }
        }
        Ok(found)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    struct Fake(BTreeMap<String, i32>);

    impl ClusterTopics for Fake {
        fn partitions(&self, topic: &str) -> Result<Option<i32>> {
            Ok(self.0.get(topic).copied())
        }

        fn all(&self) -> Result<BTreeMap<String, i32>> {
            Ok(self.0.clone())
        }
    }

    fn fake() -> Fake {
        let topics = [("orders", 2), ("orders-eu", 1), ("__consumer_offsets", 50)];
        Fake(topics.map(|(name, count)| (name.to_owned(), count)).into())
    }

    fn found(subscriber: &dyn Subscriber, is_first: bool) -> Vec<String> {
        let found = subscriber.partitions(&fake(), is_first).unwrap();
        found.iter().map(ToString::to_string).collect()
    }

    #[test]
    fn a_pattern_matches_whole_names_and_no_topic_of_the_cluster_itself() {
        assert_eq!(found(&TopicPattern::new("orders").unwrap(), true), ["orders:0", "orders:1"]);
        assert_eq!(found(&TopicPattern::new(".*").unwrap(), true).len(), 3);
        assert_eq!(found(&TopicPattern::new("__consumer.*").unwrap(), true).len(), 50);
        assert_eq!(found(&TopicPattern::new("a|orders-eu").unwrap(), true), ["orders-eu:0"]);
        assert!(TopicPattern::new("(").is_err());
    }

    #[test]
    fn what_the_user_named_must_be_there_at_the_start_and_may_be_gone_later() {
        let topics = Topics(["orders".to_owned(), "returns".to_owned()].into());
        let error = topics.partitions(&fake(), true).unwrap_err();
        assert!(error.to_string().contains("returns") && !error.is_retryable(), "{error}");
        assert_eq!(found(&topics, false), ["orders:0", "orders:1"]);
        let partitions = Partitions(["orders:1", "orders:2"].map(|p| p.parse().unwrap()).into());
        let error = partitions.partitions(&fake(), true).unwrap_err().to_string();
        assert!(error.contains("orders:2") && error.contains("2 partitions"), "{error}");
        assert_eq!(found(&partitions, false), ["orders:1"]);
    }
}
