//! The options of the source: one struct for files, builders and other front ends alike.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

use connector_api::factory::{ByteSize, Span};
use connector_api::{Error, Result};
use rdkafka::ClientConfig;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use super::offsets::{Fallback, Offsets, TopicPartition};
use super::subscribe::{Partitions, Subscriber, TopicPattern, Topics};
use crate::connection::{Connection, Refused};

/// What the source alone refuses to pass through.
const REFUSED: &[Refused] = &[
    ("group.id", "set the option `group_id`"),
    ("client.id", "set the option `client_id`"),
    ("isolation.level", "set the option `isolation`"),
    ("auto.offset.reset", "set the option `on_offset_out_of_range`"),
    ("enable.auto.commit", "offsets are committed after a completed checkpoint; see `commit_offsets`"),
    ("auto.commit.interval.ms", "offsets are committed after a completed checkpoint; see `commit_offsets`"),
    ("enable.auto.offset.store", "offsets are committed after a completed checkpoint; see `commit_offsets`"),
    ("enable.partition.eof", "a stop behind markers of transactions rests on it"),
    ("group.instance.id", "partitions are dealt by the source, not by the group"),
    ("group.protocol", "partitions are dealt by the source, not by the group"),
    ("partition.assignment.strategy", "partitions are dealt by the source, not by the group"),
    ("group.remote.assignor", "partitions are dealt by the source, not by the group"),
    ("queued.max.messages.kbytes", "set the option `byte_budget`"),
    ("queued.min.messages", "set the option `byte_budget`"),
    ("check.crcs", "set the option `check_crcs`"),
];

/// What the values of records are.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum ValueFormat {
    /// Bytes that nobody looks into.
    #[default]
    Bytes,
    /// JSON objects, without line breaks in them.
    Json,
}

/// Which records of transactions are read.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum Isolation {
    /// Those of committed transactions, and all that belong to none.
    #[default]
    ReadCommitted,
    /// All, also those of aborted and open transactions.
    ReadUncommitted,
}

/// What becomes of a partition that is gone.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum OnRemoved {
    /// The job fails and names it.
    #[default]
    Fail,
    /// Its split is finished, logged and counted. A topic of that name that is made later is not read.
    Finish,
    /// Its split stays and waits, logged and counted.
    Ignore,
}

/// What happens when a partition does not hold the offset to read on from.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum OnOutOfRange {
    /// The job fails and names partition and offset.
    #[default]
    Fail,
    /// Reading goes on at the first offset that is there, logged and counted: rows that were deleted are lost.
    Earliest,
    /// Reading goes on at the end, logged and counted: all rows until there are lost.
    Latest,
}

/// Whether a source with a stop ends.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum Ends {
    /// It is bounded: no partition is discovered after the start, and the source ends when all are at their stops.
    #[default]
    Bounded,
    /// It is unbounded: each partition ends at its stop, new ones are still discovered, and the job runs until it is stopped.
    Unbounded,
}

/// The options of the Kafka source.
#[derive(Clone, Debug, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct SourceOptions {
    /// Where the cluster is first asked: `HOST:PORT`, several separated by commas.
    #[schemars(extend("x-identity" = true))]
    pub bootstrap_servers: String,
    /// The topics to read. Exactly one of `topics`, `topic_pattern` and `partitions` is given. A topic that is added later is read
    /// from its first offset.
    #[serde(default)]
    pub topics: Vec<String>,
    /// Reads the topics whose whole name matches this regular expression.
    #[serde(default)]
    pub topic_pattern: Option<String>,
    /// Reads these partitions, as `TOPIC:PARTITION`.
    #[serde(default)]
    pub partitions: Vec<String>,
    /// Where partitions that are there at the first start begin: "earliest", "latest", { timestamp = MILLIS }, { committed =
    /// "earliest" | "latest" | "fail" } (what stands for an offset that the group has not committed), or { offsets = {
    /// "TOPIC:PARTITION" = OFFSET } } (others begin at the earliest). Partitions that are found later begin at their first offset.
    #[serde(default = "earliest")]
    pub start: Offsets,
    /// Where partitions end, said like `start`; without it they don't. "latest" is their end when the source is first started,
    /// under read_committed the last stable offset.
    #[serde(default)]
    pub stop: Option<Offsets>,
    /// Whether a source with a `stop` ends.
    #[serde(default)]
    pub ends: Ends,
    /// The consumer group: where offsets are committed for others to look at, and where { committed = ... } finds them. The
    /// source does not join it, and never restores from it.
    #[serde(default)]
    pub group_id: Option<String>,
    /// Whether offsets are committed to the group after each completed checkpoint. A commit that fails is counted, never fatal.
    #[serde(default = "yes")]
    pub commit_offsets: bool,
    /// How often new partitions are looked for; "0s" is never.
    #[serde(default = "default_discovery")]
    pub discovery_interval: Span,
    /// What becomes of a partition that is removed, or that the options no longer name.
    #[serde(default)]
    pub on_removed_partition: OnRemoved,
    /// What happens when a partition does not hold the offset to read on from, because records were deleted or the topic was
    /// made anew.
    #[serde(default)]
    pub on_offset_out_of_range: OnOutOfRange,
    /// What the values are, for a front end that converts: "bytes" (a record is written whole: key, value, topic, partition, offset,
    /// timestamp, headers), or "json" (each value is one JSON object, which can become columns of its own).
    #[serde(default)]
    pub value_format: ValueFormat,
    /// Which records of transactions are read.
    #[serde(default)]
    pub isolation: Isolation,
    /// About how many bytes each reader reads ahead, over all of its partitions: half in the client, half in batches.
    #[serde(default = "default_budget")]
    pub byte_budget: ByteSize,
    /// Whether the client checks each batch's checksum, against errors of disks and networks, at some cost in speed.
    #[serde(default)]
    pub check_crcs: bool,
    /// The beginning of the names by which brokers know the clients.
    #[serde(default = "default_client")]
    pub client_id: String,
    /// How long a request for metadata or offsets may take.
    #[serde(default = "default_timeout")]
    pub request_timeout: Span,
    /// Properties of the client (librdkafka's names), passed through. Those with an option of their own, and those that the
    /// connector's guarantees rest on, are refused.
    // They may hold passwords.
    #[serde(default, skip_serializing)]
    pub properties: BTreeMap<String, String>,
}

fn earliest() -> Offsets {
    Offsets::Earliest
}

fn yes() -> bool {
    true
}

fn default_discovery() -> Span {
    Span(Duration::from_secs(300))
}

fn default_budget() -> ByteSize {
    ByteSize(64 << 20)
}

fn default_client() -> String {
    "connector-sdk".to_owned()
}

fn default_timeout() -> Span {
    Span(Duration::from_secs(30))
}

impl SourceOptions {
    /// These topics, everything else by default: from the earliest offset on, without an end.
    pub fn topics<T: Into<String>>(
        bootstrap_servers: impl Into<String>,
        topics: impl IntoIterator<Item = T>,
    ) -> Self {
        Self {
            bootstrap_servers: bootstrap_servers.into(),
            topics: topics.into_iter().map(Into::into).collect(),
            topic_pattern: None,
            partitions: Vec::new(),
            start: earliest(),
            stop: None,
            ends: Ends::default(),
            group_id: None,
            commit_offsets: yes(),
            discovery_interval: default_discovery(),
            on_removed_partition: OnRemoved::default(),
            on_offset_out_of_range: OnOutOfRange::default(),
            value_format: ValueFormat::default(),
            isolation: Isolation::default(),
            byte_budget: default_budget(),
            check_crcs: false,
            client_id: default_client(),
            request_timeout: default_timeout(),
            properties: BTreeMap::new(),
        }
    }

    /// What is to be read, from the one option that says it.
    fn subscriber(&self) -> Result<Arc<dyn Subscriber>> {
        let given = [!self.topics.is_empty(), self.topic_pattern.is_some(), !self.partitions.is_empty()];
        if given.iter().filter(|given| **given).count() != 1 {
            let reason =
                "give exactly one of `topics`, `topic_pattern` and `partitions`, with at least one entry";
            return Err(Error::config("topics", reason));
        }
        if let Some(pattern) = &self.topic_pattern {
            let pattern = TopicPattern::new(pattern).map_err(|why| Error::config("topic_pattern", why))?;
            return Ok(Arc::new(pattern));
        }
        if !self.partitions.is_empty() {
            let all = self.partitions.iter().map(|text| partition("partitions", text));
            return Ok(Arc::new(Partitions(all.collect::<Result<_>>()?)));
        }
        if let Some(bad) = self.topics.iter().find(|topic| topic.is_empty() || topic.contains(':')) {
            return Err(Error::config("topics", format!("`{bad}` is no name of a topic")));
        }
        Ok(Arc::new(Topics(self.topics.iter().cloned().collect())))
    }

    /// Checks everything that can be told without asking the cluster. With a subscriber, `topics` and the like are left aside.
    pub(super) fn checked(&self, subscriber: Option<Arc<dyn Subscriber>>) -> Result<SourceConfig> {
        let subscriber = match subscriber {
            Some(subscriber) => subscriber,
            None => self.subscriber()?,
        };
        let start = self.resolved("start", &self.start)?;
        let stop = self.stop.as_ref().map(|stop| self.resolved("stop", stop)).transpose()?;
        if stop == Some(Point::Earliest) {
            return Err(Error::config("stop", "\"earliest\" would read nothing"));
        }
        if stop.is_none() && self.ends == Ends::Unbounded {
            return Err(Error::config("ends", "is about a source with a `stop`, and there is none"));
        }
        if self.byte_budget.0 < 1 << 20 || self.byte_budget.0 > 1 << 31 {
            return Err(Error::config("byte_budget", "must be between 1 MiB and 2 GiB"));
        }
        if self.request_timeout.0.is_zero() {
            return Err(Error::config("request_timeout", "must not be zero"));
        }
        Ok(SourceConfig {
            client: self.client()?,
            subscriber,
            start,
            is_bounded: stop.is_some() && self.ends == Ends::Bounded,
            stop,
            group: self.group_id.clone(),
            commits: self.commit_offsets && self.group_id.is_some(),
            discovery_interval: Some(self.discovery_interval.0).filter(|interval| !interval.is_zero()),
            on_removed: self.on_removed_partition,
            on_out_of_range: self.on_offset_out_of_range,
            isolation: self.isolation,
            value_format: self.value_format,
            budget: self.byte_budget.0,
            client_id: self.client_id.clone(),
            request_timeout: self.request_timeout.0,
        })
    }

    fn resolved(&self, option: &str, offsets: &Offsets) -> Result<Point> {
        Ok(match offsets {
            Offsets::Earliest => Point::Earliest,
            Offsets::Latest => Point::Latest,
            Offsets::Timestamp(millis) => Point::Timestamp(
                i64::try_from(*millis)
                    .map_err(|_| Error::config(format!("{option}.timestamp"), "is beyond all times"))?,
            ),
            Offsets::Committed(fallback) => {
                if self.group_id.is_none() {
                    return Err(Error::config(option, "asks for the group's offsets: set `group_id`"));
                }
                Point::Committed(*fallback)
            }
            Offsets::Offsets(given) => {
                if given.is_empty() {
                    return Err(Error::config(format!("{option}.offsets"), "names no partition"));
                }
                let one = |(text, offset): (&String, &u64)| {
                    let option = format!("{option}.offsets");
                    let offset = i64::try_from(*offset)
                        .map_err(|_| Error::config(option.clone(), format!("{offset} is no offset")))?;
                    Ok((partition(&option, text)?, offset))
                };
                Point::Given(given.iter().map(one).collect::<Result<_>>()?)
            }
        })
    }

    fn client(&self) -> Result<ClientConfig> {
        let connection = Connection {
            bootstrap_servers: self.bootstrap_servers.clone(),
            properties: self.properties.clone(),
        };
        let mut client = connection.client(REFUSED)?;
        let isolation = match self.isolation {
            Isolation::ReadCommitted => "read_committed",
            Isolation::ReadUncommitted => "read_uncommitted",
        };
        client
            .set("isolation.level", isolation)
            .set("auto.offset.reset", "error")
            .set("enable.auto.commit", "false")
            .set("enable.auto.offset.store", "false")
            .set("enable.partition.eof", "true")
            .set("check.crcs", if self.check_crcs { "true" } else { "false" });
        // The default of a second stalls a reader whose queue was full for a moment.
        for (name, value) in [
            ("fetch.queue.backoff.ms", "5"),
            ("statistics.interval.ms", "5000"),
            ("log.connection.close", "false"),
        ] {
            if client.get(name).is_none() {
                client.set(name, value);
            }
        }
        Ok(client)
    }
}

fn partition(option: &str, text: &str) -> Result<TopicPartition> {
    text.parse().map_err(|why: String| Error::config(option, why))
}

/// Where reading begins or ends, checked.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Point {
    Earliest,
    Latest,
    Timestamp(i64),
    Committed(Fallback),
    Given(BTreeMap<TopicPartition, i64>),
}

/// The options, checked: what the parts of the source work with.
#[derive(Debug)]
pub struct SourceConfig {
    pub(super) client: ClientConfig,
    pub(super) subscriber: Arc<dyn Subscriber>,
    pub(super) start: Point,
    pub(super) stop: Option<Point>,
    pub(super) is_bounded: bool,
    pub(super) group: Option<String>,
    pub(super) commits: bool,
    pub(super) discovery_interval: Option<Duration>,
    pub(super) on_removed: OnRemoved,
    pub(super) on_out_of_range: OnOutOfRange,
    pub(super) isolation: Isolation,
    pub(super) value_format: ValueFormat,
    pub(super) budget: u64,
    pub(super) client_id: String,
    pub(super) request_timeout: Duration,
}

#[cfg(test)]
#[path = "config_tests.rs"]
mod tests;
