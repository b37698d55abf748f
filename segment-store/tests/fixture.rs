//! A store that an earlier build wrote is read by this one, and will be by the protocol server.
//!
//! `FIXTURE_WRITE=1 cargo test -p segment-store --test fixture` writes `tests/fixture` anew. That is right when it is missing, and wrong
//! when a test fails: then stores of users can't be read any more.

#![allow(clippy::unwrap_used, clippy::expect_used, reason = "a test ends where it fails")]
#![allow(clippy::disallowed_methods, reason = "tests copy files")]

use std::path::{Path, PathBuf};
use std::time::Duration;

use bytes::Bytes;
use connector_runtime::local;
use segment_store::client::StoreClient;
use segment_store::model::TransactionState;
use segment_store::{
    Appended, KeyRange, SegmentId, SegmentName, Store, StoreOptions, StreamCut, StreamName, WriterId, event,
    verify,
};

const LEASE: Duration = Duration::from_secs(600);

fn fixture() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/fixture")
}

fn options() -> StoreOptions {
    StoreOptions {
        log_file_size: 64 * 1024,
        log_files: 1,
        spare_files: 0,
        frame_size: 16 * 1024,
        ..StoreOptions::default()
    }
}

fn stream() -> StreamName {
    "scope/stream".parse().unwrap()
}

fn segment(epoch: u32, number: u32) -> SegmentName {
    SegmentName::new(stream(), SegmentId::new(epoch, number))
}

/// Events `from..until`, each its number as text and some filling.
fn events(from: i64, until: i64) -> Bytes {
    let mut bytes = Vec::new();
    for n in from..until {
        event::push(&mut bytes, format!("{n} {}", "x".repeat(90)).as_bytes()).unwrap();
    }
    bytes.into()
}

async fn append(store: &Store, segment: &SegmentName, writer: u128, from: i64, until: i64) {
    let previous = (from > 0).then_some(from - 1);
    let bytes = events(from, until);
    let events = (until - from) as u32;
    let append = Appended {
        writer: WriterId(writer),
        event: until - 1,
        previous,
        events,
        at: None,
        bytes: bytes.into(),
    };
    store.append(segment, append).await.unwrap().durable().await.unwrap();
}

/// Everything that a store can hold, in it.
async fn write(dir: &Path) {
    let store = Store::open(local::environment(), dir, options()).await.unwrap();
    store.create_scope("scope").await.unwrap();
    store.create_stream(&stream(), 2).await.unwrap();
    store.create_stream(&"scope/empty".parse().unwrap(), 3).await.unwrap();
    for round in 0..15 {
        append(&store, &segment(0, 0), 7, round * 100, round * 100 + 100).await;
    }
    append(&store, &segment(0, 1), 7, 0, 10).await;
    store.set_attribute(&segment(0, 1), 1 << 100, None, Some(-5)).await.unwrap();
    store.upkeep().await.unwrap();
    // One transaction of each end, over a scale: the committed one is a rolling commit.
    let committed = store.begin(&stream(), LEASE, "to be committed").await.unwrap();
    let aborted = store.begin(&stream(), LEASE, "to be aborted").await.unwrap();
    append(&store, &segment(0, 1).within(committed), 8, 0, 5).await;
    append(&store, &segment(0, 1).within(aborted), 8, 0, 5).await;
    store
        .scale(
            &stream(),
            &[SegmentId::new(0, 0)],
            &[KeyRange { low: 0.0, high: 0.125 }, KeyRange { low: 0.125, high: 0.5 }],
        )
        .await
        .unwrap();
    store.commit(&stream(), committed).await.unwrap();
    store.abort(&stream(), aborted).await.unwrap();
    let tail = store.stream(&stream()).await.unwrap().tail;
    store.note_time(&stream(), WriterId(7), 1000, &tail).await.unwrap();
    let cut: StreamCut =
        [(SegmentId::new(0, 0), event_size(200) * 2), (SegmentId::new(0, 1), 0)].into_iter().collect();
    store.truncate(&stream(), &cut).await.unwrap();
    store.snapshot().await.unwrap();
    // Behind the snapshot, for the log to tell.
    let current = store.stream(&stream()).await.unwrap().current[0].0;
    append(&store, &SegmentName::new(stream(), current), 9, 0, 3).await;
    let open = store.begin(&stream(), LEASE, "open").await.unwrap();
    append(&store, &SegmentName::new(stream(), current).within(open), 8, 0, 4).await;
    // It dies here.
}

/// The size of event `n` with its header.
fn event_size(n: i64) -> u64 {
    (event::HEADER + n.to_string().len() + 91) as u64
}

fn copy(from: &Path, to: &Path) {
    std::fs::create_dir_all(to).unwrap();
    for entry in std::fs::read_dir(from).unwrap() {
        let entry = entry.unwrap();
        let target = to.join(entry.file_name());
        if entry.file_type().unwrap().is_dir() {
            copy(&entry.path(), &target);
        } else {
            std::fs::copy(entry.path(), target).unwrap();
        }
    }
}

async fn read(store: &Store, segment: &SegmentName) -> (u64, Vec<u8>) {
    let info = store.segment(segment).await.unwrap();
    let mut all = Vec::new();
    while info.start + (all.len() as u64) < info.length {
        let at = info.start + all.len() as u64;
        all.extend_from_slice(&store.read(segment, at, 1 << 20, Duration::ZERO).await.unwrap().bytes);
    }
    (info.start, all)
}

#[tokio::test(flavor = "multi_thread")]
async fn a_store_of_version_1_is_read_and_written_on() {
    if std::env::var_os("FIXTURE_WRITE").is_some() {
        if fixture().exists() {
            std::fs::remove_dir_all(fixture()).unwrap();
        }
        write(&fixture()).await;
    }
    let dir = tempfile::tempdir().unwrap();
    for part in ["log", "objects", "snapshots"] {
        std::fs::create_dir_all(dir.path().join(part)).unwrap();
    }
    copy(&fixture(), dir.path());
    let found = verify(&local::environment(), dir.path()).unwrap();
    assert!(found.problems.is_empty() && found.objects > 0, "{found:?}");
    let store = Store::open(local::environment(), dir.path(), options()).await.unwrap();
    let names: Vec<_> = store.streams("scope").await.unwrap().iter().map(StreamName::to_string).collect();
    assert_eq!(names, ["scope/_MARKempty", "scope/_MARKstream", "scope/empty", "scope/stream"]);
    let info = store.stream(&stream()).await.unwrap();
    let ids: Vec<_> = info.current.iter().map(|(id, _)| id.to_string()).collect();
    assert_eq!(ids, ["2.#epoch.3", "3.#epoch.3", "1.#epoch.3"]);
    let (start, first) = read(&store, &segment(0, 0)).await;
    let whole = events(0, 1500);
    assert_eq!((start, &first[..]), (2 * event_size(200), &whole[2 * event_size(200) as usize..]));
    assert_eq!(read(&store, &segment(0, 1)).await.1, events(0, 10));
    assert_eq!(read(&store, &segment(2, 1)).await.1, events(0, 5));
    assert_eq!(read(&store, &segment(3, 2)).await.1, events(0, 3));
    assert_eq!(store.last_event(&segment(0, 0), WriterId(7)).await.unwrap(), Some(1499));
    assert_eq!(store.attribute(&segment(0, 1), 1 << 100).await.unwrap(), Some(-5));
    assert_eq!(store.marks(&stream()).await.unwrap().last().map(|mark| mark.millis), Some(1000));
    let open = store.open_transactions(&stream()).await.unwrap().unwrap();
    assert_eq!(open.iter().map(|open| &*open.label).collect::<Vec<_>>(), ["open"]);
    store.commit(&stream(), open[0].id).await.unwrap();
    assert_eq!(read(&store, &segment(3, 2)).await.1, [events(0, 3), events(0, 4)].concat());
    assert_eq!(store.transaction(&stream(), open[0].id).await.unwrap(), TransactionState::Committed);
    append(&store, &segment(3, 2), 9, 3, 6).await;
    store.close().await.unwrap();
}
