//! Instants without a time zone database: an instant in UTC is the same one under the offset `+00:00`, which needs none.

use std::sync::Arc;

use arrow_array::RecordBatch;
use arrow_schema::{DataType, Field, Fields, Schema, SchemaRef};
use connector_api::{Error, Result};

const OFFSET: &str = "+00:00";

/// The same columns, with all instants in UTC, spelled as an offset.
pub(crate) fn without_zones(schema: &SchemaRef) -> SchemaRef {
    let fields = fields(schema.fields());
    if fields == *schema.fields() {
        return schema.clone();
    }
    Arc::new(Schema::new_with_metadata(fields, schema.metadata().clone()))
}

fn fields(all: &Fields) -> Fields {
    let field =
        |field: &Arc<Field>| Arc::new(field.as_ref().clone().with_data_type(plain(field.data_type())));
    all.iter().map(field).collect()
}

fn plain(kind: &DataType) -> DataType {
    let inner =
        |field: &Arc<Field>| Arc::new(field.as_ref().clone().with_data_type(plain(field.data_type())));
    match kind {
        DataType::Timestamp(unit, Some(_)) => DataType::Timestamp(*unit, Some(OFFSET.into())),
        DataType::List(item) => DataType::List(inner(item)),
        DataType::LargeList(item) => DataType::LargeList(inner(item)),
        DataType::FixedSizeList(item, n) => DataType::FixedSizeList(inner(item), *n),
        DataType::Struct(all) => DataType::Struct(fields(all)),
        DataType::Map(entries, sorted) => DataType::Map(inner(entries), *sorted),
        other => other.clone(),
    }
}

/// The same instants under the zones of `schema`, whose columns differ from the batch's in nothing else.
pub(crate) fn with_zones(batch: RecordBatch, schema: &SchemaRef) -> Result<RecordBatch> {
    if batch.schema_ref() == schema {
        return Ok(batch);
    }
    let columns = batch.columns().iter().zip(schema.fields()).map(|(column, field)| {
        if column.data_type() == field.data_type() {
            return Ok(column.clone());
        }
        arrow_cast::cast(column, field.data_type())
    });
    let refused = |e: arrow_schema::ArrowError| Error::data("record batch", None, e.to_string());
    let columns = columns.collect::<Result<_, _>>().map_err(refused)?;
    let rows = arrow_array::RecordBatchOptions::new().with_row_count(Some(batch.num_rows()));
    RecordBatch::try_new_with_options(schema.clone(), columns, &rows).map_err(refused)
}
