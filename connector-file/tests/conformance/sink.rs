//! The sink of lines.

use std::path::{Path, PathBuf};

use async_trait::async_trait;
use connector_api::env::Environment;
use connector_api::factory::ByteSize;
use connector_api::sink::Sink;
use connector_api::{Error, MessageBatch, Result};
use connector_file::sink::{BucketOptions, CRASH_POINTS, Compaction, FileSink, Merge, Rolling, SinkOptions};
use testkit::context::Expiry;
use testkit::crash::CrashTable;
use testkit::{Capabilities, Capability, SinkContext, files};

use crate::matrix::{README, is_of_objects};

const OUT: &str = "/out";

pub(crate) struct FileSinkContext {
    pub(crate) on_checkpoint: bool,
    pub(crate) compacted: bool,
    /// In buckets of a minute of the time of writing, one writer for each. They are not marked when they are finished: that
    /// passes committables that stand for nothing staged, which the rules of committers don't know.
    pub(crate) bucketed: bool,
}

const MERGE: Compaction =
    Compaction::Merge(Merge { checkpoints: 2, size: Some(ByteSize(300)), keep_size: None, rate: None });

impl FileSinkContext {
    fn with(&self, compaction: Option<Compaction>) -> Result<Box<dyn Sink<MessageBatch>>> {
        let rolling = Rolling { size: ByteSize(80), age: None, on_checkpoint: self.on_checkpoint };
        let mut options = SinkOptions { rolling, compaction, ..SinkOptions::lines(OUT) };
        if self.bucketed {
            options.buckets = BucketOptions::processing_time("%F/%H-%M");
            options.shuffle_by_bucket = true;
        }
        Ok(Box::new(FileSink::new(&options, Path::new("/"))?))
    }
}

fn is_hidden(name: &Path) -> bool {
    name.file_name().is_some_and(|name| name.to_string_lossy().starts_with('.'))
}

/// The files below the directory but the marks of finished buckets.
fn all_files(env: &Environment) -> Result<Vec<PathBuf>> {
    let (mut left, mut found) = (vec![PathBuf::from(OUT)], Vec::new());
    while let Some(dir) = left.pop() {
        let entries = match env.fs.list(&dir) {
            Err(e) if e.kind() == std::io::ErrorKind::NotFound => continue,
            entries => entries.map_err(Error::io("list", &dir))?,
        };
        for entry in entries {
            let path = dir.join(&entry.name);
            match entry.is_dir {
                true => left.push(path),
                false if entry.name.to_string_lossy().starts_with('_') => {}
                false => found.push(path),
            }
        }
    }
    found.sort_unstable();
    Ok(found)
}

#[async_trait]
impl SinkContext for FileSinkContext {
    type Batch = MessageBatch;

    fn capabilities(&self) -> Capabilities {
        Capabilities::of([Capability::Files])
    }

    fn sink(&self, _: &Environment) -> Result<Box<dyn Sink<MessageBatch>>> {
        self.with(self.compacted.then_some(MERGE))
    }

    fn variants(&self, _: &Environment) -> Result<Vec<Box<dyn Sink<MessageBatch>>>> {
        let mut all = Vec::new();
        for compaction in [None, Some(MERGE), Some(Compaction::Drain)] {
            all.push(self.with(compaction)?);
        }
        Ok(all)
    }

    async fn visible(&mut self, env: &Environment) -> Result<Vec<String>> {
        let mut rows = Vec::new();
        for path in all_files(env)?.iter().filter(|path| !is_hidden(path)) {
            let content = files::read(&*env.fs, path)?;
            rows.extend(String::from_utf8_lossy(&content).lines().map(str::to_owned));
        }
        Ok(rows)
    }

    async fn lingering(&mut self, env: &Environment) -> Result<Vec<String>> {
        let hidden = all_files(env)?.into_iter().filter(|path| is_hidden(path));
        Ok(hidden.map(|path| path.to_string_lossy().into_owned()).collect())
    }

    fn expiry(&mut self) -> Option<&mut dyn Expiry> {
        Some(self)
    }

    fn crash_points(&self) -> Option<CrashTable> {
        let compacts = |point: &&str| point.starts_with("file-compact") || point.contains("delete");
        let cuts = |point: &&str| *point == "file-writer/after-cut";
        let points = CRASH_POINTS.iter().copied().filter(|point| !is_of_objects(point));
        let points = points.filter(|point| self.compacted || !compacts(point));
        let points = points.filter(|point| !point.starts_with("file-bucket"));
        let reached = points.filter(|point| !self.on_checkpoint || !cuts(point)).collect();
        Some(CrashTable { readme: README, reached })
    }
}

#[async_trait]
impl Expiry for FileSinkContext {
    async fn expire(&mut self, env: &Environment) -> Result<()> {
        for path in all_files(env)?.into_iter().filter(|path| is_hidden(path)) {
            env.fs.remove_file(&path).map_err(Error::io("remove", &path))?;
            let dir = path.parent().unwrap_or(Path::new(OUT));
            env.fs.sync_dir(dir).map_err(Error::io("sync", dir))?;
        }
        Ok(())
    }
}
