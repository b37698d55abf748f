//! What the fuzz targets and the tests of damage call: every decoder of bytes that come from a disk.
//!
//! Each takes any bytes. With `deep`, checksums are made right first, so that what stands behind them is reached.

use std::path::Path;
use std::sync::Arc;

use connector_api::env::{Access, FileSystem};
use connector_api::state::seal;

use crate::container::fuzzing::{decode_snapshot, scan};
use crate::log::{self, fuzzing::file_of_frames};
use crate::memory::MemoryFs;
use crate::object::Object;

/// The log of a store, in one file whose header is whole and whose frames are these bytes. Says how many records were read.
pub fn frames(bytes: &[u8], deep: bool) -> u64 {
    scan(&log_of(bytes, deep), Path::new("s"), 1)
}

/// The same, and what is read is done: a few bytes may make a stream of 10,000 segments. Says how many frames that were.
pub fn replay(bytes: &[u8], deep: bool) -> u64 {
    crate::container::fuzzing::replay(&log_of(bytes, deep), Path::new("s"), 1)
}

fn log_of(bytes: &[u8], deep: bool) -> Arc<dyn FileSystem> {
    let fs: Arc<dyn FileSystem> = Arc::new(MemoryFs::default());
    let path = log::file::path(&log::dir(Path::new("s")), 1);
    put(&*fs, &path, &file_of_frames(bytes, deep));
    fs
}

/// A snapshot: the bytes of the file, or with `deep` what is in its envelope. Says whether it was taken.
pub fn snapshot(bytes: &[u8], deep: bool) -> bool {
    if deep {
        let Ok(sealed) = seal("segment-store-snapshot", 1, bytes) else { return false };
        decode_snapshot(&sealed)
    } else {
        decode_snapshot(bytes)
    }
}

/// An object: all of it is read. Says whether it was whole.
pub fn object(bytes: &[u8], deep: bool) -> bool {
    let fs = MemoryFs::default();
    let dir = Path::new("o");
    let mut bytes = bytes.to_vec();
    if deep {
        crate::object::make_right(&mut bytes);
    }
    put(&fs, &crate::object::path(dir, 1), &bytes);
    drop(bytes);
    Object::open(&fs, dir, 1).and_then(|object| object.verify()).is_ok()
}

fn put(fs: &dyn FileSystem, path: &Path, bytes: &[u8]) {
    // Files in memory take everything.
    if let Ok(file) = fs.open(path, Access::CreateOrTruncate) {
        let _ = file.write_all_at(bytes, 0);
    }
}
