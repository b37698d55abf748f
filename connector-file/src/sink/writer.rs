//! The writer: rows into hidden parts, and closed parts to the committer.

use std::collections::VecDeque;
use std::sync::Arc;

use async_trait::async_trait;
use connector_api::env::Environment;
use connector_api::sink::{Checkpoint, CommittingWriter, Flush, SinkWriter, StatefulWriter, WriterContext};
use connector_api::{Batch, Error, MessageBatch, Result, RowBatch};

use super::committable::{FileCommittable, WriterState};
use super::config::SinkConfig;
use super::job::Job;
use super::lines::{ENOUGH, Gathered};
use super::naming::{self, Uid};
use super::part::{Part, PartFile};
use super::{restore, rolling};

/// Closed parts that are being made durable at the same time. More would only hold files open.
const MAX_CLOSING: usize = 4;

/// Writes one part after the other.
///
/// # The life of a part
///
/// Made at its first row, under a hidden name that no other attempt gives. Rows are gathered and handed over to the file
/// in large pieces, off the task. Once it is full, old, or a flush asks for it, it is *closed*: made durable in the background.
/// The next flush waits for that, makes the names durable, and [`prepare_commit`](CommittingWriter::prepare_commit) hands
/// it over. A part that a checkpoint leaves open is durable up to the length in the state.
#[derive(Debug)]
pub(crate) struct FileWriter {
    env: Environment,
    config: Arc<SinkConfig>,
    uid: Uid,
    counter: u64,
    part: Option<Part>,
    gathered: Gathered,
    /// Closed, not known to be durable yet; oldest first.
    closing: VecDeque<(Job<()>, FileCommittable)>,
    /// Closed and durable, but perhaps for the name.
    closed: Vec<FileCommittable>,
    /// Names were made since the directory was last synced.
    new_names: bool,
    /// Durable, name and all: to be handed over.
    pending: Vec<FileCommittable>,
}

impl FileWriter {
    /// Goes on with one part that a checkpoint left open, and closes the others.
    ///
    /// # Errors
    ///
    /// See [`restore::reopen`]; those of making the directory.
    pub(crate) async fn open(
        context: WriterContext,
        config: Arc<SinkConfig>,
        mut states: Vec<WriterState>,
    ) -> Result<Self> {
        let env = context.env.clone();
        let (job_env, job_config) = (env.clone(), config.clone());
        env.blocking("make the directory", move || {
            let dir = &job_config.dir;
            job_env.fs.create_dir_all(dir).map_err(Error::io("make directory", dir))
        })
        .await?;
        let mut writer = Self {
            env,
            config,
            uid: Uid { attempt: context.attempt, subtask: context.subtask },
            counter: 0,
            part: None,
            gathered: Gathered::default(),
            closing: VecDeque::new(),
            closed: Vec::new(),
            new_names: false,
            pending: Vec::new(),
        };
        // The shortest has most room left.
        states.sort_by_key(|state| state.length);
        for state in states {
            let reopened = restore::reopen(&context, &writer.config, state, writer.counter).await?;
            writer.counter += 1;
            let Some((file, state)) = reopened else { continue };
            let deadline = rolling::deadline(&writer.config.rolling, &writer.env, state.created_at);
            let room = rolling::room(&writer.config.rolling, state.length);
            let part = Part::new(Arc::new(file), state, deadline);
            if writer.part.is_none() && room > 0 {
                writer.part = Some(part);
            } else {
                writer.pending.push(part.into_committable());
            }
        }
        Ok(writer)
    }

    /// Opens the part that the next row goes to, unless there is one.
    async fn open_part(&mut self) -> Result<()> {
        if self.part.is_some() {
            return Ok(());
        }
        let name = self.config.names.part(self.uid, self.counter);
        self.counter += 1;
        self.new_names = true;
        let staged = naming::hidden(&name);
        let (env, path) = (self.env.clone(), self.config.dir.join(&staged));
        let locked = !self.config.rolling.on_checkpoint;
        let file = self.env.blocking("create a part", move || PartFile::create(&env, path, locked)).await?;
        let created_at = self.env.clock.now_millis();
        let state = WriterState { staged, name, length: 0, created_at };
        let deadline = rolling::deadline(&self.config.rolling, &self.env, created_at);
        self.part = Some(Part::new(Arc::new(file), state, deadline));
        Ok(())
    }

    /// Closes the part: it becomes durable in the background. Cancel-safe, since `idle` calls it.
    async fn close_part(&mut self) -> Result<()> {
        while self.closing.len() >= MAX_CLOSING {
            self.await_oldest().await?;
        }
        if let Some(part) = &mut self.part {
            part.settle().await?;
        }
        if let Some(mut part) = self.part.take() {
            let job = part.sync(&self.env, self.gathered.take());
            let committable = part.into_committable();
            match job {
                Some(job) => self.closing.push_back((job, committable)),
                // A checkpoint made it durable, and nothing came after.
                None => self.closed.push(committable),
            }
        }
        Ok(())
    }

    async fn await_oldest(&mut self) -> Result<()> {
        if let Some((job, _)) = self.closing.front_mut() {
            let synced = job.done().await;
            let oldest = self.closing.pop_front();
            synced?;
            self.closed.extend(oldest.map(|(_, committable)| committable));
        }
        Ok(())
    }

    fn is_too_old(&self) -> bool {
        let deadline = self.part.as_ref().and_then(Part::deadline);
        deadline.is_some_and(|deadline| self.env.clock.monotonic() >= deadline)
    }
}

#[async_trait]
impl SinkWriter<MessageBatch> for FileWriter {
    async fn write(&mut self, batch: Batch<MessageBatch>) -> Result<()> {
        if self.is_too_old() {
            self.close_part().await?;
        }
        let rows = batch.rows.rows();
        let mut row = 0;
        while row < rows {
            self.open_part().await?;
            let Some(part) = &mut self.part else { continue };
            let before = self.gathered.bytes();
            let room = rolling::room(&self.config.rolling, part.state().length);
            row = self.gathered.add(&batch.rows, row, room, &part.state().name)?;
            part.grow((self.gathered.bytes() - before) as u64);
            if part.state().length >= self.config.rolling.size.0 {
                self.close_part().await?;
            } else if self.gathered.bytes() >= ENOUGH {
                part.hand_over(&self.env, self.gathered.take()).await?;
            }
        }
        Ok(())
    }

    async fn flush(&mut self, why: Flush) -> Result<()> {
        let mut in_place = None;
        if self.config.rolling.on_checkpoint || why != Flush::Checkpoint || self.is_too_old() {
            self.close_part().await?;
        } else if let Some(part) = &mut self.part {
            part.settle().await?;
            in_place = part.sync(&self.env, self.gathered.take());
        }
        while !self.closing.is_empty() {
            self.await_oldest().await?;
        }
        if let Some(mut job) = in_place {
            job.done().await?;
        }
        if self.new_names {
            let (env, config) = (self.env.clone(), self.config.clone());
            self.env
                .blocking("sync the directory", move || {
                    env.crash.hit("file-writer/before-sync-dir");
                    env.fs.sync_dir(&config.dir).map_err(Error::io("sync", &config.dir))
                })
                .await?;
            self.new_names = false;
        }
        self.pending.append(&mut self.closed);
        self.env.crash.hit("file-writer/after-flush");
        Ok(())
    }

    async fn idle(&mut self) -> Result<()> {
        let Some(deadline) = self.part.as_ref().and_then(Part::deadline) else {
            return std::future::pending().await;
        };
        let now = self.env.clock.monotonic();
        if now < deadline {
            self.env.clock.sleep(deadline - now).await;
        }
        self.close_part().await
    }

    /// Waits for work under way, so that nothing is written or made after it returned. What is not in a checkpoint is left
    /// for the sweep of the next attempt.
    async fn close(&mut self) -> Result<()> {
        self.gathered.take();
        let settled = match &mut self.part {
            Some(part) => part.settle().await,
            None => Ok(()),
        };
        self.part = None;
        let mut closed = Ok(());
        while !self.closing.is_empty() {
            closed = closed.and(self.await_oldest().await);
        }
        settled.and(closed)
    }
}

impl StatefulWriter<MessageBatch> for FileWriter {
    type State = WriterState;

    fn snapshot(&mut self, at: Checkpoint) -> Result<Vec<WriterState>> {
        if at.savepoint && self.part.is_some() {
            return Err(Error::contract("host", "took a savepoint without flushing the file writer for one"));
        }
        self.env.crash.hit("file-writer/snapshot");
        Ok(self.part.iter().map(|part| part.state().clone()).collect())
    }
}

#[async_trait]
impl CommittingWriter<MessageBatch> for FileWriter {
    type Committable = FileCommittable;

    async fn prepare_commit(&mut self) -> Result<Vec<FileCommittable>> {
        self.env.crash.hit("file-writer/before-prepare");
        Ok(std::mem::take(&mut self.pending))
    }
}
