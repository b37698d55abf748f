//! The file that the log goes on in is ready before it is needed.

#![allow(clippy::unwrap_used, clippy::expect_used, reason = "a test ends where it fails")]
#![allow(unreachable_pub, reason = "nothing here is public")]

mod support;

use std::time::Duration;

use segment_store::{Store, StoreOptions};
use support::events::{check, logs, made, paths, write};
use support::{env, open, small};
use testkit::fs::{Fault, OpKind, PowerCut, Rule, SimFs};
use testkit::sim;

/// Until the log goes on in another file.
async fn to_the_next_file(fs: &SimFs, store: &Store, mut number: i64) -> i64 {
    let begun = logs(fs).len();
    while logs(fs).len() == begun {
        write(store, number).await.unwrap();
        number += 1;
    }
    number
}

/// Options under which nothing but the next file is made while events are appended.
fn quiet() -> StoreOptions {
    StoreOptions { log_files: 100, snapshot_every: 1 << 40, ..small() }
}

async fn quiet_store(fs: &SimFs) -> Store {
    let store = made(fs).await;
    store.close().await.unwrap();
    drop(store);
    Store::open(env(fs, 1), "s", quiet()).await.unwrap()
}

#[test]
fn an_append_that_begins_a_file_touches_no_directory() {
    sim::run(async {
        let fs = SimFs::new();
        let store = quiet_store(&fs).await;
        let number = to_the_next_file(&fs, &store, 0).await;
        // Beside the appends.
        tokio::time::sleep(Duration::from_secs(1)).await;
        assert_eq!(paths(&fs, ".log").len(), logs(&fs).len() + 1);
        for kind in [OpKind::Rename, OpKind::SyncDir, OpKind::Create, OpKind::List] {
            fs.inject(Rule::on(kind, Fault::Eio).path_containing("s/log").from_nth(1));
        }
        let number = to_the_next_file(&fs, &store, number).await;
        check(&store, number).await;
        check(&open(&fs.power_cut(PowerCut::SyncedOnly)).await.unwrap(), number).await;
    });
}

#[test]
fn what_could_not_be_made_ready_is_made_when_it_is_needed() {
    sim::run(async {
        let fs = SimFs::new();
        let store = quiet_store(&fs).await;
        let number = to_the_next_file(&fs, &store, 0).await;
        fs.inject(Rule::on(OpKind::Rename, Fault::Eio).path_containing(".log").nth(1));
        tokio::time::sleep(Duration::from_secs(1)).await;
        let number = to_the_next_file(&fs, &store, number).await;
        check(&store, number).await;
        check(&open(&fs.power_cut(PowerCut::SyncedOnly)).await.unwrap(), number).await;
    });
}

#[test]
fn a_store_that_dies_again_and_again_has_no_more_files_for_it() {
    sim::run(async {
        let mut fs = SimFs::new();
        drop(quiet_store(&fs).await);
        let (mut number, mut most) = (0, 0);
        for _ in 0..12 {
            fs = fs.process_crash();
            let store = Store::open(env(&fs, 1), "s", quiet()).await.unwrap();
            number = to_the_next_file(&fs, &store, number).await;
            tokio::time::sleep(Duration::from_secs(1)).await;
            check(&store, number).await;
            let empty = (paths(&fs, ".log").len() + paths(&fs, ".spare").len()) - logs(&fs).len();
            most = most.max(empty);
        }
        assert!(most <= 3, "{most} files that hold nothing");
    });
}
