//! The checkpoint directory under damage, faults, crashes and power cuts.

mod crashes;
mod starts;

use std::path::Path;
use std::sync::Arc;

use connector_api::Result;
use connector_api::env::FileSystem;
use connector_api::id::CheckpointId;
use testkit::fs::SimFs;

use super::{CheckpointRecord, CheckpointStore, RunStart, StoredCommittable};

const DIR: &str = "/job/ckpt";

fn open(fs: &SimFs) -> Result<CheckpointStore> {
    open_at(fs, DIR)
}

fn open_at(fs: &SimFs, dir: &str) -> Result<CheckpointStore> {
    let fs: Arc<dyn FileSystem> = Arc::new(fs.clone());
    CheckpointStore::open(fs, Path::new(dir), 2)
}

/// A store whose run has begun from nothing, in its first attempt.
fn begun(fs: &SimFs) -> CheckpointStore {
    let mut store = open(fs).unwrap();
    store.begin_run(RunStart::Fresh { random: 7 }).unwrap();
    store.next_attempt().unwrap();
    store
}

fn record(store: &CheckpointStore, checkpoint: u64) -> CheckpointRecord {
    CheckpointRecord {
        checkpoint,
        run: store.run().unwrap(),
        attempt: 1,
        time_millis: 1_767_225_600_000,
        identity: [("source.path".to_owned(), "in".to_owned())].into(),
        enumerator: Some(vec![1, 2, 3].into()),
        writers: vec![vec![checkpoint as u8; 40].into(), bytes::Bytes::new()],
        stages: [("compact".to_owned(), vec![vec![9; 5].into()])].into(),
        committer: vec![StoredCommittable { checkpoint, retries: 2, bytes: vec![4; 20].into() }],
        totals: [("records_in".to_owned(), 1 << 40)].into(),
        ..CheckpointRecord::default()
    }
}

fn savepoint(store: &CheckpointStore, checkpoint: u64) -> CheckpointRecord {
    CheckpointRecord { savepoint: true, ..record(store, checkpoint) }
}

/// Stores a checkpoint as the host does, until its commits may begin.
fn complete(store: &mut CheckpointStore, record: &CheckpointRecord) -> Result<()> {
    store.store(record)?;
    store.set_high_water(CheckpointId(record.checkpoint))?;
    store.retire_older()?;
    Ok(())
}

fn numbers(store: &CheckpointStore) -> Vec<u64> {
    store.list().unwrap().into_iter().map(|file| file.checkpoint).collect()
}
