//! Questions to the cluster: topics, and offsets by time, by group and at the ends. All calls block.

use std::collections::BTreeMap;
use std::time::Duration;

use connector_api::env::Environment;
use connector_api::{Error, Result};
use rdkafka::consumer::{BaseConsumer, Consumer};
use rdkafka::error::{KafkaError, KafkaResult, RDKafkaErrorCode};
use rdkafka::metadata::MetadataTopic;
use rdkafka::{Offset, TopicPartitionList};

use super::config::SourceConfig;
use super::context::Context;
use super::error::{SourceError, is_gone};
use super::offsets::TopicPartition;
use super::subscribe::ClusterTopics;
use crate::security::Tokens;

/// How often, and how long each time, a client is asked what it met.
const MET: usize = 32;
const MOMENT: Duration = Duration::from_millis(5);

/// A client that reads nothing and asks.
pub(super) struct Cluster {
    consumer: BaseConsumer<Context>,
    context: Context,
    timeout: Duration,
}

impl Cluster {
    /// Makes the client; connects when it is first asked.
    pub(super) fn new(config: &SourceConfig, env: &Environment) -> Result<Self> {
        let mut client = config.client.clone();
        client
            .set("client.id", format!("{}-enumerator", config.client_id))
            .set("statistics.interval.ms", "0");
        if let Some(group) = &config.group {
            client.set("group.id", group);
        }
        let context = Context::new(Tokens::of(env, &client));
        let consumer = client
            .create_with_context(context.clone())
            .map_err(|e| Error::connector("make", "a Kafka client", None, SourceError::client(e)))?;
        Ok(Self { consumer, context, timeout: config.request_timeout })
    }

    /// An error of a call, with what the client met meanwhile.
    fn failed(&self, operation: &'static str, target: impl Into<String>, source: KafkaError) -> Error {
        // What it met waits in its queue, among lines of its log, or comes a moment later than the call's end.
        for _ in 0..MET {
            let _ = self.consumer.poll(MOMENT);
            if self.context.is_refused() {
                break;
            }
        }
        let error = match self.context.take_last() {
            Some(met) if met.is_refusal => SourceError::Refused(met.reason),
            met => SourceError::Client { source, before: met.map(|met| met.reason) },
        };
        Error::connector(operation, target, None, error)
    }

    /// The ends of partitions: under read_committed the last stable offsets.
    pub(super) fn latest(&self, of: &[TopicPartition]) -> Result<Vec<i64>> {
        let found = self.at(of, Offset::End, "ask for the end of")?;
        found.into_iter().zip(of).map(|(offset, of)| offset.ok_or_else(|| silent(of))).collect()
    }

    /// The first offsets that partitions hold.
    pub(super) fn earliest(&self, of: &[TopicPartition]) -> Result<Vec<i64>> {
        let found = self.at(of, Offset::Beginning, "ask for the beginning of")?;
        found.into_iter().zip(of).map(|(offset, of)| offset.ok_or_else(|| silent(of))).collect()
    }

    /// The first offsets of records at or after a time; none where there is none.
    pub(super) fn since(&self, of: &[TopicPartition], millis: i64) -> Result<Vec<Option<i64>>> {
        self.at(of, Offset::Offset(millis), "ask for an offset by time of")
    }

    /// One request to each broker, for all of its partitions. The client takes the two ends for times, too.
    fn at(&self, of: &[TopicPartition], time: Offset, what: &'static str) -> Result<Vec<Option<i64>>> {
        if of.is_empty() {
            return Ok(Vec::new());
        }
        let list = list(of, time).map_err(|e| self.failed(what, "partitions", e))?;
        let answer = self.consumer.offsets_for_times(list, self.timeout);
        self.answers(of, answer, what)
    }

    /// What the group has committed.
    pub(super) fn committed(&self, of: &[TopicPartition]) -> Result<Vec<Option<i64>>> {
        const WHAT: &str = "ask for the committed offset of";
        if of.is_empty() {
            return Ok(Vec::new());
        }
        let list = list(of, Offset::Invalid).map_err(|e| self.failed(WHAT, "partitions", e))?;
        let answer = self.consumer.committed_offsets(list, self.timeout);
        self.answers(of, answer, WHAT)
    }

    fn answers(
        &self,
        of: &[TopicPartition],
        answer: KafkaResult<TopicPartitionList>,
        what: &'static str,
    ) -> Result<Vec<Option<i64>>> {
        let answer = answer.map_err(|e| self.failed(what, targets(of), e))?;
        let mut found = BTreeMap::new();
        for element in answer.elements() {
            let at = TopicPartition::new(element.topic(), element.partition());
            element.error().map_err(|e| self.failed(what, at.to_string(), e))?;
            let offset = match element.offset() {
                Offset::Offset(offset) => Some(offset),
                _ => None,
            };
            found.insert(at, offset);
        }
        of.iter().map(|of| found.get(of).copied().ok_or_else(|| silent(of))).collect()
    }

    /// The number of partitions of a topic of an answer; none when it is not there.
    fn count(&self, topic: &MetadataTopic) -> Result<Option<i32>> {
        match topic.error().map(RDKafkaErrorCode::from) {
            None => Ok(Some(i32::try_from(topic.partitions().len()).unwrap_or(i32::MAX))),
            Some(code) if is_gone(code) => Ok(None),
            // Not known for now is not gone.
            Some(code) => {
                Err(self.failed("ask for the partitions of", topic.name(), KafkaError::MetadataFetch(code)))
            }
        }
    }
}

impl ClusterTopics for Cluster {
    fn partitions(&self, topic: &str) -> Result<Option<i32>> {
        let answer = self.consumer.fetch_metadata(Some(topic), self.timeout);
        let answer = answer.map_err(|e| self.failed("ask for the partitions of", topic, e))?;
        answer.topics().iter().find(|found| found.name() == topic).map_or(Ok(None), |found| self.count(found))
    }

    fn all(&self) -> Result<BTreeMap<String, i32>> {
        let answer = self.consumer.fetch_metadata(None, self.timeout);
        let answer = answer.map_err(|e| self.failed("ask for", "the topics of the cluster", e))?;
        let mut all = BTreeMap::new();
        for topic in answer.topics() {
            if let Some(count) = self.count(topic)? {
                all.insert(topic.name().to_owned(), count);
            }
        }
        Ok(all)
    }
}

fn list(of: &[TopicPartition], offset: Offset) -> KafkaResult<TopicPartitionList> {
    let mut list = TopicPartitionList::with_capacity(of.len());
    for of in of {
        list.add_partition_offset(&of.topic, of.partition, offset)?;
    }
    Ok(list)
}

fn targets(of: &[TopicPartition]) -> String {
    match of {
        [one] => one.to_string(),
        [first, ..] => format!("{first} and {} more", of.len() - 1),
        [] => String::new(),
    }
}

fn silent(of: &TopicPartition) -> Error {
    let source = SourceError::client(KafkaError::OffsetFetch(RDKafkaErrorCode::LeaderNotAvailable));
    Error::connector("ask for an offset of", of.to_string(), None, source)
}
