//! Keys that are taken out of the rows' values.

use std::borrow::Cow;
use std::fmt;

use connector_api::message::MessageRef;
use connector_api::{Error, MessageBatch, Result};
use memchr::memmem::Finder;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use super::member::{Member, member};

/// Where the key of a record is taken from: either `delimiter` or `field`.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, default)]
pub struct KeyOptions {
    /// What is before the first occurrence of this text becomes the key, what is behind it the value.
    #[schemars(extend("x-identity" = true))]
    pub delimiter: Option<String>,
    /// The field of the value, a JSON object, that becomes the key as well; the value stays as it is. A dot leads into an
    /// object: "user.id".
    #[schemars(extend("x-identity" = true))]
    pub field: Option<String>,
    /// What a row gets whose `field` is not there or null: "error" (the job fails and names the row) or "null" (no key).
    pub missing: MissingKey,
}

/// What becomes of a row whose field is not there or null.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "kebab-case")]
pub enum MissingKey {
    /// The job fails and names the row.
    #[default]
    Error,
    /// The record has no key.
    Null,
}

impl KeyOptions {
    /// The key is what is before the first `delimiter`, the value what is behind it.
    pub fn delimiter(delimiter: impl Into<String>) -> Self {
        Self { delimiter: Some(delimiter.into()), ..Self::default() }
    }

    /// The key is this field of the JSON object that the value is.
    pub fn field(field: impl Into<String>) -> Self {
        Self { field: Some(field.into()), ..Self::default() }
    }

    pub(crate) fn checked(&self, error: &dyn Fn(&str, String) -> Error) -> Result<KeyFrom> {
        let refuse = |name: &str, reason: &str| Err(error(name, reason.to_owned()));
        match (&self.delimiter, &self.field) {
            (None, None) => {
                refuse("key", "names neither `delimiter` nor `field`: one of them says where keys are")
            }
            (Some(_), Some(_)) => {
                refuse("key", "names both `delimiter` and `field`: one of them says where keys are")
            }
            (Some(delimiter), None) if delimiter.is_empty() => refuse("key.delimiter", "is empty"),
            (Some(_), None) if self.missing != MissingKey::Error => refuse(
                "key.missing",
                "belongs to `key.field`: a row without the delimiter has no value either",
            ),
            (Some(delimiter), None) => Ok(KeyFrom::Delimiter(Box::new(Finder::new(delimiter).into_owned()))),
            (None, Some(field)) if field.split('.').any(str::is_empty) => {
                refuse("key.field", "is empty, or has a dot with no name beside it")
            }
            (None, Some(field)) => {
                let path = field.split('.').map(str::to_owned).collect();
                Ok(KeyFrom::Field { path, name: field.clone(), missing: self.missing })
            }
        }
    }
}

/// [`KeyOptions`], checked.
#[derive(Clone)]
pub(crate) enum KeyFrom {
    /// Boxed: it holds tables of some hundred bytes.
    Delimiter(Box<Finder<'static>>),
    Field {
        path: Vec<String>,
        name: String,
        missing: MissingKey,
    },
}

impl fmt::Debug for KeyFrom {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Delimiter(finder) => f.debug_tuple("Delimiter").field(&finder.needle()).finish(),
            Self::Field { name, missing, .. } => f.debug_tuple("Field").field(name).field(missing).finish(),
        }
    }
}

/// What a record holds of a row: slices of the batch, but a key whose JSON text had escapes.
#[derive(Debug, PartialEq, Eq)]
pub(crate) struct Keyed<'a> {
    pub(crate) key: Option<Cow<'a, [u8]>>,
    pub(crate) value: Option<&'a [u8]>,
}

impl<'a> Keyed<'a> {
    /// The row as it is.
    fn plain(MessageRef { key, value }: MessageRef<'a>) -> Self {
        Self { key: key.map(Cow::Borrowed), value }
    }

    /// The row at `index` with its key from where `from` says, whatever key it came with.
    pub(crate) fn of(from: Option<&KeyFrom>, rows: &'a MessageBatch, index: usize) -> Result<Self> {
        let message = rows.get(index);
        match from {
            None => Ok(Self::plain(message)),
            Some(from) => from.apply(message.value).map_err(|reason| refused(rows, index, &reason)),
        }
    }
}

impl KeyFrom {
    fn apply<'a>(&self, value: Option<&'a [u8]>) -> Result<Keyed<'a>, String> {
        let value = value.ok_or("`key` finds no value to take a key from: the row is a tombstone")?;
        match self {
            Self::Delimiter(finder) => {
                let at = finder.find(value).ok_or_else(|| {
                    let delimiter = String::from_utf8_lossy(finder.needle());
                    format!(
                        "`key.delimiter` {delimiter:?} is not in the row, which begins {}",
                        Beginning(value)
                    )
                })?;
                let (key, rest) = value.split_at(at);
                Ok(Keyed { key: Some(Cow::Borrowed(key)), value: rest.get(finder.needle().len()..) })
            }
            Self::Field { path, name, missing } => {
                let wrong = |what: String| {
                    format!("`key.field` {name:?}: {what}; the row begins {}", Beginning(value))
                };
                let key = match member(value, path).map_err(wrong)? {
                    Member::Text(Cow::Borrowed(text)) => Some(Cow::Borrowed(text.as_bytes())),
                    Member::Text(Cow::Owned(text)) => Some(Cow::Owned(text.into_bytes())),
                    Member::Scalar(text) => Some(Cow::Borrowed(text)),
                    Member::Null | Member::Missing if *missing == MissingKey::Null => None,
                    Member::Null => {
                        return Err(wrong("is null (`key.missing = \"null\"` writes no key)".to_owned()));
                    }
                    Member::Missing => {
                        return Err(wrong(
                            "is not there (`key.missing = \"null\"` writes no key)".to_owned(),
                        ));
                    }
                    Member::Nested => {
                        return Err(wrong("is an object or a list, which is no key".to_owned()));
                    }
                };
                Ok(Keyed { key, value: Some(value) })
            }
        }
    }
}

/// Names the row by where the source found it, as far as its columns say.
fn refused(rows: &MessageBatch, index: usize, reason: &str) -> Error {
    let (origin, offset) = match (rows.text("file.path", index), rows.text("topic", index)) {
        (Some(path), _) => (path.to_owned(), "file.offset"),
        (None, Some(topic)) => {
            let partition = rows.integer("partition", index).map(|number| format!(":{number}"));
            (format!("{topic}{}", partition.unwrap_or_default()), "offset")
        }
        (None, None) => ("a row of the kafka sink".to_owned(), "offset"),
    };
    let offset = rows.integer(offset, index).and_then(|offset| u64::try_from(offset).ok());
    Error::data(origin, offset, reason)
}

/// The beginning of a value, quoted, for a message.
struct Beginning<'a>(&'a [u8]);

const SHOWN: usize = 60;

impl fmt::Display for Beginning<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        // A character takes up to four bytes.
        let text = String::from_utf8_lossy(&self.0[..self.0.len().min(4 * SHOWN)]);
        let shown: String = text.chars().take(SHOWN).collect();
        let rest = if shown.len() < self.0.len() { "..." } else { "" };
        write!(f, "{shown:?}{rest}")
    }
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use bytes::Bytes;
    use connector_api::batch::FromRows;
    use connector_api::message::{Column, Message};

    use super::*;

    fn from(options: &KeyOptions) -> KeyFrom {
        options.checked(&|name, reason| Error::config(name, reason)).unwrap()
    }

    fn batch(values: &[Option<&str>]) -> MessageBatch {
        let bytes = |text: &str| Bytes::copy_from_slice(text.as_bytes());
        let message = |value: &Option<&str>| Message { key: Some(bytes("old")), value: value.map(bytes) };
        MessageBatch::from_rows(values.iter().map(message).collect()).unwrap()
    }

    /// Key and value as texts, or why not.
    fn keyed(options: &KeyOptions, value: &str) -> Result<(Option<String>, String), String> {
        let rows = batch(&[Some(value)]);
        let text = |bytes: &[u8]| String::from_utf8(bytes.to_vec()).unwrap();
        match Keyed::of(Some(&from(options)), &rows, 0) {
            Ok(Keyed { key, value }) => Ok((key.map(|key| text(&key)), text(value.unwrap()))),
            Err(error) => Err(error.to_string()),
        }
    }

    fn pair(key: &str, value: &str) -> Result<(Option<String>, String), String> {
        Ok((Some(key.to_owned()), value.to_owned()))
    }

    #[test]
    fn a_value_is_split_at_the_first_delimiter() {
        let tab = KeyOptions::delimiter("\t");
        assert_eq!(keyed(&tab, "k\tv"), pair("k", "v"));
        assert_eq!(keyed(&tab, "k\tv\tw"), pair("k", "v\tw"));
        assert_eq!(keyed(&tab, "\tv"), pair("", "v"));
        assert_eq!(keyed(&tab, "k\t"), pair("k", ""));
        assert_eq!(keyed(&KeyOptions::delimiter(" :: "), "a: b :: c :: d"), pair("a: b", "c :: d"));
        assert_eq!(keyed(&KeyOptions::delimiter("→"), "a→b"), pair("a", "b"));
    }

    #[test]
    fn what_a_split_gives_shares_the_buffer_of_the_batch() {
        let rows = batch(&[Some("k\tv")]);
        let keyed = Keyed::of(Some(&from(&KeyOptions::delimiter("\t"))), &rows, 0).unwrap();
        let within = |bytes: &[u8]| rows.buffer().as_ptr_range().contains(&bytes.as_ptr());
        assert!(
            matches!(keyed.key, Some(Cow::Borrowed(key)) if within(key)) && keyed.value.is_some_and(within)
        );
    }

    #[test]
    fn a_field_becomes_the_key_and_the_value_stays() {
        let value = r#"{"id": "a", "n": 7, "user": {"id": 1.50, "ok": true}}"#;
        for (field, key) in [("id", "a"), ("n", "7"), ("user.id", "1.50"), ("user.ok", "true")] {
            assert_eq!(keyed(&KeyOptions::field(field), value), pair(key, value));
        }
    }

    #[test]
    fn a_field_that_is_missing_or_null_is_an_error_unless_said_otherwise() {
        for value in [r#"{"id": null}"#, r#"{"other": 1}"#] {
            let error = keyed(&KeyOptions::field("id"), value).unwrap_err();
            assert!(error.contains("key.field") && error.contains("key.missing"), "{error}");
            let null = KeyOptions { missing: MissingKey::Null, ..KeyOptions::field("id") };
            assert_eq!(keyed(&null, value), Ok((None, value.to_owned())));
            assert!(keyed(&null, "no JSON").is_err(), "what is no object is no missing field");
        }
        let error = keyed(&KeyOptions::field("id"), r#"{"id": [1]}"#).unwrap_err();
        assert!(error.contains("list"), "{error}");
    }

    #[test]
    fn an_error_names_where_the_row_came_from_and_its_shortened_beginning() {
        let long = "x".repeat(500);
        let rows = batch(&[Some("a\tb"), Some(&long), None]);
        let columns = |rows: MessageBatch, origin: &str, offset: &str| {
            let rows = rows.with_column(origin.to_owned(), Column::SameText("orders".into())).unwrap();
            rows.with_column(offset.to_owned(), Column::Integers(Arc::new(vec![1, 40, 41]))).unwrap()
        };
        let tab = from(&KeyOptions::delimiter("\t"));
        let error = |rows: &MessageBatch, index| Keyed::of(Some(&tab), rows, index).unwrap_err().to_string();
        let plain = error(&rows, 1);
        assert!(plain.contains("xxx\"...") && plain.len() < 250, "{plain}");
        let file = error(&columns(rows.clone(), "file.path", "file.offset"), 1);
        assert!(file.contains("orders at offset 40") && file.contains(r#""\t""#), "{file}");
        let topic =
            columns(rows, "topic", "offset").with_column("partition", Column::SameInteger(3)).unwrap();
        let topic = error(&topic, 2);
        assert!(topic.contains("orders:3 at offset 41") && topic.contains("tombstone"), "{topic}");
    }

    #[test]
    fn without_the_option_the_row_keeps_its_key() {
        let rows = batch(&[None]);
        let expected = Keyed { key: Some(Cow::Borrowed(&b"old"[..])), value: None };
        assert_eq!(Keyed::of(None, &rows, 0).unwrap(), expected);
    }
}
