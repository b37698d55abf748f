//! What holds for every format of text: through the decoders and encoders of each batch type.

mod ahead;
mod bad;
#[cfg(feature = "parquet")]
mod columns;
mod compressed;
mod metadata;
mod restores;
mod spawners;
mod written;

use std::path::PathBuf;
use std::time::Duration;

use connector_api::batch::Rows;
use connector_api::env::Environment;
use connector_api::{MessageBatch, Result};
use connector_base::format::BufferPool;
use connector_base::reader::{Fetched, Positions};
use serde::{Deserialize, Serialize};
use testkit::fs::SimFs;
use testkit::sim;

use super::*;
use crate::sink::SinkOptions;
use crate::source::{FileState, RelativePath, SourceOptions};

/// A file in memory.
#[derive(Debug)]
pub(super) struct Memory(pub(super) Vec<u8>);

impl Input for Memory {
    fn origin(&self) -> &str {
        "in/a"
    }

    fn len(&self) -> u64 {
        self.0.len() as u64
    }

    fn read(&self, buffer: &mut [u8], offset: u64) -> Result<usize> {
        let rest = &self.0[(offset as usize).min(self.0.len())..];
        let n = rest.len().min(buffer.len());
        buffer[..n].copy_from_slice(&rest[..n]);
        Ok(n)
    }

    fn check_name(&self, _: u64) -> Result<()> {
        Ok(())
    }
}

#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub(super) struct Person {
    name: String,
    age: Option<u32>,
}

pub(super) fn person(name: &str, age: impl Into<Option<u32>>) -> Person {
    Person { name: name.into(), age: age.into() }
}

fn options(format: Format) -> SourceOptions {
    SourceOptions { format, ..SourceOptions::lines("in") }
}

/// How a file is read.
pub(super) struct Read {
    options: SourceOptions,
    buffer: usize,
    position: Option<u64>,
    env: Option<Environment>,
}

impl Read {
    pub(super) fn of(format: Format) -> Self {
        Self { options: options(format), buffer: 64, position: None, env: None }
    }

    pub(super) fn with(mut self, change: impl FnOnce(&mut SourceOptions)) -> Self {
        change(&mut self.options);
        self
    }

    /// The batches, with the position behind each row.
    pub(super) fn batches<B: FileBatch>(&self, content: &[u8]) -> Result<Vec<(B, Vec<u64>)>> {
        let config = self.options.checked::<B>(std::path::Path::new("/"), &str::to_owned)?;
        let file = FileState { len: content.len() as u64, modified: Duration::ZERO, file_id: 1 };
        let Some(path) = RelativePath::new("a") else { unreachable!("a plain name") };
        let length = file.len;
        let split = FileSplit { path, offset: 0, length, file, position: self.position, generation: 0 };
        let env = self.env.clone().unwrap_or_else(|| sim::environment(&SimFs::new(), 1));
        let bad = BadRecords::new(config.on_bad_record.clone(), env, "file", "1");
        let opening = Opening {
            options: &config.read,
            split: &split,
            input: Box::new(Memory(content.to_vec())),
            pool: BufferPool::new(self.buffer, 2),
            bad: bad.clone(),
            spawner: Arc::new(spawners::Threads),
        };
        let mut decoder = B::decoder(opening)?;
        let mut batches = Vec::new();
        while let Some(fetched) = decoder.fetch()? {
            bad.settle()?;
            let Fetched::Rows { batch, positions, .. } = fetched else { continue };
            let behind = |n: usize| match &positions {
                Positions::Each(all) => all[n - 1],
                Positions::By(position) => position(n),
                Positions::Whole(_) => panic!("text has a position for each row"),
            };
            let positions = (1..=batch.rows.rows()).map(behind).collect();
            batches.push((batch.rows, positions));
        }
        Ok(batches)
    }

    /// The values, with the position behind each.
    pub(super) fn messages(&self, content: &[u8]) -> Result<Vec<(String, u64)>> {
        let batches = self.batches::<MessageBatch>(content)?;
        let rows = batches.iter().flat_map(|(batch, positions)| {
            let text = |i| String::from_utf8_lossy(batch.row(i).value.unwrap_or_default()).into_owned();
            positions.iter().enumerate().map(move |(i, at)| (text(i), *at))
        });
        Ok(rows.collect())
    }

    pub(super) fn values(&self, content: impl AsRef<[u8]>) -> Vec<String> {
        self.messages(content.as_ref()).unwrap().into_iter().map(|(value, _)| value).collect()
    }

    pub(super) fn people(&self, content: impl AsRef<[u8]>) -> Result<Vec<Person>> {
        Ok(self.batches::<Vec<Person>>(content.as_ref())?.into_iter().flat_map(|(rows, _)| rows).collect())
    }

    pub(super) fn refused<B: FileBatch>(&self, content: &[u8]) -> String {
        self.batches::<B>(content).map(|_| ()).unwrap_err().to_string()
    }
}

/// How a part is written.
pub(super) struct Write(SinkOptions);

impl Write {
    pub(super) fn of(format: Format) -> Self {
        Self(SinkOptions { format, ..SinkOptions::lines("out") })
    }

    pub(super) fn with(mut self, change: impl FnOnce(&mut SinkOptions)) -> Self {
        change(&mut self.0);
        self
    }

    pub(super) fn config<B: FileBatch>(&self) -> Result<crate::sink::SinkConfig> {
        let error = |name: &str, reason: String| connector_api::Error::config(name, reason);
        self.0.checked::<B>(std::path::Path::new("/"), &error)
    }

    /// The bytes of one part, taken in with this room at a time.
    pub(super) fn batch<B: FileBatch>(&self, batch: &B, room: u64) -> Result<Vec<u8>> {
        let config = self.config::<B>()?;
        let mut encoder = B::encoder(&config.write, false)?;
        let mut out = Gathered::default();
        let (mut row, mut bytes) = (0, Vec::new());
        while row < batch.rows() {
            let next = encoder.add(batch, row, room, &mut out)?;
            assert!(next > row, "at least one row is added");
            row = next;
            bytes.extend(out.take().concat());
        }
        encoder.finish(&mut out)?;
        bytes.extend(out.take().concat());
        Ok(bytes)
    }

    pub(super) fn values(&self, values: &[&str]) -> Result<Vec<u8>> {
        self.batch(&messages(values), 40)
    }
}

pub(super) fn messages(values: &[&str]) -> MessageBatch {
    use connector_api::batch::FromRows;
    use connector_api::message::Message;
    let message = |value: &&str| Message { key: None, value: Some(value.as_bytes().to_vec().into()) };
    MessageBatch::from_rows(values.iter().map(message).collect()).unwrap()
}

fn dead_letters() -> PathBuf {
    PathBuf::from("/dead")
}
