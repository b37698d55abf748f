//! The source and the sink of lines over an object store in memory.

use std::sync::Arc;

use async_trait::async_trait;
use bytes::Bytes;
use connector_api::env::Environment;
use connector_api::factory::ByteSize;
use connector_api::sink::Sink;
use connector_api::source::{BoxSource, erase};
use connector_api::{Error, MessageBatch, Result};
use connector_file::place::UploadOptions;
use connector_file::sink::{CRASH_POINTS, Compaction, FileSink, Merge, Rolling, SinkOptions};
use connector_file::source::{self, FileSource, SourceOptions};
use object_store::multipart::MultipartStore;
use object_store::path::Path as Key;
use object_store::{ObjectStoreExt, PutPayload};
use testkit::context::{Expiry, Faults};
use testkit::crash::CrashTable;
use testkit::meter::Meter;
use testkit::{Capabilities, Capability, SinkContext, SourceContext, TestRow};

use super::store::TestStore;

const README: &str = include_str!("../../README.md");

fn failed(e: object_store::Error) -> Error {
    Error::data("the test's store", None, e.to_string())
}

#[derive(Default)]
pub(crate) struct ObjectSinkContext {
    pub(crate) store: TestStore,
    pub(crate) compacted: bool,
}

/// Parts of the writers are below it, so that some are merged, and some merges are larger than one part of an upload.
const MERGE: Compaction =
    Compaction::Merge(Merge { checkpoints: 2, size: Some(ByteSize(300)), keep_size: None, rate: None });

impl ObjectSinkContext {
    fn with(&self, compaction: Option<Compaction>) -> Result<Box<dyn Sink<MessageBatch>>> {
        let rolling = Rolling { size: ByteSize(80), ..Rolling::default() };
        let upload = Some(UploadOptions { part_size: ByteSize(48), max_uploads: 2 });
        let options = SinkOptions { rolling, compaction, upload, ..SinkOptions::lines("out") };
        Ok(Box::new(FileSink::on(Arc::new(self.store.clone()), &options)?))
    }
}

fn is_hidden(name: &str) -> bool {
    name.starts_with('.')
}

#[async_trait]
impl SinkContext for ObjectSinkContext {
    type Batch = MessageBatch;

    fn capabilities(&self) -> Capabilities {
        Capabilities::default()
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

    async fn visible(&mut self, _: &Environment) -> Result<Vec<String>> {
        let mut rows = Vec::new();
        for name in self.store.names("out").await.iter().filter(|name| !is_hidden(name)) {
            let content = self.store.content(&format!("out/{name}")).await;
            rows.extend(String::from_utf8_lossy(&content).lines().map(str::to_owned));
        }
        Ok(rows)
    }

    async fn lingering(&mut self, _: &Environment) -> Result<Vec<String>> {
        let hidden = self.store.names("out").await.into_iter().filter(|name| is_hidden(name));
        let uploads = self.store.memory.uploads().into_iter();
        Ok(hidden.chain(uploads.map(|(id, key)| format!("upload {id} of {key}"))).collect())
    }

    fn faults(&mut self) -> Option<&mut dyn Faults> {
        Some(self)
    }

    fn expiry(&mut self) -> Option<&mut dyn Expiry> {
        Some(self)
    }

    fn crash_points(&self) -> Option<CrashTable> {
        let files = [
            "file-writer/after-create",
            "file-writer/before-write",
            "file-writer/after-write",
            "file-writer/before-sync",
            "file-writer/after-sync",
            "file-writer/before-sync-dir",
            "file-writer/after-cut",
            "file-compactor/after-sync",
            "file-committer/before-rename",
            "file-committer/after-rename",
            "file-committer/after-sync",
            "file-sweep/before-sync",
        ];
        let compacts = |point: &&str| point.starts_with("file-compact") || point.ends_with("-copy");
        let points = CRASH_POINTS.iter().copied().filter(|point| !files.contains(point));
        let points = points.filter(|point| !point.starts_with("file-bucket"));
        let reached = points.filter(|point| self.compacted || !compacts(point)).collect();
        Some(CrashTable { readme: README, reached })
    }
}

#[async_trait]
impl Faults for ObjectSinkContext {
    async fn break_system(&mut self, _: &Environment) -> Result<()> {
        self.store.set_broken(true);
        Ok(())
    }

    async fn heal(&mut self, _: &Environment) -> Result<()> {
        self.store.set_broken(false);
        Ok(())
    }
}

#[async_trait]
impl Expiry for ObjectSinkContext {
    async fn expire(&mut self, _: &Environment) -> Result<()> {
        let memory = &self.store.memory;
        for (id, key) in memory.uploads() {
            memory.abort_multipart(&key, &id).await.map_err(failed)?;
        }
        for name in self.store.names("out").await.iter().filter(|name| is_hidden(name)) {
            memory.delete(&Key::from(format!("out/{name}"))).await.map_err(failed)?;
        }
        Ok(())
    }
}

#[derive(Default)]
pub(crate) struct ObjectSourceContext {
    store: TestStore,
}

#[async_trait]
impl SourceContext for ObjectSourceContext {
    type Batch = MessageBatch;

    fn capabilities(&self) -> Capabilities {
        Capabilities::of([Capability::Bounded])
    }

    fn source(&self, _: &Environment) -> Result<BoxSource<MessageBatch>> {
        let options = SourceOptions { split_size: ByteSize(150), ..SourceOptions::lines("in") };
        Ok(erase(FileSource::on(Arc::new(self.store.clone()), &options)?))
    }

    async fn append(&mut self, _: &Environment, split: u32, rows: &[TestRow]) -> Result<()> {
        let name = format!("in/{split}.txt");
        let mut content = self.store.content(&name).await;
        rows.iter().for_each(|row| content.extend(format!("{}\n", row.text).bytes()));
        let content = PutPayload::from_bytes(Bytes::from(content));
        self.store.memory.put(&Key::from(name), content).await.map(drop).map_err(failed)
    }

    fn faults(&mut self) -> Option<&mut dyn Faults> {
        Some(self)
    }

    fn crash_points(&self) -> Option<CrashTable> {
        let reader = ["split-reader/before-open", "split-reader/after-fetch"];
        let points = source::CRASH_POINTS.iter().copied();
        let reached = points.filter(|point| !point.starts_with("file-disposal")).chain(reader).collect();
        Some(CrashTable { readme: README, reached })
    }

    fn bytes_read(&self, _: &Meter) -> u64 {
        self.store.bytes_read()
    }
}

#[async_trait]
impl Faults for ObjectSourceContext {
    async fn break_system(&mut self, _: &Environment) -> Result<()> {
        self.store.set_broken(true);
        Ok(())
    }

    async fn heal(&mut self, _: &Environment) -> Result<()> {
        self.store.set_broken(false);
        Ok(())
    }
}
