//! Signals.

use crate::support::{Place, finish, signal};

/// Starts a long job and stops it with a savepoint once some of it is visible.
pub fn stopped(place: &Place, name: &str) -> serde_json::Value {
    let child = place.start(&[], |_| place.has_output());
    signal(&child, name);
    let report = finish(child).assert_done().report();
    assert_eq!(report["stopped"], true, "{report}");
    report
}

#[test]
fn a_signal_stops_with_a_savepoint_and_the_next_start_goes_on_from_it() {
    for name in ["TERM", "INT"] {
        let place = Place::new();
        let count = place.long_input();
        let first = stopped(&place, name);
        let savepoint = first["savepoint"].as_str().unwrap();
        assert!(std::path::Path::new(savepoint).is_absolute() && std::path::Path::new(savepoint).exists());
        let second = place.run(&[]).assert_done().report();
        assert_eq!(second["stopped"], false);
        let read = |report: &serde_json::Value| report["records_in"].as_u64().unwrap();
        assert_eq!(read(&first) + read(&second), count, "nothing is read twice");
        place.assert_exactly_once("out", count);
        assert!(std::path::Path::new(savepoint).exists(), "savepoints are never cleaned");
    }
}

#[test]
fn a_second_signal_gives_up_and_loses_nothing() {
    let place = Place::new();
    let count = place.long_input();
    let child = place.start(&[], |_| place.has_output());
    // Both arrive before the job can do anything about the first.
    signal(&child, "STOP");
    signal(&child, "TERM");
    signal(&child, "INT");
    signal(&child, "CONT");
    let ran = finish(child);
    ran.assert_error(1, &["second signal"]);
    assert_eq!(ran.report()["stopped"], false);
    place.run(&[]).assert_done();
    place.assert_exactly_once("out", count);
}

#[test]
fn a_killed_job_goes_on_exactly_once() {
    let place = Place::new();
    let count = place.long_input();
    let mut child = place.start(&[], |_| place.has_output());
    child.kill().unwrap();
    child.wait().unwrap();
    place.run(&["--set", "parallelism=3"]).assert_done();
    place.assert_exactly_once("out", count);
}
