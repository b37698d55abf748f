//! Values that must not be shown.

use std::fmt;

use serde::{Deserialize, Deserializer};

/// A secret text. Neither `Debug` nor an error shows it, it is not serializable, and it is never part of state.
///
/// It deserializes from plain text: a front end such as `connect` resolves `{ env = "X" }` and `{ file = "..." }` before
/// the options reach a connector.
#[derive(Clone, PartialEq, Eq)]
pub struct Secret(String);

impl Secret {
    /// Takes the text.
    pub fn new(text: impl Into<String>) -> Self {
        Self(text.into())
    }

    /// The text, for the one place that hands it to a client library.
    pub fn expose(&self) -> &str {
        &self.0
    }
}

impl fmt::Debug for Secret {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Secret(***)")
    }
}

impl<'de> Deserialize<'de> for Secret {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        // Not through a derived error, which would quote a value of the wrong type.
        String::deserialize(deserializer).map(Self).map_err(|_| {
            serde::de::Error::custom("a secret is a text, `{ env = \"NAME\" }` or `{ file = \"PATH\" }`")
        })
    }
}

impl schemars::JsonSchema for Secret {
    fn schema_name() -> std::borrow::Cow<'static, str> {
        "Secret".into()
    }

    fn inline_schema() -> bool {
        true
    }

    fn json_schema(_: &mut schemars::SchemaGenerator) -> schemars::Schema {
        schemars::json_schema!({ "type": "string", "format": "secret" })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_secret_is_never_shown() {
        assert_eq!(format!("{:?}", Secret::new("hunter2")), "Secret(***)");
        let wrong = serde_json::from_str::<Secret>("12345").unwrap_err().to_string();
        assert!(!wrong.contains("12345"), "{wrong}");
    }
}
