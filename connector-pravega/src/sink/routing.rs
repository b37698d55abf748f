//! Which segment a row goes to: by the position of its key, as Pravega's clients compute it.

use connector_api::message::MessageRef;
use connector_api::{Error, Result};
use segment_store::routing;
use serde::{Deserialize, Serialize};
use serde_json::Value;

use crate::error::Refuse;

/// What decides which segment a row goes to.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum RoutingKey {
    /// The row's key; a row without one is spread.
    #[default]
    Key,
    /// All rows are spread.
    None,
    /// This field of the value, a JSON object; a dot leads into an object: "user.id". A row without it fails the job.
    Field(String),
    /// One key for all rows.
    Fixed(String),
}

impl RoutingKey {
    pub(crate) fn check(&self, refuse: Refuse<'_>) -> Result<()> {
        match self {
            Self::Field(field) if field.split('.').any(str::is_empty) => {
                let reason = "is empty, or has a dot with no name beside it";
                Err(refuse("routing_key.field", reason.to_owned()))
            }
            _ => Ok(()),
        }
    }
}

/// Computes the positions of a writer's rows.
#[derive(Debug)]
pub(super) struct Router {
    key: RoutingKey,
    /// The number of the next row that is spread.
    next: u64,
}

impl Router {
    /// `first` is where rows that are spread begin: another place for each writer.
    pub(super) fn new(key: RoutingKey, first: u64) -> Self {
        Self { key, next: first }
    }

    /// The position of a row in [0, 1).
    pub(super) fn position(&mut self, row: MessageRef<'_>, stream: &dyn std::fmt::Display) -> Result<f64> {
        let refuse = |reason: String| Error::data(format!("a row for {stream}"), None, reason);
        let value = row.value.unwrap_or_default();
        match (&self.key, row.key) {
            (RoutingKey::Key, Some(key)) => match std::str::from_utf8(key) {
                Ok(key) => Ok(routing::position(key)),
                Err(e) => Err(refuse(format!("its key is no text, as a routing key is: {e}"))),
            },
            (RoutingKey::Key, None) | (RoutingKey::None, _) => {
                self.next = self.next.wrapping_add(1);
                Ok(routing::spread(self.next))
            }
            (RoutingKey::Fixed(key), _) => Ok(routing::position(key)),
            (RoutingKey::Field(field), _) => {
                let found = member(value, field);
                found
                    .map(|key| routing::position(&key))
                    .map_err(|why| refuse(format!("`routing_key.field` {field:?}: {why}")))
            }
        }
    }
}

fn member(value: &[u8], field: &str) -> std::result::Result<String, String> {
    let object: Value =
        serde_json::from_slice(value).map_err(|e| format!("the value is no JSON object: {e}"))?;
    let mut found = &object;
    for name in field.split('.') {
        found = found.get(name).ok_or_else(|| "is not there".to_owned())?;
    }
    match found {
        Value::String(text) => Ok(text.clone()),
        Value::Number(_) | Value::Bool(_) => Ok(found.to_string()),
        Value::Null => Err("is null".to_owned()),
        Value::Array(_) | Value::Object(_) => Err("is a list or an object".to_owned()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn at(router: &mut Router, key: Option<&str>, value: &str) -> Result<f64> {
        let row = MessageRef { key: key.map(str::as_bytes), value: Some(value.as_bytes()) };
        router.position(row, &"a/b")
    }

    #[test]
    fn rows_go_where_their_keys_belong() {
        let expected = routing::position("k");
        assert_eq!(at(&mut Router::new(RoutingKey::Key, 0), Some("k"), "v").unwrap(), expected);
        assert_eq!(at(&mut Router::new(RoutingKey::Fixed("k".into()), 0), None, "v").unwrap(), expected);
        let mut field = Router::new(RoutingKey::Field("user.id".into()), 0);
        assert_eq!(at(&mut field, Some("x"), r#"{"user": {"id": "k"}}"#).unwrap(), expected);
        assert_eq!(at(&mut field, None, r#"{"user": {"id": 7}}"#).unwrap(), routing::position("7"));
        for bad in ["{}", "no JSON", r#"{"user": {"id": null}}"#, r#"{"user": {"id": []}}"#] {
            let error = at(&mut field, None, bad).unwrap_err().to_string();
            assert!(error.contains("user.id") && error.contains("a/b"), "{error}");
        }
    }

    #[test]
    fn rows_without_a_key_are_spread() {
        let mut router = Router::new(RoutingKey::Key, 0);
        let below = (0..1000).filter(|_| at(&mut router, None, "v").unwrap() < 0.5).count();
        assert!((400..600).contains(&below), "{below}");
    }
}
