//! The table `[convert]` of a pipeline.

use std::path::Path;

use connector_api::env::Environment;
use connector_api::{Error, Result};
use connector_file::bad::{BadRecords, OnBadRecord};
use schemars::JsonSchema;
use serde::Deserialize;

use super::Schema;

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
}

fn infer_rows() -> usize {
    1_000
}

impl Default for ConvertTable {
    fn default() -> Self {
        Self { schema: None, infer_rows: infer_rows(), on_bad_record: OnBadRecord::default() }
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
