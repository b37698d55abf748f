//! Columns about where a record comes from.

use std::sync::Arc;

use connector_api::message::Column;
use connector_api::{MessageBatch, Result};
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use crate::source::FileSplit;

/// The path of the file below the path of the option, as text.
pub const PATH_COLUMN: &str = "file.path";
/// Where the record begins: a byte of the file, or of what it decompresses to.
pub const OFFSET_COLUMN: &str = "file.offset";
/// When the file was modified, in milliseconds since the Unix epoch.
pub const MODIFIED_COLUMN: &str = "file.modified";

/// Something about a record that is no part of it.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "lowercase")]
pub enum Metadata {
    /// [`PATH_COLUMN`].
    Path,
    /// [`OFFSET_COLUMN`].
    Offset,
    /// [`MODIFIED_COLUMN`].
    Modified,
}

/// Puts columns of metadata beside the records of one split.
#[derive(Clone, Debug, Default)]
pub(crate) struct Stamp {
    path: Option<Arc<str>>,
    offset: bool,
    modified: Option<i64>,
}

impl Stamp {
    pub(crate) fn new(wanted: &[Metadata], split: &FileSplit) -> Self {
        let has = |one| wanted.contains(&one);
        let modified = i64::try_from(split.file.modified.as_millis()).unwrap_or(i64::MAX);
        Self {
            path: has(Metadata::Path).then(|| split.path.to_string().into()),
            offset: has(Metadata::Offset),
            modified: has(Metadata::Modified).then_some(modified),
        }
    }

    /// The batch with the columns; `offsets` says where each of its records begins.
    pub(crate) fn on(
        &self,
        mut batch: MessageBatch,
        offsets: impl FnOnce(&MessageBatch) -> Vec<u64>,
    ) -> Result<MessageBatch> {
        // Before the batch is changed: spans are looked up in it.
        let offsets = self.offset.then(|| offsets(&batch));
        if let Some(path) = &self.path {
            batch = batch.with_column(PATH_COLUMN, Column::SameText(path.clone()))?;
        }
        if let Some(offsets) = offsets {
            let offsets = offsets.into_iter().map(|at| i64::try_from(at).unwrap_or(i64::MAX)).collect();
            batch = batch.with_column(OFFSET_COLUMN, Column::Integers(Arc::new(offsets)))?;
        }
        if let Some(modified) = self.modified {
            batch = batch.with_column(MODIFIED_COLUMN, Column::SameInteger(modified))?;
        }
        Ok(batch)
    }
}
