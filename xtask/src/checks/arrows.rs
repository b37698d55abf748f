//! Arrows between the crates of the workspace point down only.

use serde_json::Value;

use crate::{Result, shell};

/// What each crate may depend on, besides crates from the registry. A new crate gets a line here with its place in the house.
const BELOW: &[(&str, &[&str])] = &[
    ("connector-api", &[]),
    ("connector-base", &["connector-api"]),
    ("connector-file", &["connector-api", "connector-base", "connector-formats"]),
    ("connector-formats", &["connector-api"]),
    ("connector-kafka", &["connector-api", "connector-base"]),
    ("connector-pravega", &["connector-api", "connector-base", "segment-store"]),
    ("connector-runtime", &["connector-api"]),
    // The clock, files, spawning and the envelope of stored state; it knows nothing of connectors.
    ("segment-store", &["connector-api"]),
    ("testkit", &["connector-api", "connector-formats", "connector-runtime"]),
    (
        "connector-cli",
        &[
            "connector-api",
            "connector-base",
            "connector-file",
            "connector-formats",
            "connector-kafka",
            "connector-pravega",
            "connector-runtime",
            "segment-store",
        ],
    ),
    (
        "benches",
        &[
            "connector-api",
            "connector-base",
            "connector-file",
            "connector-formats",
            "connector-kafka",
            "connector-runtime",
            "segment-store",
            // For brokers to measure on.
            "testkit",
        ],
    ),
    // What an engine's author copies: the library knows no connector, the program beside it moves files.
    ("mailbox-host", &["connector-api", "connector-file", "connector-runtime"]),
    ("tutorial", &["connector-api", "connector-base"]),
    ("xtask", &[]),
];

/// Programs: nothing may depend on them, not even a test.
const LEAVES: &[&str] = &["connector-cli", "benches", "tutorial", "xtask"];

/// Compares the manifests with the rules.
pub(crate) fn check() -> Result {
    let wrong = violations(&shell::metadata()?);
    if wrong.is_empty() { Ok(()) } else { Err(wrong.join("; ")) }
}

fn violations(metadata: &Value) -> Vec<String> {
    let list =
        |value: &Value, key: &str| value.get(key).and_then(Value::as_array).cloned().unwrap_or_default();
    let text = |value: &Value, key: &str| value.get(key).and_then(Value::as_str).map(str::to_owned);
    let packages = list(metadata, "packages");
    let members: Vec<_> = packages.iter().filter_map(|p| text(p, "name")).collect();
    let mut wrong = Vec::new();
    for package in &packages {
        let Some(name) = text(package, "name") else { continue };
        let Some((_, below)) = BELOW.iter().find(|(known, _)| *known == name) else {
            wrong.push(format!("`{name}` has no place yet: add it to xtask/src/checks/arrows.rs"));
            continue;
        };
        for dependency in list(package, "dependencies") {
            let Some(target) = text(&dependency, "name").filter(|target| members.contains(target)) else {
                continue;
            };
            // Tests may look up (docs/decisions/0009): a connector is tested with the runtime and the testkit.
            let is_dev = text(&dependency, "kind").as_deref() == Some("dev");
            let allowed =
                if is_dev { !LEAVES.contains(&target.as_str()) } else { below.contains(&target.as_str()) };
            if !allowed {
                wrong.push(format!("`{name}` must not depend on `{target}`"));
            }
        }
    }
    wrong
}

#[cfg(test)]
mod tests {
    use super::*;

    fn workspace(from: &str, to: &str, kind: Option<&str>) -> Value {
        serde_json::json!({ "packages": [
            { "name": from, "dependencies": [{ "name": to, "kind": kind }] },
            { "name": to, "dependencies": [{ "name": "serde", "kind": null }] },
        ]})
    }

    #[test]
    fn a_connector_does_not_know_the_runtime() {
        assert_eq!(violations(&workspace("connector-file", "connector-runtime", None)).len(), 1);
        assert_eq!(violations(&workspace("connector-file", "connector-base", None)).len(), 0);
    }

    #[test]
    fn a_test_may_look_up_but_not_at_a_program() {
        assert_eq!(violations(&workspace("connector-file", "connector-runtime", Some("dev"))).len(), 0);
        assert_eq!(violations(&workspace("connector-file", "connector-cli", Some("dev"))).len(), 1);
    }

    #[test]
    fn a_crate_without_a_place_is_refused() {
        assert_eq!(violations(&workspace("connector-moon", "connector-api", None)).len(), 1);
    }
}
