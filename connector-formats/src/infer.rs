//! The columns of records that are there.

use std::collections::HashMap;
use std::fmt;

use arrow_csv::reader::Format;
use arrow_schema::DataType;
use connector_api::{Error, Result};
use serde::Deserializer;
use serde::de::{DeserializeSeed, Error as _, IgnoredAny, MapAccess, SeqAccess, Visitor};

use crate::schema::{Column, ColumnType, Schema};

/// The columns of JSON objects, in the order in which they first appear; all may be null.
///
/// | values of the column | its type |
/// |---|---|
/// | `true`, `false` | `boolean` |
/// | whole numbers that fit | `int64` |
/// | other numbers, also among whole ones | `float64` |
/// | texts | `string` |
/// | of several of these kinds | `string`: each value keeps its text |
/// | only `null` | `string` |
///
/// The rules are those of `arrow-json`, but for the order of columns, which there is that of their names. Looks at every
/// record that it is given: limit them.
///
/// # Errors
///
/// [`Error::Data`] with the index of the record: it is no JSON object, or a column holds a list or an object, for which
/// there is no type; and when no record has a column.
pub fn infer<'a>(records: impl IntoIterator<Item = &'a [u8]>) -> Result<Schema> {
    let mut seen = Seen::default();
    for (index, record) in (0..).zip(records) {
        let mut parser = serde_json::Deserializer::from_slice(record);
        let parsed = parser.deserialize_map(Record(&mut seen)).and_then(|()| parser.end());
        parsed.map_err(|e| Error::data("record to infer a schema from", Some(index), e.to_string()))?;
    }
    let column = |(name, kind): (String, Option<ColumnType>)| Column {
        name,
        kind: kind.unwrap_or(ColumnType::String),
        nullable: true,
    };
    let schema = Schema::new(seen.columns.into_iter().map(column).collect());
    schema.map_err(|reason| Error::data("records to infer a schema from", None, reason))
}

/// The columns of CSV text that begins with a header row; all may be null. `delimiter` is `,` or what stands for it.
///
/// The types are `boolean`, `int64`, `float64`, `date`, `timestamp` (such as `2024-05-01T10:00:00`, taken as UTC) and
/// `string`, which also stands for a mixture and for a column without values. Looks at all of the text: limit it, to whole rows.
///
/// # Errors
///
/// [`Error::Data`]: rows of different lengths, or no header row.
pub fn infer_csv(text: &[u8], delimiter: u8) -> Result<Schema> {
    let refused = |reason: String| Error::data("text to infer a schema from", None, reason);
    let format = Format::default().with_header(true).with_delimiter(delimiter);
    let (arrow, _) = format.infer_schema(text, None).map_err(|e| refused(e.to_string()))?;
    let column = |field: &std::sync::Arc<arrow_schema::Field>| Column {
        name: field.name().clone(),
        kind: match field.data_type() {
            DataType::Boolean => ColumnType::Boolean,
            DataType::Int64 => ColumnType::Int64,
            DataType::Float64 => ColumnType::Float64,
            DataType::Date32 => ColumnType::Date,
            DataType::Timestamp(..) => ColumnType::Timestamp,
            _ => ColumnType::String,
        },
        nullable: true,
    };
    Schema::new(arrow.fields().iter().map(column).collect()).map_err(refused)
}

/// What was seen of each column; none where all values were null.
#[derive(Default)]
struct Seen {
    columns: Vec<(String, Option<ColumnType>)>,
    by_name: HashMap<String, usize>,
}

impl Seen {
    fn index(&mut self, name: String) -> usize {
        let columns = &mut self.columns;
        *self.by_name.entry(name).or_insert_with_key(|name| {
            columns.push((name.clone(), None));
            columns.len() - 1
        })
    }
}

struct Record<'a>(&'a mut Seen);

impl<'de> Visitor<'de> for Record<'_> {
    type Value = ();

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("a JSON object")
    }

    fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<(), A::Error> {
        while let Some(name) = map.next_key::<String>()? {
            let index = self.0.index(name);
            let (name, kind) = &mut self.0.columns[index];
            let Some(found) = map.next_value_seed(Value(name))? else { continue };
            *kind = Some(match *kind {
                None => found,
                Some(before) => common(before, found),
            });
        }
        Ok(())
    }
}

fn common(one: ColumnType, other: ColumnType) -> ColumnType {
    use ColumnType::{Float64, Int64, String};
    match (one, other) {
        _ if one == other => one,
        (Int64, Float64) | (Float64, Int64) => Float64,
        _ => String,
    }
}

struct Value<'a>(&'a str);

impl<'de> DeserializeSeed<'de> for Value<'_> {
    type Value = Option<ColumnType>;

    fn deserialize<D: Deserializer<'de>>(self, deserializer: D) -> Result<Self::Value, D::Error> {
        deserializer.deserialize_any(self)
    }
}

impl<'de> Visitor<'de> for Value<'_> {
    type Value = Option<ColumnType>;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("a JSON value")
    }

    fn visit_unit<E>(self) -> Result<Self::Value, E> {
        Ok(None)
    }

    fn visit_bool<E>(self, _: bool) -> Result<Self::Value, E> {
        Ok(Some(ColumnType::Boolean))
    }

    fn visit_i64<E>(self, _: i64) -> Result<Self::Value, E> {
        Ok(Some(ColumnType::Int64))
    }

    fn visit_u64<E>(self, number: u64) -> Result<Self::Value, E> {
        Ok(Some(if i64::try_from(number).is_ok() { ColumnType::Int64 } else { ColumnType::Float64 }))
    }

    fn visit_f64<E>(self, _: f64) -> Result<Self::Value, E> {
        Ok(Some(ColumnType::Float64))
    }

    fn visit_str<E>(self, _: &str) -> Result<Self::Value, E> {
        Ok(Some(ColumnType::String))
    }

    fn visit_seq<A: SeqAccess<'de>>(self, mut list: A) -> Result<Self::Value, A::Error> {
        while list.next_element::<IgnoredAny>()?.is_some() {}
        Err(A::Error::custom(format!("column `{}` holds a list, for which there is no type", self.0)))
    }

    fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<Self::Value, A::Error> {
        while map.next_entry::<IgnoredAny, IgnoredAny>()?.is_some() {}
        Err(A::Error::custom(format!("column `{}` holds an object, for which there is no type", self.0)))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn inferred(records: &[&str]) -> Result<Vec<String>> {
        let schema = infer(records.iter().map(|r| r.as_bytes()))?;
        Ok(schema.columns().iter().map(ToString::to_string).collect())
    }

    #[test]
    fn types_are_the_narrowest_that_hold_all_values_in_order_of_appearance() {
        let records = [
            r#"{"z": 1, "b": true, "f": 1, "n": null, "m": 1}"#,
            r#"{"late": "x", "z": null, "f": 1.5, "m": "one", "big": 18446744073709551615}"#,
        ];
        let expected =
            ["z int64", "b boolean", "f float64", "n string", "m string", "late string", "big float64"];
        assert_eq!(inferred(&records).unwrap(), expected);
    }

    #[test]
    fn what_can_not_be_a_record_is_named_by_index_and_column() {
        for (records, expected) in [
            (&[r#"{"a": 1}"#, r#"{"tags": [1]}"#][..], "offset 1: column `tags` holds a list"),
            (&[r#"{"a": {"b": 1}}"#], "offset 0: column `a` holds an object"),
            (&["[]"], "a JSON object"),
            (&[r#"{"a": 1} {"#], "offset 0"),
            (&["{}"], "at least one column"),
            (&[], "at least one column"),
        ] {
            let error = inferred(records).unwrap_err().to_string();
            assert!(error.contains(expected), "{records:?}: {error}");
        }
    }

    #[test]
    fn csv_has_types_too() {
        let text = b"id;day;at;x;t;none\n1;2024-05-01;2024-05-01T10:00:00;1.5;a;\n2;2024-05-02;2024-05-01T10:00:01;2;7;\n";
        let schema = infer_csv(text, b';').unwrap();
        let columns: Vec<_> = schema.columns().iter().map(ToString::to_string).collect();
        assert_eq!(columns, ["id int64", "day date", "at timestamp", "x float64", "t string", "none string"]);
        assert!(infer_csv(b"a,b\n1\n", b',').is_err());
        assert!(infer_csv(b"", b',').is_err());
    }
}
