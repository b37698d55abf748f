//! A field of a row of Arrow columns.

use arrow_array::cast::AsArray;
use arrow_array::types::{
    Date32Type, Date64Type, Float32Type, Float64Type, Int8Type, Int16Type, Int32Type, Int64Type,
    TimestampMicrosecondType, TimestampMillisecondType, TimestampNanosecondType, TimestampSecondType,
    UInt8Type, UInt16Type, UInt32Type, UInt64Type,
};
use arrow_array::{Array, RecordBatch};
use arrow_schema::{DataType, TimeUnit};
use jiff::SignedDuration;
use jiff::civil::date;

use super::FieldValue;

/// The value of a column in a row below `num_rows()`; a column that is missing is null. A timestamp without a zone is one in UTC.
///
/// # Errors
///
/// For a column of a type that is no plain value.
pub(crate) fn arrow_field<'a>(
    batch: &'a RecordBatch,
    row: usize,
    name: &str,
) -> Result<FieldValue<'a>, String> {
    let Some(column) = batch.column_by_name(name) else { return Ok(FieldValue::Null) };
    value(column.as_ref(), row)
}

fn value(column: &dyn Array, row: usize) -> Result<FieldValue<'_>, String> {
    macro_rules! number {
        ($type:ty) => {
            column.as_primitive::<$type>().value(row)
        };
    }
    if column.is_null(row) {
        return Ok(FieldValue::Null);
    }
    Ok(match column.data_type() {
        DataType::Null => FieldValue::Null,
        DataType::Utf8 => FieldValue::Text(column.as_string::<i32>().value(row).into()),
        DataType::LargeUtf8 => FieldValue::Text(column.as_string::<i64>().value(row).into()),
        DataType::Utf8View => FieldValue::Text(column.as_string_view().value(row).into()),
        DataType::Boolean => {
            FieldValue::Text(if column.as_boolean().value(row) { "true" } else { "false" }.into())
        }
        DataType::Int8 => FieldValue::Integer(number!(Int8Type).into()),
        DataType::Int16 => FieldValue::Integer(number!(Int16Type).into()),
        DataType::Int32 => FieldValue::Integer(number!(Int32Type).into()),
        DataType::Int64 => FieldValue::Integer(number!(Int64Type)),
        DataType::UInt8 => FieldValue::Integer(number!(UInt8Type).into()),
        DataType::UInt16 => FieldValue::Integer(number!(UInt16Type).into()),
        DataType::UInt32 => FieldValue::Integer(number!(UInt32Type).into()),
        DataType::UInt64 => {
            let n = number!(UInt64Type);
            i64::try_from(n).map_or_else(|_| FieldValue::Text(n.to_string().into()), FieldValue::Integer)
        }
        DataType::Float32 => FieldValue::Float(number!(Float32Type).into()),
        DataType::Float64 => FieldValue::Float(number!(Float64Type)),
        DataType::Date32 => day(i64::from(number!(Date32Type)))?,
        DataType::Date64 => day(number!(Date64Type).div_euclid(86_400_000))?,
        DataType::Timestamp(unit, _) => FieldValue::Instant(match unit {
            TimeUnit::Second => number!(TimestampSecondType).saturating_mul(1_000),
            TimeUnit::Millisecond => number!(TimestampMillisecondType),
            TimeUnit::Microsecond => number!(TimestampMicrosecondType).div_euclid(1_000),
            TimeUnit::Nanosecond => number!(TimestampNanosecondType).div_euclid(1_000_000),
        }),
        DataType::Dictionary(..) => match column.as_dictionary_opt::<Int32Type>() {
            Some(dictionary) => {
                let key = usize::try_from(dictionary.keys().value(row)).map_err(|e| e.to_string())?;
                value(dictionary.values().as_ref(), key)?
            }
            None => return Err(format!("the column is of type {}", column.data_type())),
        },
        other => return Err(format!("the column is of type {other}, which is no plain value")),
    })
}

/// The text of a date, from the days since the Unix epoch.
fn day(days: i64) -> Result<FieldValue<'static>, String> {
    let outside = || format!("day {days} since the Unix epoch is outside the years -9999 to 9999");
    let seconds = days.checked_mul(86_400).ok_or_else(outside)?;
    let date = date(1970, 1, 1).checked_add(SignedDuration::from_secs(seconds)).map_err(|_| outside())?;
    Ok(FieldValue::Text(date.to_string().into()))
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use arrow_array::{Date32Array, Int32Array, ListArray, StringArray, TimestampMicrosecondArray};

    use super::*;

    #[test]
    fn columns_of_plain_types_have_values_and_others_are_errors() {
        let list = ListArray::from_iter_primitive::<Int32Type, _, _>([Some(vec![Some(1)]), None]);
        let batch = RecordBatch::try_from_iter([
            ("t", Arc::new(StringArray::from(vec![Some("a"), None])) as _),
            ("n", Arc::new(Int32Array::from(vec![-7, 8])) as _),
            ("d", Arc::new(Date32Array::from(vec![0, -1])) as _),
            ("at", Arc::new(TimestampMicrosecondArray::from(vec![1_500, -1])) as _),
            ("l", Arc::new(list) as _),
        ])
        .unwrap();
        let field = |row, name| arrow_field(&batch, row, name);
        assert_eq!(field(0, "t"), Ok(FieldValue::Text("a".into())));
        assert_eq!((field(1, "t"), field(0, "missing")), (Ok(FieldValue::Null), Ok(FieldValue::Null)));
        assert_eq!(field(0, "n"), Ok(FieldValue::Integer(-7)));
        assert_eq!(field(1, "d"), Ok(FieldValue::Text("1969-12-31".into())));
        assert_eq!(
            (field(0, "at"), field(1, "at")),
            (Ok(FieldValue::Instant(1)), Ok(FieldValue::Instant(-1)))
        );
        assert!(field(0, "l").is_err());
    }
}
