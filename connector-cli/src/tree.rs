//! The values of a pipeline, each of which knows where it was written.

use std::collections::BTreeMap;
use std::fmt;
use std::sync::Arc;

use serde_json::{Map, Number, Value as Json};
use toml::Spanned;
use toml::de::{DeTable, DeValue};

/// Where a value was written.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Origin {
    /// At this byte of the pipeline's file.
    File(usize),
    /// On the command line, by `--set` of this key.
    Set(Arc<str>),
}

/// A value with its origin: that of its key, or of the value itself in a list.
#[derive(Clone, Debug)]
pub(crate) struct Node {
    pub(crate) origin: Origin,
    pub(crate) value: Value,
}

/// A value as TOML has it. `Debug` does not show it: it may be a secret.
#[derive(Clone)]
pub(crate) enum Value {
    Table(BTreeMap<String, Node>),
    List(Vec<Node>),
    Text(String),
    Integer(i64),
    Float(f64),
    Boolean(bool),
    /// A date or time; no option has that type, so it counts as the text it was written as.
    Time(String),
}

/// A value that can't be taken over, with the place of it.
#[derive(Debug)]
pub(crate) struct Unfit {
    pub(crate) origin: Origin,
    pub(crate) reason: String,
}

impl Node {
    /// Takes a parsed table over. `set` is the key of the `--set` that it came from; otherwise it came from the file.
    pub(crate) fn table(table: &DeTable<'_>, origin: Origin, set: Option<&Arc<str>>) -> Result<Self, Unfit> {
        let mut entries = BTreeMap::new();
        for (key, value) in table {
            let place = place(key.span().start, set);
            entries.insert(key.get_ref().to_string(), Self::value(value.get_ref(), place, set)?);
        }
        Ok(Self { origin, value: Value::Table(entries) })
    }

    /// Takes a parsed value over.
    pub(crate) fn value(value: &DeValue<'_>, origin: Origin, set: Option<&Arc<str>>) -> Result<Self, Unfit> {
        let value = match value {
            DeValue::Table(table) => return Self::table(table, origin, set),
            DeValue::Array(list) => {
                let item = |item: &Spanned<DeValue<'_>>| {
                    Self::value(item.get_ref(), place(item.span().start, set), set)
                };
                Value::List(list.iter().map(item).collect::<Result<_, _>>()?)
            }
            DeValue::String(text) => Value::Text(text.to_string()),
            DeValue::Boolean(value) => Value::Boolean(*value),
            DeValue::Datetime(time) => Value::Time(time.to_string()),
            DeValue::Integer(number) => match i64::from_str_radix(number.as_str(), number.radix()) {
                Ok(number) => Value::Integer(number),
                Err(_) => {
                    return Err(Unfit { origin, reason: format!("`{number}` does not fit into 64 bits") });
                }
            },
            DeValue::Float(number) => match number.as_str().parse::<f64>() {
                Ok(number) if number.is_finite() => Value::Float(number),
                _ => return Err(Unfit { origin, reason: format!("`{number}` is not a finite number") }),
            },
        };
        Ok(Self { origin, value })
    }

    /// The node at a path such as `sink.rolling.size` or `source.include[0]`, and the nearest one on the way to it.
    pub(crate) fn find(&self, path: &str) -> (Option<&Self>, &Self) {
        let mut here = self;
        for part in path.split(['.', '[']).filter(|part| !part.is_empty()) {
            let next = match (&here.value, part.strip_suffix(']')) {
                (Value::Table(entries), None) => entries.get(part),
                (Value::List(items), Some(index)) => index.parse().ok().and_then(|i: usize| items.get(i)),
                _ => None,
            };
            match next {
                Some(next) => here = next,
                None => return (None, here),
            }
        }
        (Some(here), here)
    }

    /// Like [`find`](Self::find), to change it.
    pub(crate) fn get_mut(&mut self, path: &str) -> Option<&mut Self> {
        path.split('.').try_fold(self, |here, part| match &mut here.value {
            Value::Table(entries) => entries.get_mut(part),
            _ => None,
        })
    }

    /// The value as JSON, which options are parsed from.
    pub(crate) fn to_json(&self) -> Json {
        match &self.value {
            Value::Table(entries) => Json::Object(entries_to_json(entries)),
            Value::List(items) => Json::Array(items.iter().map(Self::to_json).collect()),
            Value::Text(text) | Value::Time(text) => Json::String(text.clone()),
            Value::Integer(number) => Json::Number((*number).into()),
            Value::Float(number) => Number::from_f64(*number).map_or(Json::Null, Json::Number),
            Value::Boolean(value) => Json::Bool(*value),
        }
    }
}

impl fmt::Debug for Value {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.kind())
    }
}

impl Value {
    /// What it is called in messages.
    pub(crate) fn kind(&self) -> &'static str {
        match self {
            Self::Table(_) => "a table",
            Self::List(_) => "a list",
            Self::Text(_) => "a text",
            Self::Integer(_) | Self::Float(_) => "a number",
            Self::Boolean(_) => "true or false",
            Self::Time(_) => "a date or time",
        }
    }
}

/// The entries of a table as JSON.
pub(crate) fn entries_to_json(entries: &BTreeMap<String, Node>) -> Map<String, Json> {
    entries.iter().map(|(key, node)| (key.clone(), node.to_json())).collect()
}

fn place(start: usize, set: Option<&Arc<str>>) -> Origin {
    set.map_or(Origin::File(start), |key| Origin::Set(key.clone()))
}
