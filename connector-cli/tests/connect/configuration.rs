//! Wrong configurations: one message with file, line, key and what is allowed; exit 2; nothing moved.

use crate::support::{PIPELINE, Place};

/// The line (from 1) of `p.toml` that begins with `start`.
fn line(start: &str) -> usize {
    1 + PIPELINE.lines().position(|line| line.starts_with(start)).unwrap()
}

/// Runs the pipeline after an edit; the message must have these parts.
fn refused(from: &str, to: &str, parts: &[&str]) {
    let place = Place::new();
    place.lines("in/a.txt", 0, 10);
    place.edit(from, to);
    let ran = place.run(&[]);
    ran.assert_error(2, parts);
    assert_eq!(ran.report()["error"], ran.error(), "the report says it too");
    assert!(!place.path("out").exists() && !place.path("ckpt").exists(), "nothing was made");
    // The same message comes from `check`.
    assert_eq!(place.connect(&["check", "p.toml"]).error(), ran.error());
}

#[test]
fn an_unknown_key_is_named_with_its_line_and_the_known_ones() {
    refused("on_lost", "on_loss", &[&format!("p.toml:{}:", line("on_lost")), "`on_loss`", "`on_lost`"]);
    let here = format!("p.toml:{}:", line("rolling"));
    refused("rolling = { size", "rolling = { sise", &[&here, "`sink.rolling.sise`", "`size`"]);
    let here = format!("p.toml:{}:", line("path = \"in\""));
    refused("path = \"in\"", "pat = \"in\"", &[&here, "`source.pat`", "`path`"]);
}

#[test]
fn a_wrong_type_is_named_with_its_line_and_what_is_allowed() {
    let here = format!("p.toml:{}:", line("parallelism"));
    refused("parallelism = 2", "parallelism = \"2\"", &[&here, "`parallelism`", "a number such as 2"]);
    let here = format!("p.toml:{}:", line("checkpoint"));
    refused("interval = \"20ms\"", "interval = 100", &[&here, "`checkpoint.interval`", "\"1s\""]);
    let here = format!("p.toml:{}:", line("rolling"));
    refused("\"8 MiB\"", "\"8 Mebi\"", &[&here, "`sink.rolling.size`", "\"8 MiB\""]);
    refused("on_checkpoint = true", "on_checkpoint = 1", &[&here, "`sink.rolling.on_checkpoint`", "boolean"]);
    let here = format!("p.toml:{}:", line("compaction"));
    refused(
        "compaction = { checkpoints = 2, size = \"64 MiB\" }",
        "compaction = 7",
        &[&here, "`sink.compaction`", "drain"],
    );
}

#[test]
fn a_missing_key_is_named_with_the_line_of_its_table() {
    let here = format!("p.toml:{}:", line("[source]"));
    refused("path = \"in\"\n", "", &[&here, "`source.path`", "missing"]);
    refused(
        "connector = \"file\"\npath = \"in\"",
        "path = \"in\"",
        &[&here, "`source.connector`", "missing"],
    );
    let here = format!("p.toml:{}:", line("checkpoint"));
    refused("dir = \"ckpt\", ", "", &[&here, "`checkpoint.dir`", "missing"]);
    refused("name = \"lines\"\n", "", &["p.toml:1:", "`name`", "missing"]);
}

#[test]
fn a_missing_path_is_named_with_its_line() {
    let here = format!("p.toml:{}:", line("path = \"in\""));
    refused("\"in\"", "\"inn\"", &[&here, "`source.path`", "inn"]);
}

#[test]
fn an_unknown_connector_is_named_with_the_known_ones() {
    let here = format!("p.toml:{}:", line("connector = \"file\""));
    refused(
        "connector = \"file\"\npath = \"in\"",
        "connector = \"flie\"\npath = \"in\"",
        &[&here, "`source.connector`", "`flie`", "`file`"],
    );
}

#[test]
fn what_is_no_toml_is_named_with_its_line() {
    refused("parallelism = 2", "parallelism = = 2", &["p.toml:2:"]);
    let ran = Place::new().connect(&["run", "nowhere.toml"]);
    ran.assert_error(2, &["nowhere.toml"]);
}

#[test]
fn a_table_where_a_text_is_expected_is_no_secret() {
    refused("\"in\"", "{ env = \"HOME\" }", &["`source.path`", "allowed"]);
}

#[test]
fn a_setting_changes_the_file_and_its_errors_name_it() {
    let place = Place::new();
    place.lines("in/a.txt", 0, 10);
    place.run(&["--set", "sink.rolling.sise=1"]).assert_error(2, &["--set sink.rolling.sise", "`size`"]);
    place.run(&["--set", "parallelism=0"]).assert_error(2, &["--set parallelism", "1 to"]);
    place.run(&["--set", "name.x=1"]).assert_error(2, &["--set name.x", "`name` is a text"]);
    place.run(&["--set", "sink.path=out2", "--set", "parallelism=1"]).assert_done();
    place.assert_exactly_once("out2", 10);
}

#[test]
fn what_to_start_from_must_exist() {
    let place = Place::new();
    place.run(&["--from", "newest"]).assert_error(2, &["--from newest", "`latest`", "`none`"]);
}
