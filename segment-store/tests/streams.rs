//! A store in a simulated process: what is written is read.

#![allow(clippy::unwrap_used, clippy::expect_used, reason = "a test ends where it fails")]

use std::time::Duration;

use bytes::Bytes;
use futures::FutureExt;
use segment_store::client::StoreClient;
use segment_store::{
    Appended, Durability, Error, KeyRange, SegmentName, Store, StoreOptions, StreamName, Summed, WriterId,
};
use testkit::fs::{PowerCut, SimFs};
use testkit::sim;

fn small() -> StoreOptions {
    StoreOptions {
        log_file_size: 64 * 1024,
        log_files: 2,
        spare_files: 1,
        frame_size: 8 * 1024,
        tail_cache: 16 * 1024,
        snapshot_every: 100_000,
        ..StoreOptions::default()
    }
}

fn stream() -> StreamName {
    "a/b".parse().unwrap()
}

fn append(writer: u128, event: i64, bytes: impl Into<Bytes>) -> Appended {
    let previous = event.checked_sub(1).filter(|&previous| previous >= 0);
    Appended {
        writer: WriterId(writer),
        event,
        previous,
        events: 1,
        at: None,
        bytes: Summed::of(bytes.into()),
    }
}

async fn opened(fs: &SimFs) -> Store {
    Store::open(sim::environment(fs, 1), "s", small()).await.unwrap()
}

async fn created(fs: &SimFs) -> (Store, SegmentName) {
    let store = opened(fs).await;
    store.create_scope("a").await.unwrap();
    store.create_stream(&stream(), 1).await.unwrap();
    let id = store.stream(&stream()).await.unwrap().current[0].0;
    (store, SegmentName::new(stream(), id))
}

async fn all(store: &Store, segment: &SegmentName) -> Vec<u8> {
    let mut out = Vec::new();
    let mut at = store.segment(segment).await.unwrap().start;
    loop {
        let read = store.read(segment, at, 10_000, Duration::ZERO).await.unwrap();
        if read.bytes.is_empty() {
            return out;
        }
        at += read.bytes.len() as u64;
        out.extend_from_slice(&read.bytes);
    }
}

/// A frame takes so much and no more; who comes then waits, or is told so.
#[test]
fn an_append_waits_when_the_open_frame_is_full() {
    sim::run(async {
        let fs = SimFs::new();
        let (store, segment) = created(&fs).await;
        let frame = small().frame_size;
        let mut placed = Vec::new();
        // The first frame is taken by the commit when this test waits, not before.
        while let Some(ack) =
            store.try_append(&segment, &append(1, placed.len() as i64, vec![7; 500])).unwrap()
        {
            placed.push(ack);
            assert!(placed.len() * 500 <= frame, "{} appends in a frame of {frame}", placed.len());
        }
        // With what stands before each of them.
        assert!((placed.len() + 1) * 600 > frame, "{} appends in a frame of {frame}", placed.len());
        let next = append(1, placed.len() as i64, vec![7; 500]);
        let mut waiting = Box::pin(store.append(&segment, next));
        assert!((&mut waiting).now_or_never().is_none());
        waiting.await.unwrap().durable().await.unwrap();
        let next = append(1, placed.len() as i64 + 1, vec![7; 500]);
        let ack = store.try_append(&segment, &next).unwrap().unwrap();
        assert_eq!(ack.durable().await.unwrap(), (placed.len() as u64 + 2) * 500);
        assert_eq!(all(&store, &segment).await.len(), (placed.len() + 2) * 500);
    });
}

#[test]
fn what_was_acknowledged_is_there_after_a_power_cut() {
    sim::run(async {
        let fs = SimFs::new();
        let (store, segment) = created(&fs).await;
        let mut expected = Vec::new();
        for n in 0..200 {
            let bytes = vec![n as u8; if n % 10 == 0 { 17_000 + n } else { 1000 + n }];
            store
                .append(&segment, append(1, n as i64, bytes.clone()))
                .await
                .unwrap()
                .durable()
                .await
                .unwrap();
            expected.extend_from_slice(&bytes);
        }
        assert_eq!(all(&store, &segment).await, expected);
        let fs = fs.power_cut(PowerCut::SyncedOnly);
        let store = opened(&fs).await;
        assert_eq!(all(&store, &segment).await, expected);
        assert_eq!(store.last_event(&segment, WriterId(1)).await.unwrap(), Some(199));
        let again = store.append(&segment, append(1, 199, "x")).await.unwrap();
        assert!(again.is_repeated());
        again.durable().await.unwrap();
        assert_eq!(all(&store, &segment).await.len(), expected.len());
        store.close().await.unwrap();
        assert!(matches!(store.scopes().await, Err(Error::Closed)));
    });
}

#[test]
fn one_process_has_the_store() {
    sim::run(async {
        let fs = SimFs::new();
        let (store, _) = created(&fs).await;
        let second = Store::open(sim::environment(&fs, 1), "s", small()).await;
        assert!(
            matches!(&second, Err(Error::Locked { holder, .. }) if *holder == Some(std::process::id())),
            "{second:?}"
        );
        drop(store);
        tokio::time::sleep(Duration::from_secs(1)).await;
        opened(&fs).await;
    });
}

#[test]
fn a_scaled_stream_has_successors_and_the_old_segment_is_sealed() {
    sim::run(async {
        let fs = SimFs::new();
        let (store, segment) = created(&fs).await;
        store.append(&segment, append(1, 0, "one")).await.unwrap().durable().await.unwrap();
        let made = store.scale(&stream(), &[segment.id], &KeyRange::even(3)).await.unwrap();
        assert_eq!(made.len(), 3);
        let refused = store.append(&segment, append(1, 1, "two")).await;
        assert!(matches!(refused, Err(Error::Sealed(_))));
        let after = store.successors(&stream(), segment.id).await.unwrap();
        assert_eq!(after.len(), 3);
        assert!(after.iter().all(|s| s.predecessors == [segment.id]));
        let end = store.read(&segment, 3, 100, Duration::from_secs(60)).await.unwrap();
        assert!(end.is_end);
    });
}

#[test]
fn a_reader_at_the_end_waits_for_more() {
    sim::run(async {
        let fs = SimFs::new();
        let (store, segment) = created(&fs).await;
        let nothing = store.read(&segment, 0, 100, Duration::from_secs(5)).await.unwrap();
        assert!(nothing.bytes.is_empty() && !nothing.is_end);
        let (reader, name) = (store.clone(), segment.clone());
        let reading = tokio::spawn(async move { reader.read(&name, 0, 100, Duration::from_secs(600)).await });
        tokio::time::sleep(Duration::from_secs(10)).await;
        store.append(&segment, append(1, 0, "now")).await.unwrap().durable().await.unwrap();
        assert_eq!(reading.await.unwrap().unwrap().bytes, "now");
    });
}

#[test]
fn a_transaction_is_seen_whole_or_not_at_all() {
    sim::run(async {
        let fs = SimFs::new();
        let (store, segment) = created(&fs).await;
        let lease = Duration::from_secs(30);
        let id = store.begin(&stream(), lease, "job").await.unwrap();
        let within = segment.clone().within(id);
        store.append(&within, append(7, 0, "inside")).await.unwrap().durable().await.unwrap();
        assert_eq!(all(&store, &segment).await, b"");
        store.append(&segment, append(1, 0, "before")).await.unwrap().durable().await.unwrap();
        let fs = fs.power_cut(PowerCut::SyncedOnly);
        drop(store);
        let store = opened(&fs).await;
        assert_eq!(store.open_transactions(&stream()).await.unwrap().unwrap()[0].label, "job");
        store.commit(&stream(), id).await.unwrap();
        assert_eq!(all(&store, &segment).await, b"beforeinside");
        let late = store.begin(&stream(), lease, "late").await.unwrap();
        tokio::time::sleep(Duration::from_secs(20)).await;
        store.ping(&stream(), late, lease).await.unwrap();
        tokio::time::sleep(Duration::from_secs(20)).await;
        assert_eq!(store.open_transactions(&stream()).await.unwrap().unwrap().len(), 1);
        tokio::time::sleep(Duration::from_secs(20)).await;
        assert_eq!(store.open_transactions(&stream()).await.unwrap().unwrap().len(), 0);
        assert!(matches!(
            store.commit(&stream(), late).await,
            Err(Error::TransactionEnded { state: "aborted", .. })
        ));
    });
}

/// One of many streams is truncated again and again: the disk holds little more than what is there.
#[test]
fn what_was_truncated_gives_its_space_back_whatever_else_is_in_the_log() {
    sim::run(async {
        let fs = SimFs::new();
        let store = opened(&fs).await;
        store.create_scope("a").await.unwrap();
        for n in 0..100 {
            let name = StreamName::new("a", &format!("idle-{n}")).unwrap();
            store.create_stream(&name, 1).await.unwrap();
        }
        store.create_stream(&stream(), 1).await.unwrap();
        let busy = SegmentName::new(stream(), store.stream(&stream()).await.unwrap().current[0].0);
        let mut used = 0;
        for round in 0..300_i64 {
            if round % 10 == 0 {
                let idle = StreamName::new("a", &format!("idle-{}", round / 10)).unwrap();
                let id = store.stream(&idle).await.unwrap().current[0].0;
                let segment = SegmentName::new(idle, id);
                store
                    .append(&segment, append(1, 0, vec![round as u8; 50]))
                    .await
                    .unwrap()
                    .durable()
                    .await
                    .unwrap();
            }
            store.append(&busy, append(1, round, vec![7; 5000])).await.unwrap().durable().await.unwrap();
            let tail = store.stream(&stream()).await.unwrap().tail;
            store.truncate(&stream(), &tail).await.unwrap();
            tokio::time::sleep(Duration::from_millis(100)).await;
            used = used.max(fs.used());
        }
        assert!(used < 12 * 64 * 1024, "{used} bytes");
        let fs = fs.power_cut(PowerCut::SyncedOnly);
        drop(store);
        let store = opened(&fs).await;
        for n in 0..30 {
            let idle = StreamName::new("a", &format!("idle-{n}")).unwrap();
            let id = store.stream(&idle).await.unwrap().current[0].0;
            assert_eq!(all(&store, &SegmentName::new(idle, id)).await, vec![(n * 10) as u8; 50]);
        }
    });
}

#[test]
fn another_process_may_read_while_one_writes_and_sees_what_is_acknowledged() {
    sim::run(async {
        let fs = SimFs::new();
        let (store, segment) = created(&fs).await;
        store.append(&segment, append(1, 0, "one")).await.unwrap().durable().await.unwrap();
        let other = Store::attach(sim::environment(&fs, 2), "s").await.unwrap();
        assert_eq!(all(&other, &segment).await, b"one");
        assert!(matches!(other.append(&segment, append(2, 0, "x")).await, Err(Error::ReadOnly)));
        assert!(matches!(other.create_scope("c").await, Err(Error::ReadOnly)));
        let (reader, name) = (other.clone(), segment.clone());
        let waiting = tokio::spawn(async move { reader.read(&name, 3, 100, Duration::from_secs(60)).await });
        tokio::time::sleep(Duration::from_secs(3)).await;
        for n in 1..400_i64 {
            store.append(&segment, append(1, n, vec![n as u8; 900])).await.unwrap().durable().await.unwrap();
            if n == 10 {
                tokio::time::sleep(Duration::from_secs(1)).await;
            }
            if n == 300 {
                let tail = store.stream(&stream()).await.unwrap().tail;
                store.truncate(&stream(), &tail).await.unwrap();
                store.snapshot().await.unwrap();
            }
        }
        assert_eq!(waiting.await.unwrap().unwrap().bytes[..5], [1; 5]);
        store.upkeep().await.unwrap();
        other.refresh().await.unwrap();
        assert_eq!(all(&other, &segment).await, all(&store, &segment).await);
        assert!(matches!(Store::attach(sim::environment(&fs, 2), "none").await, Err(Error::NoStore { .. })));
    });
}

#[test]
fn each_durability_survives_what_it_promises() {
    sim::run(async {
        for (durability, survives_death, survives_power_cut) in [
            (Durability::Sync, true, true),
            (Durability::Os, true, false),
            (Durability::Memory, false, false),
        ] {
            let fs = SimFs::new();
            let options = StoreOptions { durability, ..small() };
            let store = Store::open(sim::environment(&fs, 1), "s", options).await.unwrap();
            store.create_scope("a").await.unwrap();
            assert_eq!(store.scopes().await.unwrap(), ["a"]);
            if durability == Durability::Memory {
                assert_eq!(fs.operations(), 0, "the directory is touched");
            }
            for (fs, survives) in [
                (fs.process_crash(), survives_death),
                (fs.power_cut(PowerCut::SyncedOnly), survives_power_cut),
            ] {
                let scopes = opened(&fs).await.scopes().await.unwrap();
                assert_eq!(scopes.len(), usize::from(survives), "{durability:?}");
            }
        }
    });
}

#[test]
fn a_silent_writer_of_times_holds_nothing_back_for_ever_also_not_after_a_restart() {
    sim::run(async {
        let fs = SimFs::new();
        let (store, _) = created(&fs).await;
        let tail = store.stream(&stream()).await.unwrap().tail;
        store.note_time(&stream(), WriterId(1), 10, &tail).await.unwrap();
        store.note_time(&stream(), WriterId(2), 500, &tail).await.unwrap();
        let fs = fs.process_crash();
        let store = opened(&fs).await;
        let watermark = async || store.marks(&stream()).await.unwrap().last().map(|mark| mark.millis);
        tokio::time::sleep(Duration::from_secs(30)).await;
        store.note_time(&stream(), WriterId(2), 600, &tail).await.unwrap();
        assert_eq!(watermark().await, Some(10));
        tokio::time::sleep(Duration::from_secs(40)).await;
        assert_eq!(watermark().await, Some(600));
    });
}
