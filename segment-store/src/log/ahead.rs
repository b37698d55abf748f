//! The file that the log goes on in when the open one is full, made ready before it is needed: an append must not wait for the journal of
//! the file system.
//!
//! A file that is ready has its name, durably, and no header of that name. So it holds nothing ([`super::file`]), and whoever opens the
//! log makes it a spare again.

use std::path::PathBuf;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use connector_api::env::{File, FileSystem};

use super::file;
use crate::error::Result;

/// The first number of the spares that are made ahead.
const SPARES: u64 = 1 << 62;

/// Gives the log its files.
#[derive(Debug)]
pub(crate) struct Ahead {
    fs: Arc<dyn FileSystem>,
    dir: PathBuf,
    file_size: u64,
    next: Mutex<Next>,
    is_wanted: AtomicBool,
}

#[derive(Debug, Default)]
struct Next {
    /// The greatest number that a file ever had.
    newest: u64,
    ready: Option<(u64, Box<dyn File>)>,
}

impl Ahead {
    /// For files of `file_size` bytes in the directory of a log.
    pub(crate) fn new(fs: Arc<dyn FileSystem>, dir: PathBuf, file_size: u64) -> Self {
        Self { fs, dir, file_size, next: Mutex::default(), is_wanted: AtomicBool::new(false) }
    }

    fn next(&self) -> MutexGuard<'_, Next> {
        self.next.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// The log goes on behind what the file `last` holds, at `at`: those behind that one hold nothing.
    pub(super) fn restart(&self, last: u64, at: u64) -> Result<()> {
        let mut next = self.next();
        next.ready = None;
        let listed = file::list(&*self.fs, &self.dir)?;
        for path in &listed.unfinished {
            file::remove(&*self.fs, path)?;
        }
        next.newest = next.newest.max(last).max(listed.files.last().copied().unwrap_or(0));
        for number in listed.files.into_iter().filter(|number| *number > last) {
            file::recycle(&*self.fs, &self.dir, number)?;
        }
        // A store that is opened for a few events needs no second file.
        self.is_wanted.store(at > self.file_size / 2, Ordering::Relaxed);
        Ok(())
    }

    /// The next file, and its number. It has no header yet.
    pub(super) fn take(&self) -> Result<(u64, Box<dyn File>)> {
        let mut next = self.next();
        let taken = match next.ready.take() {
            Some(ready) => ready,
            None => self.make(&mut next)?,
        };
        self.is_wanted.store(true, Ordering::Relaxed);
        Ok(taken)
    }

    /// Whether a file is to be made ready. Says so once for each.
    pub(crate) fn is_wanted(&self) -> bool {
        self.is_wanted.load(Ordering::Relaxed) && self.is_wanted.swap(false, Ordering::Relaxed)
    }

    /// Makes the next file ready, unless one is.
    pub(crate) fn prepare(&self) -> Result<()> {
        let mut next = self.next();
        if next.ready.is_none() {
            next.ready = Some(self.make(&mut next)?);
        }
        Ok(())
    }

    fn make(&self, next: &mut Next) -> Result<(u64, Box<dyn File>)> {
        let number = next.newest + 1;
        let spare = match file::list(&*self.fs, &self.dir)?.spares.first() {
            Some(&spare) => spare,
            None => {
                file::make_spare(&*self.fs, &self.dir, number, self.file_size)?;
                number
            }
        };
        let opened = file::take_spare(&*self.fs, &self.dir, spare, number)?;
        next.newest = number;
        Ok((number, opened))
    }

    /// Makes spares until there are `wanted`. Costs as much writing as the files are large.
    pub(crate) fn stock(&self, wanted: usize) -> Result<()> {
        let listed = file::list(&*self.fs, &self.dir)?;
        // Numbers of spares only tell them apart; these never meet those of files.
        let first = listed.spares.last().map_or(SPARES, |&newest| (newest + 1).max(SPARES));
        let missing = wanted.saturating_sub(listed.spares.len()) as u64;
        for number in first..first + missing {
            file::make_spare(&*self.fs, &self.dir, number, self.file_size)?;
        }
        Ok(())
    }
}
