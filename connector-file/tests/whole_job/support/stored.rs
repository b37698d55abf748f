//! What the checkpoints in the directory say.

use std::collections::BTreeSet;
use std::path::Path;
use std::sync::Arc;

use connector_api::Stored;
use connector_file::sink::WriterState;
use connector_file::source::{FileEnumeratorState, FileSplit};
use connector_runtime::storage::{CheckpointFile, CheckpointRecord, CheckpointStore};
use testkit::fs::SimFs;

use super::input;
use super::watch::{OUT, lines_of};
use super::world::CKPT;

/// All checkpoints and savepoints, oldest first. Looks at a copy of the disk.
pub fn list(fs: &SimFs) -> Vec<CheckpointFile> {
    open(fs).list().unwrap()
}

/// The newest checkpoint. Looks at a copy of the disk.
pub fn latest(fs: &SimFs) -> Option<CheckpointRecord> {
    open(fs).latest().unwrap()
}

fn open(fs: &SimFs) -> CheckpointStore {
    let copy = SimFs::new();
    for path in fs.files().iter().filter(|path| path.starts_with(CKPT)) {
        copy.put(path, &fs.content(path).unwrap()).unwrap();
    }
    CheckpointStore::open(Arc::new(copy), Path::new(CKPT), 1_000).unwrap()
}

/// The lines that were written before a checkpoint: all but those that its splits still hold. Those in parts that it left
/// open come second.
pub fn written(fs: &SimFs, record: &CheckpointRecord) -> (BTreeSet<String>, BTreeSet<String>) {
    let state = record.enumerator.as_ref().map(|bytes| FileEnumeratorState::from_bytes(bytes).unwrap());
    let state = state.unwrap_or_default();
    if !state.listed {
        return Default::default();
    }
    let assigned = record.splits.iter().map(|split| split.decode::<FileSplit>().unwrap());
    let mut written: BTreeSet<String> = input::all().into_iter().collect();
    for split in assigned.chain(state.pending) {
        let file = split.path.as_path().to_str().unwrap();
        let rest = split.position.unwrap_or(split.offset)..split.offset + split.length;
        for (start, line) in input::starts(file) {
            if rest.contains(&start) {
                written.remove(&line);
            }
        }
    }
    let mut open = BTreeSet::new();
    for bytes in &record.writers {
        let state = WriterState::from_bytes(bytes).unwrap();
        let content = fs.content(Path::new(OUT).join(&state.staged)).unwrap();
        open.extend(lines_of(&state.staged, &content[..state.length as usize]).unwrap());
    }
    let closed = written.difference(&open).cloned().collect();
    (closed, open)
}
