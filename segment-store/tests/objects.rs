//! Objects whose place in the log was written and may or may not be durable.

#![allow(clippy::unwrap_used, clippy::expect_used, reason = "a test ends where it fails")]
#![allow(unreachable_pub, reason = "nothing here is public")]

mod support;

use std::time::Duration;

use connector_api::env::FileSystem;
use segment_store::{Store, StoreOptions};
use support::events::{check, last, logs, made, paths, write};
use support::{env, open, small};
use testkit::fs::{Fault, OpKind, PowerCut, Rule, SimFs};
use testkit::sim;

async fn fill(fs: &SimFs) -> i64 {
    let store = made(fs).await;
    let (mut number, mut failures) = (0, 0);
    while number < 100 && failures < 20 {
        match write(&store, number).await {
            Ok(_) => number += 1,
            Err(_) => {
                failures += 1;
                tokio::time::sleep(Duration::from_millis(5)).await;
            }
        }
    }
    tokio::time::sleep(Duration::from_secs(1)).await;
    number
}

/// The frame that says what an object holds is written, its sync fails, and the process dies on its way to give it up: the next one finds the
/// frame, and so needs the object.
#[test]
fn an_object_stays_until_the_frame_that_refers_to_it_is_given_up_for_good() {
    sim::run(async {
        let fs = SimFs::new();
        fs.keep_log();
        fill(&fs).await;
        let log = fs.log();
        let made = log.iter().find(|op| op.kind == OpKind::SyncDir && op.path.ends_with("objects")).unwrap();
        let is_sync = |path: &std::path::Path| path.to_string_lossy().ends_with(".log");
        let syncs =
            log.iter().filter(|op| op.number < made.number && op.kind == OpKind::Sync && is_sync(&op.path));
        let nth = syncs.count() as u64 + 1;
        // It is in the next frame, or in one soon after.
        let moments = (0..4).flat_map(|frame| (1..20).map(move |died| (frame, died)));
        for (frame, died) in moments {
            let fault = if died % 2 == 0 { Fault::Eio } else { Fault::SyncLoss { forget: false } };
            let fs = SimFs::new();
            fs.inject(Rule::on(OpKind::Sync, fault).path_containing(".log").nth(nth + frame));
            fs.freeze_at(made.number + 2 + 2 * frame + died);
            let acknowledged = fill(&fs).await;
            assert!(fs.is_frozen());
            for fs in
                [fs.process_crash(), fs.power_cut(PowerCut::SyncedOnly), fs.power_cut(PowerCut::Seeded(died))]
            {
                let store = open(&fs).await.unwrap();
                let there = last(&store).await.map_or(0, |last| last + 1);
                assert!(there >= acknowledged);
                check(&store, there).await;
            }
        }
    });
}

#[test]
fn an_object_that_cant_be_read_is_told_by_its_name() {
    sim::run(async {
        let fs = SimFs::new();
        fill(&fs).await;
        let fs = fs.process_crash();
        let object = paths(&fs, ".obj").remove(0);
        fs.remove_file(object.as_ref()).unwrap();
        let store = open(&fs).await.unwrap();
        let error = support::read_all(&store, &support::events::name(), 0).await.unwrap_err();
        assert!(error.to_string().contains(&object[1..]), "{error}");
    });
}

/// Whoever lets go of a store and opens it again, or ends, does not wait until everything is moved.
#[test]
fn nothing_more_is_moved_once_nobody_has_the_store() {
    sim::run(async {
        let fs = SimFs::new();
        drop(made(&fs).await);
        let opened = |log_files| {
            let options = StoreOptions { log_files, ..small() };
            Store::open(env(&fs, 1), "s", options)
        };
        let store = opened(100).await.unwrap();
        let files = || logs(&fs).len();
        let mut number = 0;
        while files() < 12 {
            write(&store, number).await.unwrap();
            number += 1;
        }
        assert!(paths(&fs, ".obj").is_empty());
        store.close().await.unwrap();
        let store = opened(1).await.unwrap();
        let before = files();
        while files() == before {
            write(&store, number).await.unwrap();
            number += 1;
        }
        while paths(&fs, ".obj").is_empty() {
            tokio::task::yield_now().await;
        }
        drop(store);
        tokio::time::sleep(Duration::from_secs(10)).await;
        let moved = paths(&fs, ".obj").len();
        assert!(moved < 3, "{moved} objects were made");
        let store = opened(1).await.unwrap();
        check(&store, number).await;
    });
}
