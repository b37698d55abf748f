//! Bodies of parts in an object store.

use std::collections::BTreeSet;

use async_trait::async_trait;
use bytes::Bytes;
use connector_api::env::Environment;
use connector_api::sink::WriterContext;
use connector_api::{Error, Result};

use super::upload::{Upload, Uploads};
use crate::place::{Completion, Objects};
use crate::sink::committable::{Staged, WriterState};
use crate::sink::config::{Compaction, SinkConfig};
use crate::sink::job::Job;
use crate::sink::naming::{self, Uid};
use crate::sink::part::{Body, Finish};
use crate::sink::place::ObjectPlace;
use crate::sink::staging::Staging;

/// Stages parts as uploads, or as hidden objects when they will be read again to be merged.
#[derive(Debug)]
pub(crate) struct ObjectStaging {
    uploads: Uploads,
    uid: Uid,
    hides: bool,
}

impl ObjectStaging {
    pub(crate) fn new(env: Environment, config: &SinkConfig, place: ObjectPlace, uid: Uid) -> Self {
        let hides = matches!(config.compaction, Some(Compaction::Merge(_)));
        Self { uploads: Uploads::new(env, place, false), uid, hides }
    }
}

#[async_trait]
impl Staging for ObjectStaging {
    async fn prepare(&self) -> Result<()> {
        Ok(())
    }

    async fn create(&self, name: &str, staged: &str) -> Result<Box<dyn Body>> {
        let marker = naming::uploading(name, self.uid);
        let hidden = self.hides.then(|| staged.to_owned());
        let upload = Upload::new(&self.uploads, hidden.as_deref().unwrap_or(name), &marker)?;
        Ok(Box::new(ObjectBody { uploads: self.uploads.clone(), upload, hidden, length: 0 }))
    }

    async fn reopen(
        &self,
        _: &WriterContext,
        state: WriterState,
        _: u64,
    ) -> Result<Option<(Box<dyn Body>, WriterState)>> {
        let reason = format!("{} was left open, which no part in an object store can be", state.name);
        Err(Error::state("file-writer", reason))
    }

    async fn sync_names(&self, _: BTreeSet<String>) -> Result<()> {
        Ok(())
    }

    /// So many that small parts keep all connections busy.
    fn max_closing(&self) -> usize {
        self.uploads.place.max_uploads.max(4)
    }
}

/// A part in an object store.
#[derive(Debug)]
struct ObjectBody {
    uploads: Uploads,
    upload: Upload,
    /// The name of the hidden object, if it becomes one.
    hidden: Option<String>,
    length: u64,
}

impl ObjectBody {
    async fn stage(&mut self, chunks: &[Bytes]) -> Result<Staged> {
        self.take(chunks).await?;
        let Some(hidden) = self.hidden.take() else {
            let (id, parts) = self.upload.finish().await?;
            self.uploads.env.crash.hit("file-upload/staged");
            return Ok(Staged::Upload { id, parts });
        };
        let objects = self.uploads.place.objects.clone();
        match self.upload.take_small() {
            Some((content, permit)) => {
                objects.put(self.upload.object(), content).await?;
                drop(permit);
            }
            None => self.complete(&objects).await?,
        }
        self.uploads.env.crash.hit("file-upload/staged");
        Ok(Staged::Hidden(hidden))
    }

    async fn take(&mut self, chunks: &[Bytes]) -> Result<()> {
        self.length += chunks.iter().map(|chunk| chunk.len() as u64).sum::<u64>();
        self.upload.write(chunks).await
    }

    /// Makes the hidden object of its upload.
    async fn complete(&mut self, objects: &Objects) -> Result<()> {
        let (id, parts) = self.upload.finish().await?;
        let object = self.upload.object();
        if let Completion::Unknown(why) = objects.complete_upload(object, &id, &parts).await? {
            // The answer to an earlier try may have been lost.
            if objects.look(object).await?.is_none_or(|found| found.len != self.length) {
                let what = format!("the upload of {}, which the store gave up ({why}),", object.url);
                return Err(Error::Cancelled(what.into()));
            }
        }
        objects.remove(self.upload.marker()).await
    }
}

#[async_trait]
impl Body for ObjectBody {
    async fn hand_over(&mut self, chunks: Vec<Bytes>) -> Result<()> {
        self.take(&chunks).await
    }

    /// Until the last part may go on its way: however many uploads are being ended, only parts in flight hold memory.
    async fn settle(&mut self) -> Result<()> {
        self.upload.reserve().await
    }

    fn sync(&mut self, _: Vec<Bytes>) -> Result<Option<Job<()>>> {
        Err(Error::contract("file writer", "left a part open over a checkpoint, in an object store"))
    }

    fn finish(mut self: Box<Self>, chunks: Vec<Bytes>) -> Finish {
        let env = self.uploads.env.clone();
        Finish::Going(Job::spawn(&env, "stage an object", async move { self.stage(&chunks).await }))
    }

    async fn stop(&mut self) -> Result<()> {
        self.upload.land().await;
        Ok(())
    }
}
