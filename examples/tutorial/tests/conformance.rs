//! The suites of testkit over the journals: `cargo test -p tutorial --test conformance`.
#![allow(missing_docs)]

use std::path::{Path, PathBuf};

use async_trait::async_trait;
use connector_api::env::Environment;
use connector_api::factory::ConnectorFactory;
use connector_api::sink::Sink;
use connector_api::source::{BoxSource, erase};
use connector_api::{Error, MessageBatch, Result};
use testkit::context::Expiry;
use testkit::crash::CrashTable;
use testkit::factory::Values;
use testkit::{
    Capabilities, Capability, Example, FactorySubject, SinkContext, SourceContext, Suite, TestRow, files,
};
use tutorial::factory::Journal;
use tutorial::record::{self, HEAD};
use tutorial::sink::{self, JournalSink};
use tutorial::source::JournalSource;

const README: &str = include_str!("../README.md");

struct SourceUnderTest;

#[async_trait]
impl SourceContext for SourceUnderTest {
    type Batch = MessageBatch;

    fn capabilities(&self) -> Capabilities {
        Capabilities::of([Capability::Bounded, Capability::EventTimes, Capability::Files])
    }

    fn source(&self, _: &Environment) -> Result<BoxSource<MessageBatch>> {
        Ok(erase(JournalSource { dir: PathBuf::from("/in") }))
    }

    async fn append(&mut self, env: &Environment, split: u32, rows: &[TestRow]) -> Result<()> {
        let mut journal = Vec::new();
        for TestRow { text, millis } in rows {
            record::put(&mut journal, *millis, Some(text.as_bytes()))?;
        }
        files::append(&*env.fs, Path::new(&format!("/in/log-{split}.bin")), &journal)
    }

    fn crash_points(&self) -> Option<CrashTable> {
        let reached = ["split-reader/before-open", "split-reader/after-fetch"].into();
        Some(CrashTable { readme: README, reached })
    }
}

struct SinkUnderTest;

const OUT: &str = "/out";

#[async_trait]
impl SinkContext for SinkUnderTest {
    type Batch = MessageBatch;

    fn capabilities(&self) -> Capabilities {
        Capabilities::of([Capability::Files])
    }

    fn sink(&self, _: &Environment) -> Result<Box<dyn Sink<MessageBatch>>> {
        Ok(Box::new(JournalSink { dir: PathBuf::from(OUT) }))
    }

    async fn visible(&mut self, env: &Environment) -> Result<Vec<String>> {
        let mut texts = Vec::new();
        for name in files::names(&*env.fs, Path::new(OUT))?.iter().filter(|name| !name.starts_with('.')) {
            let journal = files::read(&*env.fs, &Path::new(OUT).join(name))?;
            let mut rest = &journal[..];
            while let Some((_, length)) = record::first(rest) {
                texts.push(String::from_utf8_lossy(&rest[HEAD..HEAD + length]).into_owned());
                rest = &rest[HEAD + length..];
            }
            if !rest.is_empty() {
                return Err(Error::data(name.as_str(), None, "ends within a record"));
            }
        }
        Ok(texts)
    }

    async fn lingering(&mut self, env: &Environment) -> Result<Vec<String>> {
        Ok(files::names(&*env.fs, Path::new(OUT))?.into_iter().filter(|name| name.starts_with('.')).collect())
    }

    fn expiry(&mut self) -> Option<&mut dyn Expiry> {
        Some(self)
    }

    fn crash_points(&self) -> Option<CrashTable> {
        Some(CrashTable { readme: README, reached: sink::CRASH_POINTS.iter().copied().collect() })
    }
}

#[async_trait]
impl Expiry for SinkUnderTest {
    async fn expire(&mut self, env: &Environment) -> Result<()> {
        for name in self.lingering(env).await? {
            let path = Path::new(OUT).join(name);
            env.fs.remove_file(&path).map_err(Error::io("remove", &path))?;
        }
        Ok(())
    }
}

struct FactoryUnderTest;

/// Options with this directory.
fn dir(dir: &str) -> Values {
    [("dir".to_owned(), dir.into())].into_iter().collect()
}

#[async_trait]
impl FactorySubject for FactoryUnderTest {
    type Batch = MessageBatch;

    fn factory(&self) -> Box<dyn ConnectorFactory<MessageBatch>> {
        Box::new(Journal)
    }

    fn source(&self) -> Option<Example> {
        let (options, elsewhere, unreachable) = (dir("/in"), dir("/others"), dir("/missing"));
        Some(Example { options, elsewhere, unreachable, ..Example::default() })
    }

    fn sink(&self) -> Option<Example> {
        let (options, elsewhere, unreachable) = (dir("/out"), dir("/others"), dir("/in/log-0.bin"));
        Some(Example { options, elsewhere, unreachable, ..Example::default() })
    }

    async fn prepare(&mut self, env: &Environment) -> Result<()> {
        files::append(&*env.fs, Path::new("/in/log-0.bin"), b"")
    }
}

fn main() -> std::process::ExitCode {
    Suite::new("journal")
        .source(|_| SourceUnderTest)
        .sink(|_| SinkUnderTest)
        .factory(|_| FactoryUnderTest)
        .main()
}
