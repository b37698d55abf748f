//! `--set a.b=value`: keys of the pipeline from the command line.

use std::collections::BTreeMap;
use std::fmt;
use std::sync::Arc;

use toml::de::DeTable;

use crate::tree::{Node, Origin, Value};

/// One `--set`.
#[derive(Clone)]
pub(crate) struct Setting {
    key: Arc<str>,
    node: Node,
}

impl fmt::Debug for Setting {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Setting({})", self.key)
    }
}

impl Setting {
    /// Reads `a.b=value`. The value is a TOML value if it reads as one, and a text otherwise; one that begins like a
    /// quoted text, a list or a table and does not end like one is refused. No message repeats the value: it may be a
    /// secret.
    pub(crate) fn parse(text: &str) -> Result<Self, String> {
        let (key, value) = text.split_once('=').ok_or("expected KEY=VALUE, as in `sink.path=out`")?;
        let (key, value) = (key.trim(), value.trim());
        let word = |part: &str| {
            !part.is_empty() && part.chars().all(|c| c.is_ascii_alphanumeric() || c == '_' || c == '-')
        };
        if !key.split('.').all(word) {
            return Err(format!("`{key}` is not a key; write names with dots between, as in `sink.path`"));
        }
        let key: Arc<str> = key.into();
        let origin = Origin::Set(key.clone());
        let line = format!("value = {value}");
        // The whole text must be the value: no further line, no comment.
        let parsed = DeTable::parse(&line).ok();
        let whole = parsed.as_ref().and_then(|table| table.get_ref().get("value"));
        let node = match whole.filter(|found| found.span().end == line.len()) {
            Some(found) => Node::value(found.get_ref(), origin, Some(&key))
                .map_err(|e| format!("{key}: {}", e.reason))?,
            None if value.starts_with(['"', '\'', '[', '{']) => {
                return Err(format!("{key}: the value begins like TOML but is not; quote it as a whole"));
            }
            None => Node { origin, value: Value::Text(value.to_owned()) },
        };
        Ok(Self { key, node })
    }

    /// Puts it into the tree, making tables on the way.
    ///
    /// # Errors
    ///
    /// A message that names this `--set` when something on the way is no table.
    pub(crate) fn apply(&self, root: &mut Node) -> Result<(), String> {
        let (parents, last) = self.key.rsplit_once('.').map_or((None, &*self.key), |(p, l)| (Some(p), l));
        let mut here = root;
        let mut walked = String::new();
        for part in parents.into_iter().flat_map(|parents| parents.split('.')) {
            let entries = self.entries(here, &walked)?;
            walked = if walked.is_empty() { part.to_owned() } else { format!("{walked}.{part}") };
            here = entries.entry(part.to_owned()).or_insert_with(|| Node {
                origin: Origin::Set(self.key.clone()),
                value: Value::Table(BTreeMap::new()),
            });
        }
        self.entries(here, &walked)?.insert(last.to_owned(), self.node.clone());
        Ok(())
    }

    fn entries<'a>(&self, node: &'a mut Node, at: &str) -> Result<&'a mut BTreeMap<String, Node>, String> {
        let kind = node.value.kind();
        match &mut node.value {
            Value::Table(entries) => Ok(entries),
            _ => Err(format!("--set {}: `{at}` is {kind}, not a table", self.key)),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    fn root() -> Node {
        let table = DeTable::parse("a = 1\n[sink]\npath = 'out'\n").unwrap();
        Node::table(table.get_ref(), Origin::File(0), None).unwrap()
    }

    fn set(text: &str) -> Result<serde_json::Value, String> {
        let mut root = root();
        Setting::parse(text)?.apply(&mut root)?;
        Ok(root.to_json())
    }

    #[test]
    fn a_value_is_toml_if_it_reads_as_toml_and_a_text_otherwise() {
        let value = |text: &str| set(&format!("sink.x={text}")).map(|v| v["sink"]["x"].clone());
        assert_eq!(value("2"), Ok(json!(2)));
        assert_eq!(value("true"), Ok(json!(true)));
        assert_eq!(value("8 MiB"), Ok(json!("8 MiB")));
        assert_eq!(value("'8'"), Ok(json!("8")));
        assert_eq!(value("a=b"), Ok(json!("a=b")));
        assert_eq!(value(""), Ok(json!("")));
        assert_eq!(value("{ size = '1 MiB' }"), Ok(json!({"size": "1 MiB"})));
        assert_eq!(value("['a', 'b']"), Ok(json!(["a", "b"])));
        assert_eq!(value("1\nname = 2"), Ok(json!("1\nname = 2")));
        assert_eq!(value("1#2"), Ok(json!("1#2")));
    }

    #[test]
    fn tables_on_the_way_are_made_and_other_keys_stay() {
        let value = set("sink.rolling.size=1 MiB").unwrap();
        assert_eq!(value, json!({"a": 1, "sink": {"path": "out", "rolling": {"size": "1 MiB"}}}));
        assert_eq!(set("a=2").unwrap()["a"], json!(2));
    }

    #[test]
    fn what_can_not_be_set_is_refused_by_name_and_without_the_value() {
        assert_eq!(set("a.b=1"), Err("--set a.b: `a` is a number, not a table".into()));
        assert!(set("no-equals-sign").unwrap_err().contains("KEY=VALUE"));
        assert!(set("a..b=1").unwrap_err().contains("a..b"));
        let message = set("sink.password={hunter2").unwrap_err();
        assert!(message.contains("sink.password") && !message.contains("hunter2"), "{message}");
    }
}
