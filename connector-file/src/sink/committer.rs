//! The committer: one rename, or the end of one upload, makes a file visible; what it stands for is removed only when that is
//! durable.

use std::sync::Arc;
use std::time::Duration;

use async_trait::async_trait;
use connector_api::env::Environment;
use connector_api::sink::{
    BatchCommitter, CommitBatch, CommitRequest, OperatorContext, Outcome, Proof, Settled,
};
use connector_api::{Error, Result};

use super::committable::{FileCommittable, StagedFile};
use super::config::SinkConfig;
use super::local::Publication;
use super::place::SinkPlace;
use super::{metrics, objects};

/// Publishes batches of files, and answers.
#[derive(Debug)]
pub(crate) struct FileCommitter {
    env: Environment,
    config: Arc<SinkConfig>,
    going_back: bool,
}

/// What became of one file so far.
#[derive(Debug)]
pub(crate) enum Found {
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

    /// What became of each of these files.
    async fn publish(&self, files: Vec<StagedFile>) -> Result<Vec<Found>> {
        let (env, config, going_back) = (self.env.clone(), self.config.clone(), self.going_back);
        match &self.config.place {
            SinkPlace::Local => {
                let work = Publication { env, config, going_back, files };
                self.env.blocking("commit files", move || Ok(work.run())).await
            }
            SinkPlace::Objects(place) => {
                Ok(objects::publish(&env, &config.names, place, going_back, &files).await)
            }
        }
    }
}

#[async_trait]
impl BatchCommitter<FileCommittable> for FileCommitter {
    async fn commit_batch(&mut self, batch: CommitBatch<FileCommittable>) -> Settled<FileCommittable> {
        let files: Vec<_> = batch.requests().iter().filter_map(|request| file_of(request).cloned()).collect();
        let published = self.publish(files).await;
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
