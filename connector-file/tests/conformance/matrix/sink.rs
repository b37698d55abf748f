//! The sink, with and without compaction.

use std::path::Path;

use async_trait::async_trait;
use connector_api::Result;
use connector_api::env::Environment;
use connector_api::factory::ByteSize;
use connector_api::sink::Sink;
use connector_file::place::UploadOptions;
use connector_file::sink::{CRASH_POINTS, Compaction, FileSink, Merge, SinkOptions};
use testkit::context::{Expiry, Faults};
use testkit::crash::CrashTable;
use testkit::{Capabilities, Capability, SinkContext};

use super::place::handed;
use super::{Looks, Objects, Place, README};

/// Points of local files alone.
const OF_FILES: &[&str] = &[
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

/// Whether a crash point is met with object stores only.
pub(crate) fn is_of_objects(point: &str) -> bool {
    point.starts_with("file-upload")
        || ["-complete", "-copy", "-abort"].iter().any(|end| point.ends_with(end))
}

/// A sink of a format in a place.
pub(crate) struct Sinks<L> {
    pub(crate) looks: L,
    pub(crate) place: Box<dyn Place>,
    pub(crate) compacted: bool,
}

impl<L: Looks> Sinks<L> {
    fn merge(&self) -> Compaction {
        let size = Some(ByteSize(self.looks.merged_bytes()));
        Compaction::Merge(Merge { checkpoints: 2, size, keep_size: None, rate: None })
    }

    fn with(&self, compaction: Option<Compaction>) -> Result<Box<dyn Sink<L::Batch>>> {
        let lines = SinkOptions { compaction, ..SinkOptions::lines(self.place.dir("out")) };
        let options = self.looks.sink(lines);
        Ok(Box::new(match self.place.store() {
            None => FileSink::<L::Batch>::new(&options, Path::new("/"))?,
            Some(store) => {
                let part_size = ByteSize(self.looks.piece_bytes());
                let upload = Some(UploadOptions { part_size, max_uploads: 2 });
                FileSink::<L::Batch>::on(handed(store), &SinkOptions { upload, ..options })?
            }
        }))
    }

    async fn names(&self, env: &Environment, hidden: bool) -> Result<Vec<String>> {
        let names = self.place.names(env, &self.place.dir("out")).await?;
        Ok(names.into_iter().filter(|name| name.starts_with('.') == hidden).collect())
    }

    fn path(&self, name: &str) -> String {
        format!("{}/{name}", self.place.dir("out"))
    }
}

#[async_trait]
impl<L: Looks> SinkContext for Sinks<L> {
    type Batch = L::Batch;

    fn capabilities(&self) -> Capabilities {
        let none = Capabilities::default();
        if self.place.store().is_some() { none } else { none.with(Capability::Files) }
    }

    fn sink(&self, _: &Environment) -> Result<Box<dyn Sink<L::Batch>>> {
        self.with(self.compacted.then(|| self.merge()))
    }

    fn variants(&self, _: &Environment) -> Result<Vec<Box<dyn Sink<L::Batch>>>> {
        let all = [None, Some(self.merge()), Some(Compaction::Drain)];
        all.map(|compaction| self.with(compaction)).into_iter().collect()
    }

    async fn visible(&mut self, env: &Environment) -> Result<Vec<String>> {
        let mut texts = Vec::new();
        for name in self.names(env, false).await? {
            texts.extend(self.looks.texts(&self.place.read(env, &self.path(&name)).await?)?);
        }
        Ok(texts)
    }

    async fn lingering(&mut self, env: &Environment) -> Result<Vec<String>> {
        let mut all = self.names(env, true).await?;
        let uploads = self.place.store().map(|store| store.uploads()).unwrap_or_default();
        all.extend(uploads.into_iter().map(|(id, key)| format!("upload {id} of {key}")));
        Ok(all)
    }

    fn faults(&mut self) -> Option<&mut dyn Faults> {
        if self.place.store().is_some() { Some(self) } else { None }
    }

    fn expiry(&mut self) -> Option<&mut dyn Expiry> {
        Some(self)
    }

    fn crash_points(&self) -> Option<CrashTable> {
        let on_objects = self.place.store().is_some();
        let is_of_here = |point: &&str| match on_objects {
            true => !OF_FILES.contains(point),
            false => !is_of_objects(point) && *point != "file-writer/after-cut",
        };
        let compacts = |point: &&str| {
            point.starts_with("file-compact")
                || if on_objects { point.ends_with("-copy") } else { point.contains("delete") }
        };
        let points = CRASH_POINTS.iter().copied().filter(|point| !point.starts_with("file-bucket"));
        let points = points.filter(is_of_here).filter(|point| self.compacted || !compacts(point));
        Some(CrashTable { readme: README, reached: points.collect() })
    }
}

#[async_trait]
impl<L: Looks> Faults for Sinks<L> {
    async fn break_system(&mut self, _: &Environment) -> Result<()> {
        self.place.store().into_iter().for_each(|store| store.set_broken(true));
        Ok(())
    }

    async fn heal(&mut self, _: &Environment) -> Result<()> {
        self.place.store().into_iter().for_each(|store| store.set_broken(false));
        Ok(())
    }
}

#[async_trait]
impl<L: Looks> Expiry for Sinks<L> {
    async fn expire(&mut self, env: &Environment) -> Result<()> {
        if let Some(store) = self.place.store() {
            Objects::abort_uploads(store).await?;
        }
        for name in self.names(env, true).await? {
            self.place.remove(env, &self.path(&name)).await?;
        }
        Ok(())
    }
}
