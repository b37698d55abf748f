//! Decoders of stored state, for tests that feed them damage.

use std::path::Path;
use std::sync::Arc;

use connector_api::env::FileSystem;

use super::record::records;
use super::recover::advance;
use super::snapshot::Snapshot;
use super::state::State;
use crate::log::{self, Position, Scanner};

const BEGINNING: Position = Position { file: 0, at: 0, next: 1, previous: 0 };

/// Reads what the log says, and applies nothing; says how many records that were.
pub(crate) fn scan(fs: &Arc<dyn FileSystem>, dir: &Path, store: u128) -> u64 {
    let mut scanner = Scanner::new(fs.clone(), log::dir(dir), store, BEGINNING);
    let mut count = 0;
    while let Ok(Some(frame)) = scanner.next() {
        count += records(&frame.payload).filter(Result::is_ok).count() as u64;
    }
    count
}

/// Applies what the log says; says how many frames that were.
pub(crate) fn replay(fs: &Arc<dyn FileSystem>, dir: &Path, store: u128) -> u64 {
    let mut scanner = Scanner::new(fs.clone(), log::dir(dir), store, BEGINNING);
    let mut state = State::default();
    let _ = advance(&mut state, &mut scanner, None);
    state.in_use();
    scanner.position().next - 1
}

/// Whether it is a snapshot; one that is can be stored again.
pub(crate) fn decode_snapshot(bytes: &[u8]) -> bool {
    match Snapshot::decode(Path::new("x"), bytes) {
        Ok(snapshot) => {
            snapshot.state.in_use();
            snapshot.encode().is_ok()
        }
        Err(_) => false,
    }
}
