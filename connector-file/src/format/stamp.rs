//! Columns about where a record comes from.

use std::sync::Arc;

use connector_api::message::Column;
use connector_api::{MessageBatch, Result};
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use crate::source::FileSplit;

/// The path of the file below the path of the option, as text.
pub const PATH_COLUMN: &str = "file.path";
/// Where the record begins: a byte of the file, or of what it decompresses to. In Parquet the number of the row, from 0.
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

impl Metadata {
    /// The name of its column.
    pub fn column(self) -> &'static str {
        match self {
            Self::Path => PATH_COLUMN,
            Self::Offset => OFFSET_COLUMN,
            Self::Modified => MODIFIED_COLUMN,
        }
    }
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

    /// Whether there is nothing to put.
    #[cfg(feature = "parquet")]
    pub(crate) fn is_empty(&self) -> bool {
        self.names().is_empty()
    }

    /// The names of the columns.
    #[cfg(feature = "parquet")]
    pub(crate) fn names(&self) -> Vec<&'static str> {
        let path = self.path.is_some().then_some(PATH_COLUMN);
        let offset = self.offset.then_some(OFFSET_COLUMN);
        path.into_iter().chain(offset).chain(self.modified.map(|_| MODIFIED_COLUMN)).collect()
    }

    /// The columns of rows that are numbered from `first` on.
    #[cfg(feature = "parquet")]
    pub(crate) fn arrays(&self, first: u64, rows: usize) -> Vec<(&'static str, arrow_array::ArrayRef)> {
        use arrow_array::{Int64Array, StringArray};
        let number = |n: u64| i64::try_from(n).unwrap_or(i64::MAX);
        let mut arrays: Vec<(&'static str, arrow_array::ArrayRef)> = Vec::new();
        if let Some(path) = &self.path {
            arrays.push((PATH_COLUMN, Arc::new(StringArray::from_iter_values((0..rows).map(|_| path)))));
        }
        if self.offset {
            let offsets = (0..rows as u64).map(|row| number(first.saturating_add(row)));
            arrays.push((OFFSET_COLUMN, Arc::new(Int64Array::from_iter_values(offsets))));
        }
        if let Some(modified) = self.modified {
            arrays.push((MODIFIED_COLUMN, Arc::new(Int64Array::from_value(modified, rows))));
        }
        arrays
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
