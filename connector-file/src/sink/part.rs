//! A part that is being written: its file, and what of it was handed over to the file.

use std::collections::BTreeSet;
use std::io::ErrorKind;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use connector_api::env::{Access, Environment, File, FileLock, Metadata};
use connector_api::{Error, Result};

use super::committable::{Staged, StagedFile, WriterState};
use super::job::Job;
use super::naming;

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

    fn write(&self, env: &Environment, chunks: &[Bytes], mut offset: u64) -> Result<()> {
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

    pub(crate) fn sync(&self, env: &Environment) -> Result<()> {
        env.crash.hit("file-writer/before-sync");
        self.file.sync_data().map_err(Error::io("fdatasync", &self.path))?;
        env.crash.hit("file-writer/after-sync");
        Ok(())
    }
}

/// The part that a writer writes to.
#[derive(Debug)]
pub(crate) struct Part {
    file: Arc<PartFile>,
    /// What it is, with the length that was gathered and handed over for it.
    state: WriterState,
    /// How much of that length was handed over to the file.
    handed: u64,
    /// How much of it a checkpoint made durable.
    synced: u64,
    /// When its age is up, on the monotonic clock.
    deadline: Option<Duration>,
    /// The hand-over under way. At most one, so that a writer holds little.
    writing: Option<Job<()>>,
}

impl Part {
    /// A part with `state.length` bytes in its file already, all durable.
    pub(crate) fn new(file: Arc<PartFile>, state: WriterState, deadline: Option<Duration>) -> Self {
        let length = state.length;
        Self { file, state, handed: length, synced: length, deadline, writing: None }
    }

    pub(crate) fn state(&self) -> &WriterState {
        &self.state
    }

    pub(crate) fn deadline(&self) -> Option<Duration> {
        self.deadline
    }

    /// Counts what was gathered for it.
    pub(crate) fn grow(&mut self, bytes: u64, rows: u64) {
        self.state.length += bytes;
        self.state.rows += rows;
    }

    /// Hands gathered bytes over to the file, after the hand-over before.
    pub(crate) async fn hand_over(&mut self, env: &Environment, chunks: Vec<Bytes>) -> Result<()> {
        self.settle().await?;
        let (file, offset, job_env) = (self.file.clone(), self.handed, env.clone());
        self.handed = self.state.length;
        self.writing =
            Some(Job::start(env, "write to a part", move || file.write(&job_env, &chunks, offset)));
        Ok(())
    }

    /// Waits for the hand-over under way. Cancel-safe.
    pub(crate) async fn settle(&mut self) -> Result<()> {
        if let Some(writing) = &mut self.writing {
            let written = writing.done().await;
            self.writing = None;
            written?;
        }
        Ok(())
    }

    /// Hands the last bytes over and makes all durable. Call [`settle`](Self::settle) before.
    pub(crate) fn sync(&mut self, env: &Environment, chunks: Vec<Bytes>) -> Option<Job<()>> {
        debug_assert!(self.writing.is_none(), "two hand-overs at once");
        if self.synced == self.state.length {
            return None;
        }
        let (file, offset, job_env) = (self.file.clone(), self.handed, env.clone());
        (self.handed, self.synced) = (self.state.length, self.state.length);
        Some(Job::start(env, "sync a part", move || {
            file.write(&job_env, &chunks, offset)?;
            file.sync(&job_env)
        }))
    }

    /// The part as it is committed, once it is closed.
    pub(crate) fn into_staged(self) -> StagedFile {
        let WriterState { staged, name, length, rows, created_at: _ } = self.state;
        StagedFile { staged: Staged::Hidden(staged), name, length, rows, parts: 1, inputs: Vec::new() }
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
