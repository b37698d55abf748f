//! Options as users write them, and what is refused.

use connector_api::factory::Options;
use serde_json::{Value, json};

use super::*;

fn read(more: Value) -> Result<SourceConfig> {
    let mut values = json!({ "bootstrap_servers": "127.0.0.1:9092" });
    for (name, value) in more.as_object().unwrap() {
        values[name] = value.clone();
    }
    let options = Options::new("source", values.as_object().unwrap().clone());
    options.parse::<SourceOptions>()?.checked(None)
}

fn refused(more: Value, option: &str, part: &str) {
    match read(more) {
        Err(Error::Config { option: found, reason }) => {
            assert!(found.ends_with(option), "{found}: {reason}");
            assert!(reason.contains(part), "{reason}");
        }
        other => panic!("{other:?}"),
    }
}

#[test]
fn what_is_documented_is_read() {
    let config = read(json!({
        "topics": ["orders"], "start": { "committed": "earliest" }, "stop": "latest", "group_id": "copy",
        "discovery_interval": "30s", "properties": { "fetch.wait.max.ms": "100" },
    }))
    .unwrap();
    assert_eq!(config.start, Point::Committed(Fallback::Earliest));
    assert!(config.is_bounded && config.commits);
    assert_eq!(config.client.get("fetch.wait.max.ms"), Some("100"));
    let config = read(json!({ "topics": ["orders"] })).unwrap();
    assert_eq!((config.start, config.stop, config.is_bounded), (Point::Earliest, None, false));
    assert_eq!(config.client.get("isolation.level"), Some("read_committed"));
    assert_eq!(config.discovery_interval, Some(Duration::from_secs(300)));
    let off = read(json!({ "topics": ["orders"], "discovery_interval": "0s" })).unwrap();
    assert_eq!(off.discovery_interval, None);
}

#[test]
fn exactly_one_option_says_what_to_read() {
    for more in [
        json!({}),
        json!({ "topics": [] }),
        json!({ "topics": ["a"], "topic_pattern": "b" }),
        json!({ "topic_pattern": "b", "partitions": ["a:0"] }),
    ] {
        refused(more, "topics", "exactly one");
    }
    refused(json!({ "topic_pattern": "(" }), "topic_pattern", "regex");
    refused(json!({ "partitions": ["a"] }), "partitions", "TOPIC:PARTITION");
    refused(json!({ "topics": ["a:0"] }), "topics", "a:0");
}

#[test]
fn starts_and_stops_that_mean_nothing_are_refused() {
    let with = |name: &str, value: Value| {
        let mut options = json!({ "topics": ["a"] });
        options[name] = value;
        options
    };
    refused(with("start", json!("newest")), "start", "latest");
    refused(with("start", json!({ "committed": "earliest" })), "start", "group_id");
    refused(with("start", json!({ "offsets": { "a": 1 } })), "start.offsets", "TOPIC:PARTITION");
    refused(with("start", json!({ "offsets": {} })), "start.offsets", "no partition");
    refused(with("stop", json!("earliest")), "stop", "nothing");
    refused(with("ends", json!("unbounded")), "ends", "stop");
    refused(with("byte_budget", json!("1 KiB")), "byte_budget", "1 MiB");
}

#[test]
fn properties_that_guarantees_rest_on_are_refused_with_a_reason() {
    for (name, part) in REFUSED {
        let properties = json!({ "topics": ["a"], "properties": { *name: "x" } });
        refused(properties, &format!("properties.{name}"), part);
    }
}

#[cfg(not(feature = "tls"))]
#[test]
fn a_build_without_tls_names_the_feature() {
    for (name, value) in [("security.protocol", "sasl_ssl"), ("sasl.mechanism", "SCRAM-SHA-256")] {
        let properties = json!({ "topics": ["a"], "properties": { name: value } });
        refused(properties, &format!("properties.{name}"), "`tls` of connector-kafka");
    }
}
