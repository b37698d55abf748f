//! Publishing files: rename each, sync the directory once, remove inputs, sync again.

use std::collections::BTreeSet;
use std::io::ErrorKind;
use std::path::Path;
use std::sync::Arc;

use connector_api::env::{Environment, Rename};
use connector_api::{Error, Result};

use super::file::{buckets, look, sync_dirs};
use crate::sink::committable::{Staged, StagedFile};
use crate::sink::committer::Found;
use crate::sink::config::SinkConfig;
use crate::sink::naming;

/// The blocking work of one batch.
pub(crate) struct Publication {
    pub(crate) env: Environment,
    pub(crate) config: Arc<SinkConfig>,
    pub(crate) going_back: bool,
    pub(crate) files: Vec<StagedFile>,
}

impl Publication {
    pub(crate) fn run(self) -> Vec<Found> {
        let mut found = Vec::with_capacity(self.files.len());
        for file in &self.files {
            if !found.is_empty() {
                self.env.crash.hit("file-committer/mid-commit");
            }
            found.push(self.publish(file).unwrap_or_else(Found::Failed));
        }
        self.env.crash.hit("file-committer/after-rename");
        if !found.iter().any(|found| matches!(found, Found::Visible { .. })) {
            return found;
        }
        // Also for those found visible: whoever renamed them may have died before the sync.
        if let Err(e) = self.sync_dirs(&found) {
            return fail_visible(found, &e);
        }
        self.env.crash.hit("file-committer/after-sync");
        let mut removed = false;
        for (file, found) in self.files.iter().zip(&mut found) {
            if matches!(found, Found::Visible { .. }) {
                match self.remove_inputs(file) {
                    Ok(any) => removed |= any,
                    Err(e) => *found = Found::Failed(e),
                }
            }
        }
        if removed {
            self.env.crash.hit("file-committer/after-delete");
            if let Err(e) = self.sync_dirs(&found) {
                return fail_visible(found, &e);
            }
        }
        found
    }

    /// Makes the names of what is visible durable; its inputs lie in the same directories.
    fn sync_dirs(&self, found: &[Found]) -> Result<()> {
        let both = self.files.iter().zip(found);
        let visible = both.filter(|(_, found)| matches!(found, Found::Visible { .. }));
        sync_dirs(&self.env, &buckets(&self.config.dir, visible.map(|(file, _)| file.name.as_str()))?)
    }

    fn publish(&self, file: &StagedFile) -> Result<Found> {
        let dir = &self.config.dir;
        let Staged::Hidden(hidden) = &file.staged else {
            let reason =
                format!("{} was staged in an object store, and `path` is a local directory", file.name);
            return Ok(Found::Fatal(Error::state("file-committable", reason)));
        };
        let (staged, name) = (naming::path_in(dir, hidden)?, naming::path_in(dir, &file.name)?);
        if let Some(at) = look(&self.env, &staged)? {
            if at.len != file.length {
                let reason = format!(
                    "{} has {} bytes, its committable says {}: it was changed after it was closed",
                    staged.display(),
                    at.len,
                    file.length
                );
                return Ok(Found::Fatal(Error::data(hidden.clone(), None, reason)));
            }
            self.env.crash.hit("file-committer/before-rename");
            return match self.env.fs.rename(&staged, &name, Rename::NoReplace) {
                Ok(()) => Ok(Found::Visible { before: false }),
                Err(e) if e.kind() == ErrorKind::AlreadyExists => self.both(file, hidden, &name, at.file_id),
                Err(e) => Err(Error::io(format!("rename to {}", name.display()), &staged)(e)),
            };
        }
        match look(&self.env, &name)? {
            Some(at) if at.len == file.length => Ok(Found::Visible { before: true }),
            found if self.going_back => {
                let how = if found.is_some() { "under its name, merged" } else { "merged into another file" };
                tracing::warn!(
                    file = %name.display(),
                    "is not committed again: it became visible after the checkpoint that the job went back to, {how}"
                );
                Ok(Found::Visible { before: true })
            }
            Some(at) => {
                let reason = format!(
                    "{} has {} bytes, the file that was to appear there has {}, and {} is gone",
                    name.display(),
                    at.len,
                    file.length,
                    staged.display()
                );
                Ok(Found::Fatal(Error::data(file.name.clone(), None, reason)))
            }
            None => Ok(Found::Lost(format!(
                "neither {} nor {} is there: {} bytes are gone",
                staged.display(),
                name.display(),
                file.length
            ))),
        }
    }

    /// A file system without an atomic rename that replaces nothing gives the file its second name first: whoever died then
    /// left both. Any other file of that name is not ours.
    ///
    /// After going back, the name may have been given by a branch of the job that was left. A merge bears the name of its
    /// first input: such a file holds all of a part of that name. What another merge of that name holds besides can't be
    /// told, so it appears as well, beside it.
    fn both(&self, file: &StagedFile, hidden: &str, name: &Path, staged_id: u64) -> Result<Found> {
        let staged = naming::path_in(&self.config.dir, hidden)?;
        if look(&self.env, name)?.is_some_and(|at| at.file_id == staged_id) {
            self.env.fs.remove_file(&staged).map_err(Error::io("remove the first name", &staged))?;
            return Ok(Found::Visible { before: true });
        }
        if self.going_back {
            if hidden == naming::hidden(&file.name) {
                tracing::warn!(file = %name.display(), "is not committed again: it is visible, merged with others");
                return Ok(Found::Visible { before: true });
            }
            if let Some(beside) = self.config.names.beside(hidden).filter(|name| *name != file.name) {
                return Ok(Found::Renamed(StagedFile { name: beside, ..file.clone() }));
            }
        }
        let reason = format!(
            "both {} and {} are there; neither is touched, since one of them is not ours",
            staged.display(),
            name.display()
        );
        Ok(Found::Fatal(Error::data(name.display().to_string(), None, reason)))
    }

    fn remove_inputs(&self, file: &StagedFile) -> Result<bool> {
        let mut removed = false;
        let distinct: BTreeSet<_> = file.inputs.iter().collect();
        for input in distinct {
            // The staged file bears its final name by now.
            if file.hidden() == Some(input) || *input == file.name {
                continue;
            }
            let path = naming::path_in(&self.config.dir, input)?;
            match self.env.fs.remove_file(&path) {
                Ok(()) => removed = true,
                Err(e) if e.kind() == ErrorKind::NotFound => {}
                Err(e) => return Err(Error::io("remove the merged part", &path)(e)),
            }
            self.env.crash.hit("file-committer/mid-delete");
        }
        Ok(removed)
    }
}

/// What is visible, but perhaps not durably, is not committed yet: it will be found, and synced again.
fn fail_visible(found: Vec<Found>, why: &Error) -> Vec<Found> {
    found
        .into_iter()
        .map(|found| match found {
            Found::Visible { .. } => Found::Failed(same(why)),
            other => other,
        })
        .collect()
}

/// One failure for several files: errors can't be cloned.
fn same(error: &Error) -> Error {
    match error {
        Error::Io { operation, path, source } => {
            let source = source.raw_os_error().map_or_else(
                || std::io::Error::new(source.kind(), source.to_string()),
                std::io::Error::from_raw_os_error,
            );
            Error::Io { operation: operation.clone(), path: path.clone(), source }
        }
        other => Error::Cancelled(other.to_string().into()),
    }
}
