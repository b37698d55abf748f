//! Options: one serde struct gives the parser, the documentation and the identity.

use std::collections::BTreeMap;

use schemars::{JsonSchema, SchemaGenerator};
use serde::Serialize;
use serde::de::DeserializeOwned;
use serde_json::{Map, Value};

use crate::{Error, Result};

/// The options of a source or sink as a front end read them: a tree of values, without the key `connector`.
///
/// Secrets are plain texts here already (the front end resolved them), so `Debug` does not show values.
#[derive(Clone)]
pub struct Options {
    prefix: String,
    values: Map<String, Value>,
}

impl std::fmt::Debug for Options {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "Options({}: {:?})", self.prefix, self.values.keys().collect::<Vec<_>>())
    }
}

impl Options {
    /// Options that stand under `prefix` (`sink`) in the user's configuration.
    pub fn new(prefix: impl Into<String>, values: Map<String, Value>) -> Self {
        Self { prefix: prefix.into(), values }
    }

    /// Parses them into the connector's struct, which should deny unknown fields.
    ///
    /// # Errors
    ///
    /// [`Error::Config`] with the full path of the option.
    pub fn parse<T: DeserializeOwned>(&self) -> Result<T> {
        serde_path_to_error::deserialize(Value::Object(self.values.clone())).map_err(|e| {
            let path = e.path().to_string();
            let reason = e.into_inner().to_string();
            // A missing or an unknown field is reported at the table that it belongs to: name the field itself.
            let field = reason.strip_prefix("missing field `").and_then(|rest| rest.split('`').next());
            let mut option = if path == "." { self.prefix.clone() } else { self.path(&path) };
            if let Some(field) = field {
                option = format!("{option}.{field}");
            }
            Error::config(option, reason)
        })
    }

    /// The full path of an option of this set: `sink.` and the name.
    pub fn path(&self, name: &str) -> String {
        format!("{}.{name}", self.prefix)
    }

    /// A [`Error::Config`] for an option of this set.
    pub fn error(&self, name: &str, reason: impl Into<String>) -> Error {
        Error::config(self.path(name), reason)
    }
}

/// One option, for documentation and for the identity of a job.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct OptionSpec {
    /// Its path: `rolling.size`.
    pub name: String,
    /// What is allowed: a type or the allowed words.
    pub kind: String,
    /// The default as text; none when it must be given or may be absent.
    pub default: Option<String>,
    /// Whether it must be given.
    pub required: bool,
    /// Whether it is part of the job's identity: changing it makes stored state meaningless.
    pub identity: bool,
    /// What it does.
    pub doc: String,
}

/// The options of a source or sink.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize)]
pub struct OptionSet(pub Vec<OptionSpec>);

impl OptionSet {
    /// Reads the options off the struct that parses them: names, types, defaults and docs. Mark identity keys with
    /// `#[schemars(extend("x-identity" = true))]`.
    pub fn of<T: JsonSchema>() -> Self {
        let schema = SchemaGenerator::default().into_root_schema_for::<T>();
        let root = schema.to_value();
        let definitions = root.get("$defs").cloned().unwrap_or(Value::Null);
        let mut specs = Vec::new();
        collect(&root, &definitions, "", &mut specs);
        Self(specs)
    }

    /// The identity keys with their values, as canonical text; the default stands in for a key that is not given.
    pub fn identity(&self, options: &Options) -> BTreeMap<String, String> {
        let lookup = |name: &str| {
            let mut parts = name.split('.');
            let first = options.values.get(parts.next()?)?;
            parts.try_fold(first, |value, part| value.get(part)).cloned()
        };
        let identity = self.0.iter().filter(|spec| spec.identity);
        let texts = identity.map(|spec| {
            let value = lookup(&spec.name).map(|v| match v {
                Value::String(text) => text,
                other => other.to_string(),
            });
            (options.path(&spec.name), value.or_else(|| spec.default.clone()).unwrap_or_default())
        });
        texts.collect()
    }
}

fn resolve<'a>(schema: &'a Value, definitions: &'a Value) -> &'a Value {
    let name = schema.get("$ref").and_then(Value::as_str).and_then(|r| r.strip_prefix("#/$defs/"));
    if let Some(found) = name.and_then(|name| definitions.get(name)) {
        return found;
    }
    // Option<T> reads as anyOf [T, null].
    let any = schema.get("anyOf").and_then(Value::as_array);
    let some = any.and_then(|any| any.iter().find(|s| s.get("type").and_then(Value::as_str) != Some("null")));
    some.map_or(schema, |some| resolve(some, definitions))
}

fn collect(schema: &Value, definitions: &Value, prefix: &str, specs: &mut Vec<OptionSpec>) {
    let Some(properties) = schema.get("properties").and_then(Value::as_object) else { return };
    let required: Vec<&str> = schema
        .get("required")
        .and_then(Value::as_array)
        .map_or(Vec::new(), |r| r.iter().filter_map(Value::as_str).collect());
    for (key, property) in properties {
        let name = if prefix.is_empty() { key.clone() } else { format!("{prefix}.{key}") };
        let target = resolve(property, definitions);
        let text = |field: &str| property.get(field).or_else(|| target.get(field));
        specs.push(OptionSpec {
            kind: kind(target, definitions),
            default: property.get("default").filter(|d| !d.is_null()).map(|d| match d {
                Value::String(text) => text.clone(),
                other => other.to_string(),
            }),
            required: required.contains(&key.as_str()),
            identity: property.get("x-identity").and_then(Value::as_bool).unwrap_or(false),
            doc: text("description").and_then(Value::as_str).unwrap_or_default().replace('\n', " "),
            name: name.clone(),
        });
        for alternative in target
            .get("anyOf")
            .or_else(|| target.get("oneOf"))
            .and_then(Value::as_array)
            .into_iter()
            .flatten()
        {
            collect(resolve(alternative, definitions), definitions, &name, specs);
        }
        collect(target, definitions, &name, specs);
    }
}

fn kind(schema: &Value, definitions: &Value) -> String {
    if let Some(words) = schema.get("enum").and_then(Value::as_array) {
        return words.iter().map(Value::to_string).collect::<Vec<_>>().join(" | ");
    }
    if let Some(word) = schema.get("const") {
        return word.to_string();
    }
    if let Some(all) = schema.get("oneOf").or_else(|| schema.get("anyOf")).and_then(Value::as_array) {
        return all
            .iter()
            .map(|s| kind(resolve(s, definitions), definitions))
            .collect::<Vec<_>>()
            .join(" | ");
    }
    if let Some(format) = schema
        .get("format")
        .and_then(Value::as_str)
        .filter(|f| !f.starts_with("uint") && !f.starts_with("int"))
    {
        return format.to_owned();
    }
    let simple = |name: &str| if name == "object" { "table".to_owned() } else { name.to_owned() };
    match schema.get("type") {
        Some(Value::String(name)) if name == "array" => {
            let items = schema
                .get("items")
                .map_or("value".to_owned(), |i| kind(resolve(i, definitions), definitions));
            format!("list of {items}")
        }
        Some(Value::String(name)) => simple(name),
        Some(Value::Array(names)) => {
            let names = names.iter().filter_map(Value::as_str).filter(|n| *n != "null");
            names.map(simple).collect::<Vec<_>>().join(" | ")
        }
        _ => "value".to_owned(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::factory::ByteSize;

    /// Options of a sample.
    #[derive(serde::Deserialize, JsonSchema, Debug)]
    #[serde(deny_unknown_fields)]
    #[allow(dead_code)]
    struct Sample {
        /// Where.
        #[schemars(extend("x-identity" = true))]
        path: String,
        /// How much.
        #[serde(default)]
        rolling: Rolling,
    }

    #[derive(serde::Deserialize, serde::Serialize, JsonSchema, Debug, Default)]
    #[serde(deny_unknown_fields, default)]
    struct Rolling {
        /// The size.
        size: Option<ByteSize>,
    }

    fn options(text: &str) -> Options {
        Options::new("sink", serde_json::from_str(text).unwrap())
    }

    #[test]
    fn errors_name_the_full_path() {
        let cases = [
            (r#"{}"#, "sink.path", "missing field"),
            (r#"{"path": 7}"#, "sink.path", "invalid type"),
            (r#"{"path": "x", "rolling": {"size": "8 Mib?"}}"#, "sink.rolling.size", "8 Mib?"),
            (r#"{"path": "x", "rolling": {"sise": "8 MiB"}}"#, "sink.rolling.sise", "unknown field"),
            (r#"{"path": "x", "pat": 1}"#, "sink.pat", "unknown field"),
        ];
        for (text, expected, part) in cases {
            match options(text).parse::<Sample>() {
                Err(Error::Config { option, reason }) => {
                    assert_eq!(option, expected, "{reason}");
                    assert!(reason.contains(part), "{reason}");
                }
                other => panic!("{text}: {other:?}"),
            }
        }
    }

    #[test]
    fn the_struct_documents_itself() {
        let set = OptionSet::of::<Sample>();
        let names: Vec<_> =
            set.0.iter().map(|s| (s.name.as_str(), s.kind.as_str(), s.required, s.identity)).collect();
        assert!(names.contains(&("path", "string", true, true)), "{names:?}");
        assert!(names.contains(&("rolling.size", "byte size", false, false)), "{names:?}");
        assert_eq!(set.0.iter().find(|s| s.name == "path").map(|s| s.doc.as_str()), Some("Where."));
    }

    #[test]
    fn the_identity_holds_only_identity_keys() {
        let identity = OptionSet::of::<Sample>().identity(&options(r#"{"path": "out"}"#));
        assert_eq!(identity, BTreeMap::from([("sink.path".to_owned(), "out".to_owned())]));
    }
}
