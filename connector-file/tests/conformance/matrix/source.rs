//! The source: one file for each split of the test data, each read in several pieces.

use std::path::Path;

use async_trait::async_trait;
use connector_api::Result;
use connector_api::env::Environment;
use connector_api::source::{BoxSource, erase};
use connector_file::source::{CRASH_POINTS, FileSource, SourceOptions};
use testkit::context::Faults;
use testkit::crash::CrashTable;
use testkit::meter::Meter;
use testkit::{Capabilities, Capability, SourceContext, TestRow};

use super::place::handed;
use super::{Looks, Place, README};

/// A source of a format in a place.
pub(crate) struct Sources<L>(pub(crate) L, pub(crate) Box<dyn Place>);

#[async_trait]
impl<L: Looks> SourceContext for Sources<L> {
    type Batch = L::Batch;

    fn capabilities(&self) -> Capabilities {
        let bounded = Capabilities::of([Capability::Bounded]);
        if self.1.store().is_some() { bounded } else { bounded.with(Capability::Files) }
    }

    fn source(&self, _: &Environment) -> Result<BoxSource<L::Batch>> {
        let options = self.0.source(SourceOptions::lines(self.1.dir("in")));
        Ok(erase(match self.1.store() {
            None => FileSource::<L::Batch>::new(&options, Path::new("/"))?,
            Some(store) => FileSource::<L::Batch>::on(handed(store), &options)?,
        }))
    }

    async fn append(&mut self, env: &Environment, split: u32, rows: &[TestRow]) -> Result<()> {
        let path = format!("{}/{split}{}", self.1.dir("in"), self.0.ending());
        let content = self.0.added(self.1.read(env, &path).await?, rows)?;
        self.1.write(env, &path, content).await
    }

    fn faults(&mut self) -> Option<&mut dyn Faults> {
        if self.1.store().is_some() { Some(self) } else { None }
    }

    fn crash_points(&self) -> Option<CrashTable> {
        let reader = ["split-reader/before-open", "split-reader/after-fetch"];
        let disposes = |point: &&str| point.starts_with("file-disposal/");
        let reached = CRASH_POINTS.iter().copied().filter(|point| !disposes(point)).chain(reader).collect();
        Some(CrashTable { readme: README, reached })
    }

    fn bytes_read(&self, meter: &Meter) -> u64 {
        self.1.store().map_or_else(|| meter.bytes_read(), |store| store.bytes_read())
    }
}

#[async_trait]
impl<L: Looks> Faults for Sources<L> {
    async fn break_system(&mut self, _: &Environment) -> Result<()> {
        self.1.store().into_iter().for_each(|store| store.set_broken(true));
        Ok(())
    }

    async fn heal(&mut self, _: &Environment) -> Result<()> {
        self.1.store().into_iter().for_each(|store| store.set_broken(false));
        Ok(())
    }
}
