//! The rows of the failure matrix about disks and processes that fail; those about damage are in `damage_refused.rs`.

#![allow(clippy::unwrap_used, clippy::expect_used, reason = "a test ends where it fails")]
#![allow(unreachable_pub, reason = "nothing here is public")]

mod support;

use std::sync::Arc;
use std::sync::atomic::{AtomicI64, Ordering};
use std::time::Duration;

use connector_api::env::Clock;
use futures::future::BoxFuture;
use segment_store::client::StoreClient;
use segment_store::model::TransactionState;
use segment_store::{Error, Store};
use support::events::{check, event, fill, last, made, name, paths, write};
use support::{append, env, open, small, stream};
use testkit::fs::{Fault, OpKind, Operation, PowerCut, Rule, SimFs};
use testkit::sim;

const SYNC_FAULTS: [Fault; 3] =
    [Fault::Eio, Fault::SyncLoss { forget: false }, Fault::SyncLoss { forget: true }];

#[test]
fn what_was_not_synced_when_the_process_died_is_sent_again_and_stored_once() {
    sim::run(async {
        for how in [PowerCut::SyncedOnly, PowerCut::Seeded(1), PowerCut::Seeded(2), PowerCut::Seeded(3)] {
            let fs = SimFs::new();
            let store = made(&fs).await;
            fill(&store, 0, 3).await;
            // The write is made, its sync is not.
            fs.freeze_at(fs.operations() + 2);
            assert!(write(&store, 3).await.is_err());
            let fs = fs.power_cut(how);
            let store = open(&fs).await.unwrap();
            let known = last(&store).await;
            assert!(known == Some(2) || (known == Some(3) && how != PowerCut::SyncedOnly));
            store
                .append(&name(), append(1, 3, known.map(|n| n.min(2)), &event(3)))
                .await
                .unwrap()
                .durable()
                .await
                .unwrap();
            check(&store, 4).await;
        }
    });
}

#[test]
fn what_was_stored_and_never_acknowledged_is_acknowledged_when_it_is_sent_again_and_not_doubled() {
    sim::run(async {
        let fs = SimFs::new();
        let store = made(&fs).await;
        fill(&store, 0, 3).await;
        drop(store.append(&name(), append(1, 3, Some(2), &event(3))).await.unwrap());
        tokio::time::sleep(Duration::from_millis(10)).await;
        let fs = fs.power_cut(PowerCut::SyncedOnly);
        let store = open(&fs).await.unwrap();
        let ack = store.append(&name(), append(1, 3, Some(2), &event(3))).await.unwrap();
        assert!(ack.is_repeated());
        ack.durable().await.unwrap();
        check(&store, 4).await;
    });
}

#[test]
fn a_failed_sync_fails_what_is_under_way_and_the_process_goes_on() {
    sim::run(async {
        for fault in SYNC_FAULTS {
            let fs = SimFs::new();
            let store = made(&fs).await;
            fill(&store, 0, 3).await;
            fs.inject(Rule::on(OpKind::Sync, fault).path_containing(".log").nth(1));
            let mut acks = Vec::new();
            for number in 3..6 {
                let what = append(1, number, Some(number - 1), &event(number));
                match store.append(&name(), what).await {
                    Ok(ack) => acks.push(ack),
                    // The one before it failed already.
                    Err(error) => assert!(matches!(error, Error::Unavailable { .. }), "{error}"),
                }
            }
            let mut failed = 0;
            for ack in acks {
                match ack.durable().await {
                    Err(Error::Unavailable { .. }) => failed += 1,
                    Ok(_) => assert_eq!(failed, 0, "acknowledged behind one that failed"),
                    Err(error) => panic!("{error}"),
                }
            }
            assert!(failed > 0);
            let there = last(&store).await.unwrap() + 1;
            check(&store, there).await;
            fill(&store, there, 10).await;
            check(&open(&fs.power_cut(PowerCut::SyncedOnly)).await.unwrap(), 10).await;
        }
    });
}

/// The process that failed to sync dies at once. The next one finds all of it in the page cache, tells of it and appends to it: whatever it tells,
/// the one after the power cut tells too.
#[test]
fn what_a_process_found_after_a_failed_sync_survives_a_power_cut() {
    sim::run(async {
        for (fault, nth) in SYNC_FAULTS.into_iter().flat_map(|fault| (1..60).map(move |nth| (fault, nth))) {
            let fs = SimFs::new();
            let store = made(&fs).await;
            fs.inject(Rule::on(OpKind::Sync, fault).path_containing("s/log").nth(nth));
            let mut acknowledged = 0;
            while acknowledged < 60 && write(&store, acknowledged).await.is_ok() {
                acknowledged += 1;
            }
            let fs = fs.process_crash();
            let store = open(&fs).await.unwrap();
            let there = last(&store).await.map_or(0, |last| last + 1);
            assert!(there >= acknowledged);
            check(&store, there).await;
            fs.freeze();
            let cut = fs.power_cut(PowerCut::SyncedOnly);
            check(&open(&cut).await.unwrap(), there).await;
            let fs = fs.process_crash();
            let store = open(&fs).await.unwrap();
            fill(&store, there, there + 2).await;
            check(&open(&fs.power_cut(PowerCut::SyncedOnly)).await.unwrap(), there + 2).await;
        }
    });
}

#[test]
fn a_full_disk_refuses_appends_whole_and_takes_them_when_there_is_space() {
    sim::run(async {
        for spare in [0, 100, 5_000, 40_000] {
            let fs = SimFs::new();
            let store = made(&fs).await;
            fill(&store, 0, 5).await;
            fs.set_capacity(Some(fs.used() + spare));
            let mut number = 5;
            let error = loop {
                match write(&store, number).await {
                    Ok(_) => number += 1,
                    Err(error) => break error,
                }
                assert!(number < 500);
            };
            assert!(matches!(&error, Error::Unavailable { reason } if reason.contains("space")), "{error}");
            assert!(error.is_retryable());
            let found = fs.power_cut(PowerCut::SyncedOnly);
            found.set_capacity(None);
            let after = open(&found).await.unwrap();
            let there = last(&after).await.unwrap() + 1;
            assert!((number..=number + 1).contains(&there));
            check(&after, there).await;
        }
    });
    sim::run(async {
        let fs = SimFs::new();
        let store = made(&fs).await;
        fs.set_capacity(Some(fs.used()));
        let mut number = 0;
        while write(&store, number).await.is_ok() {
            number += 1;
        }
        fs.set_capacity(None);
        let there = last(&store).await.unwrap() + 1;
        assert!(there >= number);
        fill(&store, there, there + 50).await;
        check(&store, there + 50).await;
    });
}

#[test]
fn without_space_for_objects_and_snapshots_appends_go_on() {
    sim::run(async {
        let fs = SimFs::new();
        let store = made(&fs).await;
        for dir in ["objects", "snapshots"] {
            fs.inject(Rule::on(OpKind::Write, Fault::NoSpace).path_containing(dir));
        }
        fill(&store, 0, 200).await;
        assert!(store.upkeep().await.is_err() && store.snapshot().await.is_err());
        check(&store, 200).await;
        assert!(paths(&fs, ".obj").is_empty() && paths(&fs, ".tmp").is_empty());
        let many = paths(&fs, ".log").len();
        fs.clear_faults();
        store.upkeep().await.unwrap();
        store.snapshot().await.unwrap();
        assert!(paths(&fs, ".log").len() < many && !paths(&fs, ".obj").is_empty());
        check(&store, 200).await;
    });
}

/// A process that dies after the first mutation for which this holds, before the next one for which that holds.
async fn died_between(first: (OpKind, &str), second: (OpKind, &str)) -> (SimFs, i64) {
    let mut at = u64::MAX;
    loop {
        let fs = SimFs::new();
        fs.keep_log();
        fs.freeze_at(at);
        let store = made(&fs).await;
        let mut number = 0;
        while number < 200 && write(&store, number).await.is_ok() {
            number += 1;
        }
        if fs.is_frozen() {
            return (fs, number);
        }
        tokio::time::sleep(Duration::from_secs(1)).await;
        let log = fs.log();
        let is = |op: &Operation, (kind, end): (OpKind, &str)| {
            op.kind == kind && op.path.to_string_lossy().ends_with(end)
        };
        let from = log.iter().position(|op| is(op, first)).unwrap();
        at = log[from..].iter().find(|op| is(op, second)).unwrap().number;
    }
}

#[test]
fn an_object_that_the_log_does_not_know_is_removed_and_nothing_is_missing() {
    sim::run(async {
        let (fs, number) = died_between((OpKind::SyncDir, "objects"), (OpKind::Write, ".log")).await;
        for fs in [fs.process_crash(), fs.power_cut(PowerCut::SyncedOnly)] {
            assert_eq!(paths(&fs, ".obj").len(), 1);
            let store = open(&fs).await.unwrap();
            assert!(paths(&fs, ".obj").is_empty());
            check(&store, last(&store).await.unwrap() + 1).await;
            let there = last(&store).await.unwrap() + 1;
            assert!(there >= number);
            fill(&store, there, 220).await;
            check(&store, 220).await;
        }
    });
}

#[test]
fn a_process_that_died_before_it_recycled_a_file_lost_nothing_and_the_next_one_does_it() {
    sim::run(async {
        let (fs, number) = died_between((OpKind::Remove, ".snapshot"), (OpKind::Rename, ".spare")).await;
        for fs in [fs.process_crash(), fs.power_cut(PowerCut::SyncedOnly)] {
            let before = paths(&fs, ".log").len();
            let store = open(&fs).await.unwrap();
            let there = last(&store).await.unwrap() + 1;
            assert!(there >= number);
            check(&store, there).await;
            store.snapshot().await.unwrap();
            assert!(paths(&fs, ".log").len() < before);
            check(&store, there).await;
        }
    });
}

/// The time of day is whatever it is; what passes is what passes.
#[derive(Debug)]
struct Jumping(Arc<dyn Clock>, Arc<AtomicI64>);

impl Clock for Jumping {
    fn now_millis(&self) -> i64 {
        self.0.now_millis() + self.1.load(Ordering::Relaxed)
    }

    fn monotonic(&self) -> Duration {
        self.0.monotonic()
    }

    fn sleep(&self, duration: Duration) -> BoxFuture<'static, ()> {
        self.0.sleep(duration)
    }
}

#[test]
fn a_clock_that_jumps_ends_no_lease_and_keeps_none() {
    sim::run(async {
        for jump in [-10, 10] {
            let fs = SimFs::new();
            let mut env = env(&fs, 1);
            let millis = Arc::new(AtomicI64::new(0));
            env.clock = Arc::new(Jumping(env.clock, millis.clone()));
            let store = Store::open(env, "s", small()).await.unwrap();
            store.create_scope("a").await.unwrap();
            let name = stream("a/b");
            store.create_stream(&name, 1).await.unwrap();
            let id = store.begin(&name, Duration::from_secs(60), "x").await.unwrap();
            millis.store(jump * 365 * 86_400_000, Ordering::Relaxed);
            tokio::time::sleep(Duration::from_secs(50)).await;
            assert_eq!(store.transaction(&name, id).await.unwrap(), TransactionState::Open);
            tokio::time::sleep(Duration::from_secs(20)).await;
            assert_eq!(store.transaction(&name, id).await.unwrap(), TransactionState::Aborted);
        }
    });
}
