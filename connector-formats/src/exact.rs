//! Whole numbers and booleans from their text: `arrow-json` would cut the fraction off a number in a column of integers, and
//! takes no boolean that is written as text, as it is in CSV.

use std::str::FromStr;
use std::sync::Arc;

use arrow_array::builder::{BooleanBuilder, PrimitiveBuilder};
use arrow_array::cast::AsArray;
use arrow_array::types::{Int32Type, Int64Type};
use arrow_array::{Array, ArrayRef, ArrowPrimitiveType, RecordBatch, RecordBatchOptions, StringArray};
use arrow_schema::{DataType, Field, Schema, SchemaRef};
use connector_api::{Error, Result};

/// The same columns, with those of integers and booleans as texts that may be missing.
pub(crate) fn as_texts(schema: &SchemaRef) -> SchemaRef {
    let field = |field: &Arc<Field>| match field.data_type() {
        DataType::Boolean | DataType::Int32 | DataType::Int64 => {
            Arc::new(Field::new(field.name(), DataType::Utf8, true))
        }
        _ => field.clone(),
    };
    let fields: Vec<_> = schema.fields().iter().map(field).collect();
    Arc::new(Schema::new_with_metadata(fields, schema.metadata().clone()))
}

/// The columns with the integers and booleans of `schema`, and the rows that hold something else there, with the reason for each.
pub(crate) fn exact(batch: RecordBatch, schema: &SchemaRef) -> Result<(RecordBatch, Vec<(usize, String)>)> {
    let mut wrong = Vec::new();
    if batch.schema_ref() == schema {
        return Ok((batch, wrong));
    }
    let columns = batch.columns().iter().zip(schema.fields()).map(|(column, field)| {
        let Some(texts) = column.as_string_opt::<i32>() else { return column.clone() };
        match field.data_type() {
            DataType::Boolean => booleans(texts, field, &mut wrong),
            DataType::Int32 => integers::<Int32Type>(texts, field, &mut wrong),
            DataType::Int64 => integers::<Int64Type>(texts, field, &mut wrong),
            _ => column.clone(),
        }
    });
    let columns: Vec<_> = columns.collect();
    wrong.sort_by_key(|(row, _)| *row);
    wrong.dedup_by_key(|(row, _)| *row);
    if !wrong.is_empty() {
        return Ok((batch.slice(0, 0), wrong));
    }
    let rows = RecordBatchOptions::new().with_row_count(Some(batch.num_rows()));
    let batch = RecordBatch::try_new_with_options(schema.clone(), columns, &rows)
        .map_err(|e| Error::data("record batch", None, e.to_string()))?;
    Ok((batch, wrong))
}

fn missing(field: &Field) -> String {
    format!("column `{}` has no value and must have one", field.name())
}

fn booleans(texts: &StringArray, field: &Field, wrong: &mut Vec<(usize, String)>) -> ArrayRef {
    let mut builder = BooleanBuilder::with_capacity(texts.len());
    for row in 0..texts.len() {
        let value = texts.is_valid(row).then(|| texts.value(row));
        match value {
            Some("true") => builder.append_value(true),
            Some("false") => builder.append_value(false),
            Some(text) => {
                wrong.push((row, format!("column `{}`: `{text}` is no boolean", field.name())));
                builder.append_null();
            }
            None => {
                if !field.is_nullable() {
                    wrong.push((row, missing(field)));
                }
                builder.append_null();
            }
        }
    }
    Arc::new(builder.finish())
}

fn integers<T: ArrowPrimitiveType>(
    texts: &StringArray,
    field: &Field,
    wrong: &mut Vec<(usize, String)>,
) -> ArrayRef
where
    T::Native: FromStr + TryFrom<i64>,
{
    let mut builder = PrimitiveBuilder::<T>::with_capacity(texts.len());
    for row in 0..texts.len() {
        if texts.is_null(row) {
            if !field.is_nullable() {
                wrong.push((row, missing(field)));
            }
            builder.append_null();
            continue;
        }
        let text = texts.value(row);
        match text.parse().ok().or_else(|| whole(text)?.try_into().ok()) {
            Some(number) => builder.append_value(number),
            None => {
                let reason = format!("column `{}`: `{text}` is no {}", field.name(), field.data_type());
                wrong.push((row, reason));
                builder.append_null();
            }
        }
    }
    Arc::new(builder.finish())
}

/// A whole number that is written as a fraction, such as `1.0` or `2e3`, as far as fractions are exact.
fn whole(text: &str) -> Option<i64> {
    const EXACT: f64 = (1_u64 << 53) as f64;
    let number: f64 = text.parse().ok()?;
    (number.fract() == 0.0 && number.abs() < EXACT).then_some(number as i64)
}
