//! A run from its start to its end.

use crate::support::Place;

/// The keys of the report that are the contract.
const KEYS: [&str; 13] = [
    "records_in",
    "records_out",
    "bytes_in",
    "bytes_out",
    "checkpoints",
    "restarts",
    "files_written",
    "files_compacted",
    "pending_files",
    "lost",
    "seconds",
    "stopped",
    "savepoint",
];

#[test]
fn every_line_arrives_once_and_the_report_says_so() {
    let place = Place::new();
    place.lines("in/a.txt", 0, 1_000);
    place.lines("in/b.txt", 1_000, 500);
    let report = place.run(&[]).assert_done().report();
    place.assert_exactly_once("out", 1_500);
    for key in KEYS {
        assert!(report.get(key).is_some(), "{key} is not in {report}");
    }
    assert_eq!((&report["records_in"], &report["records_out"]), (&1_500.into(), &1_500.into()));
    assert_eq!((&report["bytes_in"], &report["bytes_out"]), (&(1_500 * 99).into(), &(1_500 * 99).into()));
    assert_eq!(
        (&report["pending_files"], &report["lost"], &report["restarts"]),
        (&0.into(), &0.into(), &0.into())
    );
    assert_eq!((&report["stopped"], &report["savepoint"]), (&false.into(), &serde_json::Value::Null));
    assert!(
        report["files_written"].as_u64() > Some(0) && report["checkpoints"].as_u64() > Some(0),
        "{report}"
    );
    assert!(report["seconds"].as_f64() > Some(0.0), "{report}");
}

#[test]
fn paths_are_relative_to_the_file_not_to_the_current_directory() {
    let place = Place::new();
    place.lines("in/a.txt", 0, 10);
    let elsewhere = tempfile::tempdir().unwrap();
    let file = place.path("p.toml");
    let mut command = place.command(&["run", file.to_str().unwrap()]);
    assert!(command.current_dir(elsewhere.path()).output().unwrap().status.success());
    place.assert_exactly_once("out", 10);
    assert_eq!(crate::support::files(elsewhere.path()), Vec::<std::path::PathBuf>::new());
}

#[test]
fn without_json_the_report_is_for_people() {
    let place = Place::new();
    place.lines("in/a.txt", 0, 10);
    let ran = place.connect(&["run", "p.toml"]);
    let text = &ran.assert_done().stdout;
    assert!(text.contains("job `lines` finished") && text.contains("10 records"), "{text}");
}

#[test]
fn starting_a_finished_job_says_so_and_is_done() {
    let place = Place::new();
    place.lines("in/a.txt", 0, 10);
    place.run(&[]).assert_done();
    let again = place.run(&[]);
    let report = again.assert_done().report();
    assert_eq!((&report["end"], &report["records_in"]), (&"already_finished".into(), &0.into()));
    let people = place.connect(&["run", "p.toml"]);
    assert!(people.assert_done().stdout.contains("had finished before"), "{people:?}");
    place.assert_exactly_once("out", 10);
}

#[test]
fn a_job_that_fails_exits_1_with_its_report_and_its_error() {
    let place = Place::new();
    place.lines("in/a.txt", 0, 10);
    // One record above the limit: the data is wrong, not the configuration.
    let ran = place.run(&["--set", "source.max_record=50"]);
    ran.assert_error(1, &["a.txt"]);
    let report = ran.report();
    assert_eq!((&report["end"], &report["error"]), (&"failed".into(), &ran.error().into()));
    for key in KEYS {
        assert!(report.get(key).is_some(), "{key} is not in {report}");
    }
}

#[test]
fn the_example_of_the_quickstart_runs() {
    let place = Place::new();
    let example = concat!(env!("CARGO_MANIFEST_DIR"), "/../examples/quickstart.toml");
    std::fs::copy(example, place.path("p.toml")).unwrap();
    let report = place.run(&[]).assert_done().report();
    assert!(report["records_in"].as_u64() > Some(1_000), "{report}");
    assert_eq!((&report["records_in"], &report["pending_files"]), (&report["records_out"], &0.into()));
}
