//! The source of lines: one file per split of the test data, each read in several pieces.

use std::path::Path;

use async_trait::async_trait;
use connector_api::env::Environment;
use connector_api::factory::ByteSize;
use connector_api::source::{BoxSource, erase};
use connector_api::{MessageBatch, Result};
use connector_file::source::{CRASH_POINTS, FileSource, SourceOptions};
use testkit::crash::CrashTable;
use testkit::{Capabilities, Capability, SourceContext, TestRow, files};

pub(crate) struct FileSourceContext;

#[async_trait]
impl SourceContext for FileSourceContext {
    type Batch = MessageBatch;

    fn capabilities(&self) -> Capabilities {
        Capabilities::of([Capability::Bounded, Capability::Files])
    }

    fn source(&self, _: &Environment) -> Result<BoxSource<MessageBatch>> {
        let options = SourceOptions { split_size: ByteSize(150), ..SourceOptions::lines("/in") };
        Ok(erase(FileSource::new(&options, Path::new("/"))?))
    }

    async fn append(&mut self, env: &Environment, split: u32, rows: &[TestRow]) -> Result<()> {
        let lines: String = rows.iter().map(|row| format!("{}\n", row.text)).collect();
        files::append(&*env.fs, Path::new(&format!("/in/{split}.txt")), lines.as_bytes())
    }

    fn crash_points(&self) -> Option<CrashTable> {
        let reader = ["split-reader/before-open", "split-reader/after-fetch"];
        let reached = CRASH_POINTS.iter().copied().chain(reader).collect();
        Some(CrashTable { readme: include_str!("../../README.md"), reached })
    }
}
