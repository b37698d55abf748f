//! What a job may start from.

use std::path::{Path, PathBuf};

use connector_api::env::{Access, FileSystem, Rename};
use connector_api::id::CheckpointId;
use connector_api::{Error, Stored};
use testkit::fs::SimFs;

use super::*;
use crate::local::LocalFs;
use crate::storage::Look;

fn restored(store: &mut CheckpointStore, record: &CheckpointRecord) {
    store.begin_run(RunStart::Restored { record, random: 99 }).unwrap();
    store.next_attempt().unwrap();
}

/// A directory with checkpoints 1 to 3, of which 3 may be committed, and savepoint 2; as the next process finds it.
fn three(fs: &SimFs) -> SimFs {
    let mut store = begun(fs);
    for n in [1, 2, 3] {
        let record = if n == 2 { savepoint(&store, n) } else { record(&store, n) };
        complete(&mut store, &record).unwrap();
    }
    fs.process_crash()
}

fn path(name: &str) -> PathBuf {
    Path::new(DIR).join(name)
}

#[test]
fn what_was_stored_is_the_latest_and_comes_back_whole() {
    let fs = three(&SimFs::new());
    let store = open(&fs).unwrap();
    assert_eq!(store.latest().unwrap().unwrap(), record(&store, 3));
    assert_eq!(store.retained().unwrap().len(), 3);
    assert_eq!(store.high_water(), Some(CheckpointId(3)));
}

#[test]
fn the_newest_checkpoints_are_kept_and_savepoints_for_ever() {
    let fs = SimFs::new();
    let mut store = begun(&fs);
    for n in 1..=9 {
        let record = if n == 2 { savepoint(&store, n) } else { record(&store, n) };
        complete(&mut store, &record).unwrap();
    }
    assert_eq!(numbers(&store), [2, 8, 9]);
}

#[test]
fn a_second_holder_is_refused_and_told_the_process_of_the_first() {
    let fs = SimFs::new();
    let first = open(&fs).unwrap();
    let message = open(&fs).unwrap_err().to_string();
    assert!(message.contains(&format!("in use by process {}", std::process::id())), "{message}");
    assert!(message.contains(DIR), "{message}");
    drop(first);
    open(&fs).unwrap();
}

#[test]
fn a_second_holder_is_refused_on_the_real_file_system() {
    let dir = tempfile::tempdir().unwrap();
    let first = CheckpointStore::open(Arc::new(LocalFs), dir.path(), 1).unwrap();
    let message = CheckpointStore::open(Arc::new(LocalFs), dir.path(), 1).unwrap_err().to_string();
    assert!(message.contains(&format!("process {}", std::process::id())), "{message}");
    drop(first);
    CheckpointStore::open(Arc::new(LocalFs), dir.path(), 1).unwrap();
}

#[test]
fn an_older_checkpoint_is_refused_naming_both_unless_duplicates_are_accepted() {
    let fs = three(&SimFs::new());
    let mut store = open(&fs).unwrap();
    let older = store.load(&path("sav-2.ckpt")).unwrap();
    let message = store.check_going_back(&older, false).unwrap_err().to_string();
    assert!(message.contains("sav-2.ckpt is savepoint 2"), "{message}");
    assert!(message.contains("checkpoint 3") && message.contains("--accept-duplicates"), "{message}");
    assert!(store.check_going_back(&older, true).unwrap());
    let newest = store.load(&path("chk-3.ckpt")).unwrap();
    assert!(!store.check_going_back(&newest, false).unwrap());
}

#[test]
fn a_checkpoint_whose_commits_had_not_begun_does_not_make_an_older_one_go_back() {
    let fs = SimFs::new();
    let mut store = begun(&fs);
    let (first, second) = (record(&store, 1), record(&store, 2));
    complete(&mut store, &first).unwrap();
    store.store(&second).unwrap();
    assert!(!store.check_going_back(&first, false).unwrap());
}

#[test]
fn going_back_once_accepted_is_remembered_over_a_crash_until_the_next_checkpoint() {
    let fs = three(&SimFs::new());
    let mut store = open(&fs).unwrap();
    let older = store.load(&path("sav-2.ckpt")).unwrap();
    assert!(store.check_going_back(&older, true).unwrap());
    restored(&mut store, &older);

    // The process dies before it has a checkpoint: chk-3 is there, but is not what the user chose.
    let fs = fs.process_crash();
    let mut store = open(&fs).unwrap();
    let latest = store.latest().unwrap().unwrap();
    assert_eq!(latest, older);
    assert!(store.check_going_back(&latest, false).unwrap(), "accepted, and still going back");
    restored(&mut store, &latest);
    assert_eq!(store.retire_older().unwrap(), 0);

    let next = record(&store, store.next_checkpoint().0);
    assert!(next.checkpoint > 3);
    complete(&mut store, &next).unwrap();
    let store = open(&fs.process_crash()).unwrap();
    assert_eq!(store.latest().unwrap().unwrap(), next);
    assert!(!store.check_going_back(&next, false).unwrap());
    assert!(store.check_going_back(&older, false).is_err(), "the acceptance was for one start");
}

#[test]
fn a_checkpoint_that_a_run_was_begun_from_is_kept_until_there_is_a_newer_one() {
    let fs = SimFs::new();
    let mut store = begun(&fs);
    for n in 1..=2 {
        let record = record(&store, n);
        store.store(&record).unwrap();
    }
    let fs = fs.process_crash();
    let mut store = CheckpointStore::open(Arc::new(fs.clone()), Path::new(DIR), 1).unwrap();
    let older = store.load(&path("chk-1.ckpt")).unwrap();
    restored(&mut store, &older);
    store.retire_older().unwrap();
    assert_eq!(store.latest().unwrap().unwrap(), older);
    let next = record(&store, store.next_checkpoint().0);
    complete(&mut store, &next).unwrap();
    assert_eq!(numbers(&store), [next.checkpoint]);
}

#[test]
fn a_new_run_leaves_the_old_ones_files_and_does_not_fall_back_on_them() {
    let fs = three(&SimFs::new());
    let mut store = open(&fs).unwrap();
    let old = store.run().unwrap();
    store.begin_run(RunStart::Fresh { random: 8 }).unwrap();
    let attempt = store.next_attempt().unwrap();
    assert_eq!((attempt.run.0, attempt.number), (8, 1));
    assert_eq!(store.ancestors(), [old]);
    assert_eq!(numbers(&store), [1, 2, 3]);

    // Killed before its first checkpoint: nothing is what it goes on from, as the same run.
    let fs = fs.process_crash();
    let mut store = open(&fs).unwrap();
    assert_eq!(store.latest().unwrap(), None);
    store.begin_run(RunStart::Fresh { random: 9 }).unwrap();
    let attempt = store.next_attempt().unwrap();
    assert_eq!((attempt.run.0, attempt.number), (8, 2), "what attempt 1 left is still its own run's");

    // The old run's savepoint is an ancestor's: allowed by path, as going back.
    let ancestor = store.load(&path("sav-2.ckpt")).unwrap();
    assert!(store.check_going_back(&ancestor, false).is_err());
    assert!(store.check_going_back(&ancestor, true).unwrap());

    for _ in 0..2 {
        let next = record(&store, store.next_checkpoint().0 + numbers(&store).len() as u64);
        complete(&mut store, &next).unwrap();
    }
    assert_eq!(numbers(&store)[0], 2, "only the savepoint of the old run is left");
    assert_eq!(numbers(&store).len(), 3);
}

#[test]
fn a_foreign_checkpoint_is_refused_by_name() {
    let fs = three(&SimFs::new());
    {
        let mut other = open_at(&fs, "/other").unwrap();
        other.begin_run(RunStart::Fresh { random: 55 }).unwrap();
        other.next_attempt().unwrap();
        let record = CheckpointRecord { run: other.run().unwrap(), ..record(&other, 1) };
        complete(&mut other, &record).unwrap();
    }
    let mut store = open(&fs).unwrap();
    let message = store.load(Path::new("/other/chk-1.ckpt")).unwrap_err().to_string();
    assert!(message.contains("/other/chk-1.ckpt") && message.contains("foreign"), "{message}");
    assert!(message.contains("0000000000000037") && message.contains("0000000000000007"), "{message}");

    // Nor is it the latest when somebody copied it into the directory.
    let foreign = fs.content("/other/chk-1.ckpt").unwrap();
    fs.put(path("chk-9.ckpt"), &foreign).unwrap();
    assert!(store.latest().unwrap_err().to_string().contains("holds what belongs into chk-1.ckpt"));
    let other_number = CheckpointRecord::from_bytes(&foreign).unwrap();
    let renumbered = CheckpointRecord { checkpoint: 9, ..other_number };
    fs.put(path("chk-9.ckpt"), &renumbered.to_bytes().unwrap()).unwrap();
    assert!(store.latest().unwrap_err().to_string().contains("foreign"));
}

#[test]
fn a_new_directory_takes_a_checkpoint_over_as_a_new_run_and_keeps_a_copy() {
    let fs = three(&SimFs::new());
    let mut store = open_at(&fs, "/new").unwrap();
    let older = store.load(&path("sav-2.ckpt")).unwrap();
    let message = store.check_going_back(&older, false).unwrap_err().to_string();
    assert!(message.contains("commits of checkpoint 3"), "the mark beside the original counts: {message}");

    let newest = store.load(&path("chk-3.ckpt")).unwrap();
    assert!(!store.check_going_back(&newest, false).unwrap());
    restored(&mut store, &newest);
    assert_ne!(store.run(), Some(newest.run));
    assert_eq!(store.ancestors(), [newest.run]);
    assert!(store.next_checkpoint().0 > 3);
    fs.remove_file(&path("chk-3.ckpt")).unwrap();

    let mut store = open_at(&fs.process_crash(), "/new").unwrap();
    assert_eq!(store.latest().unwrap().unwrap(), newest);
    // What the old directory went on to make is not of this lineage.
    let mut later = newest.clone();
    later.checkpoint = 4;
    fs.process_crash();
    let fs = SimFs::new();
    fs.put("/elsewhere/chk-4.ckpt", &later.to_bytes().unwrap()).unwrap();
    let mut copy = open_at(&fs, "/new").unwrap();
    let found = copy.load(Path::new("/elsewhere/chk-4.ckpt")).unwrap();
    assert!(copy.check_going_back(&found, false).unwrap_err().to_string().contains("can't be told"));
    assert!(copy.check_going_back(&found, true).unwrap());
    assert!(store.begin_run(RunStart::Fresh { random: 1 }).is_ok());
}

#[test]
fn checkpoints_without_a_run_record_or_a_run_without_its_checkpoints_are_errors() {
    let fs = three(&SimFs::new());
    fs.remove_file(&path("run")).unwrap();
    let message = open(&fs).unwrap().latest().unwrap_err().to_string();
    assert!(message.contains("chk-3.ckpt") && message.contains("`run`"), "{message}");

    let fs = three(&SimFs::new());
    for name in ["chk-1.ckpt", "sav-2.ckpt", "chk-3.ckpt"] {
        fs.remove_file(&path(name)).unwrap();
    }
    let message = open(&fs).unwrap().latest().unwrap_err().to_string();
    assert!(message.contains("checkpoint 3") && message.contains("removed"), "{message}");
}

#[test]
fn every_damaged_byte_of_a_completed_checkpoint_is_an_error_that_names_it() {
    let fs = three(&SimFs::new());
    let store = open(&fs).unwrap();
    let good = fs.content(path("chk-3.ckpt")).unwrap();
    let file = fs.open(&path("chk-3.ckpt"), Access::ReadWrite).unwrap();
    for at in 0..good.len() {
        file.write_all_at(&[good[at] ^ 0x10], at as u64).unwrap();
        let error = store.latest().unwrap_err();
        assert!(
            matches!(error, Error::State { .. }) && error.to_string().contains("chk-3.ckpt"),
            "{at}: {error}"
        );
        assert!(store.retained().is_err(), "nothing may be swept");
        file.write_all_at(&good[at..=at], at as u64).unwrap();
    }
    for length in 0..good.len() {
        file.set_len(length as u64).unwrap();
        assert!(store.latest().unwrap_err().to_string().contains("chk-3.ckpt"), "cut at {length}");
        file.write_all_at(&good, 0).unwrap();
    }
    assert!(store.latest().is_ok());
}

#[test]
fn every_damaged_byte_of_the_small_records_is_an_error_that_names_them() {
    for name in ["run", "high-water"] {
        let fs = three(&SimFs::new());
        let good = fs.content(path(name)).unwrap();
        for at in 0..good.len() {
            let mut bad = good.clone();
            bad[at] ^= 0x10;
            fs.put(path(name), &bad).unwrap();
            let message = open(&fs).unwrap_err().to_string();
            assert!(message.contains(&format!("{DIR}/{name}")), "{message}");
        }
        fs.put(path(name), &[]).unwrap();
        assert!(open(&fs).is_err());
    }
}

#[test]
fn a_later_version_is_refused_by_name() {
    let fs = three(&SimFs::new());
    let later = connector_api::state::seal("checkpoint", 2, &[]).unwrap();
    fs.put(path("chk-3.ckpt"), &later).unwrap();
    let message = open(&fs).unwrap().latest().unwrap_err().to_string();
    assert!(message.contains("version 2") && message.contains("chk-3.ckpt"), "{message}");
}

#[test]
fn other_files_in_the_directory_are_left_alone_and_unfinished_ones_removed() {
    let fs = three(&SimFs::new());
    for name in ["chk-x.ckpt", "chk-007.ckpt", "notes.txt", ".tmp-chk-4.ckpt", ".tmp-run"] {
        fs.put(path(name), b"?").unwrap();
    }
    fs.create_dir_all(&path("chk-5.ckpt")).unwrap();
    let store = open(&fs).unwrap();
    assert_eq!(numbers(&store), [1, 2, 3]);
    let names: Vec<_> =
        fs.files().iter().filter_map(|path| path.file_name()?.to_str().map(str::to_owned)).collect();
    assert!(
        names.contains(&"notes.txt".into()) && !names.iter().any(|name| name.starts_with(".tmp-")),
        "{names:?}"
    );
    fs.rename(&path("notes.txt"), &path("x"), Rename::NoReplace).unwrap();
}

#[test]
fn a_look_shows_what_is_kept_and_takes_nothing_from_the_holder() {
    let fs = SimFs::new();
    let dir = Path::new(DIR);
    let nothing = Look::at(&fs, dir).unwrap();
    assert_eq!((nothing.run, nothing.attempts, nothing.checkpoints.len()), (None, 0, 0));
    let mut store = begun(&fs);
    for number in 1..=4 {
        let record = record(&store, number);
        complete(&mut store, &record).unwrap();
    }
    let before = fs.operations();
    let look = Look::at(&fs, dir).unwrap();
    assert_eq!(fs.operations(), before, "nothing was changed");
    assert_eq!((look.run, look.attempts, look.holder), (store.run(), 1, Some(std::process::id())));
    let kept: Vec<_> = look.checkpoints.iter().map(|record| record.checkpoint).collect();
    assert_eq!(kept, [3, 4]);
    fs.put(dir.join("chk-5.ckpt"), b"damaged").unwrap();
    assert!(Look::at(&fs, dir).unwrap_err().to_string().contains("chk-5.ckpt"));
}
