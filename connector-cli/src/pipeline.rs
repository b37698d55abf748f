//! The keys around source and sink: one serde struct parses and documents them.

use std::fmt;
use std::path::PathBuf;
use std::time::Duration;

use connector_api::factory::{OptionSet, Options, Span};
use connector_api::{Error, Result};
use connector_runtime::{OnLost, RestartStrategy};
use schemars::JsonSchema;
use serde::de::value::MapAccessDeserializer;
use serde::{Deserialize, Deserializer, Serialize, de};
use serde_json::{Map, Value};

use crate::convert::ConvertTable;

/// More would only be a typing error.
const MAX_PARALLELISM: u32 = 4_096;

/// A pipeline without the options of its source and sink.
#[derive(Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub(crate) struct PipelineConfig {
    /// The job's name, for logs and metrics.
    pub(crate) name: String,
    /// How many readers, writers and committers run: a number for all, or a table that sets them apart. May change between runs.
    #[serde(default)]
    pub(crate) parallelism: ParallelismConfig,
    /// When and where checkpoints are made.
    pub(crate) checkpoint: CheckpointTable,
    /// What follows a failure that a restart may mend.
    #[serde(default)]
    pub(crate) restart: RestartTable,
    /// What follows a committable that is lost: `fail` ends the job, `skip` counts it, logs it and goes on.
    #[serde(default)]
    pub(crate) on_lost: OnLostWord,
    /// How long readers, writers and stages may take to close; then they are dropped.
    #[serde(default = "defaults::close_timeout")]
    pub(crate) close_timeout: Span,
    /// How JSON objects of the source become columns for the sink. Only for pipelines that need it, as those into Parquet do.
    #[serde(default)]
    pub(crate) convert: Option<ConvertTable>,
    /// What is read: `connector`, optionally `uid` (names the state; default `source`), and the connector's options.
    #[allow(
        dead_code,
        reason = "its shape is checked; its values are taken from the tree, which knows the lines"
    )]
    #[schemars(with = "Map<String, Value>")]
    source: Elsewhere,
    /// Where it goes: `connector`, optionally `uid` (names the state; default `sink`), and the connector's options.
    #[allow(
        dead_code,
        reason = "its shape is checked; its values are taken from the tree, which knows the lines"
    )]
    #[schemars(with = "Map<String, Value>")]
    sink: Elsewhere,
}

/// A table whose values are not kept here: they may be secrets.
#[derive(Debug, Deserialize)]
#[serde(from = "Map<String, Value>")]
struct Elsewhere;

impl From<Map<String, Value>> for Elsewhere {
    fn from(_: Map<String, Value>) -> Self {
        Self
    }
}

/// Readers, writers and committers. Each at least 1.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct ParallelismConfig {
    pub(crate) source: u32,
    pub(crate) sink: u32,
    pub(crate) committer: u32,
}

/// When and where checkpoints are made.
#[derive(Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub(crate) struct CheckpointTable {
    /// The directory of the job's checkpoints, relative to the pipeline's file. One job each.
    pub(crate) dir: PathBuf,
    /// From the start of one checkpoint to the start of the next.
    #[serde(default = "defaults::interval")]
    pub(crate) interval: Span,
    /// How many completed checkpoints are kept, at least 1. Savepoints are never removed.
    #[serde(default = "defaults::retain")]
    pub(crate) retain: usize,
    /// A checkpoint that is not complete by then is aborted.
    #[serde(default = "defaults::timeout")]
    pub(crate) timeout: Span,
}

/// What follows a failure that a restart may mend.
#[derive(Debug, Default, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub(crate) struct RestartTable {
    /// `none`: the job fails. `fixed_delay`: it waits `delay` each time. `exponential`: it waits `delay`, twice that, and so on up to `max_delay`.
    #[serde(default)]
    strategy: Strategy,
    /// How many restarts in a row; a completed checkpoint ends the row. Default 10.
    attempts: Option<u32>,
    /// How long to wait before the first restart. Default 100ms.
    delay: Option<Span>,
    /// How long `exponential` waits at most. Default 10s.
    max_delay: Option<Span>,
}

#[derive(Clone, Copy, Debug, Default, Deserialize, Serialize, JsonSchema, PartialEq, Eq)]
#[serde(rename_all = "snake_case")]
enum Strategy {
    None,
    FixedDelay,
    #[default]
    Exponential,
}

#[derive(Clone, Copy, Debug, Default, Deserialize, Serialize, JsonSchema, PartialEq, Eq)]
#[serde(rename_all = "snake_case")]
pub(crate) enum OnLostWord {
    #[default]
    Fail,
    Skip,
}

mod defaults {
    use super::{Duration, Span};

    pub(super) fn interval() -> Span {
        Span(Duration::from_secs(10))
    }

    pub(super) fn retain() -> usize {
        2
    }

    pub(super) fn timeout() -> Span {
        Span(Duration::from_secs(600))
    }

    pub(super) fn close_timeout() -> Span {
        Span(Duration::from_secs(30))
    }
}

impl PipelineConfig {
    /// Its documentation.
    pub(crate) fn options() -> OptionSet {
        OptionSet::of::<Self>()
    }

    /// Parses and checks the whole file's values.
    ///
    /// # Errors
    ///
    /// [`Error::Config`] with the path of the key.
    pub(crate) fn parse(values: Map<String, Value>) -> Result<Self> {
        // `Options` puts its prefix before every path; here the prefix is the file itself.
        let config: Self = Options::new("", values).parse().map_err(|e| match e {
            Error::Config { option, reason } => Error::config(option.trim_start_matches('.'), reason),
            other => other,
        })?;
        config.check()?;
        Ok(config)
    }

    fn check(&self) -> Result<()> {
        let name = &self.name;
        if name.is_empty() || name.len() > 128 || name.chars().any(char::is_control) {
            return Err(Error::config("name", "must have 1 to 128 bytes and no control characters"));
        }
        let ParallelismConfig { source, sink, committer } = self.parallelism;
        for (key, n) in [("source", source), ("sink", sink), ("committer", committer)] {
            if !(1..=MAX_PARALLELISM).contains(&n) {
                let option = if source == sink && sink == committer {
                    "parallelism".to_owned()
                } else {
                    format!("parallelism.{key}")
                };
                let reason = format!("{n} is out of range; allowed: 1 to {MAX_PARALLELISM}");
                return Err(Error::config(option, reason));
            }
        }
        if self.checkpoint.retain == 0 {
            return Err(Error::config("checkpoint.retain", "must be at least 1"));
        }
        for (key, span) in [("interval", self.checkpoint.interval), ("timeout", self.checkpoint.timeout)] {
            if span.0.is_zero() {
                return Err(Error::config(format!("checkpoint.{key}"), "must be longer than zero"));
            }
        }
        if self.checkpoint.dir.as_os_str().is_empty() {
            return Err(Error::config("checkpoint.dir", "must not be empty"));
        }
        self.convert.as_ref().map_or(Ok(()), ConvertTable::check)?;
        self.restart.check()
    }
}

impl RestartTable {
    fn check(&self) -> Result<()> {
        let given = [
            ("attempts", self.attempts.is_some(), self.strategy != Strategy::None),
            ("delay", self.delay.is_some(), self.strategy != Strategy::None),
            ("max_delay", self.max_delay.is_some(), self.strategy == Strategy::Exponential),
        ];
        for (key, given, meant) in given {
            if given && !meant {
                let word = if self.strategy == Strategy::None { "none" } else { "fixed_delay" };
                let reason = format!("has no meaning with strategy = \"{word}\"; leave it out");
                return Err(Error::config(format!("restart.{key}"), reason));
            }
        }
        if self.strategy == Strategy::Exponential && self.max_delay() < self.delay() {
            return Err(Error::config("restart.max_delay", "is shorter than `delay`"));
        }
        Ok(())
    }

    fn delay(&self) -> Duration {
        self.delay.map_or(Duration::from_millis(100), |span| span.0)
    }

    fn max_delay(&self) -> Duration {
        self.max_delay.map_or(Duration::from_secs(10), |span| span.0)
    }

    /// As the runtime has it.
    pub(crate) fn strategy(&self) -> RestartStrategy {
        let (attempts, delay) = (self.attempts.unwrap_or(10), self.delay());
        match self.strategy {
            Strategy::None => RestartStrategy::None,
            Strategy::FixedDelay => RestartStrategy::FixedDelay { attempts, delay },
            Strategy::Exponential => {
                RestartStrategy::Exponential { attempts, delay, max_delay: self.max_delay() }
            }
        }
    }
}

impl From<OnLostWord> for OnLost {
    fn from(word: OnLostWord) -> Self {
        match word {
            OnLostWord::Fail => Self::Fail,
            OnLostWord::Skip => Self::Skip,
        }
    }
}

impl Default for ParallelismConfig {
    fn default() -> Self {
        Self { source: 1, sink: 1, committer: 1 }
    }
}

impl Serialize for ParallelismConfig {
    // Only the default is ever written, for the documentation.
    fn serialize<S: serde::Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.serialize_u32(self.source)
    }
}

impl<'de> Deserialize<'de> for ParallelismConfig {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        deserializer.deserialize_any(ParallelismVisitor)
    }
}

/// The table form.
#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct ParallelismTable {
    #[serde(default = "one")]
    source: u32,
    #[serde(default = "one")]
    sink: u32,
    #[serde(default = "one")]
    committer: u32,
}

fn one() -> u32 {
    1
}

struct ParallelismVisitor;

impl<'de> de::Visitor<'de> for ParallelismVisitor {
    type Value = ParallelismConfig;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("a number such as 2, or a table such as { source = 2, sink = 2, committer = 1 }")
    }

    fn visit_u64<E: de::Error>(self, n: u64) -> Result<ParallelismConfig, E> {
        let n = u32::try_from(n).map_err(|_| E::invalid_value(de::Unexpected::Unsigned(n), &self))?;
        Ok(ParallelismConfig { source: n, sink: n, committer: n })
    }

    fn visit_map<A: de::MapAccess<'de>>(self, map: A) -> Result<ParallelismConfig, A::Error> {
        let table = ParallelismTable::deserialize(MapAccessDeserializer::new(map))?;
        Ok(ParallelismConfig { source: table.source, sink: table.sink, committer: table.committer })
    }
}

impl JsonSchema for ParallelismConfig {
    fn schema_name() -> std::borrow::Cow<'static, str> {
        "Parallelism".into()
    }

    fn json_schema(_: &mut schemars::SchemaGenerator) -> schemars::Schema {
        let count = |doc: &str| schemars::json_schema!({ "type": "integer", "minimum": 1, "default": 1, "description": doc });
        schemars::json_schema!({
            "type": ["integer", "object"],
            "properties": {
                "source": count("How many readers."),
                "sink": count("How many writers."),
                "committer": count("How many committers, and instances of the sink's stages."),
            },
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    fn parse(change: impl Fn(&mut Value)) -> Result<PipelineConfig, String> {
        let mut value =
            json!({"name": "x", "checkpoint": {"dir": "ckpt"}, "source": {"connector": "a"}, "sink": {}});
        change(&mut value);
        let Value::Object(map) = value else { unreachable!() };
        PipelineConfig::parse(map).map_err(|e| e.to_string())
    }

    #[test]
    fn what_is_left_out_has_the_documented_defaults() {
        let config = parse(|_| ()).unwrap();
        assert_eq!(config.parallelism, ParallelismConfig { source: 1, sink: 1, committer: 1 });
        assert_eq!(config.checkpoint.interval.0, Duration::from_secs(10));
        assert_eq!(config.checkpoint.timeout.0, Duration::from_secs(600));
        assert_eq!(config.checkpoint.retain, 2);
        assert_eq!(
            config.restart.strategy(),
            RestartStrategy::Exponential {
                attempts: 10,
                delay: Duration::from_millis(100),
                max_delay: Duration::from_secs(10),
            }
        );
        assert_eq!(config.on_lost, OnLostWord::Fail);
        let documented = PipelineConfig::options();
        let default = |name: &str| {
            documented.0.iter().find(|spec| spec.name == name).and_then(|spec| spec.default.clone())
        };
        assert_eq!(default("checkpoint.interval").as_deref(), Some("10s"));
        assert_eq!(default("checkpoint.retain").as_deref(), Some("2"));
        assert_eq!(default("parallelism").as_deref(), Some("1"));
        assert_eq!(default("parallelism.sink").as_deref(), Some("1"));
        assert_eq!(default("restart.strategy").as_deref(), Some("exponential"));
        assert_eq!(default("on_lost").as_deref(), Some("fail"));
    }

    #[test]
    fn parallelism_is_a_number_for_all_or_a_table() {
        assert_eq!(
            parse(|v| v["parallelism"] = json!(3)).unwrap().parallelism,
            ParallelismConfig { source: 3, sink: 3, committer: 3 }
        );
        assert_eq!(
            parse(|v| v["parallelism"] = json!({"source": 2, "sink": 4})).unwrap().parallelism,
            ParallelismConfig { source: 2, sink: 4, committer: 1 }
        );
    }

    #[test]
    fn wrong_values_are_refused_by_key_with_what_is_allowed() {
        type Change = fn(&mut Value);
        let cases: [(Change, &str, &str); 12] = [
            (|v| v["parallelism"] = json!(0), "`parallelism`", "1 to 4096"),
            (|v| v["parallelism"] = json!({"sink": 0}), "`parallelism.sink`", "1 to 4096"),
            (|v| v["parallelism"] = json!("two"), "`parallelism`", "a number such as 2"),
            (|v| v["parallelism"] = json!({"sinks": 2}), "`parallelism.sinks`", "`committer`"),
            (|v| v["paralelism"] = json!(2), "`paralelism`", "`parallelism`"),
            (|v| v["checkpoint"]["interval"] = json!(5), "`checkpoint.interval`", "\"1s\""),
            (|v| v["checkpoint"]["interval"] = json!("0s"), "`checkpoint.interval`", "longer than zero"),
            (|v| v["checkpoint"]["retain"] = json!(0), "`checkpoint.retain`", "at least 1"),
            (|v| v["restart"] = json!({"strategy": "never"}), "`restart.strategy`", "`fixed_delay`"),
            (
                |v| v["restart"] = json!({"strategy": "none", "attempts": 2}),
                "`restart.attempts`",
                "no meaning",
            ),
            (|v| v["restart"] = json!({"delay": "1m"}), "`restart.max_delay`", "shorter"),
            (|v| v["on_lost"] = json!("ignore"), "`on_lost`", "`skip`"),
        ];
        for (change, option, part) in cases {
            let message = parse(change).unwrap_err();
            assert!(message.contains(option) && message.contains(part), "{message}");
        }
    }

    #[test]
    fn required_keys_are_named() {
        for key in ["name", "checkpoint", "source", "sink"] {
            let message = parse(|v| {
                v.as_object_mut().map(|m| m.remove(key));
            });
            assert!(message.unwrap_err().contains(&format!("option `{key}`: missing")), "{key}");
        }
        let message = parse(|v| v["checkpoint"] = json!({})).unwrap_err();
        assert!(message.contains("`checkpoint.dir`"), "{message}");
    }
}
