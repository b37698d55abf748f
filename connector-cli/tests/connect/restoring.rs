//! What a start restores, and what it refuses.

use crate::stopping::stopped;
use crate::support::{Place, files, finish, signal};

#[test]
fn an_edited_identity_exits_2_and_names_the_key() {
    let place = Place::new();
    place.long_input();
    stopped(&place, "TERM");
    std::fs::rename(place.path("in"), place.path("input")).unwrap();
    place.edit("\"in\"", "\"input\"");
    place.run(&[]).assert_error(2, &["p.toml:9:", "`source.path`", "in"]);
    place.edit("\"input\"", "\"in\"");
    std::fs::rename(place.path("input"), place.path("in")).unwrap();
    place.run(&["--set", "sink.path=out2"]).assert_error(2, &["--set sink.path", "`sink.path`"]);
    place.run(&["--set", "sink.uid=other"]).assert_error(2, &["--set sink.uid", "`sink.uid`"]);
    assert!(!place.path("out2").exists(), "nothing moved");
}

#[test]
fn parallelism_intervals_and_limits_may_change() {
    let place = Place::new();
    let count = place.long_input();
    stopped(&place, "TERM");
    let changes = [
        "parallelism={ source = 3, sink = 1, committer = 2 }",
        "checkpoint.interval=300ms",
        "sink.rolling.size=1 MiB",
        "checkpoint.retain=5",
    ];
    let args: Vec<&str> = changes.iter().flat_map(|change| ["--set", change]).collect();
    place.run(&args).assert_done();
    place.assert_exactly_once("out", count);
}

#[test]
fn compaction_is_emptied_by_drain_and_not_left_out_before() {
    let place = Place::new();
    let count = place.long_input();
    let place_of_many = "compaction = { checkpoints = 2, size = \"64 MiB\" }";
    place.edit(place_of_many, "compaction = { checkpoints = 1000 }");
    let child = place.start(&[], |_| files(&place.path("out")).len() > 4);
    signal(&child, "TERM");
    finish(child).assert_done();
    place.edit("compaction = { checkpoints = 1000 }\n", "");
    let ran = place.run(&[]);
    assert_ne!(ran.code, 0);
    assert!(ran.error().contains("drain"), "{}", ran.error());
    place.run(&["--set", "sink.compaction=drain"]).assert_done();
    place.assert_exactly_once("out", count);
}

#[test]
fn a_second_process_on_the_checkpoint_directory_is_refused_with_the_pid_of_the_first() {
    let place = Place::new();
    let count = place.long_input();
    let first = place.start(&[], |child| place.is_locked_by(child));
    signal(&first, "STOP");
    place.run(&[]).assert_error(1, &[&first.id().to_string()]);
    signal(&first, "CONT");
    finish(first).assert_done();
    place.assert_exactly_once("out", count);
}

#[test]
fn a_damaged_checkpoint_is_refused_and_named() {
    let place = Place::new();
    place.long_input();
    let report = stopped(&place, "TERM");
    let savepoint = report["savepoint"].as_str().unwrap();
    let damaged = if std::path::Path::new(savepoint).is_dir() {
        files(std::path::Path::new(savepoint))
    } else {
        vec![savepoint.into()]
    };
    for file in &damaged {
        let mut bytes = std::fs::read(file).unwrap();
        let middle = bytes.len() / 2;
        bytes[middle] ^= 0x55;
        std::fs::write(file, bytes).unwrap();
    }
    let name = std::path::Path::new(savepoint).file_name().unwrap().to_str().unwrap().to_owned();
    place.run(&[]).assert_error(1, &[&name]);
}

#[test]
fn a_job_starts_from_nothing_when_told_to() {
    let place = Place::new();
    place.lines("in/a.txt", 0, 100);
    place.run(&[]).assert_done();
    let report = place.run(&["--from", "none", "--set", "sink.path=out2"]).assert_done().report();
    assert_eq!(report["records_in"], 100);
    place.assert_exactly_once("out", 100);
    place.assert_exactly_once("out2", 100);
}

#[test]
fn going_back_is_refused_unless_duplicates_are_accepted() {
    let place = Place::new();
    let count = place.long_input();
    let first = stopped(&place, "TERM");
    let savepoint = first["savepoint"].as_str().unwrap();
    place.run(&[]).assert_done();
    place.run(&["--from", savepoint]).assert_error(2, &["--from", "--accept-duplicates"]);
    let report = place.run(&["--from", savepoint, "--accept-duplicates"]).assert_done().report();
    let rest = count - first["records_in"].as_u64().unwrap();
    assert_eq!(report["records_in"], rest, "what came after the savepoint is read again");
    let mut numbers = place.numbers("out");
    assert_eq!(numbers.len() as u64, count + rest);
    numbers.dedup();
    assert_eq!(numbers.len() as u64, count, "nothing is lost");
}

#[test]
fn a_checkpoint_of_another_job_is_refused() {
    let (place, other) = (Place::new(), Place::new());
    other.long_input();
    place.lines("in/a.txt", 0, 10);
    let foreign = stopped(&other, "TERM");
    place.run(&[]).assert_done();
    let ran = place.run(&["--from", foreign["savepoint"].as_str().unwrap()]);
    assert_ne!(ran.code, 0, "{ran:?}");
}
