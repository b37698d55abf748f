//! CSV (RFC 4180).
//!
//! A CSV file is one split: whether a line break ends a record or stands within quotes can be told only by reading from
//! the beginning.

mod messages;
mod records;
mod rows;
mod write;

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

pub(super) use messages::{CsvDecoder, CsvEncoder};
pub(super) use rows::{CsvRowDecoder, CsvRowEncoder};

/// What CSV files look like.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, default)]
pub struct CsvOptions {
    /// Whether the first record of a file names the columns.
    #[schemars(extend("x-identity" = true))]
    pub header: bool,
    /// What stands between two values: one ASCII character.
    #[schemars(extend("x-identity" = true))]
    pub delimiter: String,
    /// What stands around values that contain delimiters, line breaks or itself (then twice): one ASCII character, or "" for
    /// values that are never quoted.
    #[schemars(extend("x-identity" = true))]
    pub quote: String,
    /// The names of the columns, in order. A source without header needs them, and one with a header refuses a file that has
    /// another. A sink writes these; without them, the keys of each part's first record.
    pub columns: Vec<String>,
    /// The value that stands for an absent one (null).
    pub null: String,
}

impl Default for CsvOptions {
    fn default() -> Self {
        Self {
            header: true,
            delimiter: ",".into(),
            quote: "\"".into(),
            columns: Vec::new(),
            null: String::new(),
        }
    }
}

/// The same, checked.
#[derive(Clone, Debug)]
pub struct CsvShape {
    /// Whether the first record names the columns.
    pub header: bool,
    /// What stands between values.
    pub delimiter: u8,
    /// What stands around them.
    pub quote: Option<u8>,
    /// The names of the columns; empty when they are not given.
    pub columns: Vec<String>,
    /// The value that stands for an absent one.
    pub null: String,
}

impl CsvOptions {
    /// Checks them; gives the option's name and the reason.
    pub(crate) fn checked(&self) -> Result<CsvShape, (&'static str, String)> {
        let one = |option, text: &str| match text.as_bytes() {
            [byte] if byte.is_ascii() && !matches!(byte, b'\r' | b'\n' | 0) => Ok(*byte),
            _ => Err((option, format!("{text:?} is not one ASCII character, other than line breaks"))),
        };
        let delimiter = one("csv.delimiter", &self.delimiter)?;
        let quote = if self.quote.is_empty() { None } else { Some(one("csv.quote", &self.quote)?) };
        if quote == Some(delimiter) {
            return Err(("csv.quote", "is the same as `csv.delimiter`".into()));
        }
        if let Some(name) = twice(&self.columns) {
            return Err(("csv.columns", format!("names {name:?} twice")));
        }
        let (columns, null) = (self.columns.clone(), self.null.clone());
        Ok(CsvShape { header: self.header, delimiter, quote, columns, null })
    }
}

/// A name that occurs more than once.
fn twice(names: &[String]) -> Option<&str> {
    let mut seen = std::collections::HashSet::new();
    names.iter().map(String::as_str).find(|name| !seen.insert(*name))
}
