//! Rows of a struct, in CSV, JSON lines and compressed.

use std::io::{Read, Write};
use std::path::{Path, PathBuf};

use crate::sink::is_of_objects;
use async_trait::async_trait;
use connector_api::env::Environment;
use connector_api::factory::ByteSize;
use connector_api::sink::Sink;
use connector_api::source::{BoxSource, erase};
use connector_api::{Error, Result};
use connector_file::format::{Compression, Format};
use connector_file::sink::{CRASH_POINTS, Compaction, FileSink, Merge, Rolling, SinkOptions};
use connector_file::source::{CRASH_POINTS as SOURCE_POINTS, FileSource, SourceOptions};
use serde::{Deserialize, Serialize};
use testkit::crash::CrashTable;
use testkit::rows::TestItem;
use testkit::{Capabilities, Capability, SinkContext, SourceContext, TestRow, files};

const OUT: &str = "/out";

#[derive(Clone, Debug, Serialize, Deserialize)]
pub(crate) struct Row {
    text: String,
    millis: i64,
}

impl TestItem for Row {
    fn of(row: &TestRow) -> Self {
        Self { text: row.text.clone(), millis: row.millis }
    }

    fn text(&self) -> String {
        self.text.clone()
    }
}

/// What files look like.
#[derive(Clone, Copy)]
pub(crate) struct Shape {
    pub(crate) format: Format,
    pub(crate) compression: Compression,
}

impl Shape {
    fn failed(why: impl std::fmt::Display) -> Error {
        Error::data("the test's file", None, why.to_string())
    }

    fn pack(self, text: &[u8]) -> Result<Vec<u8>> {
        match self.compression {
            Compression::None => Ok(text.to_vec()),
            Compression::Gzip => {
                let mut encoder = flate2::write::GzEncoder::new(Vec::new(), flate2::Compression::fast());
                encoder.write_all(text).and_then(|()| encoder.finish()).map_err(Self::failed)
            }
            Compression::Zstd => zstd::encode_all(text, 1).map_err(Self::failed),
        }
    }

    /// As other programs read it.
    fn rows(self, content: &[u8]) -> Result<Vec<Row>> {
        let mut text = Vec::new();
        match self.compression {
            Compression::None => text.extend(content),
            Compression::Gzip => {
                flate2::read::MultiGzDecoder::new(content)
                    .read_to_end(&mut text)
                    .map(drop)
                    .map_err(Self::failed)?;
            }
            Compression::Zstd => text = zstd::decode_all(content).map_err(Self::failed)?,
        }
        if self.format == Format::Csv {
            let rows = csv::Reader::from_reader(&*text).into_deserialize();
            return rows.collect::<Result<_, _>>().map_err(Self::failed);
        }
        let lines = text.split(|&b| b == b'\n').filter(|line| !line.is_empty());
        lines.map(|line| serde_json::from_slice(line).map_err(Self::failed)).collect()
    }
}

pub(crate) struct RowSourceContext(pub(crate) Shape);

#[async_trait]
impl SourceContext for RowSourceContext {
    type Batch = Vec<Row>;

    fn capabilities(&self) -> Capabilities {
        Capabilities::of([Capability::Bounded, Capability::Files])
    }

    fn source(&self, _: &Environment) -> Result<BoxSource<Vec<Row>>> {
        let options =
            SourceOptions { format: self.0.format, split_size: ByteSize(150), ..SourceOptions::lines("/in") };
        Ok(erase(FileSource::<Vec<Row>>::new(&options, Path::new("/"))?))
    }

    async fn append(&mut self, env: &Environment, split: u32, rows: &[TestRow]) -> Result<()> {
        let path = PathBuf::from(format!("/in/{split}.txt{}", self.0.compression.ending()));
        let is_new = env.fs.metadata(&path).is_err();
        let mut text = Vec::new();
        if self.0.format == Format::Csv {
            let mut writer = csv::WriterBuilder::new().has_headers(is_new).from_writer(&mut text);
            for row in rows {
                writer.serialize(Row::of(row)).map_err(Shape::failed)?;
            }
            writer.flush().map_err(Shape::failed)?;
        } else {
            for row in rows {
                serde_json::to_writer(&mut text, &Row::of(row)).map_err(Shape::failed)?;
                text.push(b'\n');
            }
        }
        files::append(&*env.fs, &path, &self.0.pack(&text)?)
    }

    fn crash_points(&self) -> Option<CrashTable> {
        let reader = ["split-reader/before-open", "split-reader/after-fetch"];
        let disposes = |point: &&str| point.starts_with("file-disposal/");
        let reached = SOURCE_POINTS.iter().copied().filter(|point| !disposes(point)).chain(reader).collect();
        Some(CrashTable { readme: include_str!("../../README.md"), reached })
    }
}

pub(crate) struct RowSinkContext {
    pub(crate) shape: Shape,
    pub(crate) compacted: bool,
}

const MERGE: Compaction =
    Compaction::Merge(Merge { checkpoints: 2, size: Some(ByteSize(300)), keep_size: None, rate: None });

impl RowSinkContext {
    fn with(&self, compaction: Option<Compaction>) -> Result<Box<dyn Sink<Vec<Row>>>> {
        let rolling = Rolling { size: ByteSize(80), ..Rolling::default() };
        let Shape { format, compression } = self.shape;
        let options = SinkOptions { format, compression, rolling, compaction, ..SinkOptions::lines(OUT) };
        Ok(Box::new(FileSink::<Vec<Row>>::new(&options, Path::new("/"))?))
    }

    fn names(env: &Environment, hidden: bool) -> Result<Vec<String>> {
        let names = files::names(&*env.fs, Path::new(OUT))?;
        Ok(names.into_iter().filter(|name| name.starts_with('.') == hidden).collect())
    }
}

#[async_trait]
impl SinkContext for RowSinkContext {
    type Batch = Vec<Row>;

    fn capabilities(&self) -> Capabilities {
        Capabilities::of([Capability::Files])
    }

    fn sink(&self, _: &Environment) -> Result<Box<dyn Sink<Vec<Row>>>> {
        self.with(self.compacted.then_some(MERGE))
    }

    fn variants(&self, _: &Environment) -> Result<Vec<Box<dyn Sink<Vec<Row>>>>> {
        let all = [None, Some(MERGE), Some(Compaction::Drain)];
        all.map(|compaction| self.with(compaction)).into_iter().collect()
    }

    async fn visible(&mut self, env: &Environment) -> Result<Vec<String>> {
        let mut texts = Vec::new();
        for name in Self::names(env, false)? {
            let content = files::read(&*env.fs, &Path::new(OUT).join(name))?;
            texts.extend(self.shape.rows(&content)?.into_iter().map(|row| row.text));
        }
        Ok(texts)
    }

    async fn lingering(&mut self, env: &Environment) -> Result<Vec<String>> {
        Self::names(env, true)
    }

    fn crash_points(&self) -> Option<CrashTable> {
        let compacts = |point: &&str| point.starts_with("file-compact") || point.contains("delete");
        let points = CRASH_POINTS.iter().copied().filter(|point| *point != "file-writer/after-cut");
        let points = points.filter(|point| !point.starts_with("file-bucket") && !is_of_objects(point));
        let reached = points.filter(|point| self.compacted || !compacts(point)).collect();
        Some(CrashTable { readme: include_str!("../../README.md"), reached })
    }
}
