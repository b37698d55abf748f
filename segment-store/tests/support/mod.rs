//! What the tests of the store share.
#![allow(dead_code, unreachable_pub)]

pub mod client;
pub mod events;
pub mod lives;
pub mod lying;
pub mod model;
pub mod view;

use connector_api::env::{Environment, Random};
use segment_store::client::StoreClient;
use segment_store::{Appended, Error, SegmentId, SegmentName, Store, StoreOptions, StreamName, WriterId};
use testkit::fs::SimFs;
use testkit::random::SeededRandom;
use testkit::sim;

/// Small files, so that they roll, snapshots are made and bytes are moved all the time.
pub fn small() -> StoreOptions {
    StoreOptions {
        log_file_size: 64 * 1024,
        log_files: 1,
        spare_files: 1,
        frame_size: 4 * 1024,
        tail_cache: 8 * 1024,
        snapshot_every: 30_000,
        ..StoreOptions::default()
    }
}

pub fn env(fs: &SimFs, seed: u64) -> Environment {
    sim::environment(fs, seed)
}

pub async fn open(fs: &SimFs) -> Result<Store, Error> {
    Store::open(env(fs, 1), "s", small()).await
}

pub fn stream(name: &str) -> StreamName {
    name.parse().unwrap()
}

pub fn segment(name: &str, number: u32) -> SegmentName {
    SegmentName::new(stream(name), SegmentId::new(0, number))
}

pub fn append(writer: u128, event: i64, previous: Option<i64>, bytes: &[u8]) -> Appended {
    let bytes = bytes.to_vec().into();
    Appended { writer: WriterId(writer), event, previous, events: 1, at: None, bytes }
}

/// Bytes that tell who wrote them and when.
pub fn payload(seed: u64, length: usize) -> Vec<u8> {
    let random = SeededRandom::new(seed);
    let mut bytes = Vec::with_capacity(length + 8);
    while bytes.len() < length {
        bytes.extend_from_slice(&random.next_u64().to_le_bytes());
    }
    bytes.truncate(length);
    bytes
}

/// All bytes of a segment from an offset on.
pub async fn read_all(store: &Store, name: &SegmentName, from: u64) -> Result<Vec<u8>, Error> {
    let end = store.segment(name).await?.length;
    let mut all = Vec::new();
    while from + (all.len() as u64) < end {
        let offset = from + all.len() as u64;
        let read = store.read(name, offset, 10_000, std::time::Duration::ZERO).await?;
        if read.bytes.is_empty() {
            let reason = format!("no bytes of {name}, which ends at {end}");
            return Err(Error::Corrupt { path: "a read".into(), offset, reason });
        }
        all.extend_from_slice(&read.bytes);
    }
    Ok(all)
}
