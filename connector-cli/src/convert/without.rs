//! Conversions in a build without columns: there are none.

use connector_api::{Batch, Error, MessageBatch, Result, RowBatch};
use connector_file::bad::BadRecords;
use schemars::JsonSchema;
use serde::Deserialize;

use super::ValueEncoding;

/// The batch of columns that this build does not have: there is no value of it.
#[derive(Debug)]
pub(crate) enum NoColumns {}

impl RowBatch for NoColumns {
    fn rows(&self) -> usize {
        match *self {}
    }

    fn bytes(&self) -> usize {
        match *self {}
    }

    fn take_front(&mut self, _: usize) -> Self {
        match *self {}
    }
}

/// Columns that nothing can be converted to.
#[derive(Clone, Debug, PartialEq, Deserialize, JsonSchema)]
pub(crate) struct Schema(serde_json::Value);

impl Schema {
    /// Canonical text.
    pub(crate) fn text(&self) -> String {
        self.0.to_string()
    }
}

fn missing<T>() -> Result<T> {
    Err(Error::config("convert", "this build has no columns; build with `--features parquet`"))
}

/// See the twin in `columns.rs`.
pub(crate) fn parse(_: &str) -> Result<Schema, String> {
    Err("this build has no columns".into())
}

/// See the twin in `columns.rs`.
pub(crate) fn infer(_: &[MessageBatch], _: bool) -> Result<Schema> {
    missing()
}

/// One batch into another.
pub(super) type Step<A, B> = Box<dyn Fn(Batch<A>) -> Result<Batch<B>> + Send + Sync>;

/// See the twin in `columns.rs`.
pub(crate) fn to_columns(_: &Schema, _: BadRecords) -> Result<Step<MessageBatch, NoColumns>> {
    missing()
}

/// See the twin in `columns.rs`.
pub(crate) fn records_to_columns(_: ValueEncoding, _: BadRecords) -> Step<MessageBatch, NoColumns> {
    Box::new(|_| missing())
}

/// See the twin in `columns.rs`.
pub(crate) fn to_messages(batch: Batch<NoColumns>) -> Result<Batch<MessageBatch>> {
    match batch.rows {}
}
