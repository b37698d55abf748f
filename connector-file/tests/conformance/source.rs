//! The source of lines: one file per split of the test data, each read in several pieces; or one file for each time that
//! rows are appended, as they come to a directory that is watched.

use std::path::Path;
use std::time::Duration;

use async_trait::async_trait;
use connector_api::env::Environment;
use connector_api::factory::{ByteSize, Span};
use connector_api::source::{BoxSource, erase};
use connector_api::{Error, MessageBatch, Result};
use connector_file::source::{AfterRead, CRASH_POINTS, FileSource, SourceOptions};
use testkit::crash::CrashTable;
use testkit::{Capabilities, Capability, SourceContext, TestRow, files};

/// A source of lines.
pub(crate) struct FileSourceContext {
    continuous: bool,
    after: Option<&'static str>,
    /// How many times rows were appended.
    appended: u32,
}

impl FileSourceContext {
    /// One that lists once.
    pub(crate) fn bounded(after: Option<&'static str>) -> Self {
        Self { continuous: false, after, appended: 0 }
    }

    /// One that goes on.
    pub(crate) fn continuous(after: Option<&'static str>) -> Self {
        Self { continuous: true, ..Self::bounded(after) }
    }
}

#[async_trait]
impl SourceContext for FileSourceContext {
    type Batch = MessageBatch;

    fn capabilities(&self) -> Capabilities {
        let ends = if self.continuous {
            Capabilities::of([Capability::Unbounded, Capability::Discovery])
        } else {
            Capabilities::of([Capability::Bounded])
        };
        ends.with(Capability::Files)
    }

    fn source(&self, _: &Environment) -> Result<BoxSource<MessageBatch>> {
        let after = self.after.map(|after| AfterRead::try_from(after.to_owned()));
        let options = SourceOptions {
            split_size: ByteSize(150),
            discovery_interval: self.continuous.then_some(Span(Duration::from_millis(20))),
            after_read: after.transpose().map_err(|reason| Error::config("after_read", reason))?,
            ..SourceOptions::lines("/in")
        };
        Ok(erase(FileSource::new(&options, Path::new("/"))?))
    }

    async fn append(&mut self, env: &Environment, split: u32, rows: &[TestRow]) -> Result<()> {
        let lines: String = rows.iter().map(|row| format!("{}\n", row.text)).collect();
        let name = if self.continuous { format!("{split}-{}", self.appended) } else { split.to_string() };
        self.appended += 1;
        files::append(&*env.fs, Path::new(&format!("/in/{name}.txt")), lines.as_bytes())
    }

    fn crash_points(&self) -> Option<CrashTable> {
        let reader = ["split-reader/before-open", "split-reader/after-fetch"];
        let disposes = |point: &&str| self.after.is_some() || !point.starts_with("file-disposal/");
        let reached = CRASH_POINTS.iter().copied().filter(disposes).chain(reader).collect();
        Some(CrashTable { readme: include_str!("../../README.md"), reached })
    }
}
