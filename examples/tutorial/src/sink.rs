//! The sink: writes journals that appear when a checkpoint is complete, each as a whole.

use std::io::ErrorKind;
use std::path::{Path, PathBuf};

use async_trait::async_trait;
use connector_api::env::{Access, Environment, Rename};
use connector_api::id::AttemptId;
use connector_api::sink::{
    CommitRequest, Committer, CommittingWriter, Each, Flush, OperatorContext, Outcome, Proof, References,
    Sink, SinkPlan, SinkWriter, SweepOrphans, WriterContext,
};
use connector_api::{Batch, Error, MessageBatch, Result, stored};
use serde::{Deserialize, Serialize};

use crate::record;

/// Where a test lets the process die; the README says what follows.
pub const CRASH_POINTS: [&str; 4] = [
    "journal-writer/staged",
    "journal-committer/before-rename",
    "journal-committer/renamed",
    "journal-sweep/removed",
];

/// What a writer keeps in memory, in bytes; then it stages a journal, also between checkpoints.
const FULL: usize = 8 << 20;

/// A journal that is written to its end and not visible: its name with a dot before it.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Staged {
    /// The name under which it appears.
    pub name: String,
    /// Its length in bytes.
    pub length: u64,
}
stored!(Staged, "tutorial-journal-staged");

/// A sink into a directory of journals.
#[derive(Clone, Debug)]
pub struct JournalSink {
    /// The directory. It is made when it is missing.
    pub dir: PathBuf,
}

impl Sink<MessageBatch> for JournalSink {
    fn plan(&self) -> Result<SinkPlan<MessageBatch>> {
        let (writers, committers, sweeper) = (self.dir.clone(), self.dir.clone(), Sweeper(self.dir.clone()));
        let write = move |context| {
            let dir = writers.clone();
            async move { Ok(JournalWriter { dir, context, count: 0, rows: Vec::new(), staged: Vec::new() }) }
        };
        let commit = move |context| {
            let dir = committers.clone();
            async move { Ok(Each(Publisher { dir, context })) }
        };
        Ok(SinkPlan::writer(write).committer(commit).sweep(sweeper))
    }
}

struct JournalWriter {
    dir: PathBuf,
    context: WriterContext,
    count: u64,
    rows: Vec<u8>,
    staged: Vec<Staged>,
}

impl JournalWriter {
    /// Writes what is in memory to a hidden file, durably.
    async fn stage(&mut self) -> Result<()> {
        if self.rows.is_empty() {
            return Ok(());
        }
        self.count += 1;
        let WriterContext { env, attempt, subtask, .. } = &self.context;
        let name = format!("log-{attempt}-{subtask}-{}.bin", self.count);
        let (rows, dir, fs) = (std::mem::take(&mut self.rows), self.dir.clone(), env.fs.clone());
        let (length, hidden) = (rows.len() as u64, dir.join(format!(".{name}")));
        let stage = move || {
            fs.create_dir_all(&dir).map_err(Error::io("make", &dir))?;
            let file = fs.open(&hidden, Access::CreateNew).map_err(Error::io("create", &hidden))?;
            file.write_all_at(&rows, 0).map_err(Error::io("write", &hidden))?;
            file.sync_all().map_err(Error::io("sync", &hidden))?;
            fs.sync_dir(&dir).map_err(Error::io("sync", &dir))
        };
        env.blocking("stage a journal", stage).await?;
        env.crash.hit("journal-writer/staged");
        self.staged.push(Staged { name, length });
        Ok(())
    }
}

#[async_trait]
impl SinkWriter<MessageBatch> for JournalWriter {
    async fn write(&mut self, batch: Batch<MessageBatch>) -> Result<()> {
        let now = self.context.env.clock.now_millis();
        for (index, row) in batch.rows.iter().enumerate() {
            let millis = batch.timestamps.get(index).copied().unwrap_or(now);
            record::put(&mut self.rows, millis, row.value)?;
        }
        if self.rows.len() < FULL { Ok(()) } else { self.stage().await }
    }

    async fn flush(&mut self, _: Flush) -> Result<()> {
        self.stage().await
    }
}

#[async_trait]
impl CommittingWriter<MessageBatch> for JournalWriter {
    type Committable = Staged;

    async fn prepare_commit(&mut self) -> Result<Vec<Staged>> {
        Ok(std::mem::take(&mut self.staged))
    }
}

struct Publisher {
    dir: PathBuf,
    context: OperatorContext,
}

#[async_trait]
impl Committer<Staged> for Publisher {
    async fn commit(&mut self, request: &CommitRequest<Staged>) -> Outcome<Staged> {
        let (env, dir, staged) = (self.context.env.clone(), self.dir.clone(), request.committable.clone());
        let publish = move || publish(&env, &dir, &staged);
        self.context.env.blocking("publish a journal", publish).await.unwrap_or_else(Outcome::failed)
    }
}

/// Gives the journal its name by one atomic step, unless it has it already.
fn publish(env: &Environment, dir: &Path, Staged { name, length }: &Staged) -> Result<Outcome<Staged>> {
    let is_there = |path: &Path| match env.fs.metadata(path) {
        Ok(found) => Ok(found.len == *length),
        Err(e) if e.kind() == ErrorKind::NotFound => Ok(false),
        Err(e) => Err(Error::io("find", path)(e)),
    };
    let (hidden, visible) = (dir.join(format!(".{name}")), dir.join(name));
    let outcome = if is_there(&hidden)? {
        env.crash.hit("journal-committer/before-rename");
        env.fs.rename(&hidden, &visible, Rename::Replace).map_err(Error::io("publish", &hidden))?;
        env.crash.hit("journal-committer/renamed");
        Outcome::Committed
    } else if is_there(&visible)? {
        Outcome::AlreadyCommitted { proof: Proof::Published }
    } else {
        return Ok(Outcome::Lost { reason: format!("neither {name} nor .{name} holds {length} bytes") });
    };
    // Also for one that was found: whoever renamed it may have died before this.
    env.fs.sync_dir(dir).map_err(Error::io("sync", dir))?;
    Ok(outcome)
}

struct Sweeper(PathBuf);

#[async_trait]
impl SweepOrphans for Sweeper {
    async fn sweep(&self, context: WriterContext, references: References) -> Result<u64> {
        let needed = references.all::<Staged>()?;
        let (env, fs, dir) = (context.env.clone(), context.env.fs.clone(), self.0.clone());
        let sweep = move || {
            fs.create_dir_all(&dir).map_err(Error::io("make", &dir))?;
            let mut swept = 0;
            for entry in fs.list(&dir).map_err(Error::io("list", &dir))? {
                let Some(name) = entry.name.to_str().and_then(|name| name.strip_prefix('.')) else {
                    continue;
                };
                let maker = name.strip_prefix("log-").and_then(|rest| rest.split('-').next());
                let Some(Ok(maker)) = maker.map(str::parse::<AttemptId>) else { continue };
                if maker.is_before(context.attempt) && !needed.iter().any(|staged| staged.name == name) {
                    let path = dir.join(&entry.name);
                    fs.remove_file(&path).map_err(Error::io("remove", &path))?;
                    swept += 1;
                    env.crash.hit("journal-sweep/removed");
                }
            }
            fs.sync_dir(&dir).map_err(Error::io("sync", &dir))?;
            Ok(swept)
        };
        context.env.blocking("sweep journals", sweep).await
    }
}
