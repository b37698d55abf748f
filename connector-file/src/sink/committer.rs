//! The committer: one rename makes a file visible; what it stands for is removed only when that is durable.

use std::collections::BTreeSet;
use std::io::ErrorKind;
use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use async_trait::async_trait;
use connector_api::env::{Environment, Rename};
use connector_api::sink::{
    BatchCommitter, CommitBatch, CommitRequest, OperatorContext, Outcome, Proof, Settled,
};
use connector_api::{Error, Result};

use super::committable::{FileCommittable, Staged, StagedFile};
use super::config::SinkConfig;
use super::part::{buckets, look, sync_dirs};
use super::{metrics, naming};

/// Publishes batches of files: rename each, sync the directory once, remove inputs, sync again, then answer.
#[derive(Debug)]
pub(crate) struct FileCommitter {
    env: Environment,
    config: Arc<SinkConfig>,
    going_back: bool,
}

/// What became of one file so far.
#[derive(Debug)]
enum Found {
    /// It bears its final name: by us just now, or from before.
    Visible { before: bool },
    /// Its name is taken; this is it under another.
    Renamed(StagedFile),
    /// Publishing it failed in a way that may pass, and changed nothing that a retry would not find.
    Failed(Error),
    /// It is gone.
    Lost(String),
    /// It can't be told what it is.
    Fatal(Error),
}

impl FileCommitter {
    pub(crate) fn new(context: &OperatorContext, config: Arc<SinkConfig>) -> Self {
        let going_back = context.restored.is_some_and(|restored| restored.going_back);
        Self { env: context.env.clone(), config, going_back }
    }
}

#[async_trait]
impl BatchCommitter<FileCommittable> for FileCommitter {
    async fn commit_batch(&mut self, batch: CommitBatch<FileCommittable>) -> Settled<FileCommittable> {
        let work = Publication {
            env: self.env.clone(),
            config: self.config.clone(),
            going_back: self.going_back,
            files: batch.requests().iter().filter_map(|request| file_of(request).cloned()).collect(),
        };
        let published = self.env.blocking("commit files", move || Ok(work.run())).await;
        let mut found = match published {
            Ok(found) => found.into_iter(),
            // It never ran, or we don't know how far it came: what it did will be found.
            Err(e) => {
                let why = e.to_string();
                return batch.settle(|_, _| retry(Error::Cancelled(why.clone().into())));
            }
        };
        batch.settle(|_, request| match file_of(request) {
            Some(file) => outcome(file, found.next()),
            // What passes by for later stages.
            None => Outcome::Committed,
        })
    }
}

fn file_of(request: &CommitRequest<FileCommittable>) -> Option<&StagedFile> {
    match &request.committable {
        FileCommittable::File(file) => Some(file),
        FileCommittable::Mark(_) | FileCommittable::Finished(_) => None,
    }
}

fn outcome(file: &StagedFile, found: Option<Found>) -> Outcome<FileCommittable> {
    match found {
        Some(Found::Visible { before }) => {
            if before {
                return Outcome::AlreadyCommitted { proof: Proof::Published };
            }
            metrics::count(metrics::FILES_WRITTEN, 1);
            if file.inputs.len() > 1 {
                metrics::count(metrics::FILES_COMPACTED, file.inputs.len() as u64);
                metrics::count(metrics::BYTES_COMPACTED, file.length);
            }
            Outcome::Committed
        }
        Some(Found::Renamed(updated)) => {
            let why =
                Error::data(file.name.clone(), None, format!("is taken: it appears as {}", updated.name));
            Outcome::Retry { updated: Some(updated.into()), after: Some(Duration::ZERO), why }
        }
        Some(Found::Failed(e)) if e.is_retryable() => retry(e),
        Some(Found::Failed(e) | Found::Fatal(e)) => Outcome::Fatal(e),
        Some(Found::Lost(reason)) => Outcome::Lost { reason },
        None => Outcome::Fatal(Error::contract("file committer", format!("{} was passed over", file.name))),
    }
}

fn retry(why: Error) -> Outcome<FileCommittable> {
    Outcome::Retry { updated: None, after: None, why }
}

/// The blocking work of one batch.
struct Publication {
    env: Environment,
    config: Arc<SinkConfig>,
    going_back: bool,
    files: Vec<StagedFile>,
}

impl Publication {
    fn run(self) -> Vec<Found> {
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
