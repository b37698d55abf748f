//! The writer: rows into hidden parts, and closed parts to the committer.

use std::collections::{BTreeMap, VecDeque};
use std::sync::Arc;
use std::time::Duration;

use async_trait::async_trait;
use bytes::Bytes;
use connector_api::env::Environment;
use connector_api::sink::{Checkpoint, CommittingWriter, Flush, SinkWriter, StatefulWriter, WriterContext};
use connector_api::{Batch, Error, Result};

use super::buckets::Buckets;
use super::committable::{FileCommittable, Staged, StagedFile, WriterState};
use super::config::SinkConfig;
use super::finish::Progress;
use super::job::Job;
use super::naming::{self, Uid};
use super::part::{Closed, Finish, Part};
use super::rolling;
use super::staging::{Staging, staging};
use crate::format::{ENOUGH, Encode, FileBatch, Gathered};

/// Writes one part after the other in each bucket.
///
/// # The life of a part
///
/// Made at its first row, under a hidden name that no other attempt gives. Rows are encoded, gathered and handed over to the
/// file in large pieces, off the task. Once it is full, old, or a flush asks for it, it is *closed*: made durable in the background.
/// The next flush waits for that, makes the names durable, and [`prepare_commit`](CommittingWriter::prepare_commit) hands
/// it over. A part that a checkpoint leaves open is durable up to the length in the state.
#[derive(Debug)]
pub(crate) struct FileWriter<B> {
    env: Environment,
    config: Arc<SinkConfig>,
    uid: Uid,
    counter: u64,
    staging: Box<dyn Staging>,
    buckets: Buckets,
    /// By bucket.
    open: BTreeMap<Arc<str>, Open<B>>,
    /// How often a part was written to, to tell which one was longest ago.
    writes: u64,
    /// Closed, not known to be durable yet; oldest first.
    closing: VecDeque<(Job<Staged>, Closed)>,
    /// Closed and durable, but perhaps for the name.
    closed: Vec<StagedFile>,
    /// Names of parts that were made since the directories were last synced.
    new_names: Vec<String>,
    /// Durable, name and all: to be handed over.
    pending: Vec<StagedFile>,
    /// How far this writer is, for those who tell when a bucket has ended.
    progress: Progress,
}

/// A part that takes rows.
#[derive(Debug)]
struct Open<B> {
    part: Part,
    encoder: Box<dyn Encode<B>>,
    gathered: Gathered,
    last_write: u64,
}

impl<B: FileBatch> Open<B> {
    /// Adds rows from `row` on; gives the first that was not added.
    fn add(&mut self, config: &SinkConfig, batch: &B, row: usize) -> Result<usize> {
        let before = self.gathered.bytes();
        let room = rolling::room(&config.rolling, self.length());
        let next = self
            .encoder
            .add(batch, row, room, &mut self.gathered)
            .map_err(|e| in_part(e, &self.part.state().name))?;
        self.part.grow((self.gathered.bytes() - before) as u64, (next - row) as u64);
        Ok(next)
    }

    /// About how long the part would be if it were closed now.
    fn length(&self) -> u64 {
        self.part.state().length.saturating_add(self.encoder.held())
    }

    /// Adds what ends the part.
    fn finish(&mut self) -> Result<()> {
        let before = self.gathered.bytes();
        self.encoder.finish(&mut self.gathered).map_err(|e| in_part(e, &self.part.state().name))?;
        self.part.grow((self.gathered.bytes() - before) as u64, 0);
        Ok(())
    }
}

/// Names the part in an error about data.
fn in_part(error: Error, part: &str) -> Error {
    match error {
        Error::Data { origin, offset, reason } => Error::data(format!("{part}: {origin}"), offset, reason),
        other => other,
    }
}

impl<B: FileBatch> FileWriter<B> {
    /// Goes on with one part in each bucket that a checkpoint left open, and closes the others.
    ///
    /// # Errors
    ///
    /// See [`Staging::reopen`] and [`Staging::prepare`].
    pub(crate) async fn open(
        context: WriterContext,
        config: Arc<SinkConfig>,
        mut states: Vec<WriterState>,
    ) -> Result<Self> {
        let env = context.env.clone();
        let buckets = Buckets::new(&config.buckets, config.shuffle);
        let progress = Progress::new(&config, &context);
        let uid = Uid { attempt: context.attempt, subtask: context.subtask };
        let staging = staging(&env, &config, uid);
        staging.prepare().await?;
        let mut writer = Self {
            env,
            config,
            uid,
            counter: 0,
            buckets,
            staging,
            open: BTreeMap::new(),
            writes: 0,
            closing: VecDeque::new(),
            closed: Vec::new(),
            new_names: Vec::new(),
            pending: Vec::new(),
            progress,
        };
        // The shortest has most room left.
        states.sort_by_key(|state| state.length);
        for state in states {
            let reopened = writer.staging.reopen(&context, state, writer.counter).await?;
            writer.counter += 1;
            let Some((body, state)) = reopened else { continue };
            let deadline = rolling::deadline(&writer.config.rolling, &writer.env, state.created_at);
            let room = rolling::room(&writer.config.rolling, state.length);
            let bucket: Arc<str> = naming::split(&state.name).0.into();
            let part = Part::new(body, state, deadline);
            if room == 0 || writer.open.contains_key(&bucket) {
                writer.finish(part, Vec::new());
            } else {
                writer.take_up(bucket, part, true)?;
            }
        }
        Ok(writer)
    }

    /// Rows of this bucket go to this part from now on.
    fn take_up(&mut self, bucket: Arc<str>, part: Part, begun: bool) -> Result<()> {
        let encoder = B::encoder(&self.config.write, begun)?;
        let open = Open { part, encoder, gathered: Gathered::default(), last_write: self.writes };
        self.open.insert(bucket, open);
        Ok(())
    }

    /// Opens the part that the next row of a bucket goes to, unless there is one.
    async fn open_part(&mut self, bucket: &Arc<str>) -> Result<()> {
        if self.open.contains_key(bucket) {
            return Ok(());
        }
        while self.open.len() >= self.config.max_open {
            let oldest = self.open.iter().min_by_key(|(_, open)| open.last_write).map(|(b, _)| b.clone());
            let Some(oldest) = oldest else { break };
            self.close_part(&oldest).await?;
        }
        let name = naming::within(bucket, &self.config.names.part(self.uid, self.counter));
        self.counter += 1;
        let staged = naming::hidden(&name);
        self.new_names.push(staged.clone());
        let body = self.staging.create(&name, &staged).await?;
        let created_at = self.env.clock.now_millis();
        let state = WriterState { staged, name, length: 0, rows: 0, created_at };
        let deadline = rolling::deadline(&self.config.rolling, &self.env, created_at);
        self.take_up(bucket.clone(), Part::new(body, state, deadline), false)
    }

    /// Closes a part: it becomes durable in the background. Cancel-safe, since `idle` calls it.
    async fn close_part(&mut self, bucket: &Arc<str>) -> Result<()> {
        while self.closing.len() >= self.staging.max_closing() {
            self.await_oldest().await?;
        }
        if let Some(open) = self.open.get_mut(bucket) {
            open.part.body().settle().await?;
        }
        if let Some(mut open) = self.open.remove(bucket) {
            open.finish()?;
            let chunks = open.gathered.take();
            self.finish(open.part, chunks);
        }
        Ok(())
    }

    fn finish(&mut self, part: Part, chunks: Vec<Bytes>) {
        match part.finish(chunks) {
            (Finish::Done(staged), closed) => self.closed.push(closed.staged(staged)),
            (Finish::Going(job), closed) => self.closing.push_back((job, closed)),
        }
    }

    async fn await_oldest(&mut self) -> Result<()> {
        if let Some((job, _)) = self.closing.front_mut() {
            let staged = job.done().await;
            let oldest = self.closing.pop_front();
            let staged = staged?;
            self.closed.extend(oldest.map(|(_, closed)| closed.staged(staged)));
        }
        Ok(())
    }

    /// Closes the parts of buckets that have ended, so that nothing of them is missing when that is said.
    async fn close_ended(&mut self) -> Result<()> {
        if self.config.on_finished.is_none() {
            return Ok(());
        }
        let passed = self.progress.passed();
        let rules = &self.config.buckets;
        let has_ended = |bucket: &str| rules.end_of(bucket).is_some_and(|end| end <= passed);
        let ended: Vec<_> = self.open.keys().filter(|bucket| has_ended(bucket)).cloned().collect();
        for bucket in ended {
            self.close_part(&bucket).await?;
        }
        Ok(())
    }

    /// Closes the parts whose age is up. Cancel-safe.
    async fn close_aged(&mut self) -> Result<()> {
        let now = self.env.clock.monotonic();
        let is_up = |open: &Open<B>| open.part.deadline().is_some_and(|deadline| deadline <= now);
        let aged: Vec<_> = self.open.iter().filter(|(_, open)| is_up(open)).map(|(b, _)| b.clone()).collect();
        for bucket in aged {
            self.close_part(&bucket).await?;
        }
        Ok(())
    }

    fn next_deadline(&self) -> Option<Duration> {
        self.open.values().filter_map(|open| open.part.deadline()).min()
    }

    async fn write_to(&mut self, bucket: &Arc<str>, batch: &B) -> Result<()> {
        let rows = batch.rows();
        let mut row = 0;
        while row < rows {
            self.open_part(bucket).await?;
            let Some(open) = self.open.get_mut(bucket) else { continue };
            self.writes += 1;
            open.last_write = self.writes;
            row = open.add(&self.config, batch, row)?;
            if open.length() >= self.config.rolling.size.0 {
                self.close_part(bucket).await?;
            } else if open.gathered.bytes() >= ENOUGH {
                let chunks = open.gathered.take();
                open.part.body().hand_over(chunks).await?;
            }
        }
        Ok(())
    }
}

#[async_trait]
impl<B: FileBatch> SinkWriter<B> for FileWriter<B> {
    async fn write(&mut self, batch: Batch<B>) -> Result<()> {
        self.close_aged().await?;
        let now = self.env.clock.now_millis();
        for (bucket, batch) in self.buckets.deal(batch, now)? {
            self.write_to(&bucket, &batch.rows).await?;
        }
        Ok(())
    }

    async fn watermark(&mut self, millis: i64) -> Result<()> {
        self.progress.watermark(millis);
        Ok(())
    }

    async fn flush(&mut self, why: Flush) -> Result<()> {
        self.progress.flush(why, self.env.clock.now_millis());
        let mut in_place = Vec::new();
        if self.config.rolling.on_checkpoint || why != Flush::Checkpoint {
            let all: Vec<_> = self.open.keys().cloned().collect();
            for bucket in all {
                self.close_part(&bucket).await?;
            }
        } else {
            self.close_aged().await?;
            self.close_ended().await?;
            for open in self.open.values_mut() {
                open.part.body().settle().await?;
                in_place.extend(open.part.body().sync(open.gathered.take())?);
            }
        }
        while !self.closing.is_empty() {
            self.await_oldest().await?;
        }
        for mut job in in_place {
            job.done().await?;
        }
        if !self.new_names.is_empty() {
            self.staging.sync_names(self.new_names.iter().cloned().collect()).await?;
            self.new_names.clear();
        }
        self.pending.append(&mut self.closed);
        self.env.crash.hit("file-writer/after-flush");
        Ok(())
    }

    async fn idle(&mut self) -> Result<()> {
        let Some(deadline) = self.next_deadline() else {
            return std::future::pending().await;
        };
        let now = self.env.clock.monotonic();
        if now < deadline {
            self.env.clock.sleep(deadline - now).await;
        }
        self.close_aged().await
    }

    /// Waits for work under way, so that nothing is written or made after it returned. What is not in a checkpoint is left
    /// for the sweep of the next attempt.
    async fn close(&mut self) -> Result<()> {
        let mut closed = Ok(());
        for (_, mut open) in std::mem::take(&mut self.open) {
            closed = closed.and(open.part.body().stop().await);
        }
        while !self.closing.is_empty() {
            closed = closed.and(self.await_oldest().await);
        }
        closed
    }
}

impl<B: FileBatch> StatefulWriter<B> for FileWriter<B> {
    type State = WriterState;

    fn snapshot(&mut self, at: Checkpoint) -> Result<Vec<WriterState>> {
        if at.savepoint && !self.open.is_empty() {
            return Err(Error::contract("host", "took a savepoint without flushing the file writer for one"));
        }
        self.env.crash.hit("file-writer/snapshot");
        Ok(self.open.values().map(|open| open.part.state().clone()).collect())
    }
}

#[async_trait]
impl<B: FileBatch> CommittingWriter<B> for FileWriter<B> {
    type Committable = FileCommittable;

    async fn prepare_commit(&mut self) -> Result<Vec<FileCommittable>> {
        self.env.crash.hit("file-writer/before-prepare");
        let files = std::mem::take(&mut self.pending).into_iter().map(FileCommittable::File);
        let mark = self.config.on_finished.is_some().then(|| FileCommittable::Mark(self.progress.mark()));
        Ok(files.chain(mark).collect())
    }
}
