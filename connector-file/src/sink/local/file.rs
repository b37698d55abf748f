//! Files of parts.

use std::collections::BTreeSet;
use std::io::ErrorKind;
use std::path::{Path, PathBuf};

use bytes::Bytes;
use connector_api::env::{Access, Environment, File, FileLock, Metadata};
use connector_api::{Error, Result};

use crate::sink::naming;

/// An open part file. Whoever works on it, also unobserved after its writer was dropped, holds it: the lock ends with the
/// last of them, so that no later attempt goes on with a file that this one may still change.
#[derive(Debug)]
pub(crate) struct PartFile {
    pub(crate) file: Box<dyn File>,
    pub(crate) path: PathBuf,
    /// Held for parts that a checkpoint may leave open; released by being dropped.
    pub(crate) _lock: Option<Box<dyn FileLock>>,
}

impl PartFile {
    /// Makes a new file, which must not exist, and its bucket's directory where that is missing.
    pub(crate) fn create(env: &Environment, dir: &Path, name: &str, locked: bool) -> Result<Self> {
        let path = naming::path_in(dir, name)?;
        if let Some(bucket) = path.parent().filter(|parent| *parent != dir) {
            env.fs.create_dir_all(bucket).map_err(Error::io("make directory", bucket))?;
        }
        let file = env.fs.open(&path, Access::CreateNew).map_err(Error::io("create", &path))?;
        let lock = if locked { Some(env.fs.lock(&path).map_err(Error::io("lock", &path))?) } else { None };
        env.crash.hit("file-writer/after-create");
        Ok(Self { file, path, _lock: lock })
    }

    pub(crate) fn write(&self, env: &Environment, chunks: &[Bytes], mut offset: u64) -> Result<()> {
        for chunk in chunks {
            env.crash.hit("file-writer/before-write");
            self.file.write_all_at(chunk, offset).map_err(Error::io("write", &self.path))?;
            offset += chunk.len() as u64;
        }
        if !chunks.is_empty() {
            env.crash.hit("file-writer/after-write");
        }
        Ok(())
    }

    /// Writes at `offset` and makes all durable.
    pub(crate) fn write_and_sync(&self, env: &Environment, chunks: &[Bytes], offset: u64) -> Result<()> {
        self.write(env, chunks, offset)?;
        self.sync(env)
    }

    pub(crate) fn sync(&self, env: &Environment) -> Result<()> {
        env.crash.hit("file-writer/before-sync");
        self.file.sync_data().map_err(Error::io("fdatasync", &self.path))?;
        env.crash.hit("file-writer/after-sync");
        Ok(())
    }
}

/// What stands at a path.
pub(crate) fn look(env: &Environment, path: &Path) -> Result<Option<Metadata>> {
    match env.fs.metadata(path) {
        Ok(found) => Ok(Some(found)),
        Err(e) if e.kind() == ErrorKind::NotFound => Ok(None),
        Err(e) => Err(Error::io("look at", path)(e)),
    }
}

/// Removes hidden files whose content is visible, after going back to an older checkpoint: those whose removal after the
/// commit was cut short. The name that makes their content visible is made durable first.
///
/// # Errors
///
/// The system's; a file that is gone is fine.
pub(crate) fn remove_visible(env: &Environment, dir: &Path, names: &[String]) -> Result<()> {
    let dirs = buckets(dir, names.iter().map(String::as_str))?;
    sync_dirs(env, &dirs)?;
    for name in names {
        let path = naming::path_in(dir, name)?;
        match env.fs.remove_file(&path) {
            Err(e) if e.kind() != ErrorKind::NotFound => {
                return Err(Error::io("remove the merged part", &path)(e));
            }
            Ok(()) | Err(_) => {}
        }
    }
    sync_dirs(env, &dirs)
}

/// The directories that files of these names lie in, each once.
pub(crate) fn buckets<'a>(dir: &Path, names: impl IntoIterator<Item = &'a str>) -> Result<BTreeSet<PathBuf>> {
    let bucket = |name| Ok(naming::path_in(dir, name)?.parent().unwrap_or(dir).to_path_buf());
    names.into_iter().map(bucket).collect()
}

/// Makes what happened to the names in these directories durable.
pub(crate) fn sync_dirs(env: &Environment, dirs: &BTreeSet<PathBuf>) -> Result<()> {
    dirs.iter().try_for_each(|dir| env.fs.sync_dir(dir).map_err(Error::io("sync", dir)))
}

/// One file that goes into another.
#[derive(Clone, Debug)]
pub(crate) struct Piece {
    pub(crate) name: String,
    pub(crate) length: u64,
}

/// Copies pieces one after the other into a new file and makes its content durable; `between` is called before each
/// stretch of at most 8 MiB and may give the work up. The *name* of the new file is durable after a sync of the directory.
///
/// # Errors
///
/// [`Error::Lost`] when a piece is shorter than it must be; the system's; those of `between`.
pub(crate) fn concatenate(
    env: &Environment,
    dir: &Path,
    pieces: &[Piece],
    into: &PartFile,
    mut between: impl FnMut() -> Result<()>,
) -> Result<u64> {
    const STRETCH: u64 = 8 << 20;
    let mut offset = 0;
    for piece in pieces {
        let path = naming::path_in(dir, &piece.name)?;
        let from = env.fs.open(&path, Access::Read).map_err(Error::io("open", &path))?;
        let length = from.metadata().map_err(Error::io("look at", &path))?.len;
        if length < piece.length {
            return Err(shorter(&path, length, piece.length));
        }
        let mut done = 0;
        while done < piece.length {
            between()?;
            let step = STRETCH.min(piece.length - done);
            into.file
                .copy_range(&*from, done, offset, step)
                .map_err(Error::io(format!("copy {} to", path.display()), &into.path))?;
            done += step;
            offset += step;
        }
    }
    into.file.sync_data().map_err(Error::io("fdatasync", &into.path))?;
    Ok(offset)
}

pub(crate) fn shorter(path: &Path, found: u64, expected: u64) -> Error {
    Error::Lost(format!(
        "{} has {found} bytes, the checkpoint counts on {expected}: what is missing was durable once",
        path.display()
    ))
}
