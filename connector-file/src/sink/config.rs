//! The options of the sink: one struct for files, builders and other front ends alike.

use std::path::{Path, PathBuf};
use std::sync::Arc;

use connector_api::factory::{ByteSize, Span};
use connector_api::{Error, Result};
use schemars::{JsonSchema, Schema, SchemaGenerator, json_schema};
use serde::de::value::MapAccessDeserializer;
use serde::{Deserialize, Deserializer, de};

use super::buckets::{BucketOptions, BucketRules};
use super::finish::OnFinished;
use super::naming::PartNames;
use super::place::SinkPlace;
use crate::format::{Compression, CsvOptions, CsvShape, FileBatch, Format, ParquetOptions, Rewrite};
use crate::place::{Place, StoreOptions, UploadOptions};

/// The options of the file sink.
#[derive(Clone, Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct SinkOptions {
    /// The directory that the files appear in; made when missing. Relative paths are relative to the pipeline's file. Or a
    /// prefix of an object store: `s3://BUCKET/PREFIX`, `gs://`, `az://`, and `memory://NAME/PREFIX` for one in the process.
    #[schemars(extend("x-identity" = true))]
    pub path: PathBuf,
    /// How records are written.
    #[schemars(extend("x-identity" = true))]
    pub format: Format,
    /// What file names begin with. No path separators, no leading `.` or `_`.
    #[serde(default = "default_prefix")]
    #[schemars(extend("x-identity" = true))]
    pub prefix: String,
    /// What file names end with, such as `.txt`. No path separators. When empty: `.jsonl` for JSON, `.csv` for CSV, nothing
    /// for lines; and behind it `.gz` or `.zst` for what is compressed.
    #[serde(default)]
    #[schemars(extend("x-identity" = true))]
    pub suffix: String,
    /// Directories that records are dealt to, by a time or the value of a field: a table, or a list of them for directories
    /// in directories.
    #[serde(default)]
    #[schemars(extend("x-identity" = true))]
    pub buckets: BucketOptions,
    /// The most parts that a writer has open at a time, one per bucket; the one that was not written to for longest is
    /// closed first. Each takes up to 1 MiB of memory.
    #[serde(default = "default_max_open")]
    pub max_open: u32,
    /// Let one writer at a time write to a bucket: rows are dealt to the writers by their buckets. Fewer and larger files,
    /// and the writers wait for each other where a few buckets get most rows.
    #[serde(default)]
    pub shuffle_by_bucket: bool,
    /// What is written into the directory of a bucket once nothing of it is missing: a table, {} for all of it.
    #[serde(default)]
    pub on_finished: Option<OnFinished>,
    /// When a part is closed and the next one begins.
    #[serde(default)]
    pub rolling: Rolling,
    /// Merges small parts before they appear: a table, or "drain" to switch it off and empty its state.
    #[serde(default)]
    pub compaction: Option<Compaction>,
    /// How parts are compressed: "none", "gzip" (one member per part) or "zstd" (one frame per part). What the compressor
    /// holds is in no checkpoint: refused with `rolling.on_checkpoint = false`.
    #[serde(default)]
    #[schemars(extend("x-identity" = true))]
    pub compression: Compression,
    /// What CSV files look like.
    #[serde(default)]
    pub csv: CsvOptions,
    /// How the object store of `path` is reached.
    #[serde(default)]
    pub store: Option<StoreOptions>,
    /// How files are uploaded to the object store of `path`.
    #[serde(default)]
    pub upload: Option<UploadOptions>,
    /// How Parquet files are written; only with the format `parquet`.
    #[serde(default)]
    pub parquet: Option<ParquetOptions>,
}

/// When a part is closed.
#[derive(Clone, Debug, Deserialize, serde::Serialize, JsonSchema)]
#[serde(deny_unknown_fields, default)]
pub struct Rolling {
    /// A part that has reached this size is closed; it exceeds it by less than one record.
    pub size: ByteSize,
    /// A part is closed this long after its first record, also when no more records come.
    pub age: Option<Span>,
    /// Close every part at every checkpoint. Otherwise a part goes on over checkpoints, and its records appear when it is closed.
    pub on_checkpoint: bool,
}

impl Default for Rolling {
    fn default() -> Self {
        Self { size: ByteSize(128 << 20), age: None, on_checkpoint: true }
    }
}

/// What becomes of small parts.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Compaction {
    /// They are merged.
    Merge(Merge),
    /// They are published as they are, and so is what an earlier run held back to merge it.
    Drain,
}

/// How small parts are merged.
#[derive(Clone, Debug, PartialEq, Eq, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Merge {
    /// Parts of this many checkpoints are merged together; at least 1.
    pub checkpoints: u32,
    /// The size that merged files aim at. Without it, one file per merge.
    #[serde(default)]
    pub size: Option<ByteSize>,
    /// Parts of this size or more are kept as they are, so that nearly full files are not written again. 80 % of `size` when it is
    /// left out; without `size`, nothing is kept.
    #[serde(default)]
    pub keep_size: Option<ByteSize>,
    /// How many bytes of parts each compactor merges per second, on the average over several merges: a merge begins only
    /// when those before it have had their time. Without it, as many as it can.
    #[serde(default)]
    pub rate: Option<ByteSize>,
}

impl Default for Merge {
    /// Into one file at every checkpoint.
    fn default() -> Self {
        Self { checkpoints: 1, size: None, keep_size: None, rate: None }
    }
}

impl Merge {
    /// Parts of this length or more are kept as they are; none when all are merged.
    pub(crate) fn kept(&self) -> Option<u64> {
        let most = self.size.map(|size| size.0 - size.0 / 5);
        self.keep_size.map(|size| size.0).or(most)
    }
}

fn default_max_open() -> u32 {
    64
}

fn default_prefix() -> String {
    "part".to_owned()
}

struct CompactionVisitor;

impl<'de> de::Visitor<'de> for CompactionVisitor {
    type Value = Compaction;

    fn expecting(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("a table such as { checkpoints = 2, size = \"64 MiB\" }, or \"drain\"")
    }

    fn visit_str<E: de::Error>(self, text: &str) -> Result<Compaction, E> {
        if text == "drain" {
            return Ok(Compaction::Drain);
        }
        let unexpected = de::Unexpected::Str(text);
        Err(E::invalid_value(unexpected, &self))
    }

    fn visit_map<A: de::MapAccess<'de>>(self, map: A) -> Result<Compaction, A::Error> {
        Merge::deserialize(MapAccessDeserializer::new(map)).map(Compaction::Merge)
    }
}

impl<'de> Deserialize<'de> for Compaction {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        deserializer.deserialize_any(CompactionVisitor)
    }
}

impl JsonSchema for Compaction {
    fn schema_name() -> std::borrow::Cow<'static, str> {
        "Compaction".into()
    }

    fn inline_schema() -> bool {
        true
    }

    fn json_schema(generator: &mut SchemaGenerator) -> Schema {
        let merge = generator.subschema_for::<Merge>();
        json_schema!({ "oneOf": [merge, { "const": "drain" }] })
    }
}

/// The options, checked: what the parts of the sink work with.
#[derive(Clone, Debug)]
pub(crate) struct SinkConfig {
    /// The local directory; what names the prefix, for an object store.
    pub(crate) dir: PathBuf,
    pub(crate) place: SinkPlace,
    pub(crate) names: PartNames,
    pub(crate) rolling: Rolling,
    pub(crate) compaction: Option<Compaction>,
    pub(crate) write: WriteOptions,
    /// How parts are merged that can't be joined byte by byte.
    pub(crate) rewrite: Option<Arc<dyn Rewrite>>,
    pub(crate) buckets: BucketRules,
    /// Whether rows are dealt to the writers by their buckets.
    pub(crate) shuffle: bool,
    pub(crate) on_finished: Option<OnFinished>,
    /// The most parts that a writer has open at a time; at least 1.
    pub(crate) max_open: usize,
}

/// How the content of a file is written.
#[derive(Clone, Debug)]
pub struct WriteOptions {
    /// What files consist of.
    pub(crate) format: Format,
    /// How parts are compressed.
    pub(crate) compression: Compression,
    /// What CSV files look like.
    pub(crate) csv: CsvShape,
    /// How Parquet files are written.
    #[cfg_attr(
        not(feature = "parquet"),
        expect(dead_code, reason = "nothing writes Parquet without the feature")
    )]
    pub(crate) parquet: ParquetOptions,
}

impl SinkOptions {
    /// Lines into a directory, everything else by default.
    pub fn lines(path: impl Into<PathBuf>) -> Self {
        Self {
            path: path.into(),
            format: Format::Lines,
            prefix: default_prefix(),
            suffix: String::new(),
            buckets: BucketOptions::default(),
            max_open: default_max_open(),
            shuffle_by_bucket: false,
            on_finished: None,
            rolling: Rolling::default(),
            compaction: None,
            compression: Compression::None,
            csv: CsvOptions::default(),
            store: None,
            upload: None,
            parquet: None,
        }
    }

    /// What file names end with.
    fn full_suffix(&self) -> String {
        if !self.suffix.is_empty() {
            return self.suffix.clone();
        }
        let format = match self.format {
            Format::Lines | Format::Raw => "",
            Format::Json => ".jsonl",
            Format::Csv => ".csv",
            Format::Parquet => ".parquet",
        };
        format!("{format}{}", self.compression.ending())
    }

    /// Checks what can be told from the options alone. `error` makes the error of an option by its name.
    pub(crate) fn checked<B: FileBatch>(
        &self,
        base_dir: &Path,
        error: &dyn Fn(&str, String) -> Error,
    ) -> Result<SinkConfig> {
        if self.path.as_os_str().is_empty() {
            return Err(error("path", "is empty; give a directory".into()));
        }
        let place = Place::of(&self.path, base_dir, self.store.as_ref(), error)?;
        self.checked_at::<B>(place, error)
    }

    /// The same for a place that is known.
    pub(crate) fn checked_at<B: FileBatch>(
        &self,
        place: Place,
        error: &dyn Fn(&str, String) -> Error,
    ) -> Result<SinkConfig> {
        B::carries(self.format).map_err(|reason| error("format", reason))?;
        let names = PartNames::new(&self.prefix, &self.full_suffix())
            .map_err(|(option, reason)| error(option, reason))?;
        let buckets = BucketRules::new(&self.buckets).map_err(|(option, reason)| error(&option, reason))?;
        if buckets.is_empty() && self.shuffle_by_bucket {
            return Err(error("shuffle_by_bucket", "goes with `buckets`, which is left out".into()));
        }
        if let Some(on) = &self.on_finished {
            if buckets.is_empty() {
                return Err(error("on_finished", "goes with `buckets`, which is left out".into()));
            }
            if !on.success && !on.manifest {
                return Err(error(
                    "on_finished",
                    "writes neither `success` nor `manifest`: leave it out".into(),
                ));
            }
        }
        if self.max_open == 0 {
            return Err(error("max_open", "must be at least 1".into()));
        }
        if self.rolling.size.0 == 0 {
            return Err(error("rolling.size", "must be at least 1 B".into()));
        }
        if self.rolling.age.is_some_and(|age| age.0.is_zero()) {
            return Err(error("rolling.age", "must be above zero; leave it out for no limit".into()));
        }
        if let Some(Compaction::Merge(merge)) = &self.compaction {
            if merge.checkpoints == 0 {
                return Err(error("compaction.checkpoints", "must be at least 1".into()));
            }
            if merge.size.is_some_and(|size| size.0 == 0) {
                return Err(error("compaction.size", "must be at least 1 B".into()));
            }
            if merge.keep_size.is_some_and(|size| size.0 == 0) {
                return Err(error("compaction.keep_size", "must be at least 1 B".into()));
            }
            if merge.rate.is_some_and(|rate| rate.0 == 0) {
                return Err(error(
                    "compaction.rate",
                    "must be at least 1 B; leave it out for no limit".into(),
                ));
            }
        }
        let csv = self.csv.checked().map_err(|(option, reason)| error(option, reason))?;
        let parquet = self.parquet.clone().unwrap_or_default();
        let write = WriteOptions { format: self.format, compression: self.compression, csv, parquet };
        if self.compression != Compression::None && !self.rolling.on_checkpoint {
            let reason = "must be true for compressed parts: what the compressor holds is in no checkpoint, so \
                          none can be gone on with";
            return Err(error("rolling.on_checkpoint", reason.into()));
        }
        if self.format == Format::Parquet && self.compression != Compression::None {
            let reason = "is for text; Parquet compresses within its files: see `parquet.compression`";
            return Err(error("compression", reason.into()));
        }
        if self.format == Format::Parquet && !self.rolling.on_checkpoint {
            let reason = "must be true for `parquet`: what makes a file of its rows is written at its end, so that a part \
                          can't be made durable up to a checkpoint and go on";
            return Err(error("rolling.on_checkpoint", reason.into()));
        }
        if let Some(parquet) = &self.parquet {
            if self.format != Format::Parquet {
                return Err(error(
                    "parquet",
                    format!("has no meaning for the format `{}`", self.format.name()),
                ));
            }
            parquet.check().map_err(|(option, reason)| error(option, reason.into()))?;
        }
        // What can't be encoded is told now, and not at the first record.
        let merges = matches!(self.compaction, Some(Compaction::Merge(_)));
        B::encoder(&write, merges || !self.rolling.on_checkpoint).map_err(|e| match e {
            Error::Config { option, reason } => error(&option, reason),
            other => other,
        })?;
        let dir = match &place {
            Place::Local(dir) => dir.clone(),
            Place::Objects(objects, below) => objects.below(below).url().into(),
        };
        let (upload, compaction) = (self.upload.as_ref(), self.compaction.as_ref());
        let place = SinkPlace::checked(place, upload, &self.rolling, compaction, error)?;
        Ok(SinkConfig {
            dir,
            place,
            names,
            rolling: self.rolling.clone(),
            compaction: self.compaction.clone(),
            rewrite: B::rewrite(&write).map(Arc::from),
            write,
            buckets,
            shuffle: self.shuffle_by_bucket,
            on_finished: self.on_finished.clone(),
            max_open: usize::try_from(self.max_open).unwrap_or(usize::MAX),
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use connector_api::MessageBatch;
    use connector_api::factory::{OptionSet, Options};

    fn parse(text: &str) -> Result<SinkConfig> {
        let options = Options::new("sink", serde_json::from_str(text).unwrap());
        let parsed: SinkOptions = options.parse()?;
        parsed.checked::<MessageBatch>(Path::new("/base"), &|name, reason| options.error(name, reason))
    }

    #[test]
    fn the_example_of_the_contract_reads() {
        let config = parse(
            r#"{"path": "out", "format": "lines", "rolling": {"size": "8 MiB", "on_checkpoint": true},
                "compaction": {"checkpoints": 2, "size": "64 MiB"}}"#,
        )
        .unwrap();
        assert_eq!(config.dir, Path::new("/base/out"));
        assert_eq!(config.rolling.size, ByteSize(8 << 20));
        let merge = Merge { checkpoints: 2, size: Some(ByteSize(64 << 20)), ..Merge::default() };
        assert_eq!(config.compaction, Some(Compaction::Merge(merge)));
        let drain = parse(r#"{"path": "out", "format": "lines", "compaction": "drain"}"#).unwrap();
        assert_eq!(drain.compaction, Some(Compaction::Drain));
        let plain = parse(r#"{"path": "out", "format": "lines"}"#).unwrap();
        assert!(plain.compaction.is_none() && plain.rolling.on_checkpoint);
        assert_eq!(plain.rolling.size, ByteSize(128 << 20));
    }

    #[test]
    fn wrong_options_are_named() {
        let cases = [
            (r#"{"format": "lines"}"#, "sink.path"),
            (r#"{"path": "", "format": "lines"}"#, "sink.path"),
            (r#"{"path": "o", "format": "line"}"#, "sink.format"),
            (r#"{"path": "o", "format": "lines", "prefix": "../x"}"#, "sink.prefix"),
            (r#"{"path": "o", "format": "lines", "suffix": "/x"}"#, "sink.suffix"),
            (r#"{"path": "o", "format": "lines", "buckets": {"field": ""}}"#, "sink.buckets.field"),
            (r#"{"path": "o", "format": "lines", "buckets": [{}]}"#, "sink.buckets"),
            (r#"{"path": "o", "format": "lines", "buckets": {"fields": "a"}}"#, "sink.buckets.fields"),
            (r#"{"path": "o", "format": "lines", "max_open": 0}"#, "sink.max_open"),
            (r#"{"path": "o", "format": "lines", "shuffle_by_bucket": true}"#, "sink.shuffle_by_bucket"),
            (r#"{"path": "o", "format": "lines", "on_finished": {}}"#, "sink.on_finished"),
            (
                r#"{"path": "o", "format": "lines", "buckets": {"field": "f"},
                    "on_finished": {"success": false, "manifest": false}}"#,
                "sink.on_finished",
            ),
            (r#"{"path": "o", "format": "lines", "rolling": {"size": 0}}"#, "sink.rolling.size"),
            (r#"{"path": "o", "format": "lines", "rolling": {"age": "0s"}}"#, "sink.rolling.age"),
            (r#"{"path": "o", "format": "lines", "rolling": {"agee": "1s"}}"#, "sink.rolling.agee"),
            (r#"{"path": "o", "format": "lines", "compaction": {}}"#, "sink.compaction.checkpoints"),
            (
                r#"{"path": "o", "format": "lines", "compaction": {"checkpoints": 0}}"#,
                "sink.compaction.checkpoints",
            ),
            (
                r#"{"path": "o", "format": "lines", "compaction": {"checkpoints": 1, "size": "x"}}"#,
                "sink.compaction.size",
            ),
            (r#"{"path": "o", "format": "lines", "compaction": "off"}"#, "sink.compaction"),
            (r#"{"path": "o", "format": "lines", "compaction": 1}"#, "sink.compaction"),
            (r#"{"path": "o", "format": "lines", "store": {}}"#, "sink.store"),
            (r#"{"path": "o", "format": "lines", "upload": {}}"#, "sink.upload"),
            (r#"{"path": "memory://o", "format": "lines", "store": {"regio": "x"}}"#, "sink.store.regio"),
            (r#"{"path": "memory://o/a//b", "format": "lines"}"#, "sink.path"),
            (
                r#"{"path": "memory://o", "format": "lines", "rolling": {"on_checkpoint": false}}"#,
                "sink.rolling.on_checkpoint",
            ),
            (
                r#"{"path": "memory://o", "format": "lines", "upload": {"part_size": "1 KiB"}}"#,
                "sink.upload.part_size",
            ),
            (
                r#"{"path": "memory://o", "format": "lines", "upload": {"max_uploads": 0}}"#,
                "sink.upload.max_uploads",
            ),
            (
                r#"{"path": "memory://o", "format": "lines", "rolling": {"size": "5 GiB"}, "compaction": "drain"}"#,
                "sink.rolling.size",
            ),
        ];
        for (text, expected) in cases {
            match parse(text) {
                Err(Error::Config { option, .. }) => assert_eq!(option, expected, "{text}"),
                other => panic!("{text}: {other:?}"),
            }
        }
    }

    #[test]
    fn the_options_document_themselves() {
        let set = OptionSet::of::<SinkOptions>();
        let identity: Vec<_> = set.0.iter().filter(|o| o.identity).map(|o| o.name.as_str()).collect();
        let csv = ["csv.delimiter", "csv.header", "csv.quote"];
        assert_eq!(
            identity,
            [&["buckets", "compression"], &csv[..], &["format", "path", "prefix", "suffix"]].concat()
        );
        let names: Vec<_> = set.0.iter().map(|o| o.name.as_str()).collect();
        for name in ["rolling.size", "rolling.age", "rolling.on_checkpoint", "compaction.checkpoints"] {
            assert!(names.contains(&name), "{name} in {names:?}");
        }
        assert!(set.0.iter().all(|o| !o.doc.is_empty()), "{set:?}");
    }
}
