//! The checkpoint directory under damage, faults, crashes and power cuts.

mod crashes;
mod starts;

use std::path::Path;
use std::sync::Arc;

use connector_api::env::FileSystem;
use connector_api::id::{CheckpointId, RunId};
use connector_api::{Result, Stored};
use testkit::fs::SimFs;
use testkit::golden::{Broken, Golden};

use super::run::{Ancestor, Base, HighWater, RunRecord};
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

fn golden<T: Stored>() -> Golden<T> {
    Golden::new(concat!(env!("CARGO_MANIFEST_DIR"), "/tests/golden"))
}

/// A store with one checkpoint, and all files of it as values: each is one envelope and nothing beside it.
fn stored<T: Stored>(name: &str) -> T {
    let fs = SimFs::new();
    let mut store = begun(&fs);
    let record = CheckpointRecord { splits: vec![split("in/a:0", 300)], ..record(&store, 5) };
    complete(&mut store, &record).unwrap();
    T::from_bytes(&fs.content(Path::new(DIR).join(name)).unwrap()).unwrap()
}

#[test]
fn checkpoints_of_every_version_are_read() -> Result<(), Broken> {
    let golden = golden::<CheckpointRecord>().value("all-parts", stored("chk-5.ckpt"));
    golden.value("empty", CheckpointRecord::default()).check()
}

#[test]
fn run_records_of_every_version_are_read() -> Result<(), Broken> {
    let first = stored::<RunRecord>("run");
    let base = Base { after: 9, start: Some("chk-9.ckpt".into()), accepted: 12 };
    let ancestors = vec![Ancestor { run: RunId(300), until: 9 }];
    let descendant = RunRecord { ancestors, base, ..first.clone() };
    golden().value("first", first).value("descendant", descendant).check()
}

#[test]
fn high_water_marks_of_every_version_are_read() -> Result<(), Broken> {
    golden::<HighWater>().value("one", stored("high-water")).check()
}

fn split(id: &str, offset: u64) -> connector_api::source::DynSplit {
    #[derive(Clone, serde::Serialize, serde::Deserialize)]
    struct Sample(String, u64);
    connector_api::stored!(Sample, "sample-split");
    impl connector_api::source::Split for Sample {
        fn id(&self) -> connector_api::id::SplitId {
            connector_api::id::SplitId::new(self.0.as_str())
        }
    }
    connector_api::source::DynSplit::of(&Sample(id.into(), offset)).unwrap()
}
