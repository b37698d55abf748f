//! The process ends at a crash point that the environment names.

use std::os::unix::process::ExitStatusExt;

use crate::support::Place;

/// Runs until it aborts at the point.
fn crash(place: &Place, at: &str) {
    let output = place.command(&["run", "p.toml"]).env("CONNECT_CRASH_AT", at).output().unwrap();
    assert_eq!(output.status.signal(), Some(6), "{at}: {output:?}");
}

#[test]
fn a_job_that_died_at_a_crash_point_goes_on_exactly_once() {
    for at in ["checkpoint/after-store:1", "file-committer/after-rename:1", "file-compactor/mid-merge:1"] {
        let place = Place::new();
        place.lines("in/a.txt", 0, 5_000);
        // Many parts, so that there is something to merge.
        place.edit("size = \"8 MiB\"", "size = \"64 KiB\"");
        crash(&place, at);
        place.run(&["--set", "parallelism=3"]).assert_done();
        place.assert_exactly_once("out", 5_000);
    }
}

#[test]
fn a_crash_point_that_can_not_be_read_is_refused() {
    let place = Place::new();
    for wrong in ["checkpoint/after-store", "checkpoint/after-store:0", "checkpoint/after-store:x"] {
        let output = place.command(&["run", "p.toml"]).env("CONNECT_CRASH_AT", wrong).output().unwrap();
        assert_eq!(output.status.code(), Some(2), "{output:?}");
    }
}
