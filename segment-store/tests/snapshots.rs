//! Snapshots that are asked for while another one is being made, on real threads.

#![allow(clippy::unwrap_used, clippy::expect_used, reason = "a test ends where it fails")]

mod support;

use std::sync::Arc;
use std::time::Duration;

use connector_api::env::Environment;
use connector_runtime::local;
use segment_store::client::StoreClient;
use segment_store::{Store, StoreOptions};
use support::events::{fill, last, name};
use support::lying::{Lie, LyingFs};
use support::{read_all, small, stream};
use testkit::fs::SimFs;

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn one_is_made_after_the_other() {
    let disk = SimFs::new();
    let fs = LyingFs { inner: disk.clone(), lie: Lie::LateRename, writes: Arc::default() };
    let env = Environment { fs: Arc::new(fs), ..local::environment() };
    // Nothing is given back but by the snapshots below.
    let options = StoreOptions { snapshot_every: u64::MAX, log_files: 100, spare_files: 100, ..small() };
    let store = Store::open(env.clone(), "s", options.clone()).await.unwrap();
    store.create_scope("a").await.unwrap();
    store.create_stream(&stream("a/b"), 1).await.unwrap();
    for round in 0..10 {
        fill(&store, round * 100, (round + 1) * 100).await;
        let tail = store.stream(&stream("a/b")).await.unwrap().tail;
        store.truncate(&stream("a/b"), &tail).await.unwrap();
        let asked = (0..4).map(|n| {
            let (store, clock) = (store.clone(), env.clock.clone());
            tokio::spawn(async move {
                clock.sleep(Duration::from_millis(n)).await;
                store.snapshot().await
            })
        });
        for made in futures::future::join_all(asked).await {
            made.unwrap().unwrap();
        }
    }
    store.close().await.unwrap();
    let env = Environment { fs: Arc::new(disk), ..env };
    let store = Store::open(env, "s", options).await.unwrap();
    assert_eq!(last(&store).await, Some(999));
    assert_eq!(read_all(&store, &name(), store.segment(&name()).await.unwrap().start).await.unwrap(), b"");
}
