//! The sink of lines.

use std::path::Path;

use async_trait::async_trait;
use connector_api::env::Environment;
use connector_api::factory::ByteSize;
use connector_api::sink::Sink;
use connector_api::{Error, MessageBatch, Result};
use connector_file::sink::{CRASH_POINTS, Compaction, FileSink, Merge, Rolling, SinkOptions};
use testkit::context::Expiry;
use testkit::crash::CrashTable;
use testkit::{Capabilities, Capability, SinkContext, files};

const OUT: &str = "/out";

pub(crate) struct FileSinkContext {
    pub(crate) on_checkpoint: bool,
    pub(crate) compacted: bool,
}

const MERGE: Compaction =
    Compaction::Merge(Merge { checkpoints: 2, size: Some(ByteSize(300)), keep_size: None, rate: None });

impl FileSinkContext {
    fn with(&self, compaction: Option<Compaction>) -> Result<Box<dyn Sink<MessageBatch>>> {
        let rolling = Rolling { size: ByteSize(80), age: None, on_checkpoint: self.on_checkpoint };
        let options = SinkOptions { rolling, compaction, ..SinkOptions::lines(OUT) };
        Ok(Box::new(FileSink::new(&options, Path::new("/"))?))
    }
}

fn is_hidden(name: &str) -> bool {
    name.starts_with('.')
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
        [None, Some(MERGE), Some(Compaction::Drain)]
            .map(|compaction| self.with(compaction))
            .into_iter()
            .collect()
    }

    async fn visible(&mut self, env: &Environment) -> Result<Vec<String>> {
        let mut rows = Vec::new();
        for name in files::names(&*env.fs, Path::new(OUT))?.iter().filter(|name| !is_hidden(name)) {
            let content = files::read(&*env.fs, &Path::new(OUT).join(name))?;
            rows.extend(String::from_utf8_lossy(&content).lines().map(str::to_owned));
        }
        Ok(rows)
    }

    async fn lingering(&mut self, env: &Environment) -> Result<Vec<String>> {
        Ok(files::names(&*env.fs, Path::new(OUT))?.into_iter().filter(|name| is_hidden(name)).collect())
    }

    fn expiry(&mut self) -> Option<&mut dyn Expiry> {
        Some(self)
    }

    fn crash_points(&self) -> Option<CrashTable> {
        let compacts = |point: &&str| point.starts_with("file-compact") || point.contains("delete");
        let cuts = |point: &&str| *point == "file-writer/after-cut";
        let points = CRASH_POINTS.iter().copied();
        let points = points.filter(|point| self.compacted || !compacts(point));
        let reached = points.filter(|point| !self.on_checkpoint || !cuts(point)).collect();
        Some(CrashTable { readme: include_str!("../../README.md"), reached })
    }
}

#[async_trait]
impl Expiry for FileSinkContext {
    async fn expire(&mut self, env: &Environment) -> Result<()> {
        for name in self.lingering(env).await? {
            let path = Path::new(OUT).join(name);
            env.fs.remove_file(&path).map_err(Error::io("remove", &path))?;
        }
        env.fs.sync_dir(Path::new(OUT)).map_err(Error::io("sync", Path::new(OUT)))
    }
}
