//! What makes a directory a store, and whose it is at the time.

use std::io::ErrorKind;
use std::path::{Path, PathBuf};

use connector_api::env::{Access, Environment, FileLock, FileSystem, Rename};
use connector_api::state::{Envelope, seal};

use crate::container::{self, Container};
use crate::error::{Error, Result};
use crate::{log, object};

const KIND: &str = "segment-store";
const VERSION: u16 = 1;

/// The file that says that a directory is a store.
fn identity_path(dir: &Path) -> PathBuf {
    dir.join("store")
}

fn lock_path(dir: &Path) -> PathBuf {
    dir.join("lock")
}

/// Which store a directory is; none when it is none.
pub(super) fn identity(fs: &dyn FileSystem, dir: &Path) -> Result<Option<u128>> {
    let path = identity_path(dir);
    let file = match fs.open(&path, Access::Read) {
        Ok(file) => file,
        Err(e) if e.kind() == ErrorKind::NotFound => return Ok(None),
        Err(e) => return Err(Error::io("open", &path)(e)),
    };
    let mut bytes = [0; 256];
    let read = file.read_full_at(&mut bytes, 0).map_err(Error::io("read", &path))?;
    let envelope = Envelope::open(&bytes[..read]).map_err(|e| Error::corrupt(&path, 0, e.to_string()))?;
    match (envelope.kind, envelope.version, <[u8; 16]>::try_from(envelope.payload)) {
        (KIND, VERSION, Ok(id)) => Ok(Some(u128::from_le_bytes(id))),
        (KIND, found, _) if found > VERSION => Err(Error::Version { path, found, known: VERSION }),
        _ => Err(Error::corrupt(&path, 0, "it names no store")),
    }
}

fn make_identity(fs: &dyn FileSystem, dir: &Path, id: u128) -> Result<()> {
    for files in [log::dir(dir), object::dir(dir), container::snapshot_dir(dir)] {
        fs.create_dir_all(&files).map_err(Error::io("make", &files))?;
        if !fs.list(&files).map_err(Error::io("list", &files))?.is_empty() {
            let what = "it is missing, and there are files of a store";
            return Err(Error::corrupt(&identity_path(dir), 0, what));
        }
    }
    write_identity(fs, dir, id)
}

pub(super) fn write_identity(fs: &dyn FileSystem, dir: &Path, id: u128) -> Result<()> {
    let path = identity_path(dir);
    let bytes =
        seal(KIND, VERSION, &id.to_le_bytes()).map_err(|e| Error::invalid("a store", e.to_string()))?;
    let unfinished = path.with_extension("tmp");
    (|| {
        let file = fs.open(&unfinished, Access::CreateOrTruncate)?;
        file.write_all_at(&bytes, 0)?;
        file.sync_all()?;
        fs.rename(&unfinished, &path, Rename::Replace)?;
        fs.sync_dir(dir)
    })()
    .map_err(Error::io("make", &path))
}

/// Takes the directory for this process, or says who has it.
pub(super) fn take(fs: &dyn FileSystem, dir: &Path) -> Result<Box<dyn FileLock>> {
    let path = lock_path(dir);
    match fs.lock(&path) {
        Ok(lock) => {
            lock.set_content(format!("{}\n", std::process::id()).as_bytes())
                .map_err(Error::io("write", &path))?;
            Ok(lock)
        }
        Err(e) if e.kind() == ErrorKind::WouldBlock => {
            Err(Error::Locked { dir: dir.to_path_buf(), holder: holder(fs, &path) })
        }
        Err(e) => Err(Error::io("lock", &path)(e)),
    }
}

/// Takes a directory, and makes it a store if it is none.
pub(super) fn take_store(fs: &dyn FileSystem, dir: &Path, new: u128) -> Result<(Box<dyn FileLock>, u128)> {
    fs.create_dir_all(dir).map_err(Error::io("make", dir))?;
    let lock = take(fs, dir)?;
    let id = match identity(fs, dir)? {
        Some(id) => {
            // Whoever made it may have died before its name was durable.
            fs.sync_dir(dir).map_err(Error::io("sync", dir))?;
            id
        }
        None => {
            make_identity(fs, dir, new)?;
            new
        }
    };
    Ok((lock, id))
}

/// When nobody writes, nobody says what is durable: then it is made so.
pub(super) fn settle(env: &Environment, dir: &Path, id: u128) -> Result<()> {
    match env.fs.lock(&lock_path(dir)) {
        Ok(_lock) => Container::settle(env, dir, id),
        // Somebody writes, and says how far; or we may not, and take what was said last.
        Err(e) if e.kind() == ErrorKind::WouldBlock => Ok(()),
        Err(e) if matches!(e.kind(), ErrorKind::ReadOnlyFilesystem | ErrorKind::PermissionDenied) => Ok(()),
        Err(e) => Err(Error::io("lock", &lock_path(dir))(e)),
    }
}

fn holder(fs: &dyn FileSystem, path: &Path) -> Option<u32> {
    let mut bytes = [0; 32];
    let read = fs.open(path, Access::Read).and_then(|file| file.read_at(&mut bytes, 0)).ok()?;
    std::str::from_utf8(&bytes[..read]).ok()?.trim().parse().ok()
}
