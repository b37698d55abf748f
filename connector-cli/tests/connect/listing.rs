//! `connect ls`: what is visible, pending and orphaned, also while a job runs and after one died.

use crate::support::{Place, files, finish, signal};

/// The entries of `connect ls --file p.toml --json`, as (state, name).
fn states(place: &Place, args: &[&str]) -> Vec<(String, String)> {
    let listing = place.connect(&[&["ls", "--json"], args].concat()).assert_done().report();
    let text = |entry: &serde_json::Value, key: &str| entry[key].as_str().unwrap().to_owned();
    let entries = listing["files"].as_array().unwrap();
    entries.iter().map(|entry| (text(entry, "state"), text(entry, "name"))).collect()
}

fn count(states: &[(String, String)], state: &str) -> usize {
    states.iter().filter(|(found, _)| found == state).count()
}

const OF_JOB: &[&str] = &["--file", "p.toml"];

#[test]
fn what_a_finished_job_left_is_visible_and_nothing_else_is_there() {
    let place = Place::new();
    assert_eq!(states(&place, OF_JOB), [], "the job has not begun");
    place.lines("in/a.txt", 0, 100);
    place.run(&[]).assert_done();
    let before = files(&place.path(""));
    let found = states(&place, OF_JOB);
    assert_eq!((found.len(), count(&found, "visible")), (1, 1), "{found:?}");
    let table = place.connect(&["ls", "out"]);
    let first = table.assert_done().stdout.lines().next().unwrap().to_owned();
    assert!(first.ends_with("out: 1 visible (10000 B)"), "{table:?}");
    assert_eq!(files(&place.path("")), before, "nothing was made");
}

#[test]
fn buckets_marks_and_what_others_left_are_told_apart() {
    let place = Place::new();
    std::fs::create_dir_all(place.path("out/day=1")).unwrap();
    place.write("out/day=1/part-x.txt", "1");
    place.write("out/day=1/_SUCCESS", "");
    let manifest = r#"{"version":1,"bucket":"day=1","files":[{"name":"part-x.txt","bytes":1,"records":7}]}"#;
    place.write("out/day=1/_manifest.json", manifest);
    place.write("out/.DS_Store", "");
    place.write("out/.part-0000000000000001_1_0-0.inprogress", "123");
    let expected = [
        ("foreign", ".DS_Store"),
        ("other_run", ".part-0000000000000001_1_0-0.inprogress"),
        ("mark", "day=1/_SUCCESS"),
        ("mark", "day=1/_manifest.json"),
        ("visible", "day=1/part-x.txt"),
    ];
    let expected: Vec<_> = expected.iter().map(|(state, name)| ((*state).into(), (*name).into())).collect();
    assert_eq!(states(&place, OF_JOB), expected);
    let listing = place.connect(&["ls", "out", "--json"]).assert_done().report();
    assert_eq!(listing["files"][4]["records"], 7, "as the manifest says: {listing}");
    let table = place.connect(&["ls", "out"]);
    for part in ["1 hidden (3 B)", "--checkpoints DIR", "0000000000000001_1"] {
        assert!(table.assert_done().stdout.contains(part), "{part}: {table:?}");
    }
}

#[test]
fn a_listing_can_be_had_while_the_job_runs_and_after_it_was_killed() {
    let place = Place::new();
    let count_of_rows = place.long_input();
    let mut child = place.start(&[], |_| place.has_output());
    signal(&child, "STOP");
    let running = states(&place, OF_JOB);
    assert!(count(&running, "visible") > 0 && count(&running, "in_progress") > 0, "{running:?}");
    assert_eq!(count(&running, "orphaned"), 0, "{running:?}");
    let pid = child.id();
    let table = place.connect(&["ls", "out", "--checkpoints", "ckpt"]);
    assert!(table.assert_done().stdout.contains(&format!("process {pid} runs it")), "{table:?}");
    child.kill().unwrap();
    child.wait().unwrap();
    let killed = states(&place, OF_JOB);
    assert_eq!(count(&killed, "in_progress"), 0, "nobody writes: {killed:?}");
    assert_eq!(count(&killed, "visible"), count(&running, "visible"));
    assert_eq!(count(&killed, "pending"), count(&running, "pending"));
    assert_eq!(count(&killed, "orphaned"), count(&running, "in_progress"), "the next start removes them");
    finish(place.start(&[], |_| true)).assert_done();
    let done = states(&place, OF_JOB);
    assert_eq!(count(&done, "visible"), done.len(), "{done:?}");
    place.assert_exactly_once("out", count_of_rows);
}

/// Lets the job die at a crash point.
#[cfg(feature = "crash-points")]
fn die(place: &Place, at: &str) {
    let output = place.command(&["run", "p.toml"]).env("CONNECT_CRASH_AT", at).output().unwrap();
    assert_eq!(output.status.code(), None, "{at}: {output:?}");
}

#[cfg(feature = "crash-points")]
#[test]
fn what_a_checkpoint_names_is_pending_and_what_none_names_is_orphaned() {
    let place = Place::new();
    place.lines("in/a.txt", 0, 1_000);
    place.edit("compaction = { checkpoints = 2, size = \"64 MiB\" }\n", "");
    die(&place, "checkpoint/before-store:1");
    let found = states(&place, OF_JOB);
    assert!(!found.is_empty() && count(&found, "orphaned") == found.len(), "{found:?}");
    die(&place, "checkpoint/after-store:1");
    let listing = place.connect(&["ls", "--file", "p.toml", "--json"]).assert_done().report();
    let entries = listing["files"].as_array().unwrap();
    let pending: Vec<_> = entries.iter().filter(|entry| entry["state"] == "pending").collect();
    assert_eq!(pending.len(), 1, "{listing}");
    assert_eq!((&pending[0]["records"], &pending[0]["bytes"]), (&1_000.into(), &100_000.into()));
    let becomes = pending[0]["becomes"].as_str().unwrap().to_owned();
    assert_eq!(listing["totals"]["pending"]["files"], 1);
    place.run(&[]).assert_done();
    assert_eq!(states(&place, OF_JOB), [("visible".to_owned(), becomes)]);
    place.assert_exactly_once("out", 1_000);
}

#[test]
fn what_can_not_be_listed_is_refused_by_name() {
    let place = Place::new();
    place.write("file", "");
    place.connect(&["ls", "nowhere"]).assert_error(2, &["nowhere", "No such file"]);
    place.connect(&["ls", "file"]).assert_error(2, &["file is not a directory"]);
    place.connect(&["ls", "in", "--checkpoints", "gone"]).assert_error(2, &["gone"]);
    place.connect(&["ls", "memory://bucket/x"]).assert_error(2, &["memory://bucket/x", "within the process"]);
    place.connect(&["ls", "ftp://bucket/x"]).assert_error(2, &["ftp://bucket/x", "not known"]);
    assert_eq!(place.connect(&["ls"]).code, 2);
    assert_eq!(place.connect(&["ls", "in", "--file", "p.toml"]).code, 2);
}
