//! A run that does everything, and dies at every single mutation of its disk.

#![allow(clippy::unwrap_used, clippy::expect_used, reason = "a test ends where it fails")]
#![allow(unreachable_pub, reason = "nothing here is public")]

mod support;

use std::cell::Cell;
use std::collections::BTreeMap;
use std::time::Duration;

use segment_store::client::StoreClient;
use segment_store::model::TransactionState;
use segment_store::{Error, KeyRange, SegmentId, Store, TransactionId};
use support::{append, open, payload, read_all, segment, stream};
use testkit::fs::{PowerCut, SimFs};
use testkit::sim;

/// What the process was told before it died: how far each part came, tried and done.
#[derive(Default)]
struct Told {
    steps: Cell<(u32, u32)>,
    /// By writer: events tried and acknowledged.
    events: [Cell<(i64, i64)>; 3],
    transactions: Cell<Option<(TransactionId, TransactionId)>>,
}

const EVENTS: i64 = 40;

fn bytes(writer: usize, event: i64) -> Vec<u8> {
    payload(writer as u64 * 1000 + event as u64, 500 + (event as usize * 131) % 1500)
}

/// Writer 0 and 1 write to the first segment of one stream, writer 2 to the second one.
async fn write(store: &Store, told: &Told, writer: usize, events: std::ops::Range<i64>) -> Result<(), Error> {
    let name = segment("a/b", writer as u32 / 2);
    for event in events {
        told.events[writer].set((event + 1, told.events[writer].get().1));
        let what = append(writer as u128, event, (event > 0).then(|| event - 1), &bytes(writer, event));
        store.append(&name, what).await?.durable().await?;
        told.events[writer].set((event + 1, event + 1));
    }
    Ok(())
}

/// One part of the run; its number says what must be so afterwards.
async fn part(store: &Store, told: &Told, number: u32) -> Result<(), Error> {
    let (main, other) = (stream("a/b"), stream("a/other"));
    match number {
        1 => store.create_scope("a").await,
        2 => store.create_stream(&main, 2).await,
        3 | 8 => {
            let from = if number == 3 { 0 } else { EVENTS / 2 };
            let writers = (0..3).map(|writer| write(store, told, writer, from..from + EVENTS / 2));
            futures::future::try_join_all(writers).await.map(drop)
        }
        4 => store.create_stream(&other, 1).await,
        5 => {
            let lease = Duration::from_secs(3600);
            let ids = (store.begin(&other, lease, "yes").await?, store.begin(&other, lease, "no").await?);
            told.transactions.set(Some(ids));
            for id in [ids.0, ids.1] {
                for event in 0..3 {
                    let what = append(7, event, (event > 0).then(|| event - 1), &bytes(7, event));
                    store.append(&segment("a/other", 0).within(id), what).await?.durable().await?;
                }
            }
            Ok(())
        }
        6 => store.commit(&other, told.transactions.get().unwrap().0).await,
        7 => store.abort(&other, told.transactions.get().unwrap().1).await,
        9 => store.snapshot().await,
        10 => store.upkeep().await,
        11 => {
            let cut = [(SegmentId::new(0, 0), 5000), (SegmentId::new(0, 1), 3000)].into_iter().collect();
            store.truncate(&main, &cut).await
        }
        12 => {
            let all = [SegmentId::new(0, 0), SegmentId::new(0, 1)];
            store.scale(&main, &all, &KeyRange::even(1)).await.map(drop)
        }
        13 => store.seal_stream(&other).await,
        14 => store.upkeep().await,
        15 => store.delete_stream(&other).await,
        _ => store.snapshot().await,
    }
}

async fn live(fs: &SimFs, told: &Told) -> Result<(), Error> {
    let store = open(fs).await?;
    for number in 1..=16 {
        told.steps.set((number, told.steps.get().1));
        part(&store, told, number).await?;
        told.steps.set((number, number));
    }
    Ok(())
}

/// What must hold for whoever comes next.
async fn check(fs: &SimFs, told: &Told, what: &str) {
    let store = open(fs).await.unwrap_or_else(|error| panic!("{what}: {error}"));
    let (tried, done) = told.steps.get();
    // Whether what a part made is there, where it may or may not be.
    let may = |number: u32, is_there: bool| {
        assert!(!is_there || tried >= number, "{what}: {number} is there");
        assert!(is_there || done < number, "{what}: {number} is gone");
        is_there
    };
    let scopes = store.scopes().await.unwrap();
    if !may(1, !scopes.is_empty()) {
        return;
    }
    let streams: Vec<String> = store.streams("a").await.unwrap().iter().map(ToString::to_string).collect();
    if may(2, streams.contains(&"a/b".into())) {
        let head = store.stream(&stream("a/b")).await.unwrap().head;
        let is_cut = may(11, head.offset(SegmentId::new(0, 0)) == Some(5000));
        let current = store.stream(&stream("a/b")).await.unwrap().current.len();
        may(12, current == 1);
        check_events(&store, told, if is_cut { [5000, 3000] } else { [0, 0] }, what).await;
    }
    if !streams.contains(&"a/other".into()) {
        assert!(done < 4 || tried >= 15, "{what}: the other stream is gone");
        return;
    }
    assert!(done < 15, "{what}: the other stream is there");
    may(13, store.stream(&stream("a/other")).await.unwrap().is_sealed);
    if let Some((yes, no)) = told.transactions.get() {
        let committed: Vec<u8> = (0..3).flat_map(|event| bytes(7, event)).collect();
        let there = read_all(&store, &segment("a/other", 0), 0).await.unwrap();
        let state = store.transaction(&stream("a/other"), yes).await.unwrap();
        if may(6, state == TransactionState::Committed) {
            assert!(there == committed, "{what}: {} bytes of a transaction", there.len());
        } else {
            assert!(there.is_empty(), "{what}: {} bytes of a transaction", there.len());
        }
        let state = store.transaction(&stream("a/other"), no).await.unwrap();
        may(7, state == TransactionState::Aborted);
    }
}

async fn check_events(store: &Store, told: &Told, starts: [u64; 2], what: &str) {
    let mut counts = BTreeMap::new();
    for (number, start) in starts.into_iter().enumerate() {
        let name = segment("a/b", number as u32);
        let there = read_all(store, &name, start).await.unwrap_or_else(|error| panic!("{what}: {error}"));
        // The log of events as the writers' attributes and the length give it: each writer's in order.
        for writer in if number == 0 { 0..2 } else { 2..3 } {
            let last = store.last_event(&name, segment_store::WriterId(writer as u128)).await.unwrap();
            let count = last.map_or(0, |last| last + 1);
            let (tried, acked) = told.events[writer].get();
            assert!(
                (acked..=tried).contains(&count),
                "{what}: writer {writer} has {count} of {acked}..{tried}"
            );
            counts.insert(writer, count);
        }
        let writers: Vec<usize> = counts.keys().copied().filter(|writer| writer / 2 == number).collect();
        let length: usize =
            writers.iter().map(|&w| (0..counts[&w]).map(|e| bytes(w, e).len()).sum::<usize>()).sum();
        assert_eq!(there.len() as u64 + start, length as u64, "{what}: bytes of segment {number}");
        if start == 0 {
            let mut next: BTreeMap<usize, i64> = writers.iter().map(|&writer| (writer, 0)).collect();
            let mut rest = &there[..];
            while !rest.is_empty() {
                let fits = |(&writer, &event): (&usize, &i64)| {
                    rest.starts_with(&bytes(writer, event)).then_some((writer, event))
                };
                let found = next.iter().find_map(fits);
                let (writer, event) = found.unwrap_or_else(|| panic!("{what}: no event in segment {number}"));
                rest = &rest[bytes(writer, event).len()..];
                next.insert(writer, event + 1);
            }
        }
    }
}

#[test]
fn a_process_that_dies_at_any_mutation_leaves_what_it_acknowledged_and_nothing_halfway() {
    let operations = sim::run(async {
        let fs = SimFs::new();
        live(&fs, &Told::default()).await.unwrap();
        tokio::time::sleep(Duration::from_secs(1)).await;
        fs.operations()
    });
    assert!(operations > 150, "{operations}");
    for k in 1..=operations {
        sim::run(async {
            let (fs, told) = (SimFs::new(), Told::default());
            fs.freeze_at(k);
            // The last operations are made behind the back of the run.
            let _ = live(&fs, &told).await;
            let crashed = fs.process_crash();
            check(&crashed, &told, &format!("crash at {k}")).await;
            for seed in 0..6 {
                let how = if seed == 0 { PowerCut::SyncedOnly } else { PowerCut::Seeded(seed) };
                check(&fs.power_cut(how), &told, &format!("power cut at {k}, {how:?}")).await;
                // And another one while the process after it recovered, or a little later.
                let next = fs.power_cut(PowerCut::Seeded(seed + 100));
                next.freeze_at(1 + seed * 2 + k % 2);
                drop(open(&next).await);
                check(&next.power_cut(how), &told, &format!("power cut at {k}, then again, {how:?}")).await;
            }
            // What the next process found in the page cache stays found.
            let cut = crashed.power_cut(PowerCut::SyncedOnly);
            check(&cut, &told, &format!("crash at {k}, then a power cut")).await;
        });
    }
}
