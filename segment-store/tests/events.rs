//! Writers and readers of events, over whatever happens to streams and to the disk.

#![allow(clippy::unwrap_used, clippy::expect_used, reason = "a test ends where it fails")]

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

use segment_store::client::StoreClient;
use segment_store::{
    Durability, Error, EventWriter, KeyRange, MAX_EVENT, SegmentId, Store, StoreOptions, StreamReader,
    WriterId, WriterOptions, routing,
};
use testkit::fs::{Fault, OpKind, PowerCut, Rule, SimFs};
use testkit::sim;

fn small() -> StoreOptions {
    StoreOptions {
        log_file_size: 64 * 1024,
        log_files: 2,
        spare_files: 1,
        frame_size: 4 * 1024,
        tail_cache: 16 * 1024,
        snapshot_every: 50_000,
        ..StoreOptions::default()
    }
}

async fn opened(fs: &SimFs, seed: u64) -> Store {
    let store = Store::open(sim::environment(fs, seed), "s", small()).await.unwrap();
    if store.scopes().await.unwrap().is_empty() {
        store.create_scope("a").await.unwrap();
        store.create_stream(&"a/b".parse().unwrap(), 1).await.unwrap();
    }
    store
}

async fn writer(fs: &SimFs, store: &Store, seed: u64) -> EventWriter {
    let options = WriterOptions { block: 500, outstanding: 5_000, ..WriterOptions::default() };
    let client = Arc::new(store.clone());
    let env = sim::environment(fs, seed);
    EventWriter::open(client, env, "a/b".parse().unwrap(), WriterId(1), options).await.unwrap()
}

fn key(number: i64) -> String {
    format!("key-{}", number * 7 % 23)
}

fn event(number: i64) -> String {
    format!("{} {number}", key(number))
}

/// All events of the stream, in the order in which a reader gets them.
async fn read(store: &Store) -> Vec<String> {
    let stream = "a/b".parse().unwrap();
    let info = store.stream(&stream).await.unwrap();
    let client = Arc::new(store.clone());
    let mut reader = StreamReader::open(client, stream, &info.head, Some(info.tail)).await.unwrap();
    let mut all = Vec::new();
    while let Some(events) = reader.next().await.unwrap() {
        all.extend(events.iter().map(|event| String::from_utf8(event.to_vec()).unwrap()));
    }
    all
}

/// Each of `0..count` once, and every key in order.
fn check(events: &[String], count: i64) {
    let mut last: BTreeMap<&str, i64> = BTreeMap::new();
    for event in events {
        let (key, number) = event.split_once(' ').unwrap();
        let number: i64 = number.parse().unwrap();
        if let Some(before) = last.insert(key, number) {
            assert!(before < number, "{key}: {number} behind {before}");
        }
    }
    let mut numbers: Vec<i64> =
        events.iter().map(|e| e.split_once(' ').unwrap().1.parse().unwrap()).collect();
    numbers.sort_unstable();
    assert_eq!(numbers, (0..count).collect::<Vec<_>>());
}

async fn current(store: &Store) -> Vec<SegmentId> {
    store.stream(&"a/b".parse().unwrap()).await.unwrap().current.into_iter().map(|(id, _)| id).collect()
}

async fn scale(store: &Store, into: u32) {
    let all = current(store).await;
    store.scale(&"a/b".parse().unwrap(), &all, &KeyRange::even(into)).await.unwrap();
}

#[test]
fn every_key_stays_in_order_while_the_stream_is_scaled_from_one_to_four_to_two() {
    for seed in 0..20 {
        sim::run(async {
            let fs = SimFs::new();
            let store = opened(&fs, seed).await;
            let scaled = store.clone();
            let scaling = tokio::spawn(async move {
                for into in [4, 2, 3, 1] {
                    tokio::time::sleep(Duration::from_millis(3)).await;
                    scale(&scaled, into).await;
                }
            });
            let stream = "a/b".parse().unwrap();
            let head = store.stream(&stream).await.unwrap().head;
            let mut reader = StreamReader::open(Arc::new(store.clone()), stream, &head, None).await.unwrap();
            let reading = tokio::spawn(async move {
                let mut all = Vec::new();
                while all.len() < 1000 {
                    let events = reader.next().await.unwrap().unwrap();
                    all.extend(events.iter().map(|event| String::from_utf8(event.to_vec()).unwrap()));
                }
                all
            });
            let mut writer = writer(&fs, &store, seed).await;
            for n in 0..1000 {
                assert!(writer.write(n, routing::position(&key(n)), event(n).as_bytes()).await.unwrap());
                if n % 100 == 0 {
                    writer.flush().await.unwrap();
                    assert_eq!(writer.acknowledged(), Some(n));
                    tokio::time::sleep(Duration::from_millis(1)).await;
                }
            }
            writer.flush().await.unwrap();
            check(&reading.await.unwrap(), 1000);
            scaling.await.unwrap();
            check(&read(&store).await, 1000);
        });
    }
}

/// One event goes where nothing else does. What is written elsewhere takes it along.
/// It would stay in the writer for ever otherwise, since the store refuses it each time.
#[test]
fn an_event_that_is_too_large_is_refused_when_it_is_written_and_the_next_one_is_stored() {
    sim::run(async {
        let fs = SimFs::new();
        let options = StoreOptions { durability: Durability::Memory, ..StoreOptions::default() };
        let store = Store::open(sim::environment(&fs, 1), "s", options).await.unwrap();
        store.create_scope("a").await.unwrap();
        store.create_stream(&"a/b".parse().unwrap(), 1).await.unwrap();
        let mut writer = writer(&fs, &store, 2).await;
        writer.write(0, 0.5, b"before").await.unwrap();
        let large = vec![b'x'; MAX_EVENT + 1];
        let refused = writer.write(1, 0.5, &large).await.unwrap_err();
        assert!(
            matches!(refused, Error::Limit { what: "an event", given: 8_388_601, limit: 8_388_600 }),
            "{refused}"
        );
        assert_eq!(writer.last_number(), Some(0));
        assert!(writer.write(1, 0.5, &large[1..]).await.unwrap());
        writer.flush().await.unwrap();
        let lengths: Vec<usize> = read(&store).await.iter().map(String::len).collect();
        assert_eq!(lengths, [6, MAX_EVENT]);
    });
}

#[test]
fn an_event_does_not_wait_for_others_that_never_come() {
    sim::run(async {
        let fs = SimFs::new();
        let store = opened(&fs, 1).await;
        scale(&store, 4).await;
        let mut writer = writer(&fs, &store, 1).await;
        writer.write(0, 0.1, b"alone").await.unwrap();
        let mut number = 0;
        while writer.acknowledged() < Some(0) && number < 1_000 {
            number += 1;
            writer.write(number, 0.9, &[b'x'; 50]).await.unwrap();
            tokio::time::sleep(Duration::from_millis(1)).await;
        }
        // All segments' blocks are appended at the latest when as much was written as may be outstanding, here 5,000 bytes.
        assert!(number < 100, "event 0 was appended after {number} others");
    });
}

/// What was pushed is appended by one call, though the segments that it was meant for are sealed.
#[test]
fn all_is_appended_though_the_stream_was_scaled_meanwhile() {
    sim::run(async {
        let fs = SimFs::new();
        let store = opened(&fs, 1).await;
        let mut writer = writer(&fs, &store, 1).await;
        for n in 0..20 {
            writer.push(n, routing::position(&key(n)), event(n).as_bytes()).unwrap();
        }
        scale(&store, 4).await;
        writer.send_all().await.unwrap();
        while !writer.is_settled() {
            writer.acked().await.unwrap();
        }
        assert_eq!(writer.acknowledged(), Some(19));
        check(&read(&store).await, 20);
    });
}

/// The process dies at some operation, the next one is given all events again; the stream is scaled in between.
#[test]
fn a_writer_that_comes_back_stores_what_is_missing() {
    for seed in 0..60_u64 {
        sim::run(async {
            let mut fs = SimFs::new();
            drop(opened(&fs, seed).await);
            tokio::time::sleep(Duration::from_secs(1)).await;
            let mut acknowledged = -1;
            for life in 0..4_u64 {
                fs.freeze_at(fs.operations() + 5 + (seed * 31 + life * 17) % 60);
                acknowledged = acknowledged.max(live(&fs, seed, life).await);
                fs.freeze();
                fs = match seed % 3 {
                    0 => fs.process_crash(),
                    1 => fs.power_cut(PowerCut::SyncedOnly),
                    _ => fs.power_cut(PowerCut::Seeded(seed + life)),
                };
                let store = opened(&fs, seed).await;
                let there = read(&store).await;
                for n in 0..=acknowledged {
                    assert!(there.contains(&event(n)), "seed {seed}: {n} of {acknowledged} is gone");
                }
                if life % 2 == 0 {
                    scale(&store, 1 + (seed + life) as u32 % 4).await;
                }
                drop(store);
                tokio::time::sleep(Duration::from_secs(1)).await;
            }
            let store = opened(&fs, seed).await;
            let mut writer = writer(&fs, &store, seed).await;
            for n in 0..300 {
                writer.write(n, routing::position(&key(n)), event(n).as_bytes()).await.unwrap();
            }
            writer.flush().await.unwrap();
            check(&read(&store).await, 300);
        });
    }
}

/// A process that writes all events until its disk dies; says what it was told.
async fn live(fs: &SimFs, seed: u64, life: u64) -> i64 {
    let options = WriterOptions { block: 300, outstanding: 2_000, patience: Duration::from_millis(200) };
    let Ok(store) = Store::open(sim::environment(fs, seed + life), "s", small()).await else { return -1 };
    let (client, env) = (Arc::new(store), sim::environment(fs, life));
    let Ok(mut writer) = EventWriter::open(client, env, "a/b".parse().unwrap(), WriterId(1), options).await
    else {
        return -1;
    };
    for n in 0..300 {
        if writer.write(n, routing::position(&key(n)), event(n).as_bytes()).await.is_err() {
            break;
        }
    }
    let _ = writer.flush().await;
    writer.acknowledged().unwrap_or(-1)
}

/// The disk fails and comes back while the process lives on: nothing is acknowledged falsely, and nothing is doubled.
#[test]
fn a_store_whose_disk_fails_goes_on_when_it_is_back() {
    let faults = [
        Fault::Eio,
        Fault::NoSpace,
        Fault::Short { bytes: 100 },
        Fault::Torn,
        Fault::SyncLoss { forget: false },
        Fault::SyncLoss { forget: true },
    ];
    for (fault, seed) in faults.into_iter().flat_map(|fault| (0..20).map(move |seed| (fault, seed))) {
        sim::run(async {
            let fs = SimFs::new();
            let store = opened(&fs, seed).await;
            let mut writer = writer(&fs, &store, seed).await;
            let kind = if seed % 2 == 0 { OpKind::Write } else { OpKind::Sync };
            for nth in [3, 4, 30] {
                fs.inject(Rule::on(kind, fault).path_containing(".log").nth(nth + seed % 7));
            }
            for n in 0..400 {
                writer.write(n, routing::position(&key(n)), event(n).as_bytes()).await.unwrap();
                if n == 40 + 10 * seed as i64 {
                    writer.flush().await.unwrap();
                    check(&read(&store).await, n + 1);
                }
            }
            writer.flush().await.unwrap();
            check(&read(&store).await, 400);
            let cut = fs.power_cut(PowerCut::SyncedOnly);
            check(&read(&opened(&cut, seed).await).await, 400);
        });
    }
}

/// A writer whose patience is over keeps its events. What the failed log held of them is found by the recovery, the stream is scaled
/// before the writer goes on: it asks each of its old segments what it holds, and gives their successors the rest alone.
#[test]
fn a_writer_that_gave_up_goes_on_when_the_stream_was_scaled_meanwhile() {
    for nth in 1..12 {
        sim::run(async {
            let fs = SimFs::new();
            let store = opened(&fs, nth).await;
            scale(&store, 3).await;
            let options = WriterOptions { block: 500, outstanding: 50_000, patience: Duration::ZERO };
            let (client, env) = (Arc::new(store.clone()), sim::environment(&fs, nth));
            let stream = "a/b".parse().unwrap();
            let mut writer = EventWriter::open(client, env, stream, WriterId(1), options).await.unwrap();
            let push = |writer: &mut EventWriter, numbers: std::ops::Range<i64>| {
                for n in numbers {
                    writer.push(n, routing::position(&key(n)), event(n).as_bytes()).unwrap();
                }
            };
            push(&mut writer, 0..100);
            writer.flush().await.unwrap();
            fs.inject(Rule::on(OpKind::Sync, Fault::Eio).path_containing(".log").from_nth(nth));
            let mut written = 100;
            loop {
                assert!(written < 390, "{nth}: it gives up");
                push(&mut writer, written..written + 10);
                written += 10;
                if writer.send_all().await.is_err() {
                    break;
                }
                tokio::time::sleep(Duration::from_millis(1)).await;
            }
            fs.clear_faults();
            push(&mut writer, written..400);
            scale(&store, 1).await;
            writer.flush().await.unwrap();
            check(&read(&store).await, 400);
        });
    }
}

#[test]
fn what_is_written_in_a_transaction_is_read_when_it_is_committed_every_key_in_order() {
    sim::run(async {
        let fs = SimFs::new();
        let store = opened(&fs, 1).await;
        scale(&store, 3).await;
        let (client, env, stream) =
            (Arc::new(store.clone()), sim::environment(&fs, 1), "a/b".parse().unwrap());
        let id = store.begin(&stream, Duration::from_secs(60), "").await.unwrap();
        let options = WriterOptions { block: 500, outstanding: 5_000, ..WriterOptions::default() };
        let current = store.stream(&stream).await.unwrap().current;
        let mut writer = EventWriter::in_transaction(client, env, stream.clone(), id, current, options);
        for n in 0..300 {
            writer.write(n, routing::position(&key(n)), event(n).as_bytes()).await.unwrap();
        }
        writer.flush().await.unwrap();
        assert!(read(&store).await.is_empty());
        store.commit(&stream, id).await.unwrap();
        check(&read(&store).await, 300);
    });
}
