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

/// The bytes that version 1 wrote. If this fails, stored checkpoints of users can't be read any more: raise the version and
/// keep a decoder of this one.
#[test]
fn the_layout_of_version_1_is_frozen() {
    let fs = SimFs::new();
    let mut store = begun(&fs);
    let record = CheckpointRecord { splits: vec![split("in/a:0", 300)], ..record(&store, 5) };
    complete(&mut store, &record).unwrap();
    let hex = |name: &str| {
        let content = fs.content(Path::new(DIR).join(name)).unwrap();
        content.iter().map(|byte| format!("{byte:02x}")).collect::<String>()
    };
    assert_eq!(
        hex("chk-5.ckpt"),
        concat!(
            "4353444b0a636865636b706f696e740100b2000000e908affb050000070180a0d5edee66010b736f757263652e706174",
            "6802696e01030102030106696e2f613a30244353444b0c73616d706c652d73706c6974010009000000f5d2794a06696e",
            "2f613a30ac02022805050505050505050505050505050505050505050505050505050505050505050505050505050505",
            "000107636f6d7061637401050909090909010502140404040404040404040404040404040404040404010a7265636f72",
            "64735f696e808080808020",
        )
    );
    assert_eq!(hex("run"), "4353444b0e636865636b706f696e742d72756e010007000000807110dc07000140000000");
    assert_eq!(
        hex("high-water"),
        "4353444b15636865636b706f696e742d686967682d7761746572010002000000519e49720705"
    );
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
