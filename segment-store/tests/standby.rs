//! The thread that commits waits a moment for more, on real threads: it keeps nothing and misses nothing.

#![allow(clippy::unwrap_used, clippy::expect_used, reason = "a test ends where it fails")]

mod support;

use std::path::Path;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, mpsc};
use std::time::Duration;

use connector_api::env::{Environment, Spawner, TaskHandle};
use connector_runtime::local;
use futures::future::BoxFuture;
use segment_store::client::StoreClient;
use segment_store::{Store, StoreOptions};
use support::events::{check, write};
use support::stream;
use tokio::runtime::Runtime;

/// Longer than any test takes.
const LONG: Duration = Duration::from_secs(3600);
const SOON: Duration = Duration::from_secs(60);

/// Lets blocking work linger for this long, and counts how often a thread was asked for.
#[derive(Debug)]
struct Lingering {
    inner: Arc<dyn Spawner>,
    linger: Duration,
    asked: Arc<AtomicU64>,
}

impl Spawner for Lingering {
    fn spawn(&self, name: &str, task: BoxFuture<'static, ()>) -> Box<dyn TaskHandle> {
        self.inner.spawn(name, task)
    }

    fn spawn_blocking(&self, work: Box<dyn FnOnce() + Send>) {
        self.asked.fetch_add(1, Ordering::Relaxed);
        self.inner.spawn_blocking(work);
    }

    fn linger(&self) -> Duration {
        self.linger
    }
}

/// Call within a runtime.
fn env(linger: Duration, asked: &Arc<AtomicU64>) -> Environment {
    let env = local::environment();
    let spawner = Lingering { inner: env.spawner.clone(), linger, asked: asked.clone() };
    Environment { spawner: Arc::new(spawner), ..env }
}

fn runtime() -> Runtime {
    tokio::runtime::Builder::new_multi_thread().worker_threads(2).enable_all().build().unwrap()
}

async fn made(env: &Environment, dir: &Path) -> Store {
    let store = Store::open(env.clone(), dir, StoreOptions::default()).await.unwrap();
    store.create_scope("a").await.unwrap();
    store.create_stream(&stream("a/b"), 1).await.unwrap();
    store
}

/// Fails where it would stand still.
fn ends(work: impl FnOnce() + Send + 'static) {
    let (sender, ended) = mpsc::channel();
    let thread = std::thread::spawn(move || {
        work();
        sender.send(()).unwrap();
    });
    ended.recv_timeout(SOON).expect("it did not end");
    thread.join().unwrap();
}

#[test]
fn one_thread_commits_what_comes_soon() {
    let dir = tempfile::tempdir().unwrap();
    let at = dir.path().to_path_buf();
    ends(move || {
        runtime().block_on(async {
            let asked = Arc::default();
            let store = made(&env(LONG, &asked), &at).await;
            let before = asked.load(Ordering::Relaxed);
            for number in 0..500 {
                write(&store, number).await.unwrap();
            }
            // A file may have been made ready meanwhile.
            let threads = asked.load(Ordering::Relaxed) - before;
            assert!(threads < 10, "{threads} times for 500 commits");
            check(&store, 500).await;
            store.close().await.unwrap();
        })
    });
}

#[test]
fn who_stands_by_keeps_neither_a_store_that_is_dropped_nor_the_runtime() {
    let dir = tempfile::tempdir().unwrap();
    let at = dir.path().to_path_buf();
    ends(move || {
        let runtime = runtime();
        let asked = Arc::default();
        runtime.block_on(async {
            let store = made(&env(LONG, &asked), &at).await;
            write(&store, 0).await.unwrap();
            // Given back without being closed.
            drop(store);
            let store = Store::open(env(LONG, &asked), &at, StoreOptions::default()).await.unwrap();
            check(&store, 1).await;
        });
        // It waits for threads that work.
        drop(runtime);
    });
}

#[test]
fn who_stands_by_for_a_store_that_is_closed_goes() {
    let dir = tempfile::tempdir().unwrap();
    let at = dir.path().to_path_buf();
    ends(move || {
        let runtime = runtime();
        let asked = Arc::default();
        let store = runtime.block_on(async {
            let store = made(&env(LONG, &asked), &at).await;
            write(&store, 0).await.unwrap();
            store.close().await.unwrap();
            store
        });
        drop(runtime);
        drop(store);
    });
}

#[test]
fn an_append_is_committed_also_when_it_comes_as_the_wait_ends() {
    let dir = tempfile::tempdir().unwrap();
    let at = dir.path().to_path_buf();
    ends(move || {
        runtime().block_on(async {
            let asked = Arc::default();
            let store = made(&env(Duration::from_micros(100), &asked), &at).await;
            let before = asked.load(Ordering::Relaxed);
            for number in 0..3_000_i64 {
                if number % 2 == 0 {
                    std::thread::park_timeout(Duration::from_micros(number as u64 % 90));
                }
                write(&store, number).await.unwrap();
            }
            let threads = asked.load(Ordering::Relaxed) - before;
            assert!((1..3_000).contains(&threads), "{threads}: one of the two ways was never taken");
            check(&store, 3_000).await;
            store.close().await.unwrap();
        });
    });
}
