//! The suites of testkit over the journals. `cargo test -p tutorial --test conformance` runs them.
#![allow(missing_docs)]

use std::path::{Path, PathBuf};

use async_trait::async_trait;
use connector_api::env::{Access, Environment};
use connector_api::sink::Sink;
use connector_api::source::{BoxSource, erase};
use connector_api::{Error, MessageBatch, Result};
use testkit::{Capabilities, Capability, SinkContext, SourceContext, Suite, TestRow};
use tutorial::record::{self, HEAD};
use tutorial::sink::JournalSink;
use tutorial::source::JournalSource;

/// The directory of a check. Each check has files of its own.
const DIR: &str = "/journals";

struct SourceUnderTest;

#[async_trait]
impl SourceContext for SourceUnderTest {
    type Batch = MessageBatch;

    fn capabilities(&self) -> Capabilities {
        Capabilities::of([Capability::Bounded, Capability::EventTimes, Capability::Files])
    }

    fn source(&self, _: &Environment) -> Result<BoxSource<MessageBatch>> {
        Ok(erase(JournalSource { dir: PathBuf::from(DIR) }))
    }

    async fn append(&mut self, env: &Environment, split: u32, rows: &[TestRow]) -> Result<()> {
        let path = Path::new(DIR).join(format!("log-{split}.bin"));
        let io = |operation| Error::io(operation, &path);
        env.fs.create_dir_all(Path::new(DIR)).map_err(io("make"))?;
        let end = env.fs.metadata(&path).map_or(0, |found| found.len);
        let access = if end == 0 { Access::CreateOrTruncate } else { Access::ReadWrite };
        let file = env.fs.open(&path, access).map_err(io("open"))?;
        let mut bytes = Vec::new();
        for TestRow { text, millis } in rows {
            record::put(&mut bytes, *millis, Some(text.as_bytes()))?;
        }
        file.write_all_at(&bytes, end).map_err(io("write"))?;
        file.sync_all().map_err(io("sync"))?;
        env.fs.sync_dir(Path::new(DIR)).map_err(io("sync the directory of"))
    }
}

struct SinkUnderTest;

/// The names in the directory; none, if it is not there.
fn names(env: &Environment) -> Result<Vec<String>> {
    let entries = match env.fs.list(Path::new(DIR)) {
        Err(e) if e.kind() == std::io::ErrorKind::NotFound => Vec::new(),
        entries => entries.map_err(Error::io("list", Path::new(DIR)))?,
    };
    Ok(entries.into_iter().map(|entry| entry.name.to_string_lossy().into_owned()).collect())
}

#[async_trait]
impl SinkContext for SinkUnderTest {
    type Batch = MessageBatch;

    fn capabilities(&self) -> Capabilities {
        Capabilities::of([Capability::Files])
    }

    fn sink(&self, _: &Environment) -> Result<Box<dyn Sink<MessageBatch>>> {
        Ok(Box::new(JournalSink { dir: PathBuf::from(DIR) }))
    }

    async fn visible(&mut self, env: &Environment) -> Result<Vec<String>> {
        let mut texts = Vec::new();
        for name in names(env)?.into_iter().filter(|name| !name.starts_with('.')) {
            let path = Path::new(DIR).join(name);
            let file = env.fs.open(&path, Access::Read).map_err(Error::io("open", &path))?;
            let end = file.metadata().map_err(Error::io("measure", &path))?.len;
            let mut bytes = vec![0; end as usize];
            file.read_full_at(&mut bytes, 0).map_err(Error::io("read", &path))?;
            let mut rest = &bytes[..];
            while let Some((_, length)) = record::first(rest) {
                texts.push(String::from_utf8_lossy(&rest[HEAD..HEAD + length]).into_owned());
                rest = &rest[HEAD + length..];
            }
            if !rest.is_empty() {
                return Err(Error::data(path.display().to_string(), None, "ends within a record"));
            }
        }
        Ok(texts)
    }

    async fn lingering(&mut self, env: &Environment) -> Result<Vec<String>> {
        Ok(names(env)?.into_iter().filter(|name| name.starts_with('.')).collect())
    }
}

fn main() -> std::process::ExitCode {
    Suite::new("journal").source(|_| SourceUnderTest).sink(|_| SinkUnderTest).main()
}
