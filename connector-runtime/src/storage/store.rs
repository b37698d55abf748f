//! The store: one process's hold on a checkpoint directory.

use std::io;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use connector_api::env::{FileLock, FileSystem};
use connector_api::id::{AttemptId, CheckpointId, RunId};
use connector_api::sink::References;
use connector_api::{Error, Result, Stored};

use super::files::{self, CheckpointFile, HIGH_WATER, LOCK, RUN, name_of};
use super::look;
use super::record::CheckpointRecord;
use super::run::{HighWater, RunRecord};

/// How many checkpoint numbers are reserved beyond the newest one known. After a crash those that were not used are skipped.
const RESERVE: u64 = 64;

/// One process's hold on a checkpoint directory; see the [module](super).
///
/// All methods block; from a task, call them in [`Environment::blocking`](connector_api::env::Environment::blocking). The
/// order per process: [`open`](Self::open); [`latest`](Self::latest) or [`load`](Self::load);
/// [`check_going_back`](Self::check_going_back); [`begin_run`](Self::begin_run). Per attempt:
/// [`next_attempt`](Self::next_attempt), [`next_checkpoint`](Self::next_checkpoint). Per checkpoint: [`store`](Self::store),
/// [`set_high_water`](Self::set_high_water), then the notices, [`retire_older`](Self::retire_older).
#[derive(Debug)]
pub struct CheckpointStore {
    pub(super) fs: Arc<dyn FileSystem>,
    pub(super) dir: PathBuf,
    retain: usize,
    pub(super) run: Option<RunRecord>,
    pub(super) high_water: Option<HighWater>,
    /// The highest checkpoint number that may have been used.
    pub(super) last_used: u64,
    /// The file that [`load`](Self::load) read last, and the run and number in it.
    pub(super) loaded: Option<(PathBuf, RunId, u64)>,
    /// Held as long as the store lives.
    _lock: Box<dyn FileLock>,
}

impl CheckpointStore {
    /// Makes the directory if it is not there, takes its lock, and removes what a crash left unfinished. Keeps the newest
    /// `retain` checkpoints (at least one) when asked to [retire](Self::retire_older).
    ///
    /// # Errors
    ///
    /// [`Error::Config`] when another process holds the directory, with its process id; [`Error::State`] naming the file
    /// when the run record or the high-water mark does not decode; the file system's.
    pub fn open(fs: Arc<dyn FileSystem>, dir: &Path, retain: usize) -> Result<Self> {
        fs.create_dir_all(dir).map_err(Error::io("make directory", dir))?;
        let lock = lock(&*fs, dir)?;
        files::remove_unfinished(&*fs, dir)?;
        let run: Option<RunRecord> = files::load_if_there(&*fs, &dir.join(RUN))?;
        let high_water: Option<HighWater> = files::load_if_there(&*fs, &dir.join(HIGH_WATER))?;
        let newest = files::list(&*fs, dir)?.last().map_or(0, |file| file.checkpoint);
        let last_used = newest
            .max(run.as_ref().map_or(0, |run| run.reserved))
            .max(high_water.map_or(0, |mark| mark.checkpoint));
        Ok(Self {
            fs,
            dir: dir.to_path_buf(),
            retain: retain.max(1),
            run,
            high_water,
            last_used,
            loaded: None,
            _lock: lock,
        })
    }

    /// The directory.
    pub fn dir(&self) -> &Path {
        &self.dir
    }

    /// The run that the directory is at; none before the first [`begin_run`](Self::begin_run).
    pub fn run(&self) -> Option<RunId> {
        self.run.as_ref().map(|run| run.run)
    }

    /// The runs before this one, oldest first.
    pub fn ancestors(&self) -> Vec<RunId> {
        self.run.iter().flat_map(|run| &run.ancestors).map(|ancestor| ancestor.run).collect()
    }

    /// Counts an attempt, durably, before it begins. The number is never given twice within the run.
    ///
    /// # Errors
    ///
    /// The file system's; [`Error::Contract`] before [`begin_run`](Self::begin_run).
    pub fn next_attempt(&mut self) -> Result<AttemptId> {
        // The attempt before may have used all that was reserved for it.
        self.last_used = self.last_used.max(self.started()?.reserved);
        let last_used = self.last_used;
        let run = self.started_mut()?;
        // Raised before the write: should the write fail half-way, the number is on the disk or not, and not given again.
        run.attempts += 1;
        run.reserved = last_used + RESERVE;
        let (run, attempt) = (run.clone(), AttemptId { run: run.run, number: run.attempts });
        self.write(RUN, &run)?;
        Ok(attempt)
    }

    /// The first number for the checkpoints of this attempt: above every one ever used in this directory, also by
    /// checkpoints that did not complete (as long as fewer than 32 in a row did not).
    pub fn next_checkpoint(&self) -> CheckpointId {
        CheckpointId(self.last_used + 1)
    }

    /// Stores a completed checkpoint or savepoint, durably; says where, and how many bytes it has. Nobody may be told that
    /// it is complete before.
    ///
    /// # Errors
    ///
    /// The file system's: the checkpoint is not complete, and the earlier one stands. [`Error::Contract`] when its run is
    /// not that of the directory, or its number is not above those of earlier attempts.
    pub fn store(&mut self, record: &CheckpointRecord) -> Result<(PathBuf, u64)> {
        let run = self.started()?;
        if run.run != record.run || record.checkpoint <= run.base.after {
            return Err(Error::contract(
                "the host",
                "stored a checkpoint of another run, or under an old number",
            ));
        }
        if record.checkpoint + RESERVE / 2 > run.reserved {
            let reserved = RunRecord { reserved: record.checkpoint + RESERVE, ..run.clone() };
            self.write(RUN, &reserved)?;
            self.run = Some(reserved);
        }
        let bytes = record.to_bytes()?;
        let name = name_of(record.checkpoint, record.savepoint);
        match files::replace(&*self.fs, &self.dir, &name, &bytes) {
            Ok(path) => Ok((path, bytes.len() as u64)),
            Err(e) => {
                // Reported as failed, so it should not be found later. If it can't be removed it is complete all the same:
                // nothing beyond it was committed, and going on from it is right.
                let _ = self.fs.remove_file(&self.dir.join(&name));
                Err(e)
            }
        }
    }

    /// Notes, durably, that commits of this checkpoint may begin. A lower mark than the present one changes nothing.
    ///
    /// # Errors
    ///
    /// The file system's: then no commit notice may be sent. [`Error::Contract`] before [`begin_run`](Self::begin_run).
    pub fn set_high_water(&mut self, checkpoint: CheckpointId) -> Result<()> {
        let mark = HighWater { run: self.started()?.run, checkpoint: checkpoint.0 };
        if self.high_water.is_none_or(|present| present.checkpoint < checkpoint.0) {
            self.write(HIGH_WATER, &mark)?;
            self.high_water = Some(mark);
        }
        Ok(())
    }

    /// The newest checkpoint whose commits may have begun.
    pub fn high_water(&self) -> Option<CheckpointId> {
        self.high_water.map(|mark| CheckpointId(mark.checkpoint))
    }

    /// All checkpoints and savepoints in the directory, oldest first, by their names.
    ///
    /// # Errors
    ///
    /// The file system's.
    pub fn list(&self) -> Result<Vec<CheckpointFile>> {
        files::list(&*self.fs, &self.dir)
    }

    /// All checkpoints and savepoints in the directory, of this and earlier runs: whatever one of them refers to is not
    /// an orphan. Oldest first.
    ///
    /// # Errors
    ///
    /// [`Error::State`] naming the file when one does not decode: then nothing may be swept. The file system's.
    pub fn retained(&self) -> Result<Vec<CheckpointRecord>> {
        self.list()?.iter().map(|file| self.load_listed(file)).collect()
    }

    /// Reads a file of [`list`](Self::list) and checks that it is what its name says.
    pub(super) fn load_listed(&self, file: &CheckpointFile) -> Result<CheckpointRecord> {
        let record: CheckpointRecord = files::load(&*self.fs, &file.path)?;
        if (record.checkpoint, record.savepoint) != (file.checkpoint, file.savepoint) {
            let is = name_of(record.checkpoint, record.savepoint);
            return Err(files::unusable(&file.path, &format!("holds what belongs into {is}")));
        }
        Ok(record)
    }

    /// Everything of the sink that a retained checkpoint or savepoint refers to: what a sweep must leave.
    ///
    /// # Errors
    ///
    /// Those of [`retained`](Self::retained).
    pub fn references(&self) -> Result<References> {
        self.retained().map(look::references)
    }

    /// Removes all but the newest checkpoints, as many as the store was opened with; never a savepoint, and never what
    /// the next restart would go on from. Says how many. Call it when the newest is stored.
    ///
    /// # Errors
    ///
    /// The file system's. Nothing is lost: the next call tries again.
    pub fn retire_older(&mut self) -> Result<usize> {
        let base = &self.started()?.base;
        let files = self.list()?;
        // Until something newer is there, the run goes on from its base.
        let is_base_needed = files.last().is_none_or(|newest| newest.checkpoint <= base.after);
        let checkpoints: Vec<_> = files.iter().filter(|file| !file.savepoint).collect();
        let surplus = checkpoints.len().saturating_sub(self.retain);
        let mut removed = 0;
        for file in &checkpoints[..surplus] {
            let is_base = base.start.as_deref() == file.path.file_name().and_then(|name| name.to_str());
            if is_base && is_base_needed {
                continue;
            }
            self.fs.remove_file(&file.path).map_err(Error::io("remove", &file.path))?;
            removed += 1;
        }
        Ok(removed)
    }

    pub(super) fn write<T: Stored>(&self, name: &str, value: &T) -> Result<()> {
        files::replace(&*self.fs, &self.dir, name, &value.to_bytes()?).map(drop)
    }

    fn started(&self) -> Result<&RunRecord> {
        self.run.as_ref().ok_or_else(not_started)
    }

    fn started_mut(&mut self) -> Result<&mut RunRecord> {
        self.run.as_mut().ok_or_else(not_started)
    }
}

fn not_started() -> Error {
    Error::contract("the host", "used the checkpoint store before it began a run")
}

fn lock(fs: &dyn FileSystem, dir: &Path) -> Result<Box<dyn FileLock>> {
    let path = dir.join(LOCK);
    match fs.lock(&path) {
        Ok(lock) => {
            let content = format!("{}\n", std::process::id());
            lock.set_content(content.as_bytes()).map_err(Error::io("write", &path))?;
            Ok(lock)
        }
        Err(e) if e.kind() == io::ErrorKind::WouldBlock => {
            let content = files::read(fs, &path).unwrap_or_default();
            let holder = match String::from_utf8_lossy(&content).trim().parse::<u32>() {
                Ok(pid) => format!("process {pid}"),
                Err(_) => "another process, which has not told its number yet,".to_owned(),
            };
            Err(Error::config(
                "checkpoint.dir",
                format!("{} is in use by {holder} (lock file {})", dir.display(), path.display()),
            ))
        }
        Err(e) => Err(Error::io("lock", &path)(e)),
    }
}
