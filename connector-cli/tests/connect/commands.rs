//! `check`, `list`, `options` and the command line itself.

use crate::support::{Place, files};

#[test]
fn list_names_the_connectors_and_what_they_have() {
    let ran = Place::new().connect(&["list"]);
    let line = ran.assert_done().stdout.lines().find(|line| line.contains("file")).unwrap_or("");
    assert!(line.contains("source, sink"), "{ran:?}");
}

#[test]
fn options_are_documented_as_a_table_and_as_json() {
    let place = Place::new();
    let table = place.connect(&["options", "file"]);
    for part in ["[source]", "[sink]", "compaction.checkpoints", "byte size", "IDENTITY"] {
        assert!(table.assert_done().stdout.contains(part), "{part}: {table:?}");
    }
    let json = place.connect(&["options", "file", "--json"]).report();
    for end in ["source", "sink"] {
        let options = json[end].as_array().unwrap();
        let path = options.iter().find(|option| option["name"] == "path").unwrap();
        assert_eq!((&path["required"], &path["identity"]), (&true.into(), &true.into()));
    }
    let keys = place.connect(&["options", "pipeline"]);
    assert!(keys.assert_done().stdout.contains("checkpoint.interval"), "{keys:?}");
    place.connect(&["options", "flie"]).assert_error(2, &["`flie`", "`file`"]);
}

#[test]
fn check_moves_and_creates_nothing() {
    let place = Place::new();
    place.lines("in/a.txt", 0, 10);
    let before = files(&place.path(""));
    let ran = place.connect(&["check", "p.toml"]);
    assert!(ran.assert_done().stdout.contains("can be reached"), "{ran:?}");
    assert_eq!(files(&place.path("")), before);
    assert!(!place.path("ckpt").exists() && !place.path("out").exists());
}

#[test]
fn check_finds_what_can_not_be_reached() {
    let place = Place::new();
    place.lines("a-file", 0, 1);
    let check = |set: &str| place.connect(&["check", "p.toml", "--set", set]);
    check("source.path=gone").assert_error(2, &["--set source.path", "gone"]);
    check("sink.path=a-file/out").assert_error(2, &["--set sink.path", "a-file"]);
    check("checkpoint.dir=a-file").assert_error(2, &["--set checkpoint.dir", "not a directory"]);
}

#[test]
fn a_wrong_command_line_exits_2() {
    let place = Place::new();
    for args in
        [&["run"][..], &["walk"], &["run", "p.toml", "--report", "xml"], &["run", "p.toml", "--set", "x"]]
    {
        assert_eq!(place.connect(args).code, 2, "{args:?}");
    }
    assert_eq!(place.connect(&["--help"]).code, 0);
    assert!(place.connect(&["--version"]).assert_done().stdout.starts_with("connect "));
}

#[cfg(not(feature = "parquet"))]
#[test]
fn a_build_without_parquet_says_so() {
    let place = Place::new();
    let refused = place.connect(&["check", "p.toml", "--set", "sink.format=parquet"]);
    refused.assert_error(2, &["`sink.format`", "this build has no Parquet; build with `--features parquet`"]);
}
