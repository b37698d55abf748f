//! Columns of metadata in batches of Arrow: behind the others, under the names that they have beside messages.

use std::sync::Arc;

use arrow_array::{ArrayRef, Int64Array, RecordBatch, StringArray};
use arrow_schema::{DataType, Field, Schema};
use connector_api::{Error, MessageBatch, Result};
use connector_formats::ArrowBatch;

use crate::format::{MODIFIED_COLUMN, OFFSET_COLUMN, PATH_COLUMN};

/// The names, in their order.
const METADATA_COLUMNS: [&str; 3] = [PATH_COLUMN, OFFSET_COLUMN, MODIFIED_COLUMN];

/// Puts the columns of metadata that stand beside these messages behind the columns that were made of those at `kept`. Without
/// any, the columns stay as they are.
///
/// # Errors
///
/// [`Error::Data`] when the columns have one of that name already.
pub fn with_metadata(columns: ArrowBatch, messages: &MessageBatch, kept: &[usize]) -> Result<ArrowBatch> {
    let Some(&first) = kept.first() else { return Ok(columns) };
    let mut more: Vec<(&str, ArrayRef)> = Vec::new();
    for name in METADATA_COLUMNS {
        if messages.text(name, first).is_some() {
            let texts = kept.iter().map(|row| messages.text(name, *row));
            more.push((name, Arc::new(texts.collect::<StringArray>())));
        } else if messages.integer(name, first).is_some() {
            let numbers = kept.iter().map(|row| messages.integer(name, *row));
            more.push((name, Arc::new(numbers.collect::<Int64Array>())));
        }
    }
    append(columns, more)
}

/// Refuses columns that have the name of metadata which is asked for.
pub(super) fn check_names(origin: &str, columns: &Schema, wanted: &[&str]) -> Result<()> {
    match wanted.iter().find(|name| columns.index_of(name).is_ok()) {
        None => Ok(()),
        Some(name) => Err(Error::data(origin, None, clash(name))),
    }
}

pub(crate) fn clash(name: &str) -> String {
    format!(
        "has a column `{name}` of its own, which the option `metadata` asks for, too: leave one of them out"
    )
}

/// Puts columns without nulls behind the others.
pub(super) fn append(columns: ArrowBatch, more: Vec<(&str, ArrayRef)>) -> Result<ArrowBatch> {
    if more.is_empty() {
        return Ok(columns);
    }
    let names: Vec<&str> = more.iter().map(|(name, _)| *name).collect();
    let schema = columns.schema();
    check_names("a batch of columns", &schema, &names)?;
    let mut fields: Vec<_> = schema.fields().iter().cloned().collect();
    let mut arrays = columns.into_columns().columns().to_vec();
    for (name, array) in more {
        let data_type = match array.data_type() {
            DataType::Utf8 => DataType::Utf8,
            _ => DataType::Int64,
        };
        fields.push(Arc::new(Field::new(name, data_type, false)));
        arrays.push(array);
    }
    let schema = Schema::new_with_metadata(fields, schema.metadata().clone());
    let batch = RecordBatch::try_new(Arc::new(schema), arrays);
    batch.map(ArrowBatch::from).map_err(|e| Error::data("a batch of columns", None, e.to_string()))
}
