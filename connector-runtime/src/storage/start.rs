//! What a job starts from, and what it must not start from.

use std::path::Path;

use connector_api::id::RunId;
use connector_api::{Error, Result, Stored};

use super::files::{self, HIGH_WATER, RUN, name_of};
use super::record::CheckpointRecord;
use super::run::{Ancestor, Base, HighWater, RunRecord};
use super::store::CheckpointStore;

/// How a run begins or goes on. The random number names a run that begins.
#[derive(Clone, Copy, Debug)]
pub enum RunStart<'a> {
    /// From nothing: a new run, unless the directory's run has completed and committed nothing yet, which then goes on.
    Fresh {
        /// 64 random bits.
        random: u64,
    },
    /// From a checkpoint of this directory or of an ancestor: the run goes on. From one of another directory: a new run.
    Restored {
        /// What [`CheckpointStore::latest`] or [`CheckpointStore::load`] gave.
        record: &'a CheckpointRecord,
        /// 64 random bits.
        random: u64,
    },
}

impl CheckpointStore {
    /// The newest completed checkpoint or savepoint of the run; or else what the run was started from; or else nothing.
    ///
    /// # Errors
    ///
    /// [`Error::State`] naming the file when it does not decode, is foreign, or is missing: never an older one in its
    /// place. [`Error::State`] also when there are checkpoints but no run record. The file system's.
    pub fn latest(&self) -> Result<Option<CheckpointRecord>> {
        let files = self.list()?;
        let Some(run) = &self.run else {
            return match files.last() {
                None => Ok(None),
                Some(newest) => Err(files::unusable(
                    &newest.path,
                    "there is no `run` file beside it, so it can't be told whether it is the newest: name the one to go on \
                     from with `--from PATH`, or begin anew with `--from none`",
                )),
            };
        };
        let newer = files.iter().rev().find(|file| file.checkpoint > run.base.after);
        if let Some(file) = newer {
            let record = self.load_listed(file)?;
            self.check_lineage(run, &file.path, &record)?;
            return Ok(Some(record));
        }
        if let Some(mark) =
            self.high_water.filter(|mark| mark.run == run.run && mark.checkpoint > run.base.after)
        {
            return Err(Error::state(
                format!("checkpoint directory {}", self.dir.display()),
                format!(
                    "commits of checkpoint {} had begun, but no checkpoint of this run is there: its file was removed. \
                     Name one to go on from with `--from PATH`, or begin anew with `--from none`",
                    mark.checkpoint
                ),
            ));
        }
        run.base.start.as_ref().map(|name| files::load(&*self.fs, &self.dir.join(name))).transpose()
    }

    /// Reads a checkpoint or savepoint anywhere, to start from it.
    ///
    /// # Errors
    ///
    /// [`Error::State`] naming the file when it does not decode, and when it is foreign: of a run that is neither this
    /// directory's nor an ancestor. The file system's.
    pub fn load(&mut self, path: &Path) -> Result<CheckpointRecord> {
        let record: CheckpointRecord = files::load(&*self.fs, path)?;
        if let Some(run) = &self.run {
            self.check_lineage(run, path, &record)?;
        }
        self.loaded = Some((path.to_path_buf(), record.run, record.checkpoint));
        Ok(record)
    }

    fn check_lineage(&self, run: &RunRecord, path: &Path, record: &CheckpointRecord) -> Result<()> {
        if run.has(record.run, record.checkpoint) {
            return Ok(());
        }
        Err(files::unusable(
            path,
            &format!(
                "is foreign: checkpoint {} of run {}, while {} is at run {}. To begin from it, use a new checkpoint directory",
                record.checkpoint,
                record.run,
                self.dir.display(),
                run.run
            ),
        ))
    }

    /// Whether a start from this checkpoint goes back behind commits that had begun. Call it before
    /// [`begin_run`](Self::begin_run), with a record of [`latest`](Self::latest) or the last [`load`](Self::load).
    ///
    /// Once accepted, going back stays accepted for the same checkpoint until the run has one of its own.
    ///
    /// # Errors
    ///
    /// [`Error::Config`] naming both checkpoints when it does and duplicates are not accepted, and when it can't be told.
    pub fn check_going_back(&self, record: &CheckpointRecord, accept_duplicates: bool) -> Result<bool> {
        let (mark, accepted) = match &self.run {
            Some(run) => {
                let is_base =
                    run.base.start.as_deref() == Some(&name_of(record.checkpoint, record.savepoint));
                (self.high_water.map(|mark| mark.checkpoint), if is_base { run.base.accepted } else { 0 })
            }
            None => (self.mark_beside(record)?, 0),
        };
        let Some(mark) = mark.filter(|mark| record.checkpoint < *mark) else { return Ok(false) };
        if accept_duplicates || mark <= accepted {
            return Ok(true);
        }
        let began = if mark == u64::MAX {
            "it is not in its checkpoint directory, so it can't be told whether commits of a later one had begun. Name the \
             original"
                .to_owned()
        } else {
            format!(
                "commits of checkpoint {mark} had begun: what was read in between may be visible already and would be \
                 written again. Restore checkpoint {mark} or a later one"
            )
        };
        Err(Error::config(
            "from",
            format!("{} {}: {began}, or say `--accept-duplicates`", self.describe(record), record.checkpoint),
        ))
    }

    fn describe(&self, record: &CheckpointRecord) -> String {
        let kind = if record.savepoint { "savepoint" } else { "checkpoint" };
        match &self.loaded {
            Some((path, run, number)) if (*run, *number) == (record.run, record.checkpoint) => {
                format!("{} is {kind}", path.display())
            }
            _ => format!("the newest in {} is {kind}", self.dir.display()),
        }
    }

    /// The high-water mark of the directory that a checkpoint of another directory is in; the highest possible when the
    /// file was copied out of its directory, and so nobody can tell.
    fn mark_beside(&self, record: &CheckpointRecord) -> Result<Option<u64>> {
        let Some((path, ..)) = self
            .loaded
            .as_ref()
            .filter(|(_, run, number)| (*run, *number) == (record.run, record.checkpoint))
        else {
            return Ok(Some(u64::MAX));
        };
        let run: Option<RunRecord> = files::load_if_there(&*self.fs, &path.with_file_name(RUN))?;
        if !run.is_some_and(|run| run.has(record.run, record.checkpoint)) {
            return Ok(Some(u64::MAX));
        }
        let mark: Option<HighWater> = files::load_if_there(&*self.fs, &path.with_file_name(HIGH_WATER))?;
        Ok(mark.map(|mark| mark.checkpoint))
    }

    /// Makes the decision what to start from durable, so that a later start, also after a crash, goes on from the same
    /// until the run has a checkpoint of its own. `record` has passed [`check_going_back`](Self::check_going_back).
    ///
    /// # Errors
    ///
    /// [`Error::State`] when another checkpoint of the same number is in the directory; the file system's.
    pub fn begin_run(&mut self, start: RunStart<'_>) -> Result<()> {
        match start {
            RunStart::Fresh { random } => {
                if self.run.as_ref().is_some_and(|run| run.base.start.is_none()) && !self.has_progressed()? {
                    return Ok(());
                }
                self.begin(RunId(random), None, Base { after: self.last_used, start: None, accepted: 0 })
            }
            RunStart::Restored { record, random } => self.go_on_from(record, random),
        }
    }

    /// Whether the run has a checkpoint of its own, or has begun to commit one.
    fn has_progressed(&self) -> Result<bool> {
        let Some(run) = &self.run else { return Ok(false) };
        let has_committed = self.high_water.is_some_and(|mark| mark.run == run.run);
        Ok(has_committed || self.list()?.last().is_some_and(|newest| newest.checkpoint > run.base.after))
    }

    fn go_on_from(&mut self, record: &CheckpointRecord, random: u64) -> Result<()> {
        let name = name_of(record.checkpoint, record.savepoint);
        let accepted = match self.high_water.filter(|mark| record.checkpoint < mark.checkpoint) {
            Some(mark) => mark.checkpoint,
            None => 0,
        };
        if let Some(run) = &self.run {
            let newest = self.list()?.into_iter().next_back().map(|file| (file.checkpoint, file.savepoint));
            let is_newest = newest == Some((record.checkpoint, record.savepoint));
            if is_newest && record.checkpoint > run.base.after && accepted == 0 {
                return Ok(());
            }
        }
        self.keep_copy(&name, record)?;
        self.last_used = self.last_used.max(record.checkpoint);
        let base = Base { after: self.last_used, start: Some(name), accepted };
        match &self.run {
            Some(run) => self.change(RunRecord { base, ..run.clone() }),
            None => {
                self.begin(RunId(random), Some(Ancestor { run: record.run, until: record.checkpoint }), base)
            }
        }
    }

    /// Has the checkpoint in this directory, where nobody moves it away.
    fn keep_copy(&self, name: &str, record: &CheckpointRecord) -> Result<()> {
        let path = self.dir.join(name);
        match files::load_if_there::<CheckpointRecord>(&*self.fs, &path)? {
            Some(present) if present == *record => Ok(()),
            Some(_) => Err(files::unusable(&path, "is another checkpoint of the same number")),
            None => files::replace(&*self.fs, &self.dir, name, &record.to_bytes()?).map(drop),
        }
    }

    /// Begins a new run; the old one becomes an ancestor.
    fn begin(&mut self, run: RunId, parent: Option<Ancestor>, base: Base) -> Result<()> {
        let after = self.last_used;
        let mut ancestors = Vec::new();
        if let Some(old) = &self.run {
            ancestors.extend_from_slice(&old.ancestors);
            ancestors.push(Ancestor { run: old.run, until: after });
        }
        ancestors.extend(parent);
        self.change(RunRecord { run, ancestors, attempts: 0, reserved: after, base })
    }

    fn change(&mut self, run: RunRecord) -> Result<()> {
        if self.run.as_ref() != Some(&run) {
            self.write(RUN, &run)?;
            self.run = Some(run);
        }
        Ok(())
    }
}
