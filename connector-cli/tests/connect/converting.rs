//! Conversions between what a source and a sink carry: JSON objects to Parquet and back, and what is refused.

use crate::support::{Place, Ran, files};

/// A pipeline from JSON lines in `in` to Parquet in `out`.
const TO_PARQUET: &str = r#"name = "convert"
checkpoint = { interval = "20ms", dir = "ckpt" }
restart = { strategy = "none" }

[source]
connector = "file"
path = "in"
format = "json"

[convert]
schema = ["id int64!", "name string", "price float64"]

[sink]
connector = "file"
path = "out"
format = "parquet"
suffix = ".parquet"
"#;

const GIVEN: &str = "[convert]\nschema = [\"id int64!\", \"name string\", \"price float64\"]\n";

/// The way back: JSON lines in `back`.
const BACK: &str = r#"name = "back"
checkpoint = { interval = "20ms", dir = "ckpt-back" }
restart = { strategy = "none" }

[source]
connector = "file"
path = "out"
format = "parquet"

[sink]
connector = "file"
path = "back"
format = "lines"
"#;

fn place(pipeline: &str) -> Place {
    let place = Place::new();
    place.write("p.toml", pipeline);
    place.write("back.toml", BACK);
    place
}

/// Without `[convert]`: the columns are inferred.
fn inferring() -> Place {
    place(&TO_PARQUET.replace(GIVEN, ""))
}

fn records(first: u64, count: u64) -> String {
    let record = |n| format!("{{\"id\":{n},\"name\":\"n{n}\",\"price\":{n}.5}}\n");
    (first..first + count).map(record).collect()
}

/// What the Parquet files hold, as sorted JSON lines.
fn back(place: &Place) -> String {
    place.connect(&["run", "back.toml"]).assert_done();
    let text: String =
        files(&place.path("back")).iter().map(|f| std::fs::read_to_string(f).unwrap()).collect();
    let mut lines: Vec<&str> = text.lines().collect();
    lines.sort_by_key(|line| (line.len(), *line));
    lines.iter().map(|line| format!("{line}\n")).collect()
}

fn check(place: &Place) -> Ran {
    place.connect(&["check", "p.toml"])
}

#[test]
fn json_becomes_parquet_of_a_given_schema_and_the_same_json_again() {
    let place = place(TO_PARQUET);
    let text = records(0, 5_000);
    place.write("in/a.jsonl", &text);
    assert!(check(&place).assert_done().stdout.contains("(given)"));
    let report = place.run(&[]).assert_done().report();
    assert_eq!((&report["records_in"], &report["records_out"]), (&5_000.into(), &5_000.into()));
    assert!(files(&place.path("out")).iter().all(|f| std::fs::read(f).unwrap().starts_with(b"PAR1")));
    assert_eq!(back(&place), text);
}

#[test]
fn json_becomes_parquet_of_an_inferred_schema() {
    let place = inferring();
    let text = records(0, 100);
    place.write("in/a.jsonl", &text);
    let found = check(&place);
    let columns =
        r#"columns: ["id int64","name string","price float64"] (inferred from the first 100 records)"#;
    assert!(found.assert_done().stdout.contains(columns), "{found:?}");
    assert!(!place.path("ckpt").exists(), "a check makes nothing");
    let ran = place.run(&[]);
    assert!(ran.assert_done().stderr.contains("inferred from the first 100 records"), "{ran:?}");
    assert_eq!(back(&place), text);
}

#[test]
fn an_inferred_schema_is_kept_with_the_checkpoints_and_inferred_anew_from_nothing() {
    let place = inferring();
    place.write("in/b.jsonl", &records(0, 10));
    place.run(&[]).assert_done();
    // Now the first record would say otherwise.
    place.write("in/a.jsonl", "{\"other\":true}\n");
    let found = check(&place);
    assert!(
        found.assert_done().stdout.contains("\"id int64\"") && found.stdout.contains("kept"),
        "{found:?}"
    );
    let again = place.run(&[]);
    assert!(again.assert_done().stderr.contains("kept from the first start"), "{again:?}");
    let anew = place.run(&["--from", "none", "--set", "sink.path=out2"]);
    assert!(anew.assert_done().stderr.contains("\"other boolean\""), "{anew:?}");
    // From now on it is that one.
    assert!(check(&place).assert_done().stdout.contains("\"other boolean\""));
}

#[cfg(feature = "crash-points")]
#[test]
fn a_schema_that_was_inferred_by_a_job_that_died_is_used_again() {
    for at in ["checkpoint/before-store:1", "checkpoint/after-store:1", "file-committer/after-rename:1"] {
        let place = inferring();
        place.write("in/b.jsonl", &records(0, 1_000));
        let output = place.command(&["run", "p.toml"]).env("CONNECT_CRASH_AT", at).output().unwrap();
        assert_eq!(output.status.code(), None, "{at}: {output:?}");
        // An earlier file whose columns are others: those that were kept count.
        place.write("in/a.jsonl", "{\"id\":-1,\"name\":7,\"price\":1}\n");
        let ran = place.run(&[]);
        assert!(ran.assert_done().stderr.contains("kept from the first start"), "{at}: {ran:?}");
        let (lines, all) = (back(&place), records(0, 1_000));
        // Whether the job had listed its input when it died decides whether the new file belongs to it.
        let rest = lines.replace("{\"id\":-1,\"name\":\"7\",\"price\":1.0}\n", "");
        assert_eq!(rest, all, "{at}");
    }
}

#[test]
fn a_given_schema_is_part_of_the_identity() {
    let place = place(TO_PARQUET);
    place.write("in/a.jsonl", &records(0, 10));
    place.run(&[]).assert_done();
    place.edit("\"price float64\"", "\"price string\"");
    place.run(&[]).assert_error(2, &["p.toml:11:", "`convert.schema`"]);
}

#[test]
fn a_record_that_does_not_fit_ends_the_job_and_is_named() {
    let place = place(TO_PARQUET);
    place.write("in/a.jsonl", &(records(0, 3) + "{\"id\":\"x\"}\n"));
    let ran = place.run(&[]);
    ran.assert_error(1, &["by the row in its batch, at offset 3", "column `id`"]);
    assert!(!place.has_output());
}

#[test]
fn a_record_that_does_not_fit_is_skipped_or_put_aside_when_told_to() {
    for policy in ["\"skip\"", "{ dead_letter = \"dead\" }"] {
        let place = place(TO_PARQUET);
        place.edit("[convert]\n", &format!("[convert]\non_bad_record = {policy}\n"));
        let good = records(0, 50);
        place.write(
            "in/a.jsonl",
            &(good.clone() + "{\"id\":\"x\"}\n{\"name\":\"no id\"}\n" + &records(50, 50)),
        );
        place.run(&[]).assert_done();
        assert_eq!(back(&place), records(0, 100), "{policy}");
        let dead = files(&place.path("dead"));
        if policy == "\"skip\"" {
            assert!(dead.is_empty());
            continue;
        }
        let letters: String = dead.iter().map(|file| std::fs::read_to_string(file).unwrap()).collect();
        assert_eq!(letters.lines().count(), 2, "{letters}");
        assert!(letters.contains(r#"{\"id\":\"x\"}"#) && letters.contains("no id"), "{letters}");
    }
}

#[test]
fn csv_becomes_typed_parquet() {
    let place = place(&TO_PARQUET.replace("format = \"json\"", "format = \"csv\""));
    place.write("in/a.csv", "id,name,price\n1,a,0.5\n2,\"b,c\",1\n");
    place.run(&[]).assert_done();
    let back = back(&place);
    assert!(
        back.contains(r#"{"id":1,"name":"a","price":0.5}"#) && back.contains(r#""id":2,"name":"b,c""#),
        "{back}"
    );
}

#[test]
fn what_can_not_be_inferred_is_refused_by_check_with_what_would_work() {
    let place = inferring();
    let expected = "give them, as in `schema = { id = \"int64\" }`";
    check(&place).assert_error(2, &["`convert.schema`", "no record to infer them from", expected]);
    place.write("in/a.jsonl", "{\"tags\":[1]}\n");
    check(&place).assert_error(2, &["`convert.schema`", "tags", expected]);
    assert_eq!(place.run(&[]).code, 2);
    assert!(!place.path("out").exists());
}

#[test]
fn ends_that_nothing_fits_between_are_refused_by_check_in_one_sentence() {
    let lines = place(&TO_PARQUET.replace("format = \"json\"", "format = \"lines\""));
    lines.write("in/a", "{}\n");
    assert_eq!(
        check(&lines).error(),
        "p.toml:8: option `source.format`: source `file` carries bytes, which can't be made the columns that sink `file` \
         takes; if its records are JSON objects, say so with `format = \"json\"`"
    );
    assert_eq!(check(&lines).code, 2);
    let json = lines.connect(&["check", "p.toml", "--set", "sink.format=json"]);
    assert_eq!(
        json.error(),
        "p.toml:8: option `source.format`: source `file` carries bytes, which can't be made the JSON objects that sink \
         `file` takes; if its records are JSON objects, say so with `format = \"json\"`"
    );
    let idle = place(TO_PARQUET);
    idle.edit("format = \"parquet\"", "format = \"json\"");
    assert_eq!(
        check(&idle).error(),
        "p.toml:10: option `convert`: has no meaning here: only what becomes columns, and records that become JSON \
         objects, is converted by it; leave it out"
    );
}

#[test]
fn a_wrong_convert_table_is_named_with_its_line() {
    let refused = |to: &str, parts: &[&str]| {
        let place = place(TO_PARQUET);
        place.write("in/a.jsonl", "{}\n");
        place.edit("schema = [\"id int64!\", \"name string\", \"price float64\"]", to);
        check(&place).assert_error(2, &[&["p.toml:11:"], parts].concat());
    };
    refused("schema = { id = \"int63\" }", &["`convert.schema`", "int63", "int64"]);
    refused("infer_rows = 0", &["`convert.infer_rows`", "at least 1"]);
    refused("on_bad_record = \"drop\"", &["`convert.on_bad_record`", "skip"]);
    refused("scheme = 1", &["`convert.scheme`", "`schema`"]);
}

/// examples/parquet.toml, as it stands there.
#[test]
fn the_example_turns_json_lines_into_parquet() {
    let examples = std::path::Path::new(env!("CARGO_MANIFEST_DIR")).join("../examples");
    let place = place(TO_PARQUET);
    for name in ["parquet.toml", "measurements.jsonl"] {
        std::fs::copy(examples.join(name), place.path(name)).unwrap();
    }
    place.connect(&["run", "parquet.toml"]).assert_done();
    place.write("back.toml", &BACK.replace("\"out\"", "\"out/parquet\""));
    let back = back(&place);
    assert_eq!(back.lines().count(), 8, "{back}");
    assert!(back.contains(r#""station":"Bergen","temperature":4.0}"#), "{back}");
}
