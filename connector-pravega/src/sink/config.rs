//! The options of the sink: one struct for files, builders and other front ends alike.

use std::path::{Path, PathBuf};
use std::time::Duration;

use connector_api::Result;
use connector_api::factory::Span;
use schemars::JsonSchema;
use segment_store::StreamName;
use segment_store::model::{MAX_LEASE_MILLIS, MAX_SEGMENTS};
use serde::{Deserialize, Serialize};

use super::routing::RoutingKey;
use crate::error::{Refuse, parsed};
use crate::options::{DurabilityOption, StoreAt};

/// What a reader of the stream finds after a failure.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "kebab-case")]
pub enum DeliveryGuarantee {
    /// No row is missing; some may be there twice.
    #[default]
    AtLeastOnce,
    /// Each row is there once.
    ExactlyOnce,
}

/// The options of the Pravega sink.
#[derive(Clone, Debug, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct SinkOptions {
    /// The directory of the store. It can be open in one process at a time; all jobs of that process share it.
    #[schemars(extend("x-identity" = true))]
    pub dir: PathBuf,
    /// The stream that rows are written to, as `scope/name`.
    #[schemars(extend("x-identity" = true))]
    pub stream: String,
    /// What decides which segment a row goes to; rows of one key stay in order: "key" (the row's key; without one it is spread), "none" (all
    /// are spread), { field = "user.id" } (a field of the value, a JSON object) or { fixed = "text" } (one key for all rows).
    #[serde(default)]
    #[schemars(with = "serde_json::Value")]
    pub routing_key: RoutingKey,
    /// What a reader of the stream finds after a failure: "exactly-once" (each row once, in transactions that become visible when the
    /// checkpoint is complete) or "at-least-once" (some rows again).
    #[serde(default)]
    #[schemars(extend("x-identity" = true))]
    pub delivery_guarantee: DeliveryGuarantee,
    /// How long a transaction stays open that nobody keeps alive. Time counts while the store is open. Longer than the pause between two
    /// attempts of a job while another one keeps the store open.
    #[serde(default = "default_lease")]
    pub lease: Span,
    /// Makes the store, the scope and the stream where they are missing, the stream with so many segments. Without it, what is missing is
    /// an error.
    #[serde(default)]
    pub create: Option<u32>,
    /// When what is written counts as stored, which all of a process that use the store say alike: "sync" (it is on the disk), "os" (the
    /// operating system has it) or "memory" (at once; nothing is kept).
    #[serde(default)]
    pub durability: DurabilityOption,
}

fn default_lease() -> Span {
    Span(Duration::from_secs(600))
}

/// The shortest lease: it is renewed three times in it.
const MIN_LEASE: Duration = Duration::from_secs(1);

/// Checked options.
#[derive(Clone, Debug)]
pub(crate) struct SinkConfig {
    pub(crate) at: StoreAt,
    pub(crate) stream: StreamName,
    pub(crate) key: RoutingKey,
    pub(crate) guarantee: DeliveryGuarantee,
    pub(crate) lease: Duration,
    pub(crate) create: Option<u32>,
}

impl SinkOptions {
    /// Rows to a stream in the store of a directory, at least once.
    pub fn stream(dir: impl Into<PathBuf>, stream: impl Into<String>) -> Self {
        Self {
            dir: dir.into(),
            stream: stream.into(),
            routing_key: RoutingKey::default(),
            delivery_guarantee: DeliveryGuarantee::default(),
            lease: default_lease(),
            create: None,
            durability: DurabilityOption::default(),
        }
    }

    /// The same, exactly once.
    #[must_use]
    pub fn exactly_once(self) -> Self {
        Self { delivery_guarantee: DeliveryGuarantee::ExactlyOnce, ..self }
    }

    pub(crate) fn checked(&self, base: &Path, refuse: Refuse<'_>) -> Result<SinkConfig> {
        let lease = self.lease.0;
        let longest = Duration::from_millis(MAX_LEASE_MILLIS);
        if lease < MIN_LEASE || lease > longest {
            return Err(refuse("lease", format!("is not within {MIN_LEASE:?} and {longest:?}")));
        }
        if self.create.is_some_and(|segments| segments == 0 || segments as usize > MAX_SEGMENTS as usize) {
            return Err(refuse("create", format!("is not within 1 and {MAX_SEGMENTS} segments")));
        }
        self.routing_key.check(refuse)?;
        Ok(SinkConfig {
            at: StoreAt::new(&self.dir, base, self.durability, self.create.is_some()),
            stream: parsed(&self.stream, "stream", refuse)?,
            key: self.routing_key.clone(),
            guarantee: self.delivery_guarantee,
            lease,
            create: self.create,
        })
    }
}

#[cfg(test)]
mod tests {
    use connector_api::Error;

    use super::*;

    #[test]
    fn what_is_wrong_is_refused_by_name() {
        let good = SinkOptions::stream("/s", "a/b");
        let lease = |seconds| SinkOptions { lease: Span(Duration::from_secs(seconds)), ..good.clone() };
        let field = RoutingKey::Field("a..b".into());
        for (options, named) in [
            (SinkOptions { stream: "a".into(), ..good.clone() }, "sink.stream"),
            (lease(0), "sink.lease"),
            (lease(8 * 24 * 3600), "sink.lease"),
            (SinkOptions { create: Some(0), ..good.clone() }, "sink.create"),
            (SinkOptions { routing_key: field, ..good.clone() }, "sink.routing_key.field"),
        ] {
            let refuse = |name: &str, reason| Error::config(format!("sink.{name}"), reason);
            let error = options.checked(Path::new("/"), &refuse).unwrap_err();
            assert!(matches!(&error, Error::Config { option, .. } if option == named), "{error}");
        }
    }
}
