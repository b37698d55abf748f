//! The rows of the failure matrix about damage: it is named and refused, or it is the torn end of the log.

#![allow(clippy::unwrap_used, clippy::expect_used, reason = "a test ends where it fails")]
#![allow(unreachable_pub, reason = "nothing here is public")]

mod support;

use segment_store::client::StoreClient;
use segment_store::{Error, StoreOptions};
use std::time::Duration;
use support::events::{check, damage, event, fill, find, logs, made, name, paths, refused, write};
use support::open;
use testkit::fs::SimFs;
use testkit::sim;

/// A store whose process died after these many events. All lie in the log.
async fn died(events: i64) -> SimFs {
    let fs = SimFs::new();
    let store = made(&fs).await;
    fill(&store, 0, events).await;
    fs.process_crash()
}

#[test]
fn the_torn_end_of_the_log_is_dropped() {
    sim::run(async {
        for keep in [0, 1, 20, 33, 200, 511] {
            let fs = died(5).await;
            let log = logs(&fs).remove(0);
            damage(&fs, &log, |bytes| {
                let at = find(bytes, &event(4)[..50]).unwrap() + keep;
                let end = at + 4000;
                bytes[at..end].fill(0);
            });
            let store = open(&fs).await.unwrap();
            check(&store, 4).await;
            fill(&store, 4, 8).await;
            drop(store);
            check(&open(&fs.process_crash()).await.unwrap(), 8).await;
        }
    });
}

#[test]
fn a_changed_bit_in_the_middle_of_the_log_is_refused_by_its_place() {
    sim::run(async {
        for number in 0..4 {
            let fs = died(5).await;
            let log = logs(&fs).remove(0);
            damage(&fs, &log, |bytes| {
                let at = find(bytes, &event(number)[..50]).unwrap();
                bytes[at + 100] ^= 1;
            });
            assert!(refused(&fs).await.starts_with("s/log/0000000000000001.log "));
        }
    });
}

#[test]
fn a_write_that_was_lost_in_the_middle_of_the_log_is_refused() {
    sim::run(async {
        let fs = died(6).await;
        let log = logs(&fs).remove(0);
        damage(&fs, &log, |bytes| {
            let from = find(bytes, &event(2)[..50]).unwrap() - 100;
            let to = find(bytes, &event(3)[..50]).unwrap() - 100;
            bytes[from..to].fill(0);
        });
        assert!(refused(&fs).await.starts_with("s/log/0000000000000001.log "));
    });
}

#[test]
fn a_missing_file_of_the_log_is_refused() {
    sim::run(async {
        let fs = SimFs::new();
        let options = StoreOptions { log_files: 10, snapshot_every: 1 << 40, ..support::small() };
        let store = segment_store::Store::open(support::env(&fs, 1), "s", options).await.unwrap();
        store.create_scope("a").await.unwrap();
        store.create_stream(&support::stream("a/b"), 1).await.unwrap();
        fill(&store, 0, 150).await;
        assert!(logs(&fs).len() > 3);
        // The last one alone can't be missed: it is as if nothing had been written.
        for missing in 0..logs(&fs).len() - 1 {
            let fs = fs.process_crash();
            let path = logs(&fs).remove(missing);
            connector_api::env::FileSystem::remove_file(&fs, path.as_ref()).unwrap();
            assert!(refused(&fs).await.starts_with("s/log/"));
        }
    });
}

/// Two stores that were one: a file of one does not go on where the other stopped.
#[test]
fn what_another_history_wrote_is_refused() {
    sim::run(async {
        let fs = died(3).await;
        let (one, other) = (fs.process_crash(), fs.process_crash());
        let store = open(&one).await.unwrap();
        fill(&store, 3, 12).await;
        let store = open(&other).await.unwrap();
        support::events::write(&store, 3).await.unwrap();
        // As long as what the first one wrote, and other.
        let mut bytes = event(4);
        bytes[0] ^= 1;
        let what = support::append(1, 4, Some(3), &bytes);
        store.append(&name(), what).await.unwrap().durable().await.unwrap();
        fill(&store, 5, 12).await;
        let (one, other) = (one.process_crash(), other.process_crash());
        let first = "s/log/0000000000000001.log";
        // The first event behind the one that differs.
        damage(&one, first, |bytes| {
            let from = find(bytes, &event(5)[..50]).unwrap() - 77;
            let to = find(bytes, &event(6)[..50]).unwrap() - 77;
            bytes[from..to].copy_from_slice(&other.content(first).unwrap()[from..to]);
        });
        assert!(refused(&one).await.starts_with(first));
    });
}

#[test]
fn a_rotted_header_of_the_last_file_of_the_log_is_refused() {
    sim::run(async {
        for events in [5, 45] {
            let fs = died(events).await;
            let log = logs(&fs).pop().unwrap();
            damage(&fs, &log, |bytes| bytes[20] ^= 1);
            assert!(refused(&fs).await.starts_with(&log[1..]));
        }
    });
}

/// What was given up in one file was replaced in the next one, whose header alone says so.
#[test]
fn a_rotted_header_does_not_bring_back_what_was_given_up() {
    use testkit::fs::{Fault, OpKind, Rule};
    sim::run(async {
        let fs = SimFs::new();
        let store = made(&fs).await;
        fill(&store, 0, 3).await;
        fs.inject(Rule::on(OpKind::Sync, Fault::Eio).path_containing(".log").nth(1));
        assert!(matches!(write(&store, 3).await, Err(Error::Unavailable { .. })));
        support::events::last(&store).await;
        let fs = fs.process_crash();
        let log = logs(&fs).pop().unwrap();
        damage(&fs, &log, |bytes| bytes[20] ^= 1);
        assert!(refused(&fs).await.starts_with(&log[1..]));
    });
}

#[test]
fn a_rotted_snapshot_is_refused() {
    sim::run(async {
        for at in [0, 40, 300] {
            let fs = SimFs::new();
            let store = made(&fs).await;
            fill(&store, 0, 10).await;
            store.close().await.unwrap();
            let fs = fs.process_crash();
            let snapshot = paths(&fs, ".snapshot").remove(0);
            damage(&fs, &snapshot, |bytes| bytes[at] ^= 1);
            assert!(refused(&fs).await.starts_with(&snapshot[1..]));
        }
    });
}

#[test]
fn a_changed_bit_in_an_object_is_an_error_and_never_other_bytes() {
    sim::run(async {
        let fs = SimFs::new();
        let store = made(&fs).await;
        fill(&store, 0, 150).await;
        store.upkeep().await.unwrap();
        store.close().await.unwrap();
        let fs = fs.process_crash();
        let all: Vec<u8> = (0..150).flat_map(event).collect();
        let object = paths(&fs, ".obj").remove(0);
        let size = fs.content(&object).unwrap().len();
        for at in (0..size).step_by(3001).chain([size - 1, size - 10, size - 18]) {
            let fs = fs.process_crash();
            damage(&fs, &object, |bytes| bytes[at] ^= 8);
            let store = open(&fs).await.unwrap();
            let mut errors = 0;
            for offset in (0..all.len()).step_by(5000) {
                match store.read(&name(), offset as u64, 100, Duration::ZERO).await {
                    Ok(read) => assert!(all[offset..].starts_with(&read.bytes) && !read.bytes.is_empty()),
                    Err(Error::Corrupt { path, .. }) => {
                        assert!(path.to_string_lossy().ends_with(".obj"));
                        errors += 1;
                    }
                    Err(error) => panic!("{error}"),
                }
            }
            assert!(errors > 0, "byte {at}");
            write(&store, 150).await.unwrap();
        }
    });
}
