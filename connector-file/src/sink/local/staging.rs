//! Bodies of parts in files.

use std::collections::BTreeSet;
use std::sync::Arc;

use async_trait::async_trait;
use bytes::Bytes;
use connector_api::env::Environment;
use connector_api::sink::WriterContext;
use connector_api::{Error, Result};

use super::file::{PartFile, buckets, sync_dirs};
use super::restore;
use crate::sink::committable::{Staged, WriterState};
use crate::sink::config::SinkConfig;
use crate::sink::job::Job;
use crate::sink::part::{Body, Finish};
use crate::sink::staging::Staging;

/// Stages parts in the sink's directory.
#[derive(Debug)]
pub(crate) struct LocalStaging {
    env: Environment,
    config: Arc<SinkConfig>,
}

impl LocalStaging {
    pub(crate) fn new(env: Environment, config: Arc<SinkConfig>) -> Self {
        Self { env, config }
    }

    fn body(&self, file: PartFile, staged: &str, length: u64) -> Box<dyn Body> {
        let (env, file, staged) = (self.env.clone(), Arc::new(file), staged.to_owned());
        Box::new(FileBody { env, file, staged, handed: length, synced: length, writing: None })
    }
}

#[async_trait]
impl Staging for LocalStaging {
    async fn prepare(&self) -> Result<()> {
        let (env, config) = (self.env.clone(), self.config.clone());
        let made = self.env.blocking("make the directory", move || {
            let dir = &config.dir;
            env.fs.create_dir_all(dir).map_err(Error::io("make directory", dir))
        });
        made.await
    }

    async fn create(&self, _: &str, staged: &str) -> Result<Box<dyn Body>> {
        let (env, config, hidden) = (self.env.clone(), self.config.clone(), staged.to_owned());
        let create = move || PartFile::create(&env, &config.dir, &hidden, !config.rolling.on_checkpoint);
        let file = self.env.blocking("create a part", create).await?;
        Ok(self.body(file, staged, 0))
    }

    async fn reopen(
        &self,
        context: &WriterContext,
        state: WriterState,
        counter: u64,
    ) -> Result<Option<(Box<dyn Body>, WriterState)>> {
        let reopened = restore::reopen(context, &self.config, state, counter).await?;
        Ok(reopened.map(|(file, state)| (self.body(file, &state.staged, state.length), state)))
    }

    async fn sync_names(&self, names: BTreeSet<String>) -> Result<()> {
        let (env, config) = (self.env.clone(), self.config.clone());
        let synced = self.env.blocking("sync the directory", move || {
            env.crash.hit("file-writer/before-sync-dir");
            sync_dirs(&env, &buckets(&config.dir, names.iter().map(String::as_str))?)
        });
        synced.await
    }

    /// More would only hold files open.
    fn max_closing(&self) -> usize {
        4
    }
}

/// A part in a file.
#[derive(Debug)]
struct FileBody {
    env: Environment,
    file: Arc<PartFile>,
    staged: String,
    /// How much was handed over to the file.
    handed: u64,
    /// How much of it a checkpoint made durable.
    synced: u64,
    /// The hand-over under way. At most one, so that a writer holds little.
    writing: Option<Job<()>>,
}

impl FileBody {
    /// Where these bytes begin.
    fn next(&mut self, chunks: &[Bytes]) -> u64 {
        let offset = self.handed;
        self.handed += chunks.iter().map(|chunk| chunk.len() as u64).sum::<u64>();
        offset
    }
}

#[async_trait]
impl Body for FileBody {
    async fn hand_over(&mut self, chunks: Vec<Bytes>) -> Result<()> {
        self.settle().await?;
        let (file, offset, env) = (self.file.clone(), self.next(&chunks), self.env.clone());
        self.writing =
            Some(Job::start(&self.env, "write to a part", move || file.write(&env, &chunks, offset)));
        Ok(())
    }

    async fn settle(&mut self) -> Result<()> {
        if let Some(writing) = &mut self.writing {
            let written = writing.done().await;
            self.writing = None;
            written?;
        }
        Ok(())
    }

    fn sync(&mut self, chunks: Vec<Bytes>) -> Result<Option<Job<()>>> {
        debug_assert!(self.writing.is_none(), "two hand-overs at once");
        let offset = self.next(&chunks);
        if self.synced == self.handed {
            return Ok(None);
        }
        self.synced = self.handed;
        let (file, env) = (self.file.clone(), self.env.clone());
        Ok(Some(Job::start(&self.env, "sync a part", move || file.write_and_sync(&env, &chunks, offset))))
    }

    fn finish(mut self: Box<Self>, chunks: Vec<Bytes>) -> Finish {
        debug_assert!(self.writing.is_none(), "two hand-overs at once");
        let offset = self.next(&chunks);
        let staged = Staged::Hidden(self.staged);
        if self.synced == self.handed {
            // A checkpoint made it durable, and nothing came after.
            return Finish::Done(staged);
        }
        let (file, env) = (self.file, self.env.clone());
        Finish::Going(Job::start(&self.env, "sync a part", move || {
            file.write_and_sync(&env, &chunks, offset).map(|()| staged)
        }))
    }

    async fn stop(&mut self) -> Result<()> {
        self.settle().await
    }
}
