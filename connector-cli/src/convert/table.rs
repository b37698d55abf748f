//! The table `[convert]` of a pipeline.

use std::path::Path;

use connector_api::env::Environment;
use connector_api::{Error, Result};
use connector_file::bad::{BadRecords, OnBadRecord};
use schemars::JsonSchema;
use serde::Deserialize;

use super::Schema;
use super::plan::Plan;

/// How JSON objects become columns, between a source that has the ones and a sink that takes the others.
#[derive(Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub(crate) struct ConvertTable {
    /// The columns: `["id int64", "name string"]`, or `{ id = "int64", name = "string" }` in the order of the names. Without
    /// it they are inferred from the first records when the job begins, and kept in the checkpoint directory.
    #[serde(default)]
    #[schemars(extend("x-identity" = true))]
    pub(crate) schema: Option<Schema>,
    /// How many records are looked at to infer the columns.
    #[serde(default = "infer_rows")]
    infer_rows: usize,
    /// What becomes of a record that does not fit the columns: "fail", "skip", or { dead_letter = "DIRECTORY" }.
    #[serde(default)]
    on_bad_record: OnBadRecord,
    /// How keys, values and headers of records stand in JSON objects, and which columns they become: "utf8" (texts; what is no UTF-8 is a bad
    /// record), or "base64" (any bytes: base64 in JSON, columns of the type `binary`).
    #[serde(default)]
    pub(crate) value_encoding: ValueEncoding,
}

/// How bytes of records are written.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Deserialize, JsonSchema)]
#[serde(rename_all = "lowercase")]
pub(crate) enum ValueEncoding {
    /// As texts.
    #[default]
    Utf8,
    /// Any bytes.
    Base64,
}

fn infer_rows() -> usize {
    1_000
}

impl Default for ConvertTable {
    fn default() -> Self {
        Self {
            schema: None,
            infer_rows: infer_rows(),
            on_bad_record: OnBadRecord::default(),
            value_encoding: ValueEncoding::default(),
        }
    }
}

impl ConvertTable {
    /// Refuses what has no meaning.
    pub(crate) fn check(&self) -> Result<()> {
        if self.infer_rows == 0 {
            return Err(Error::config("convert.infer_rows", "must be at least 1"));
        }
        if matches!(&self.on_bad_record, OnBadRecord::DeadLetter(dir) if dir.as_os_str().is_empty()) {
            return Err(Error::config("convert.on_bad_record.dead_letter", "is empty; give a directory"));
        }
        Ok(())
    }

    /// Refuses what has no meaning for this plan.
    pub(super) fn check_for(&self, plan: Plan) -> Result<()> {
        match plan {
            Plan::ToColumns if self.value_encoding == ValueEncoding::Base64 => Err(Error::config(
                "convert.value_encoding",
                "has no meaning here: it is about records that become JSON objects or columns whole; leave it out",
            )),
            Plan::RecordsToMessages | Plan::RecordsToColumns if self.schema.is_some() => Err(Error::config(
                "convert.schema",
                "has no meaning here: records become the columns key, value, topic, partition, offset, timestamp and headers; \
                 leave it out, or say that their values are JSON objects by the source's `value_format = \"json\"`",
            )),
            Plan::ToColumns | Plan::RecordsToMessages | Plan::RecordsToColumns => Ok(()),
            Plan::Messages | Plan::Columns | Plan::ToMessages => {
                let reason = "has no meaning here: only what becomes columns, and records that become JSON objects, is converted \
                              by it; leave it out";
                Err(Error::config("convert", reason))
            }
        }
    }

    /// How many records are looked at to infer the columns.
    pub(super) fn infer_rows(&self) -> usize {
        self.infer_rows
    }

    /// Whether a record that does not fit ends the job.
    pub(super) fn fails(&self) -> bool {
        self.on_bad_record == OnBadRecord::Fail
    }

    /// Takes the bad records of one process. Relative paths are relative to `base_dir`.
    pub(crate) fn bad_records(&self, base_dir: &Path, env: &Environment) -> BadRecords {
        let policy = match &self.on_bad_record {
            OnBadRecord::DeadLetter(dir) => OnBadRecord::DeadLetter(base_dir.join(dir)),
            other => other.clone(),
        };
        let owner = format!("convert-{:016x}", env.random.next_u64());
        BadRecords::new(policy, env.clone(), "convert", owner)
    }
}
