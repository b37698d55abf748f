//! A sink of files: a part is a hidden file, and its commit takes the dot off its name.

use std::io::ErrorKind;
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, PoisonError};

use async_trait::async_trait;
use connector_api::env::{Access, Environment, File, Rename};
use connector_api::sink::{
    CommitRequest, Committer, CommittingWriter, Each, Flush, OperatorContext, Outcome, Proof, References,
    Sink, SinkPlan, SinkWriter, SweepOrphans, WriterContext,
};
use connector_api::{Batch, Error, Result, stored};
use serde::{Deserialize, Serialize};

use crate::capability::{Capabilities, Capability};
use crate::context::SinkContext;
use crate::crash::CrashTable;
use crate::files;
use crate::rows::TestBatch;

const DIR: &str = "/shelf";
const CRASH_TABLE: &str = "\
| point | what is seen |
|---|---|
| `shelf-writer/before-sync` | nothing |
| `shelf-committer/before-rename` | the parts of the batch that come before it |
| `shelf-committer/after-rename` | the part |
";
const CRASH_POINTS: [&str; 3] =
    ["shelf-writer/before-sync", "shelf-committer/before-rename", "shelf-committer/after-rename"];

/// What makes the shelf break a rule.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
#[non_exhaustive]
pub enum ShelfFlaw {
    /// It breaks none.
    #[default]
    None,
    /// W-1: a part is not synced.
    PartsNotSynced,
    /// W-1: the names of new parts are not synced.
    NamesNotSynced,
    /// C-3: the new name of a committed part is not synced.
    CommitsNotSynced,
    /// C-3: a part that is found visible counts as durable.
    TrustsTheName,
    /// W-10: each writer leaves a file open.
    LeavesOpen,
}

/// The shelf under test.
#[derive(Clone, Debug, Default)]
pub struct ShelfContext {
    flaw: ShelfFlaw,
    /// What [`ShelfFlaw::LeavesOpen`] leaves open.
    left_open: Arc<Mutex<Vec<Box<dyn File>>>>,
}

impl ShelfContext {
    /// A shelf with a flaw.
    pub fn new(flaw: ShelfFlaw) -> Self {
        Self { flaw, ..Self::default() }
    }

    fn sync_names(&self, env: &Environment) -> Result<()> {
        env.fs.sync_dir(Path::new(DIR)).map_err(Error::io("sync", Path::new(DIR)))
    }
}

#[async_trait]
impl SinkContext for ShelfContext {
    type Batch = Vec<String>;

    fn capabilities(&self) -> Capabilities {
        Capabilities::of([Capability::Files])
    }

    fn sink(&self, _: &Environment) -> Result<Box<dyn Sink<Vec<String>>>> {
        Ok(Box::new(self.clone()))
    }

    async fn visible(&mut self, env: &Environment) -> Result<Vec<String>> {
        let mut rows = Vec::new();
        for name in files::names(&*env.fs, Path::new(DIR))?.iter().filter(|name| !name.starts_with('.')) {
            let content = files::read(&*env.fs, &Path::new(DIR).join(name))?;
            rows.extend(String::from_utf8_lossy(&content).lines().map(str::to_owned));
        }
        Ok(rows)
    }

    async fn lingering(&mut self, env: &Environment) -> Result<Vec<String>> {
        Ok(files::names(&*env.fs, Path::new(DIR))?.into_iter().filter(|name| name.starts_with('.')).collect())
    }

    fn crash_points(&self) -> Option<CrashTable> {
        Some(CrashTable { readme: CRASH_TABLE, reached: CRASH_POINTS.into() })
    }
}

/// A hidden file, by its name without the dot.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
struct Part(String);
stored!(Part, "shelf-part");

impl Part {
    fn hidden(&self) -> PathBuf {
        Path::new(DIR).join(format!(".{}", self.0))
    }

    fn shown(&self) -> PathBuf {
        Path::new(DIR).join(&self.0)
    }
}

impl<B: TestBatch> Sink<B> for ShelfContext {
    fn plan(&self) -> Result<SinkPlan<B>> {
        let shelf = self.clone();
        let open = move |context| {
            let writer =
                Writer { shelf: shelf.clone(), context, counter: 0, rows: String::new(), closed: Vec::new() };
            async move { writer.make_dir() }
        };
        let shelf = self.clone();
        let commit = move |context: OperatorContext| {
            let commits = Commits { shelf: shelf.clone(), env: context.env };
            async move { Ok(Each(commits)) }
        };
        Ok(SinkPlan::writer(open).committer(commit).sweep(Sweep))
    }
}

struct Writer {
    shelf: ShelfContext,
    context: WriterContext,
    counter: u64,
    rows: String,
    closed: Vec<Part>,
}

impl Writer {
    fn make_dir(self) -> Result<Self> {
        let (fs, root) = (&self.context.env.fs, Path::new("/"));
        fs.create_dir_all(Path::new(DIR)).map_err(Error::io("make", Path::new(DIR)))?;
        fs.sync_dir(root).map_err(Error::io("sync", root))?;
        Ok(self)
    }
}

#[async_trait]
impl<B: TestBatch> SinkWriter<B> for Writer {
    async fn write(&mut self, batch: Batch<B>) -> Result<()> {
        for text in batch.rows.texts()? {
            self.rows += &text;
            self.rows.push('\n');
        }
        Ok(())
    }

    async fn flush(&mut self, _: Flush) -> Result<()> {
        if self.rows.is_empty() {
            return Ok(());
        }
        self.counter += 1;
        let WriterContext { env, attempt, subtask, .. } = &self.context;
        let part = Part(format!("{attempt}-{subtask}-{}", self.counter));
        let path = part.hidden();
        let file = env.fs.open(&path, Access::CreateNew).map_err(Error::io("make", &path))?;
        file.write_all_at(self.rows.as_bytes(), 0).map_err(Error::io("write", &path))?;
        env.crash.hit("shelf-writer/before-sync");
        if self.shelf.flaw != ShelfFlaw::PartsNotSynced {
            file.sync_all().map_err(Error::io("sync", &path))?;
        }
        if self.shelf.flaw != ShelfFlaw::NamesNotSynced {
            self.shelf.sync_names(env)?;
        }
        if self.shelf.flaw == ShelfFlaw::LeavesOpen {
            self.shelf.left_open.lock().unwrap_or_else(PoisonError::into_inner).push(file);
        }
        self.rows.clear();
        self.closed.push(part);
        Ok(())
    }
}

#[async_trait]
impl<B: TestBatch> CommittingWriter<B> for Writer {
    type Committable = Part;

    async fn prepare_commit(&mut self) -> Result<Vec<Part>> {
        Ok(std::mem::take(&mut self.closed))
    }
}

struct Commits {
    shelf: ShelfContext,
    env: Environment,
}

impl Commits {
    fn publish(&self, part: &Part) -> Result<Outcome<Part>> {
        let (hidden, shown) = (part.hidden(), part.shown());
        self.env.crash.hit("shelf-committer/before-rename");
        let outcome = match self.env.fs.rename(&hidden, &shown, Rename::NoReplace) {
            Ok(()) => Outcome::Committed,
            Err(e) if e.kind() == ErrorKind::NotFound => match self.env.fs.metadata(&shown) {
                Ok(_) => Outcome::AlreadyCommitted { proof: Proof::Published },
                Err(e) if e.kind() == ErrorKind::NotFound => {
                    return Ok(Outcome::Lost { reason: format!("{} is gone", hidden.display()) });
                }
                Err(e) => return Err(Error::io("look at", &shown)(e)),
            },
            Err(e) => return Err(Error::io("show", &hidden)(e)),
        };
        self.env.crash.hit("shelf-committer/after-rename");
        let trusts = matches!(outcome, Outcome::AlreadyCommitted { .. })
            && self.shelf.flaw == ShelfFlaw::TrustsTheName;
        if !trusts && self.shelf.flaw != ShelfFlaw::CommitsNotSynced {
            self.shelf.sync_names(&self.env)?;
        }
        Ok(outcome)
    }
}

#[async_trait]
impl Committer<Part> for Commits {
    async fn commit(&mut self, request: &CommitRequest<Part>) -> Outcome<Part> {
        match self.publish(&request.committable) {
            Ok(outcome) => outcome,
            Err(why) if why.is_retryable() => Outcome::Retry { updated: None, after: None, why },
            Err(fatal) => Outcome::Fatal(fatal),
        }
    }
}

struct Sweep;

#[async_trait]
impl SweepOrphans for Sweep {
    async fn sweep(&self, context: WriterContext, references: References) -> Result<u64> {
        let named: Vec<Part> = references.all()?;
        let WriterContext { env, attempt, .. } = context;
        let mut removed = 0;
        for name in files::names(&*env.fs, Path::new(DIR))? {
            let Some(part) = name.strip_prefix('.').map(|name| Part(name.to_owned())) else { continue };
            let ours = part.0.strip_prefix(&format!("{}_", attempt.run));
            let number = ours.and_then(|rest| rest.split_once('-')?.0.parse::<u64>().ok());
            if number.is_some_and(|number| number < attempt.number) && !named.contains(&part) {
                let path = part.hidden();
                env.fs.remove_file(&path).map_err(Error::io("remove", &path))?;
                removed += 1;
            }
        }
        Ok(removed)
    }
}
