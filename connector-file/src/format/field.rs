//! A field of a row: what buckets are told by.

use std::borrow::Cow;
use std::fmt;

use serde::de::{DeserializeSeed, Error as _, IgnoredAny, MapAccess, SeqAccess, Visitor};
use serde::{Deserializer, Serialize};

/// The value of one field of a row.
#[derive(Clone, Debug, PartialEq)]
pub enum FieldValue<'a> {
    /// Null, or no such field.
    Null,
    /// A text; also what else has one: a truth value (`true`, `false`), a date (`2026-01-31`), a number beyond 64 bits.
    Text(Cow<'a, str>),
    /// A whole number.
    Integer(i64),
    /// Any other number.
    Float(f64),
    /// A point in time, in milliseconds since the Unix epoch.
    Instant(i64),
}

impl FieldValue<'_> {
    /// Appends the value as text: equal values have equal texts, and an integer the same as the text of its digits.
    pub(crate) fn write_to(&self, out: &mut String) {
        use fmt::Write as _;
        // Writing to a string does not fail.
        let _ = match self {
            Self::Null => Ok(()),
            Self::Text(text) => out.write_str(text),
            Self::Integer(n) => write!(out, "{n}"),
            Self::Float(n) => write!(out, "{n}"),
            Self::Instant(millis) => match jiff::Timestamp::from_millisecond(*millis) {
                Ok(instant) => write!(out, "{instant}"),
                Err(_) => write!(out, "{millis}"),
            },
        };
    }
}

/// A field of a JSON object, at its top level; of a name that occurs twice, the last one counts.
///
/// # Errors
///
/// When the text is no JSON object, or the field is a list or an object.
pub(crate) fn json_field<'a>(text: &'a [u8], name: &str) -> Result<FieldValue<'a>, String> {
    let mut parser = serde_json::Deserializer::from_slice(text);
    let value = parser
        .deserialize_map(Fields { name })
        .map_err(|e| format!("no JSON object with such a field: {e}"))?;
    parser.end().map_err(|e| format!("no JSON object: {e}"))?;
    Ok(value)
}

/// A field of a row that serde writes as a struct or a map.
///
/// # Errors
///
/// When the row is neither, or the field is a list or an object.
pub(crate) fn serde_field<T: Serialize>(row: &T, name: &str) -> Result<FieldValue<'static>, String> {
    let row = serde_json::to_value(row).map_err(|e| e.to_string())?;
    let fields = row.as_object().ok_or("the row has no fields")?;
    Ok(match fields.get(name) {
        None | Some(serde_json::Value::Null) => FieldValue::Null,
        Some(serde_json::Value::String(text)) => FieldValue::Text(text.clone().into()),
        Some(serde_json::Value::Bool(b)) => FieldValue::Text(bool_text(*b).into()),
        Some(serde_json::Value::Number(n)) => match (n.as_i64(), n.as_f64()) {
            (Some(n), _) => FieldValue::Integer(n),
            (None, _) if n.is_u64() => FieldValue::Text(n.to_string().into()),
            (None, Some(n)) => FieldValue::Float(n),
            (None, None) => FieldValue::Text(n.to_string().into()),
        },
        Some(_) => return Err(NESTED.to_owned()),
    })
}

const NESTED: &str = "the field is a list or an object";

fn bool_text(b: bool) -> &'static str {
    if b { "true" } else { "false" }
}

/// Reads an object for one field.
struct Fields<'n> {
    name: &'n str,
}

impl<'de> Visitor<'de> for Fields<'_> {
    type Value = FieldValue<'de>;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("an object")
    }

    fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<FieldValue<'de>, A::Error> {
        let mut found = FieldValue::Null;
        while let Some(is_it) = map.next_key_seed(Is(self.name))? {
            if is_it {
                found = map.next_value_seed(Value)?;
            } else {
                map.next_value::<IgnoredAny>()?;
            }
        }
        Ok(found)
    }
}

/// Whether a key is this one, without a copy of it.
struct Is<'n>(&'n str);

impl<'de> DeserializeSeed<'de> for Is<'_> {
    type Value = bool;

    fn deserialize<D: Deserializer<'de>>(self, deserializer: D) -> Result<bool, D::Error> {
        deserializer.deserialize_str(self)
    }
}

impl Visitor<'_> for Is<'_> {
    type Value = bool;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("a key")
    }

    fn visit_str<E>(self, key: &str) -> Result<bool, E> {
        Ok(key == self.0)
    }
}

struct Value;

impl<'de> DeserializeSeed<'de> for Value {
    type Value = FieldValue<'de>;

    fn deserialize<D: Deserializer<'de>>(self, deserializer: D) -> Result<FieldValue<'de>, D::Error> {
        deserializer.deserialize_any(self)
    }
}

impl<'de> Visitor<'de> for Value {
    type Value = FieldValue<'de>;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("a text, a number, a truth value or null")
    }

    fn visit_unit<E>(self) -> Result<FieldValue<'de>, E> {
        Ok(FieldValue::Null)
    }

    fn visit_bool<E>(self, b: bool) -> Result<FieldValue<'de>, E> {
        Ok(FieldValue::Text(bool_text(b).into()))
    }

    fn visit_i64<E>(self, n: i64) -> Result<FieldValue<'de>, E> {
        Ok(FieldValue::Integer(n))
    }

    fn visit_u64<E>(self, n: u64) -> Result<FieldValue<'de>, E> {
        Ok(i64::try_from(n).map_or_else(|_| FieldValue::Text(n.to_string().into()), FieldValue::Integer))
    }

    fn visit_f64<E>(self, n: f64) -> Result<FieldValue<'de>, E> {
        Ok(FieldValue::Float(n))
    }

    fn visit_borrowed_str<E>(self, text: &'de str) -> Result<FieldValue<'de>, E> {
        Ok(FieldValue::Text(text.into()))
    }

    fn visit_str<E>(self, text: &str) -> Result<FieldValue<'de>, E> {
        Ok(FieldValue::Text(text.to_owned().into()))
    }

    fn visit_seq<A: SeqAccess<'de>>(self, _: A) -> Result<FieldValue<'de>, A::Error> {
        Err(A::Error::custom(NESTED))
    }

    fn visit_map<A: MapAccess<'de>>(self, _: A) -> Result<FieldValue<'de>, A::Error> {
        Err(A::Error::custom(NESTED))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn field(text: &str) -> Result<FieldValue<'_>, String> {
        json_field(text.as_bytes(), "f")
    }

    #[test]
    fn the_value_of_a_field_is_found_at_the_top_level_only() {
        assert_eq!(field(r#"{"a": {"f": 1}, "f": "x"}"#), Ok(FieldValue::Text("x".into())));
        assert_eq!(field(r#"{"f": "a\nb"}"#), Ok(FieldValue::Text("a\nb".into())));
        assert_eq!(field(r#"{"\u0066": 7, "g": [1]}"#), Ok(FieldValue::Integer(7)));
        assert_eq!(field(r#"{"f": 1, "f": -2.5}"#), Ok(FieldValue::Float(-2.5)));
        assert_eq!(
            field(r#"{"f": 18446744073709551615}"#),
            Ok(FieldValue::Text("18446744073709551615".into()))
        );
        assert_eq!(field(r#"{"f": false}"#), Ok(FieldValue::Text("false".into())));
        assert_eq!((field(r#"{"f": null}"#), field("{}")), (Ok(FieldValue::Null), Ok(FieldValue::Null)));
    }

    #[test]
    fn what_is_no_object_or_has_no_plain_value_is_an_error() {
        for text in ["", "x", "[1]", "3", r#"{"f": 1"#, r#"{"f": [1]}"#, r#"{"f": {}}"#, r#"{"f": 1} x"#] {
            assert!(field(text).is_err(), "{text}");
        }
    }

    #[test]
    fn serde_and_json_agree() {
        for text in
            [r#"{"f": "x"}"#, r#"{"f": 1}"#, r#"{"f": 1.5}"#, r#"{"f": true}"#, r#"{"f": null}"#, "{}"]
        {
            let row: serde_json::Value = serde_json::from_str(text).unwrap();
            assert_eq!(serde_field(&row, "f"), field(text), "{text}");
        }
        assert!(serde_field(&1, "f").is_err() && serde_field(&serde_json::json!({"f": []}), "f").is_err());
    }
}
