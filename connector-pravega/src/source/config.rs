//! The options of the source: one struct for files, builders and other front ends alike.

use std::path::{Path, PathBuf};

use connector_api::Result;
use connector_api::factory::ByteSize;
use schemars::JsonSchema;
use segment_store::{MAX_EVENT, StreamCut, StreamName};
use serde::{Deserialize, Serialize};

use crate::error::{Refuse, parsed};
use crate::options::{DurabilityOption, StoreAt};

/// Where reading begins.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Start {
    /// What was not truncated, from its beginning.
    #[default]
    Head,
    /// What is written after the first start.
    Tail,
    /// What is behind this stream cut, as `0.#epoch.0:1024,1.#epoch.0:0`.
    Cut(String),
}

/// Where reading ends.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Stop {
    /// The end of the stream at the first start.
    Tail,
    /// This stream cut.
    Cut(String),
}

/// What happens when what is to be read was truncated away.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum OnTruncated {
    /// The job fails and names segment and offset.
    #[default]
    Fail,
    /// Reading goes on at the beginning of what is left; the bytes are counted and logged.
    Skip,
}

/// The options of the Pravega source.
#[derive(Clone, Debug, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct SourceOptions {
    /// The directory of the store. Another process may write it meanwhile.
    #[schemars(extend("x-identity" = true))]
    pub dir: PathBuf,
    /// The stream, as `scope/name`.
    #[schemars(extend("x-identity" = true))]
    pub stream: String,
    /// Where reading begins at the first start: "head" (what was not truncated), "tail" (what is written from then on) or { cut = "..." }
    /// with a stream cut. A restored job goes on where it was.
    #[serde(default)]
    #[schemars(with = "serde_json::Value")]
    pub start: Start,
    /// Where reading ends, and with it the job: "tail" (the end of the stream at the first start) or { cut = "..." } with a stream cut.
    /// Without it, the job runs until it is stopped or the stream is sealed.
    #[serde(default)]
    #[schemars(with = "serde_json::Value")]
    pub stop: Option<Stop>,
    /// What happens when what is to be read was truncated away: "fail", or "skip" to what is left.
    #[serde(default)]
    pub on_truncated: OnTruncated,
    /// About how many bytes of a segment are read at once. A larger event is read whole.
    #[serde(default = "default_read_size")]
    pub read_size: ByteSize,
    /// How the store is opened, which all of a process that use it say alike: "sync" (what is written is on the disk), "os" (the operating
    /// system has it) or "memory" (nothing is kept).
    #[serde(default)]
    pub durability: DurabilityOption,
}

fn default_read_size() -> ByteSize {
    ByteSize(1 << 20)
}

/// Checked options.
#[derive(Clone, Debug)]
pub(crate) struct SourceConfig {
    pub(crate) at: StoreAt,
    pub(crate) stream: StreamName,
    pub(crate) start: At,
    pub(crate) stop: Option<At>,
    pub(crate) on_truncated: OnTruncated,
    pub(crate) read_size: usize,
}

/// A place in a stream.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum At {
    Head,
    Tail,
    Cut(StreamCut),
}

impl SourceOptions {
    /// A stream in the store of a directory, everything else by default: from its head, without an end.
    pub fn stream(dir: impl Into<PathBuf>, stream: impl Into<String>) -> Self {
        Self {
            dir: dir.into(),
            stream: stream.into(),
            start: Start::default(),
            stop: None,
            on_truncated: OnTruncated::default(),
            read_size: default_read_size(),
            durability: DurabilityOption::default(),
        }
    }

    pub(crate) fn checked(&self, base: &Path, refuse: Refuse<'_>) -> Result<SourceConfig> {
        let most = MAX_EVENT as u64;
        let size = self.read_size.0;
        if size == 0 || size > most {
            return Err(refuse("read_size", format!("is {size}; 1 to {most} bytes are read at once")));
        }
        let cut = |text: &str, option| Ok(At::Cut(parsed(text, option, refuse)?));
        Ok(SourceConfig {
            at: StoreAt::new(&self.dir, base, self.durability, false),
            stream: parsed(&self.stream, "stream", refuse)?,
            start: match &self.start {
                Start::Head => At::Head,
                Start::Tail => At::Tail,
                Start::Cut(text) => cut(text, "start")?,
            },
            stop: match &self.stop {
                None => None,
                Some(Stop::Tail) => Some(At::Tail),
                Some(Stop::Cut(text)) => Some(cut(text, "stop")?),
            },
            on_truncated: self.on_truncated,
            read_size: usize::try_from(size).unwrap_or(MAX_EVENT),
        })
    }
}

#[cfg(test)]
mod tests {
    use connector_api::Error;

    use super::*;

    fn checked(options: &SourceOptions) -> Result<SourceConfig> {
        options.checked(Path::new("/"), &|name, reason| Error::config(format!("source.{name}"), reason))
    }

    #[test]
    fn places_are_read_as_users_write_them() {
        let options = r#"{"dir": "/s", "stream": "a/b", "start": {"cut": "0.#epoch.0:8"}, "stop": "tail"}"#;
        let config = checked(&serde_json::from_str(options).unwrap()).unwrap();
        assert!(matches!(config.start, At::Cut(cut) if cut.to_string() == "0.#epoch.0:8"));
        assert_eq!((config.stop, config.read_size), (Some(At::Tail), 1 << 20));
    }

    #[test]
    fn what_is_wrong_is_refused_by_name() {
        let good = SourceOptions::stream("/s", "a/b");
        let cut = || "x".to_owned();
        for (options, named) in [
            (SourceOptions { stream: "a".into(), ..good.clone() }, "source.stream"),
            (SourceOptions { start: Start::Cut(cut()), ..good.clone() }, "source.start"),
            (SourceOptions { stop: Some(Stop::Cut(cut())), ..good.clone() }, "source.stop"),
            (SourceOptions { read_size: ByteSize(0), ..good }, "source.read_size"),
        ] {
            let error = checked(&options).unwrap_err();
            assert!(matches!(&error, Error::Config { option, .. } if option == named), "{error}");
        }
    }
}
