//! The columns of a table as users write them.

use std::collections::BTreeSet;
use std::fmt;
use std::str::FromStr;
use std::sync::Arc;

use arrow_schema::{DataType, Field, SchemaRef, TimeUnit};
use connector_api::{Error, Result};
use schemars::{JsonSchema, SchemaGenerator, json_schema};
use serde::ser::SerializeSeq;
use serde::{Deserialize, Deserializer, Serialize, Serializer, de};

/// The zone of the column type `timestamp`.
pub(crate) const UTC: &str = "UTC";
/// The most digits of a decimal that 128 bits hold.
const MOST_DIGITS: u8 = 38;

/// The columns of a table, in their order.
///
/// Written as a list of texts, which keeps its order, or as a table, whose columns stand in the order in which the front
/// end hands them over (`connect` and other users of JSON values: the order of their names):
///
/// ```toml
/// schema = ["id int64!", "name string", "price decimal(10,2)", "at timestamp"]
/// schema = { id = "int64!", name = "string" }
/// ```
///
/// The types are `boolean`, `int32`, `int64`, `float64`, `string`, `binary`, `date`, `timestamp` (milliseconds since the
/// Unix epoch, in UTC) and `decimal(digits,scale)` of up to 38 digits. Every column may be null, unless `!` follows its type.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Schema {
    columns: Vec<Column>,
}

/// A column of a [`Schema`].
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Column {
    /// What it is called; unique in its schema, not empty.
    pub name: String,
    /// What it holds.
    pub kind: ColumnType,
    /// Whether a value may be missing.
    pub nullable: bool,
}

/// What a column holds.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum ColumnType {
    /// `boolean`
    Boolean,
    /// `int32`
    Int32,
    /// `int64`
    Int64,
    /// `float64`
    Float64,
    /// `string`: UTF-8.
    String,
    /// `binary`: any bytes; in JSON and CSV as hexadecimal digits.
    Binary,
    /// `date`: a day, without a zone.
    Date,
    /// `timestamp`: milliseconds since the Unix epoch, in UTC.
    Timestamp,
    /// `decimal(digits,scale)`: `scale` of the digits stand behind the point.
    Decimal {
        /// All digits, 1 to 38.
        digits: u8,
        /// Those behind the point, at most all.
        scale: u8,
    },
}

impl ColumnType {
    /// Arrow's type.
    pub fn to_arrow(self) -> DataType {
        match self {
            Self::Boolean => DataType::Boolean,
            Self::Int32 => DataType::Int32,
            Self::Int64 => DataType::Int64,
            Self::Float64 => DataType::Float64,
            Self::String => DataType::Utf8,
            Self::Binary => DataType::Binary,
            Self::Date => DataType::Date32,
            Self::Timestamp => DataType::Timestamp(TimeUnit::Millisecond, Some(UTC.into())),
            // At most 38.
            Self::Decimal { digits, scale } => DataType::Decimal128(digits, scale.cast_signed()),
        }
    }

    /// The type that stands for exactly this one of Arrow's; none when there is none.
    pub fn of_arrow(arrow: &DataType) -> Option<Self> {
        Some(match arrow {
            DataType::Boolean => Self::Boolean,
            DataType::Int32 => Self::Int32,
            DataType::Int64 => Self::Int64,
            DataType::Float64 => Self::Float64,
            DataType::Utf8 => Self::String,
            DataType::Binary => Self::Binary,
            DataType::Date32 => Self::Date,
            DataType::Timestamp(TimeUnit::Millisecond, Some(zone)) if matches!(&**zone, UTC | "+00:00") => {
                Self::Timestamp
            }
            DataType::Decimal128(digits, scale) => {
                Self::Decimal { digits: *digits, scale: u8::try_from(*scale).ok()? }
            }
            _ => return None,
        })
    }
}

impl fmt::Display for ColumnType {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Boolean => "boolean",
            Self::Int32 => "int32",
            Self::Int64 => "int64",
            Self::Float64 => "float64",
            Self::String => "string",
            Self::Binary => "binary",
            Self::Date => "date",
            Self::Timestamp => "timestamp",
            Self::Decimal { digits, scale } => return write!(f, "decimal({digits},{scale})"),
        })
    }
}

impl FromStr for ColumnType {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        Ok(match text {
            "boolean" => Self::Boolean,
            "int32" => Self::Int32,
            "int64" => Self::Int64,
            "float64" => Self::Float64,
            "string" => Self::String,
            "binary" => Self::Binary,
            "date" => Self::Date,
            "timestamp" => Self::Timestamp,
            other => {
                return decimal(other).ok_or_else(|| {
                    format!(
                        "`{other}` is not a type; write boolean, int32, int64, float64, string, binary, date, timestamp or \
                         decimal(digits,scale) with up to {MOST_DIGITS} digits, and `!` behind it where no value may be missing"
                    )
                });
            }
        })
    }
}

fn decimal(text: &str) -> Option<ColumnType> {
    let (digits, scale) = text.strip_prefix("decimal(")?.strip_suffix(')')?.split_once(',')?;
    let (digits, scale) = (digits.trim().parse().ok()?, scale.trim().parse().ok()?);
    ((1..=MOST_DIGITS).contains(&digits) && scale <= digits).then_some(ColumnType::Decimal { digits, scale })
}

impl Schema {
    /// These columns.
    ///
    /// # Errors
    ///
    /// When there is none, a name is empty, or two columns have one name; says which.
    pub fn new(columns: Vec<Column>) -> Result<Self, String> {
        if columns.is_empty() {
            return Err("a table needs at least one column".into());
        }
        let mut names = BTreeSet::new();
        for (index, column) in columns.iter().enumerate() {
            if column.name.is_empty() {
                return Err(format!("column {} has no name", index + 1));
            }
            if !names.insert(&column.name) {
                return Err(format!("column `{}` is there twice", column.name));
            }
        }
        Ok(Self { columns })
    }

    /// The columns in their order.
    pub fn columns(&self) -> &[Column] {
        &self.columns
    }

    /// Arrow's schema of these columns.
    pub fn to_arrow(&self) -> SchemaRef {
        let field = |c: &Column| Field::new(&c.name, c.kind.to_arrow(), c.nullable);
        Arc::new(arrow_schema::Schema::new(self.columns.iter().map(field).collect::<Vec<_>>()))
    }

    /// The columns of one of Arrow's schemas.
    ///
    /// # Errors
    ///
    /// [`Error::Data`] naming the first column whose type can't be written here (a list, say), and as [`new`](Self::new).
    pub fn of_arrow(schema: &arrow_schema::Schema) -> Result<Self> {
        let column = |field: &Arc<Field>| match ColumnType::of_arrow(field.data_type()) {
            Some(kind) => Ok(Column { name: field.name().clone(), kind, nullable: field.is_nullable() }),
            None => Err(format!(
                "column `{}` has a type without a name here: {}",
                field.name(),
                field.data_type()
            )),
        };
        let columns = schema.fields().iter().map(column).collect::<Result<_, _>>();
        columns.and_then(Self::new).map_err(|reason| Error::data("schema", None, reason))
    }
}

impl Column {
    fn parse(name: &str, kind: &str) -> Result<Self, String> {
        let kind = kind.trim();
        let (kind, nullable) = kind.strip_suffix('!').map_or((kind, true), |kind| (kind.trim_end(), false));
        let kind = kind.parse().map_err(|reason| format!("column `{name}`: {reason}"))?;
        Ok(Self { name: name.to_owned(), kind, nullable })
    }

    fn type_text(&self) -> String {
        format!("{}{}", self.kind, if self.nullable { "" } else { "!" })
    }
}

impl FromStr for Column {
    type Err = String;

    /// A name, which may hold spaces, and a type.
    fn from_str(text: &str) -> Result<Self, String> {
        let text = text.trim();
        // A type may hold a space only within its brackets.
        let end = text.find('(').filter(|_| text.trim_end_matches('!').ends_with(')')).unwrap_or(text.len());
        match text[..end].rfind(char::is_whitespace) {
            Some(at) => Self::parse(text[..at].trim_end(), &text[at..]),
            None => Err(format!("`{text}` is not a column; write a name and a type, as in \"id int64\"")),
        }
    }
}

impl fmt::Display for Column {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} {}", self.name, self.type_text())
    }
}

/// As a list of texts.
impl Serialize for Schema {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        let mut list = serializer.serialize_seq(Some(self.columns.len()))?;
        self.columns.iter().try_for_each(|column| list.serialize_element(&column.to_string()))?;
        list.end()
    }
}

struct SchemaVisitor;

impl<'de> de::Visitor<'de> for SchemaVisitor {
    type Value = Schema;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("a list of columns such as [\"id int64\", \"name string\"], or a table such as { id = \"int64\" }")
    }

    fn visit_map<A: de::MapAccess<'de>>(self, mut map: A) -> Result<Schema, A::Error> {
        let mut columns = Vec::new();
        while let Some((name, kind)) = map.next_entry::<String, String>()? {
            columns.push(Column::parse(&name, &kind).map_err(de::Error::custom)?);
        }
        Schema::new(columns).map_err(de::Error::custom)
    }

    fn visit_seq<A: de::SeqAccess<'de>>(self, mut list: A) -> Result<Schema, A::Error> {
        let mut columns = Vec::new();
        while let Some(text) = list.next_element::<String>()? {
            columns.push(text.parse().map_err(de::Error::custom)?);
        }
        Schema::new(columns).map_err(de::Error::custom)
    }
}

impl<'de> Deserialize<'de> for Schema {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        deserializer.deserialize_any(SchemaVisitor)
    }
}

impl JsonSchema for Schema {
    fn schema_name() -> std::borrow::Cow<'static, str> {
        "TableSchema".into()
    }

    fn inline_schema() -> bool {
        true
    }

    fn json_schema(_: &mut SchemaGenerator) -> schemars::Schema {
        json_schema!({
            "oneOf": [
                { "type": "array", "items": { "type": "string" } },
                { "type": "object", "additionalProperties": { "type": "string" } },
            ]
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const ALL: &str = r#"["a boolean", "b int32!", "c int64", "d float64", "e string", "f binary", "g date", "h timestamp",
        "i decimal(10,2)!", "two words string"]"#;

    #[test]
    fn a_schema_survives_text_and_arrow() {
        let schema: Schema = serde_json::from_str(ALL).unwrap();
        assert_eq!(schema.columns().len(), 10);
        assert_eq!(Schema::of_arrow(&schema.to_arrow()).unwrap(), schema);
        let text = serde_json::to_string(&schema).unwrap();
        assert_eq!(serde_json::from_str::<Schema>(&text).unwrap(), schema);
        let nullable: Vec<_> =
            schema.columns().iter().filter(|c| !c.nullable).map(|c| c.name.as_str()).collect();
        assert_eq!(nullable, ["b", "i"]);
    }

    #[test]
    fn a_table_keeps_the_order_it_is_handed_over_in() {
        let schema: Schema = serde_json::from_str(r#"{"z": "int64", "a": "decimal( 3 , 3 )"}"#).unwrap();
        let names: Vec<_> = schema.columns().iter().map(|c| c.name.as_str()).collect();
        assert_eq!(names, ["z", "a"]);
        assert_eq!(schema.columns()[1].kind, ColumnType::Decimal { digits: 3, scale: 3 });
    }

    #[test]
    fn what_is_wrong_is_named_by_its_column() {
        let cases = [
            (r#"{"a": "int63"}"#, "column `a`: `int63` is not a type"),
            (r#"["a int64", "b decimal(39,0)"]"#, "column `b`"),
            (r#"["b decimal(3,4)"]"#, "column `b`"),
            (r#"["a int64", "a string"]"#, "column `a` is there twice"),
            (r#"["a"]"#, "`a` is not a column"),
            (r#"{"": "int64"}"#, "column 1 has no name"),
            ("{}", "at least one column"),
            ("[]", "at least one column"),
            ("3", "a list of columns"),
        ];
        for (text, expected) in cases {
            let error = serde_json::from_str::<Schema>(text).unwrap_err().to_string();
            assert!(error.contains(expected), "{text}: {error}");
        }
    }

    #[test]
    fn a_type_of_arrow_without_a_name_is_refused_by_column() {
        let list = Field::new_list("tags", Field::new("item", DataType::Utf8, true), true);
        let error = Schema::of_arrow(&arrow_schema::Schema::new(vec![list])).unwrap_err();
        assert!(error.to_string().contains("column `tags`"), "{error}");
    }
}
