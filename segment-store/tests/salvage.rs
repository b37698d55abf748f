//! What is verified, and what of a damaged store is saved.

#![allow(clippy::unwrap_used, clippy::expect_used, reason = "a test ends where it fails")]

use std::path::Path;
use std::time::Duration;

use connector_api::env::{Access, FileSystem};
use segment_store::client::StoreClient;
use segment_store::{Appended, Error, SegmentName, Store, StoreOptions, WriterId, salvage, verify};
use testkit::fs::SimFs;
use testkit::sim;

fn small() -> StoreOptions {
    StoreOptions {
        log_file_size: 128 * 1024,
        log_files: 0,
        frame_size: 8 * 1024,
        snapshot_every: 1 << 30,
        ..StoreOptions::default()
    }
}

async fn append(store: &Store, segment: &SegmentName, event: i64) {
    let previous = event.checked_sub(1).filter(|&event| event >= 0);
    let mut bytes = Vec::new();
    segment_store::event::push(&mut bytes, &[event as u8; 692]).unwrap();
    let append = Appended { writer: WriterId(1), event, previous, events: 1, at: None, bytes: bytes.into() };
    store.append(segment, append).await.unwrap().durable().await.unwrap();
}

async fn opened(fs: &SimFs, dir: &str) -> Store {
    Store::open(sim::environment(fs, 1), dir, small()).await.unwrap()
}

/// A store of so many events, closed or dead.
async fn written(fs: &SimFs, events: i64, close: bool) -> SegmentName {
    let store = opened(fs, "s").await;
    let stream = "a/b".parse().unwrap();
    store.create_scope("a").await.unwrap();
    store.create_stream(&stream, 1).await.unwrap();
    let id = store.stream(&stream).await.unwrap().current[0].0;
    let segment = SegmentName::new(stream, id);
    for n in 0..events {
        append(&store, &segment, n).await;
    }
    if close {
        store.upkeep().await.unwrap();
        store.close().await.unwrap();
    }
    segment
}

/// Changes a byte of the newest file below `dir` that is there in bulk.
fn damage(fs: &SimFs, dir: &str, which: impl Fn(&str) -> bool, at: u64) {
    let mut names: Vec<_> = fs.list(Path::new(dir)).unwrap().into_iter().map(|e| e.name).collect();
    names.sort();
    let name = names.into_iter().find(|name| which(&name.to_string_lossy())).unwrap();
    let file = fs.open(&Path::new(dir).join(name), Access::ReadWrite).unwrap();
    let mut byte = [0];
    file.read_at(&mut byte, at).unwrap();
    file.write_all_at(&[byte[0] ^ 1], at).unwrap();
    file.sync_all().unwrap();
}

async fn all(store: &Store, segment: &SegmentName) -> Vec<u8> {
    let (mut out, length) = (Vec::new(), store.segment(segment).await.unwrap().length);
    while (out.len() as u64) < length {
        let read = store.read(segment, out.len() as u64, 100_000, Duration::ZERO).await.unwrap();
        out.extend_from_slice(&read.bytes);
    }
    out
}

fn expected(events: usize) -> Vec<u8> {
    let mut all = Vec::new();
    for n in 0..events {
        segment_store::event::push(&mut all, &[n as u8; 692]).unwrap();
    }
    all
}

#[test]
fn a_store_is_whole_until_a_byte_of_it_changes() {
    sim::run(async {
        let fs = SimFs::new();
        written(&fs, 300, true).await;
        let env = sim::environment(&fs, 2);
        let found = verify(&env, Path::new("s")).unwrap();
        assert!(found.problems.is_empty() && found.objects > 0 && found.frames > 0, "{found:?}");
        damage(&fs, "s/objects", |name| name.ends_with(".obj"), 10_000);
        let found = verify(&env, Path::new("s")).unwrap();
        assert!(found.problems.iter().any(|problem| problem.contains(".obj")), "{found:?}");
        let store = opened(&fs, "s").await;
        assert!(matches!(verify(&env, Path::new("s")), Err(Error::Locked { .. })));
        drop(store);
    });
}

#[test]
fn what_comes_before_the_damage_is_saved_and_the_rest_is_named() {
    sim::run(async {
        let fs = SimFs::new();
        let segment = written(&fs, 60, false).await;
        let fs = fs.process_crash();
        // Somewhere in the middle of the log.
        damage(&fs, "s/log", |name| name.ends_with(".log"), 30_000);
        let refused = Store::open(sim::environment(&fs, 1), "s", small()).await;
        assert!(matches!(refused, Err(Error::Corrupt { .. })), "{refused:?}");
        let attached = Store::attach(sim::environment(&fs, 1), "s").await;
        assert!(matches!(attached, Err(Error::Corrupt { .. })), "{attached:?}");
        let env = sim::environment(&fs, 3);
        let found = verify(&env, Path::new("s")).unwrap();
        assert_eq!(found.problems.len(), 1, "{found:?}");
        let saved = salvage(&env, Path::new("s"), Path::new("new")).unwrap();
        assert_eq!(saved.lost.len(), 1, "{saved:?}");
        assert!(matches!(salvage(&env, Path::new("s"), Path::new("new")), Err(Error::Exists(_))));
        assert!(verify(&env, Path::new("new")).unwrap().problems.is_empty());
        let store = opened(&fs, "new").await;
        let there = all(&store, &segment).await;
        let events = there.len() / 700;
        assert!((30..60).contains(&events), "{events}");
        assert_eq!(there, expected(events));
        // It goes on where it ends.
        for n in events as i64..70 {
            append(&store, &segment, n).await;
        }
        store.close().await.unwrap();
        let store = opened(&fs, "new").await;
        assert_eq!(all(&store, &segment).await, expected(70));
    });
}

#[test]
fn a_segment_is_saved_up_to_the_first_byte_that_cannot_be_read() {
    sim::run(async {
        let fs = SimFs::new();
        let segment = written(&fs, 400, true).await;
        let store = opened(&fs, "s").await;
        let in_objects = store.stats().unwrap().bytes_in_objects;
        store.close().await.unwrap();
        assert!(in_objects > 65_536, "{in_objects}");
        // The second block of 64 KiB: the events that are whole before it are saved.
        damage(&fs, "s/objects", |name| name.ends_with(".obj"), 65_636);
        let env = sim::environment(&fs, 3);
        let saved = salvage(&env, Path::new("s"), Path::new("new")).unwrap();
        assert!(saved.lost.iter().any(|lost| lost.contains("a/b/0.#epoch.0` from offset")), "{saved:?}");
        let store = opened(&fs, "new").await;
        let there = all(&store, &segment).await;
        assert_eq!(there, expected(65_536 / 700));
    });
}
