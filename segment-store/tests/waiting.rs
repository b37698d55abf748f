//! Nobody waits for ever, whatever fails and whoever stops waiting.

#![allow(clippy::unwrap_used, clippy::expect_used, reason = "a test ends where it fails")]
#![allow(unreachable_pub, reason = "nothing here is public")]

mod support;

use std::sync::Arc;
use std::time::Duration;

use connector_api::env::{Spawner, TaskHandle};
use futures::FutureExt;
use futures::future::BoxFuture;
use segment_store::client::StoreClient;
use segment_store::{Error, Store};
use support::events::{check, event, fill, last, made, name, write};
use support::{append, env, small, stream};
use testkit::fs::{Fault, OpKind, Rule, SimFs};
use testkit::sim;

async fn soon<T>(what: impl Future<Output = T>) -> T {
    tokio::time::timeout(Duration::from_secs(60), what).await.expect("it ends")
}

#[test]
fn a_recovery_ends_though_whoever_began_it_does_not_wait() {
    sim::run(async {
        let fs = SimFs::new();
        let store = made(&fs).await;
        fill(&store, 0, 3).await;
        fs.inject(Rule::on(OpKind::Sync, Fault::Eio).path_containing(".log").nth(1));
        assert!(matches!(write(&store, 3).await, Err(Error::Unavailable { .. })));
        for _ in 0..3 {
            assert!(store.scopes().now_or_never().is_none());
        }
        assert_eq!(soon(last(&store)).await, Some(2));
        fill(&store, 3, 5).await;
        check(&store, 5).await;
    });
}

/// Does blocking work at once, as another thread may that is faster than this one.
#[derive(Debug)]
struct AtOnce(Arc<dyn Spawner>);

impl Spawner for AtOnce {
    fn spawn(&self, name: &str, task: BoxFuture<'static, ()>) -> Box<dyn TaskHandle> {
        self.0.spawn(name, task)
    }

    fn spawn_blocking(&self, work: Box<dyn FnOnce() + Send>) {
        work();
    }
}

#[test]
fn a_commit_that_fails_before_anybody_waits_for_it_is_told() {
    for nth in 1..12 {
        sim::run(async {
            let fs = SimFs::new();
            let mut env = env(&fs, 1);
            env.spawner = Arc::new(AtOnce(env.spawner));
            fs.inject(Rule::on(OpKind::Sync, Fault::Eio).path_containing(".log").from_nth(nth));
            let told = soon(async {
                let store = Store::open(env, "s", small()).await?;
                store.create_scope("a").await?;
                store.create_stream(&stream("a/b"), 1).await?;
                for number in 0..10 {
                    write(&store, number).await?;
                }
                Ok::<(), Error>(())
            });
            assert!(told.await.is_err());
        });
    }
}

#[test]
fn whoever_waits_for_an_append_when_the_store_is_closed_is_told() {
    sim::run(async {
        for turns in 0..40 {
            let fs = SimFs::new();
            let store = made(&fs).await;
            let other = store.clone();
            let writing = tokio::spawn(async move {
                let mut acks = Vec::new();
                for number in 0..1000 {
                    let previous = (number > 0).then(|| number - 1);
                    match other.append(&name(), append(1, number, previous, &event(number))).await {
                        Ok(ack) => acks.push(ack),
                        Err(_) => break,
                    }
                }
                let mut durable = 0;
                for ack in acks {
                    durable += i64::from(ack.durable().await.is_ok());
                }
                durable
            });
            for _ in 0..turns {
                tokio::task::yield_now().await;
            }
            soon(store.close()).await.unwrap();
            let durable = soon(writing).await.unwrap();
            let fs = fs.process_crash();
            let there = last(&support::open(&fs).await.unwrap()).await.map_or(0, |last| last + 1);
            assert!(there >= durable);
        }
    });
}
