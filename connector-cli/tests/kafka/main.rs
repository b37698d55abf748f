//! Pipelines from and to a real Kafka, by the real binary.
#![allow(missing_docs, clippy::expect_used, clippy::unwrap_used, dead_code, unreachable_pub)]
#![allow(clippy::disallowed_methods, reason = "tests prepare files and wait on a real machine")]

#[path = "../../../connector-kafka/tests/support/java.rs"]
mod java;
mod kills;
#[path = "../connect/support.rs"]
mod support;

use std::collections::BTreeSet;
use std::process::ExitCode;

use libtest_mimic::{Arguments, Failed, Trial};
use serde_json::Value;
use support::{Place, files};
use testkit::brokers::{Broker, Kafka, KafkaClient, trial};

/// What the options' contract shows, with the addresses of a test.
const INTO: &str = r#"name = "into"
parallelism = 2
checkpoint = { interval = "100ms", dir = "ckpt-into" }
restart = { strategy = "none" }

[source]
connector = "file"
path = "in"
format = "lines"

[sink]
connector = "kafka"
bootstrap_servers = "BROKER"
topic = "copies"
delivery_guarantee = "exactly-once"
transactional_id_prefix = "copy"
transaction_timeout = "10m"
properties = { "compression.type" = "zstd" }
"#;

const OUT_OF: &str = r#"name = "out-of"
parallelism = 2
checkpoint = { interval = "100ms", dir = "ckpt-NAME" }
restart = { strategy = "none" }

[source]
connector = "kafka"
bootstrap_servers = "BROKER"
topics = ["copies"]
start = "earliest"
stop = "latest"
group_id = "copy"
discovery_interval = "30s"

[sink]
connector = "file"
path = "NAME"
format = "FORMAT"
"#;

fn main() -> ExitCode {
    let mut arguments = Arguments::from_args();
    arguments.test_threads = Some(1);
    let all = vec![
        test("lines_go_into_a_topic_once_and_come_out_as_lines_as_json_and_as_columns", there_and_back),
        test("a_value_with_a_line_break_is_named_by_topic_partition_and_offset", a_line_break),
        test("a_key_of_a_line_or_of_a_field_comes_out_beside_its_value", keyed),
        test("a_bad_property_and_a_topic_that_is_not_there_are_named_before_anything_moves", refusals),
        kills::test(),
    ];
    libtest_mimic::run(&arguments, all).exit_code()
}

fn test(name: &'static str, body: fn(&str) -> Result<(), Failed>) -> Trial {
    trial(name, Kafka::new(), move || {
        let broker = Broker::start(Kafka::new())?;
        KafkaClient::connect(broker.address())?.create_topic("copies", 3)?;
        body(&broker.address().to_string())
    })
}

fn out_of(place: &Place, broker: &str, name: &str, format: &str) {
    let text = OUT_OF.replace("BROKER", broker).replace("NAME", name).replace("FORMAT", format);
    place.write(&format!("{name}.toml"), &text);
}

fn lines(place: &Place, dir: &str) -> BTreeSet<String> {
    let found = files(&place.path(dir));
    assert!(
        found
            .iter()
            .all(|file| !file.file_name().is_some_and(|name| name.to_string_lossy().starts_with('.')))
    );
    let text: String = found.iter().map(|file| std::fs::read_to_string(file).unwrap()).collect();
    let all: Vec<&str> = text.lines().collect();
    let distinct: BTreeSet<String> = all.iter().map(|line| (*line).to_owned()).collect();
    assert_eq!(all.len(), distinct.len(), "rows are there twice");
    distinct
}

fn there_and_back(broker: &str) -> Result<(), Failed> {
    let place = Place::new();
    let expected: BTreeSet<String> = (0..5_000).map(|n| format!("line {n}")).collect();
    place.write("in/a.txt", &expected.iter().map(|line| format!("{line}\n")).collect::<String>());
    place.write("into.toml", &INTO.replace("BROKER", broker));
    place.connect(&["check", "into.toml"]).assert_done();
    place.connect(&["run", "into.toml"]).assert_done();

    out_of(&place, broker, "texts", "lines");
    place.connect(&["run", "texts.toml"]).assert_done();
    assert!(lines(&place, "texts") == expected);

    out_of(&place, broker, "objects", "json");
    let said = place.connect(&["check", "objects.toml"]).assert_done().stdout.clone();
    assert!(said.contains("records become JSON objects"), "{said}");
    place.connect(&["run", "objects.toml"]).assert_done();
    let objects: Vec<Value> =
        lines(&place, "objects").iter().map(|line| serde_json::from_str(line).unwrap()).collect();
    let values: BTreeSet<String> = objects.iter().map(|o| o["value"].as_str().unwrap().to_owned()).collect();
    assert!(values == expected);
    let places: BTreeSet<(u64, u64)> =
        objects.iter().map(|o| (o["partition"].as_u64().unwrap(), o["offset"].as_u64().unwrap())).collect();
    assert_eq!(places.len(), objects.len());
    let first = &objects[0];
    assert!(
        first["key"].is_null() && first["topic"] == "copies" && first["timestamp"].as_i64() > Some(0),
        "{first}"
    );
    assert_eq!(first["headers"], Value::Array(Vec::new()));

    let other = place.connect(&["run", "objects.toml", "--set", "convert.value_encoding=base64"]);
    assert!(other.code != 0 && other.stderr.contains("convert.value_encoding"), "{other:?}");

    columns(&place, broker, &expected);

    let listed = place.connect(&[
        "kafka",
        "transactions",
        "list",
        "--bootstrap-servers",
        broker,
        "--prefix",
        "copy",
        "--json",
    ]);
    let listed: Value = serde_json::from_str(&listed.assert_done().stdout)?;
    let transactions = listed["transactions"].as_array().unwrap();
    assert!(!transactions.is_empty(), "{listed}");
    assert!(transactions.iter().all(|found| found["open"] == false), "{listed}");
    Ok(())
}

/// Into Parquet, and by a second pipeline into JSON.
#[cfg(feature = "parquet")]
fn columns(place: &Place, broker: &str, expected: &BTreeSet<String>) {
    out_of(place, broker, "table", "parquet");
    place.connect(&["run", "table.toml"]).assert_done();
    let back = "name = \"back\"\ncheckpoint = { interval = \"100ms\", dir = \"ckpt-back\" }\n\
                [source]\nconnector = \"file\"\npath = \"table\"\nformat = \"parquet\"\n\
                [sink]\nconnector = \"file\"\npath = \"back\"\nformat = \"json\"\n";
    place.write("back.toml", back);
    place.connect(&["run", "back.toml"]).assert_done();
    let rows: Vec<Value> =
        lines(place, "back").iter().map(|line| serde_json::from_str(line).unwrap()).collect();
    let values: BTreeSet<String> = rows.iter().map(|row| row["value"].as_str().unwrap().to_owned()).collect();
    assert!(values == *expected);
    assert!(rows.iter().all(|row| row["topic"] == "copies" && row["offset"].is_u64()), "{}", rows[0]);
}

#[cfg(not(feature = "parquet"))]
fn columns(_: &Place, _: &str, _: &BTreeSet<String>) {}

fn a_line_break(broker: &str) -> Result<(), Failed> {
    let place = Place::new();
    // A raw file is one record.
    place.write("in/a.txt", "one\ntwo");
    place.write(
        "into.toml",
        &INTO.replace("BROKER", broker).replace("format = \"lines\"", "format = \"raw\""),
    );
    place.connect(&["run", "into.toml"]).assert_done();
    out_of(&place, broker, "texts", "lines");
    let ran = place.connect(&["run", "texts.toml"]);
    assert_eq!(ran.code, 1, "{ran:?}");
    let named = (0..3).any(|partition| ran.stderr.contains(&format!("copies:{partition} at offset 0")));
    assert!(named && ran.stderr.contains("line terminator"), "{}", ran.stderr);
    Ok(())
}

/// Lines with a tab, then JSON objects, go into a topic and come out with their keys.
fn keyed(broker: &str) -> Result<(), Failed> {
    let place = Place::new();
    let count = 2_000;
    place.write("in/a.txt", &(0..count).map(|n| format!("k{n}\tvalue\t{n}\n")).collect::<String>());
    let pipeline = INTO.replace("BROKER", broker);
    let with =
        |key: &str| pipeline.replace("topic = \"copies\"", &format!("topic = \"copies\"\nkey = {key}"));
    place.write("into.toml", &with(r#"{ delimiter = "\t" }"#));
    place.connect(&["check", "into.toml"]).assert_done();
    place.connect(&["run", "into.toml"]).assert_done();
    let pairs = |place: &Place, dir: &str| -> BTreeSet<(String, String)> {
        out_of(place, broker, dir, "json");
        place.connect(&["run", &format!("{dir}.toml")]).assert_done();
        let text = |value: &Value| value.as_str().unwrap().to_owned();
        let objects = lines(place, dir);
        let objects = objects.iter().map(|line| serde_json::from_str::<Value>(line).unwrap());
        objects.map(|object| (text(&object["key"]), text(&object["value"]))).collect()
    };
    let expected: BTreeSet<_> = (0..count).map(|n| (format!("k{n}"), format!("value\t{n}"))).collect();
    assert!(pairs(&place, "split") == expected);

    // How rows are written is part of what the checkpoints belong to.
    place.write("into.toml", &with(r#"{ delimiter = "," }"#));
    let ran = place.connect(&["run", "into.toml"]);
    assert!(ran.code == 2 && ran.stderr.contains("sink.key.delimiter"), "{ran:?}");

    let second = Place::new();
    second
        .write("in/a.txt", &(0..count).map(|n| format!("{{\"id\": {n}, \"x\": [1]}}\n")).collect::<String>());
    let fields = with(r#"{ field = "id" }"#).replace("prefix = \"copy\"", "prefix = \"fields\"");
    second.write("into.toml", &fields);
    second.connect(&["run", "into.toml"]).assert_done();
    let fields = (0..count).map(|n| (n.to_string(), format!("{{\"id\": {n}, \"x\": [1]}}")));
    assert!(pairs(&second, "fields") == expected.into_iter().chain(fields).collect());

    let third = Place::new();
    third.write("in/a.txt", "a\tb\nno tab in this one\n");
    let described = with(r#"{ delimiter = "\t" }"#).replace("prefix = \"copy\"", "prefix = \"third\"");
    let described =
        described.replace("format = \"lines\"", "format = \"lines\"\nmetadata = [\"path\", \"offset\"]");
    third.write("into.toml", &described);
    let ran = third.connect(&["run", "into.toml"]);
    let named =
        ["a.txt at offset 4", "no tab in this", "key.delimiter"].iter().all(|part| ran.stderr.contains(part));
    assert!(ran.code == 1 && named, "{ran:?}");
    Ok(())
}

fn refusals(broker: &str) -> Result<(), Failed> {
    let place = Place::new();
    place.write("in/a.txt", "one\n");
    let pipeline = INTO.replace("BROKER", broker);
    place.write("into.toml", &pipeline.replace("compression.type\" = \"zstd", "transactional.id\" = \"mine"));
    let ran = place.connect(&["run", "into.toml"]);
    assert!(ran.code == 2 && ran.stderr.contains("transactional.id"), "{ran:?}");
    for (key, named) in [
        ("{ delimiter = \"\" }", "sink.key.delimiter"),
        ("{ delimiter = \",\", field = \"id\" }", "sink.key"),
        ("{ column = \"id\" }", "sink.key.column"),
        ("\"id\"", "sink.key"),
    ] {
        place.write(
            "into.toml",
            &pipeline.replace("topic = \"copies\"", &format!("topic = \"copies\"\nkey = {key}")),
        );
        let ran = place.connect(&["run", "into.toml"]);
        assert!(ran.code == 2 && ran.stderr.contains(named), "{key}: {ran:?}");
    }
    out_of(&place, broker, "texts", "lines");
    let text = std::fs::read_to_string(place.path("texts.toml"))?.replace("[\"copies\"]", "[\"no-such\"]");
    place.write("texts.toml", &text);
    let ran = place.connect(&["check", "texts.toml"]);
    assert!(ran.code != 0 && ran.stderr.contains("no-such"), "{ran:?}");
    Ok(())
}
