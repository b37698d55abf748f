//! Parquet, as batches of Arrow.

use std::path::{Path, PathBuf};

use crate::sink::is_of_objects;
use arrow_array::{Array, RecordBatch};
use async_trait::async_trait;
use bytes::Bytes;
use connector_api::env::Environment;
use connector_api::factory::ByteSize;
use connector_api::sink::Sink;
use connector_api::source::{BoxSource, erase};
use connector_api::{Error, Result};
use connector_file::format::{Format, ParquetOptions};
use connector_file::sink::{self, Compaction, FileSink, Merge, Rolling, SinkOptions};
use connector_file::source::{self, FileSource, SourceOptions};
use connector_formats::ArrowBatch;
use parquet::arrow::ArrowWriter;
use parquet::arrow::arrow_reader::ParquetRecordBatchReaderBuilder;
use parquet::file::properties::WriterProperties;
use testkit::context::Expiry;
use testkit::crash::CrashTable;
use testkit::{Capabilities, Capability, SinkContext, SourceContext, TestBatch, TestRow, files};

const OUT: &str = "/out";

fn refused(e: impl ToString) -> Error {
    Error::data("a Parquet file of a test", None, e.to_string())
}

/// The rows of a file, read without the connector.
fn read(env: &Environment, path: &Path) -> Result<Vec<RecordBatch>> {
    let content = Bytes::from(files::read(&*env.fs, path)?);
    let reader =
        ParquetRecordBatchReaderBuilder::try_new(content).and_then(|b| b.build()).map_err(refused)?;
    reader.collect::<Result<_, _>>().map_err(refused)
}

/// One file per split of the test data, each in several row groups and read in several pieces.
pub(crate) struct ParquetSourceContext;

#[async_trait]
impl SourceContext for ParquetSourceContext {
    type Batch = ArrowBatch;

    fn capabilities(&self) -> Capabilities {
        Capabilities::of([Capability::Bounded, Capability::Files])
    }

    fn source(&self, _: &Environment) -> Result<BoxSource<ArrowBatch>> {
        let options = SourceOptions {
            format: Format::Parquet,
            split_size: ByteSize(400),
            ..SourceOptions::lines("/in")
        };
        Ok(erase(FileSource::<ArrowBatch>::new(&options, Path::new("/"))?))
    }

    /// A Parquet file can't be added to: it is written anew.
    async fn append(&mut self, env: &Environment, split: u32, rows: &[TestRow]) -> Result<()> {
        let path = PathBuf::from(format!("/in/{split}.parquet"));
        let mut batches = Vec::new();
        if env.fs.metadata(&path).is_ok() {
            batches = read(env, &path)?;
            env.fs.remove_file(&path).map_err(Error::io("remove", &path))?;
        }
        let new = ArrowBatch::of(rows)?.into_columns();
        let properties = WriterProperties::builder().set_max_row_group_row_count(Some(7)).build();
        let mut writer = ArrowWriter::try_new(Vec::new(), new.schema(), Some(properties)).map_err(refused)?;
        batches.push(new);
        for batch in &batches {
            writer.write(batch).map_err(refused)?;
        }
        files::append(&*env.fs, &path, &writer.into_inner().map_err(refused)?)
    }

    fn crash_points(&self) -> Option<CrashTable> {
        let reader = ["split-reader/before-open", "split-reader/after-fetch"];
        let points =
            source::CRASH_POINTS.iter().copied().filter(|point| !point.starts_with("file-disposal/"));
        let reached = points.chain(reader).collect();
        Some(CrashTable { readme: include_str!("../../README.md"), reached })
    }
}

pub(crate) struct ParquetSinkContext {
    pub(crate) compacted: bool,
}

const MERGE: Compaction =
    Compaction::Merge(Merge { checkpoints: 2, size: Some(ByteSize(20_000)), keep_size: None, rate: None });

impl ParquetSinkContext {
    fn with(compaction: Option<Compaction>) -> Result<Box<dyn Sink<ArrowBatch>>> {
        let rolling = Rolling { size: ByteSize(300), age: None, on_checkpoint: true };
        let parquet = Some(ParquetOptions { row_group_rows: 3, ..ParquetOptions::default() });
        let options =
            SinkOptions { format: Format::Parquet, rolling, compaction, parquet, ..SinkOptions::lines(OUT) };
        Ok(Box::new(FileSink::<ArrowBatch>::new(&options, Path::new("/"))?))
    }
}

fn is_hidden(name: &str) -> bool {
    name.starts_with('.')
}

#[async_trait]
impl SinkContext for ParquetSinkContext {
    type Batch = ArrowBatch;

    fn capabilities(&self) -> Capabilities {
        Capabilities::of([Capability::Files])
    }

    fn sink(&self, _: &Environment) -> Result<Box<dyn Sink<ArrowBatch>>> {
        Self::with(self.compacted.then_some(MERGE))
    }

    fn variants(&self, _: &Environment) -> Result<Vec<Box<dyn Sink<ArrowBatch>>>> {
        [None, Some(MERGE), Some(Compaction::Drain)].map(Self::with).into_iter().collect()
    }

    async fn visible(&mut self, env: &Environment) -> Result<Vec<String>> {
        let mut rows = Vec::new();
        for name in files::names(&*env.fs, Path::new(OUT))?.iter().filter(|name| !is_hidden(name)) {
            for batch in read(env, &Path::new(OUT).join(name))? {
                assert_eq!(batch.column(0).null_count(), 0);
                rows.extend(ArrowBatch::from(batch).texts()?);
            }
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
        let points = sink::CRASH_POINTS.iter().copied();
        let points = points.filter(|point| self.compacted || !compacts(point));
        let points = points.filter(|point| !point.starts_with("file-bucket") && !is_of_objects(point));
        let reached = points.filter(|point| *point != "file-writer/after-cut").collect();
        Some(CrashTable { readme: include_str!("../../README.md"), reached })
    }
}

#[async_trait]
impl Expiry for ParquetSinkContext {
    async fn expire(&mut self, env: &Environment) -> Result<()> {
        for name in self.lingering(env).await? {
            let path = Path::new(OUT).join(name);
            env.fs.remove_file(&path).map_err(Error::io("remove", &path))?;
        }
        env.fs.sync_dir(Path::new(OUT)).map_err(Error::io("sync", Path::new(OUT)))
    }
}
