//! Names in the checkpoint directory, and the one way in which its files are written and read.

use std::io;
use std::path::{Path, PathBuf};

use connector_api::env::{Access, FileSystem, Rename};
use connector_api::{Error, Result, Stored};

pub(super) const LOCK: &str = "lock";
pub(super) const RUN: &str = "run";
pub(super) const HIGH_WATER: &str = "high-water";
const TEMPORARY: &str = ".tmp-";
const SUFFIX: &str = ".ckpt";

/// A checkpoint or savepoint in the directory, known by its name.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct CheckpointFile {
    /// Its number.
    pub checkpoint: u64,
    /// Whether it is a savepoint.
    pub savepoint: bool,
    /// Its file.
    pub path: PathBuf,
}

pub(super) fn name_of(checkpoint: u64, savepoint: bool) -> String {
    format!("{}-{checkpoint}{SUFFIX}", if savepoint { "sav" } else { "chk" })
}

/// None for any other name, also for one that [`name_of`] would not give (`chk-007.ckpt`).
fn parse(dir: &Path, name: &str) -> Option<CheckpointFile> {
    let (kind, number) = name.strip_suffix(SUFFIX)?.split_once('-')?;
    let savepoint = match kind {
        "chk" => false,
        "sav" => true,
        _ => return None,
    };
    let checkpoint = number.parse().ok()?;
    (name_of(checkpoint, savepoint) == name).then(|| CheckpointFile {
        checkpoint,
        savepoint,
        path: dir.join(name),
    })
}

/// All checkpoints and savepoints, oldest first.
pub(super) fn list(fs: &dyn FileSystem, dir: &Path) -> Result<Vec<CheckpointFile>> {
    let entries = fs.list(dir).map_err(Error::io("list", dir))?;
    let mut files: Vec<_> = entries
        .iter()
        .filter(|entry| !entry.is_dir)
        .filter_map(|entry| parse(dir, entry.name.to_str()?))
        .collect();
    files.sort();
    Ok(files)
}

/// Removes what a crash left unfinished. Only for the holder of the lock.
pub(super) fn remove_unfinished(fs: &dyn FileSystem, dir: &Path) -> Result<()> {
    for entry in fs.list(dir).map_err(Error::io("list", dir))? {
        if !entry.is_dir && entry.name.to_string_lossy().starts_with(TEMPORARY) {
            let path = dir.join(&entry.name);
            fs.remove_file(&path).map_err(Error::io("remove", &path))?;
        }
    }
    Ok(())
}

/// Puts a file there so that at any moment, and after a power cut, it is the old one or the new one. When this returns it
/// is the new one, durably.
///
/// After an error it is the old one as far as that can be helped: an error of the last step, which makes the name durable,
/// leaves it open what a power cut would show.
pub(super) fn replace(fs: &dyn FileSystem, dir: &Path, name: &str, content: &[u8]) -> Result<PathBuf> {
    let path = dir.join(name);
    let temporary = dir.join(format!("{TEMPORARY}{name}"));
    let written = write(fs, &temporary, content)
        .and_then(|()| fs.rename(&temporary, &path, Rename::Replace).map_err(Error::io("rename to", &path)));
    if let Err(e) = written {
        // After a failed sync the file can't be trusted, and on a full disk its space is wanted. If this fails too, the
        // next opening removes it.
        let _ = fs.remove_file(&temporary);
        return Err(e);
    }
    fs.sync_dir(dir).map_err(Error::io("sync directory", dir))?;
    Ok(path)
}

fn write(fs: &dyn FileSystem, path: &Path, content: &[u8]) -> Result<()> {
    let file = fs.open(path, Access::CreateOrTruncate).map_err(Error::io("create", path))?;
    file.write_all_at(content, 0).map_err(Error::io("write", path))?;
    file.sync_data().map_err(Error::io("sync", path))
}

pub(super) fn read(fs: &dyn FileSystem, path: &Path) -> Result<Vec<u8>> {
    let file = fs.open(path, Access::Read).map_err(Error::io("open", path))?;
    let length = file.metadata().map_err(Error::io("look at", path))?.len;
    let length = usize::try_from(length)
        .map_err(|_| Error::data(path.display().to_string(), None, "is larger than memory"))?;
    let mut content = vec![0; length];
    let read = file.read_full_at(&mut content, 0).map_err(Error::io("read", path))?;
    content.truncate(read);
    Ok(content)
}

/// Reads a stored value; an error names the file.
pub(super) fn load<T: Stored>(fs: &dyn FileSystem, path: &Path) -> Result<T> {
    T::from_bytes(&read(fs, path)?).map_err(|e| match e {
        Error::State { reason, .. } => unusable(path, &reason),
        other => unusable(path, &other.to_string()),
    })
}

/// Reads a stored value that need not be there.
pub(super) fn load_if_there<T: Stored>(fs: &dyn FileSystem, path: &Path) -> Result<Option<T>> {
    match load(fs, path) {
        Ok(value) => Ok(Some(value)),
        Err(Error::Io { source, .. }) if source.kind() == io::ErrorKind::NotFound => Ok(None),
        Err(e) => Err(e),
    }
}

pub(super) fn unusable(path: &Path, reason: &str) -> Error {
    Error::state(format!("checkpoint file {}", path.display()), reason)
}
