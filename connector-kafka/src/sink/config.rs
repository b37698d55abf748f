//! The options of the sink: one struct for files, builders and other front ends alike.

use std::collections::BTreeMap;
use std::fmt;
use std::time::Duration;

use connector_api::factory::Span;
use connector_api::{Error, Result};
use rdkafka::ClientConfig;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use super::ids::Prefix;
use super::key::{KeyFrom, KeyOptions};
use crate::connection::{Connection, Refused};

/// The options of the Kafka sink.
#[derive(Clone, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct SinkOptions {
    /// Where the cluster is first asked: `HOST:PORT`, several separated by commas.
    #[schemars(extend("x-identity" = true))]
    pub bootstrap_servers: String,
    /// The topic that all rows go to. Either this or `topic_column`.
    #[serde(default)]
    #[schemars(extend("x-identity" = true))]
    pub topic: Option<String>,
    /// The metadata column whose text is the topic of each row, such as `topic` of a Kafka source.
    #[serde(default)]
    pub topic_column: Option<String>,
    /// Takes the keys out of the rows' values: { delimiter = "\t" } or { field = "id" }, in place of keys that rows come with.
    #[serde(default)]
    pub key: Option<KeyOptions>,
    /// What a reader of the topics finds after a failure: "exactly-once" (a reader of committed records finds each row once),
    /// "at-least-once" (some rows again) or "none" (rows may be missing, too).
    #[serde(default)]
    #[schemars(extend("x-identity" = true))]
    pub delivery_guarantee: DeliveryGuarantee,
    /// What the transactional ids of this job begin with; no other job on the cluster may use it. Required for "exactly-once".
    #[serde(default)]
    #[schemars(extend("x-identity" = true))]
    pub transactional_id_prefix: Option<String>,
    /// How long after its first row the cluster aborts a transaction that nobody ended: longer than the longest outage after
    /// which the job must go on without loss. What the cluster allows (`transaction.max.timeout.ms`) when it is left out.
    #[serde(default)]
    pub transaction_timeout: Option<Span>,
    /// Go on although others used the prefix, and abort their open transactions: rows that those had prepared are lost to them.
    #[serde(default)]
    pub take_over: bool,
    /// Which partition a row goes to: "default" (by the key's murmur2 hash, as Java producers do; without a key any),
    /// "fixed" (each writer has one) or "round-robin".
    #[serde(default)]
    pub partitioner: PartitionerOption,
    /// Properties of the client (librdkafka's names), passed through. Those with an option of their own, and those that the
    /// guarantees rest on, are refused.
    #[serde(default)]
    pub properties: BTreeMap<String, String>,
}

impl fmt::Debug for SinkOptions {
    /// Without the values of `properties`: some are secrets.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("SinkOptions")
            .field("bootstrap_servers", &self.bootstrap_servers)
            .field("topic", &self.topic)
            .field("delivery_guarantee", &self.delivery_guarantee)
            .field("transactional_id_prefix", &self.transactional_id_prefix)
            .field("properties", &self.properties.keys())
            .finish_non_exhaustive()
    }
}

/// What a reader of the output finds after a failure.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "kebab-case")]
pub enum DeliveryGuarantee {
    /// Rows may be missing and may be there twice: checkpoints wait for nothing.
    None,
    /// No row is missing; some may be there twice.
    #[default]
    AtLeastOnce,
    /// Each row is there once, for readers of committed records.
    ExactlyOnce,
}

/// Which partition a row goes to.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "kebab-case")]
pub enum PartitionerOption {
    /// By the key.
    #[default]
    Default,
    /// Each writer has one.
    Fixed,
    /// One after the other.
    RoundRobin,
}

impl SinkOptions {
    /// Rows to one topic, at least once.
    pub fn topic(bootstrap_servers: impl Into<String>, topic: impl Into<String>) -> Self {
        Self {
            bootstrap_servers: bootstrap_servers.into(),
            topic: Some(topic.into()),
            topic_column: None,
            key: None,
            delivery_guarantee: DeliveryGuarantee::default(),
            transactional_id_prefix: None,
            transaction_timeout: None,
            take_over: false,
            partitioner: PartitionerOption::default(),
            properties: BTreeMap::new(),
        }
    }

    /// The same, exactly once, in transactions of ids that begin with `prefix`.
    #[must_use]
    pub fn exactly_once(self, prefix: impl Into<String>) -> Self {
        Self {
            delivery_guarantee: DeliveryGuarantee::ExactlyOnce,
            transactional_id_prefix: Some(prefix.into()),
            ..self
        }
    }

    /// The same, with keys from the rows' values.
    #[must_use]
    pub fn keyed(self, key: KeyOptions) -> Self {
        Self { key: Some(key), ..self }
    }

    /// Checks what can be told without the cluster.
    pub(crate) fn checked(
        &self,
        chooses_topic: bool,
        error: &dyn Fn(&str, String) -> Error,
    ) -> Result<SinkConfig> {
        match (&self.topic, &self.topic_column) {
            (None, None) if !chooses_topic => {
                return Err(error("topic", "is missing: name a topic, or a `topic_column`".to_owned()));
            }
            (Some(_), Some(_)) => {
                return Err(error("topic_column", "stands beside `topic`: one of them decides".to_owned()));
            }
            (Some(topic), _) if topic.is_empty() => return Err(error("topic", "is empty".to_owned())),
            _ => {}
        }
        let key = self.key.as_ref().map(|key| key.checked(error)).transpose()?;
        let exactly_once = self.delivery_guarantee == DeliveryGuarantee::ExactlyOnce;
        let transactions = if exactly_once { Some(self.transactions(error)?) } else { None };
        if let (false, Some(_)) = (exactly_once, &self.transactional_id_prefix) {
            let reason = "has no effect without `delivery_guarantee` = \"exactly-once\"";
            return Err(error("transactional_id_prefix", reason.to_owned()));
        }
        let (bootstrap_servers, properties) = (self.bootstrap_servers.clone(), self.properties.clone());
        let connection = Connection { bootstrap_servers, properties };
        let named = |e: Error| match e {
            Error::Config { option, reason } => error(&option, reason),
            other => other,
        };
        let client = connection.client(REFUSED).map_err(named)?;
        if self.delivery_guarantee != DeliveryGuarantee::None && self.properties.contains_key("acks") {
            let reason = "is not passed through: the guarantee rests on acks = all";
            return Err(error("properties.acks", reason.to_owned()));
        }
        if exactly_once {
            connection.transport().map_err(named)?;
        }
        let client = self.client(client);
        Ok(SinkConfig { options: self.clone(), key, connection, client, transactions })
    }

    fn transactions(&self, error: &dyn Fn(&str, String) -> Error) -> Result<TransactionConfig> {
        let Some(prefix) = self.transactional_id_prefix.as_deref().filter(|prefix| !prefix.is_empty()) else {
            let reason = "is missing: \"exactly-once\" needs a prefix that no other job on the cluster uses";
            return Err(error("transactional_id_prefix", reason.to_owned()));
        };
        let timeout = self.transaction_timeout.map(|span| span.0);
        if timeout.is_some_and(|timeout| timeout < MIN_TIMEOUT || timeout.as_millis() > i32::MAX as u128) {
            return Err(error("transaction_timeout", format!("is not within {MIN_TIMEOUT:?} and 24 days")));
        }
        Ok(TransactionConfig { prefix: Prefix::new(prefix), timeout, take_over: self.take_over })
    }

    fn client(&self, mut client: ClientConfig) -> ClientConfig {
        let mut unless_set = |name: &str, value: &str| {
            if !self.properties.contains_key(name) {
                client.set(name, value);
            }
        };
        // librdkafka would hold up to 1 GiB per producer.
        unless_set("queue.buffering.max.kbytes", "32768");
        unless_set("client.id", "connector-kafka");
        if self.delivery_guarantee != DeliveryGuarantee::None {
            unless_set("enable.idempotence", "true");
        }
        // A report per message is paid for on every message, and only those that failed are asked for.
        client.set("delivery.report.only.error", "true");
        client.set("partitioner", "murmur2_random");
        client
    }
}

const MIN_TIMEOUT: Duration = Duration::from_secs(1);

/// What the sink itself decides.
const REFUSED: &[Refused] = &[
    ("transactional.id", "ids are made of the option `transactional_id_prefix`"),
    ("transaction.timeout.ms", "set the option `transaction_timeout`"),
    ("enable.idempotence", "\"exactly-once\" rests on it, and \"at-least-once\" keeps the order by it"),
    ("partitioner", "set the option `partitioner`"),
    ("delivery.report.only.error", "the sink counts on reports of errors alone"),
];

/// Checked options.
#[derive(Debug)]
pub(crate) struct SinkConfig {
    pub(crate) options: SinkOptions,
    /// Where keys come from, if not with the rows.
    pub(crate) key: Option<KeyFrom>,
    pub(crate) connection: Connection,
    /// The producers' configuration, without what is each one's own.
    pub(crate) client: ClientConfig,
    /// For exactly once.
    pub(crate) transactions: Option<TransactionConfig>,
}

/// How transactions are named and how long they live.
#[derive(Clone, Debug)]
pub(crate) struct TransactionConfig {
    pub(crate) prefix: Prefix,
    /// None is what the cluster allows.
    pub(crate) timeout: Option<Duration>,
    pub(crate) take_over: bool,
}

#[cfg(test)]
mod tests {
    use super::super::key::MissingKey;
    use super::*;

    fn refused(options: &SinkOptions) -> String {
        let error = |name: &str, reason: String| Error::config(format!("sink.{name}"), reason);
        options.checked(false, &error).unwrap_err().to_string()
    }

    fn with(name: &str, value: &str) -> SinkOptions {
        let options = SinkOptions::topic("127.0.0.1:9092", "t").exactly_once("p");
        SinkOptions { properties: [(name.to_owned(), value.to_owned())].into(), ..options }
    }

    #[test]
    fn what_contradicts_is_refused_by_name() {
        let plain = SinkOptions::topic("127.0.0.1:9092", "t");
        for (options, name) in [
            (SinkOptions { topic: None, ..plain.clone() }, "sink.topic`"),
            (SinkOptions { topic_column: Some("c".into()), ..plain.clone() }, "sink.topic_column"),
            (plain.clone().exactly_once(""), "sink.transactional_id_prefix"),
            (
                SinkOptions {
                    delivery_guarantee: DeliveryGuarantee::AtLeastOnce,
                    ..plain.clone().exactly_once("p")
                },
                "sink.transactional_id_prefix",
            ),
            (
                SinkOptions {
                    transaction_timeout: Some(Span(Duration::from_millis(1))),
                    ..plain.clone().exactly_once("p")
                },
                "sink.transaction_timeout",
            ),
            (plain.clone().keyed(KeyOptions::default()), "sink.key`"),
            (plain.clone().keyed(KeyOptions::delimiter("")), "sink.key.delimiter"),
            (plain.clone().keyed(KeyOptions::field("")), "sink.key.field"),
            (plain.clone().keyed(KeyOptions::field("a..b")), "sink.key.field"),
            (
                plain.clone().keyed(KeyOptions { field: Some("a".into()), ..KeyOptions::delimiter(",") }),
                "sink.key`",
            ),
            (
                plain.keyed(KeyOptions { missing: MissingKey::Null, ..KeyOptions::delimiter(",") }),
                "sink.key.missing",
            ),
            (with("acks", "1"), "sink.properties.acks"),
            (with("transactional.id", "x"), "sink.properties.transactional.id"),
            (with("transaction.timeout.ms", "1"), "sink.properties.transaction.timeout.ms"),
        ] {
            let error = refused(&options);
            assert!(error.contains(name), "{error} does not name {name}");
        }
    }

    #[test]
    fn exactly_once_is_refused_with_a_security_property_that_the_wire_client_does_not_speak() {
        for (name, value) in
            [("security.protocol", "tls"), ("sasl.kerberos.principal", "x"), ("sasl.mechanism", "PLAIN")]
        {
            let error = refused(&with(name, value));
            assert!(error.contains(&format!("sink.properties.{name}")), "{error}");
        }
        let error = |name: &str, reason: String| Error::config(name, reason);
        assert!(with("security.protocol", "PLAINTEXT").checked(false, &error).is_ok());
        let weaker = SinkOptions {
            delivery_guarantee: DeliveryGuarantee::AtLeastOnce,
            transactional_id_prefix: None,
            ..with("sasl.mechanism", "PLAIN")
        };
        assert!(weaker.checked(false, &error).is_ok());
    }

    #[cfg(not(feature = "tls"))]
    #[test]
    fn a_build_without_tls_names_the_feature_whatever_the_guarantee() {
        for guarantee in
            [DeliveryGuarantee::None, DeliveryGuarantee::AtLeastOnce, DeliveryGuarantee::ExactlyOnce]
        {
            let mut options = with("security.protocol", "ssl");
            options.delivery_guarantee = guarantee;
            if guarantee != DeliveryGuarantee::ExactlyOnce {
                options.transactional_id_prefix = None;
            }
            let error = refused(&options);
            assert!(
                error.contains("sink.properties.security.protocol") && error.contains("`tls`"),
                "{error}"
            );
        }
    }

    #[test]
    fn no_secret_is_shown() {
        let options = with("sasl.password", "hunter2");
        assert!(!format!("{options:?}").contains("hunter2"));
        assert!(!refused(&options).contains("hunter2"));
    }
}
