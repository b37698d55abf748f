//! Rows of a struct, in CSV, JSON lines and compressed.

use std::io::{Read, Write};

use connector_api::factory::ByteSize;
use connector_api::{Error, Result};
use connector_file::format::{Compression, Format};
use connector_file::sink::{Rolling, SinkOptions};
use connector_file::source::SourceOptions;
use serde::{Deserialize, Serialize};
use testkit::TestRow;
use testkit::rows::TestItem;

use super::Looks;

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

/// Rows in files of a shape.
#[derive(Clone, Copy)]
pub(crate) struct Rows(pub(crate) Shape);

impl Looks for Rows {
    type Batch = Vec<Row>;

    fn ending(self) -> &'static str {
        match self.0.compression {
            Compression::None => ".txt",
            Compression::Gzip => ".txt.gz",
            Compression::Zstd => ".txt.zst",
        }
    }

    fn source(self, options: SourceOptions) -> SourceOptions {
        SourceOptions { format: self.0.format, split_size: ByteSize(150), ..options }
    }

    fn sink(self, options: SinkOptions) -> SinkOptions {
        let Shape { format, compression } = self.0;
        let rolling = Rolling { size: ByteSize(80), ..Rolling::default() };
        SinkOptions { format, compression, rolling, ..options }
    }

    fn piece_bytes(self) -> u64 {
        48
    }

    fn merged_bytes(self) -> u64 {
        300
    }

    /// What is added to a compressed file is a member of its own.
    fn added(self, mut content: Vec<u8>, rows: &[TestRow]) -> Result<Vec<u8>> {
        let mut text = Vec::new();
        if self.0.format == Format::Csv {
            let is_new = content.is_empty();
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
        content.extend(self.0.pack(&text)?);
        Ok(content)
    }

    fn texts(self, content: &[u8]) -> Result<Vec<String>> {
        Ok(self.0.rows(content)?.into_iter().map(|row| row.text).collect())
    }
}
