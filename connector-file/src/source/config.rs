//! The options of the source: one struct for files, builders and other front ends alike.

use std::path::{Path, PathBuf};

use connector_api::factory::{ByteSize, Payload, Span};
use connector_api::{Error, Result};
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use super::disposal::AfterRead;
use super::place::SourcePlace;
use super::select::Selection;
use super::watch::{LateFiles, Order, Watch, default_retries};
use crate::bad::OnBadRecord;
use crate::format::{Compressed, Compression, CsvOptions, CsvShape, FileBatch, Format, Metadata};
use crate::place::{Objects, Place, StoreOptions};

/// The largest `max_record` that batches allow for.
const LARGEST_RECORD: u64 = 1 << 30;

/// The options of the file source.
#[derive(Clone, Debug, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct SourceOptions {
    /// A file, a directory or a glob, local or in an object store (`s3://BUCKET/...`, `gs://`, `az://`, `memory://`) (`*`, `?`, `[ab]`, `{a,b}` within a name, `**` across directories). A directory that a
    /// glob matches stands for the files in it. A path that exists is never taken as a glob. Relative paths are relative
    /// to the pipeline's file.
    #[schemars(extend("x-identity" = true))]
    pub path: PathBuf,
    /// How bytes become records.
    #[schemars(extend("x-identity" = true))]
    pub format: Format,
    /// Globs of the files to read, all when empty. One without `/` is about names, one with `/` about the path below the
    /// directory (or below the part of the glob that has no wildcard).
    #[serde(default)]
    pub include: Vec<String>,
    /// Globs of files and directories to leave out, even if included. Read like those of `include`.
    #[serde(default)]
    pub exclude: Vec<String>,
    /// Whether to read the files in directories of a directory, too. A directory that is reached a second time, by a
    /// symbolic link, is read once. Names that begin with `.` or `_` are left out unless a glob spells that character.
    #[serde(default = "yes")]
    pub recursive: bool,
    /// Files above this size are read in pieces of this size, by several readers at once.
    #[serde(default = "default_split_size")]
    pub split_size: ByteSize,
    /// The largest record, without its terminator, up to 1 GiB. A longer one is an error: it takes that much memory.
    #[serde(default = "default_max_record")]
    pub max_record: ByteSize,
    /// How files are compressed: "auto" goes by the ending of each name (`.gz` and `.zst`), "none", "gzip" or "zstd". A
    /// compressed file is read by one reader, from its beginning also after a restore.
    #[serde(default)]
    #[schemars(extend("x-identity" = true))]
    pub compression: Compressed,
    /// What CSV files look like.
    #[serde(default)]
    pub csv: CsvOptions,
    /// What becomes of a line that is no JSON object, a CSV record with the wrong number of fields, and a row that does not fit:
    /// "fail", "skip", or { dead_letter = "DIRECTORY" }. A record above `max_record` always fails.
    #[serde(default)]
    pub on_bad_record: OnBadRecord,
    /// Makes the source continuous: the path is listed again and again, with this pause between, and files that were not
    /// found before are read. Without it the files are listed once, and the source ends. Files are taken as they are when
    /// they are found: one that changes later is not read again.
    #[serde(default)]
    pub discovery_interval: Option<Span>,
    /// How many listings in a row may fail (each is logged and counted, and tried again after a pause that doubles) before
    /// the job fails. At first an error that trying again can't mend, such as a path that does not exist, fails it at once.
    #[serde(default = "default_retries")]
    pub discovery_retries: u32,
    /// Files that were modified less than this ago are left for a later listing, since they may still be written.
    #[serde(default)]
    pub min_age: Option<Span>,
    /// What becomes of a file once a completed checkpoint holds all of it as read: `delete`, or `move:DIR`, which keeps its
    /// path below the path of the source, replaces nothing, and needs DIR on the same file system. Its path is forgotten
    /// then, which bounds what a continuous source remembers. Without it files are left where they are.
    #[serde(default)]
    pub after_read: Option<AfterRead>,
    /// Bounds what is remembered: a path is forgotten when it is gone and was last modified longer than this before the
    /// newest file. Without it all paths are remembered.
    #[serde(default)]
    pub horizon: Option<Span>,
    /// What becomes of a file that is found with a modification time before the horizon and is not remembered: `fail` the
    /// job (the default), `read` it, or `skip` it, counted and logged.
    #[serde(default)]
    pub late_files: Option<LateFiles>,
    /// The order in which files are dealt to readers.
    #[serde(default)]
    pub order: Order,
    /// How the object store of `path` is reached.
    // Secrets are not shown.
    #[serde(default, skip_serializing)]
    pub store: Option<StoreOptions>,
    /// Columns of metadata beside each record: "path" (`file.path`, below the path of the option), "offset" (`file.offset`, where
    /// the record begins: a byte of the file, or of what it decompresses to) and "modified" (`file.modified`, milliseconds since
    /// the Unix epoch). Batches of Arrow and rows of a struct carry none.
    #[serde(default)]
    pub metadata: Vec<Metadata>,
    /// The columns of a Parquet file to read, in this order; all when empty. A file that lacks one is an error.
    #[serde(default)]
    pub columns: Vec<String>,
    /// The columns of JSON and CSV that are read into batches of Arrow, such as `["id int64!", "name string"]`: required there.
    #[cfg(feature = "parquet")]
    #[serde(default)]
    pub schema: Option<connector_formats::Schema>,
}

fn yes() -> bool {
    true
}

fn default_split_size() -> ByteSize {
    ByteSize(64 << 20)
}

fn default_max_record() -> ByteSize {
    ByteSize(16 << 20)
}

/// The options, checked: what the parts of the source work with.
#[derive(Debug)]
pub(crate) struct SourceConfig {
    pub(crate) place: SourcePlace,
    pub(crate) selection: Selection,
    pub(crate) split_size: u64,
    pub(crate) watch: Watch,
    pub(crate) read: ReadOptions,
    pub(crate) on_bad_record: OnBadRecord,
}

impl ReadOptions {
    /// Whether a split of this file is read to its end once its position is at the end of its range.
    pub(crate) fn positions_are_offsets(&self, file: &Path) -> bool {
        match self.format {
            Format::Lines | Format::Json | Format::Csv => self.compression.of(file) == Compression::None,
            Format::Raw | Format::Parquet => false,
        }
    }

    /// The size of the splits that this file is cut into.
    pub(crate) fn split_size(&self, file: &Path, wanted: u64) -> u64 {
        let is_cut = match self.format {
            Format::Lines | Format::Json => self.compression.of(file) == Compression::None,
            // Whether a line break in CSV ends a record can't be told without reading from the beginning.
            Format::Csv | Format::Raw => false,
            Format::Parquet => true,
        };
        if is_cut { wanted } else { u64::MAX }
    }
}

/// How the content of a file is read.
#[derive(Clone, Debug)]
pub struct ReadOptions {
    /// What files consist of.
    pub(crate) format: Format,
    /// The largest record in bytes.
    pub(crate) max_record: usize,
    /// How files are compressed.
    pub(crate) compression: Compressed,
    /// What CSV files look like.
    pub(crate) csv: CsvShape,
    /// The columns of metadata beside the records.
    pub(crate) metadata: Vec<Metadata>,
    /// The columns of Parquet to read; all when empty.
    #[cfg_attr(
        not(feature = "parquet"),
        expect(dead_code, reason = "only Parquet has columns to choose from")
    )]
    pub(crate) columns: Vec<String>,
    /// The columns of text.
    #[cfg(feature = "parquet")]
    pub(crate) schema: Option<connector_formats::Schema>,
}

impl SourceOptions {
    /// The lines of a file, a directory or a glob, everything else by default.
    pub fn lines(path: impl Into<PathBuf>) -> Self {
        Self {
            path: path.into(),
            format: Format::Lines,
            include: Vec::new(),
            exclude: Vec::new(),
            recursive: yes(),
            split_size: default_split_size(),
            max_record: default_max_record(),
            compression: Compressed::default(),
            csv: CsvOptions::default(),
            on_bad_record: OnBadRecord::default(),
            discovery_interval: None,
            discovery_retries: default_retries(),
            min_age: None,
            after_read: None,
            horizon: None,
            late_files: None,
            order: Order::default(),
            store: None,
            metadata: Vec::new(),
            columns: Vec::new(),
            #[cfg(feature = "parquet")]
            schema: None,
        }
    }

    /// Text becomes columns by a schema, and by that only.
    #[cfg(feature = "parquet")]
    fn check_schema<B: FileBatch>(&self) -> Result<(), String> {
        let wanted = B::TYPED && matches!(self.format, Format::Json | Format::Csv);
        let (format, batch) = (self.format.name(), B::NAME);
        match &self.schema {
            None if wanted => Err(format!(
                "is needed to read `{format}` as {batch}; give the columns, as in [\"id int64!\", \"name string\"]"
            )),
            Some(_) if !wanted => Err(format!("has no meaning for `{format}` read as {batch}")),
            _ => Ok(()),
        }
    }

    /// A column of the schema, or one that is chosen, with the name of metadata that is wanted.
    #[cfg(feature = "parquet")]
    fn clash(&self) -> Option<(&'static str, &'static str)> {
        let wanted = self.metadata.iter().map(|one| one.column());
        wanted.into_iter().find_map(|name| {
            let schema = self.schema.iter().flat_map(|schema| schema.columns());
            if schema.into_iter().any(|column| column.name == name) {
                return Some(("schema", name));
            }
            self.columns.iter().any(|column| column == name).then_some(("columns", name))
        })
    }

    /// What the rows are when they are read into batches `B`; none when that type can't carry them.
    pub(crate) fn payload<B: FileBatch>(&self) -> Option<Payload> {
        let fits = B::carries(self.format).is_ok();
        #[cfg(feature = "parquet")]
        let fits = fits && self.check_schema::<B>().is_ok();
        fits.then(|| B::payload(self.format))
    }

    /// Checks what can be told from the options alone. `name` makes the full path of an option of its name.
    pub(crate) fn checked<B: FileBatch>(
        &self,
        base_dir: &Path,
        name: &dyn Fn(&str) -> String,
    ) -> Result<SourceConfig> {
        let error = |option: &str, reason| Error::config(name(option), reason);
        match Place::of(&self.path, base_dir, self.store.as_ref(), &error)? {
            Place::Local(_) => {
                let selection = Selection::new(self, base_dir, name)?;
                self.checked_at::<B>(SourcePlace::Local, selection, base_dir, name)
            }
            Place::Objects(objects, below) => self.checked_on::<B>(objects, below, base_dir, name),
        }
    }

    /// The same for objects below a path of a store.
    pub(crate) fn checked_on<B: FileBatch>(
        &self,
        objects: Objects,
        below: String,
        base_dir: &Path,
        name: &dyn Fn(&str) -> String,
    ) -> Result<SourceConfig> {
        // A whole bucket has the empty path, which a selection of files refuses.
        let path = if below.is_empty() { "-".into() } else { PathBuf::from(&below) };
        let mut selection = Selection::new(&Self { path, ..self.clone() }, Path::new(""), name)?;
        if below.is_empty() {
            selection.path = PathBuf::new();
        }
        self.checked_at::<B>(SourcePlace::Objects(objects), selection, base_dir, name)
    }

    fn checked_at<B: FileBatch>(
        &self,
        place: SourcePlace,
        selection: Selection,
        base_dir: &Path,
        name: &dyn Fn(&str) -> String,
    ) -> Result<SourceConfig> {
        let refuse = |option: &str, reason: &str| Err(Error::config(name(option), reason));
        if let Err(reason) = B::carries(self.format) {
            return refuse("format", &reason);
        }
        if self.split_size.0 == 0 {
            return refuse("split_size", "must be at least 1 B");
        }
        if self.max_record.0 == 0 || self.max_record.0 > LARGEST_RECORD {
            return refuse("max_record", "must be between 1 B and 1 GiB");
        }
        let csv = self.csv.checked().map_err(|(option, reason)| Error::config(name(option), reason))?;
        if !self.metadata.is_empty() && !B::HAS_METADATA {
            let reason = format!(
                "can't be carried as {}, whose fields are those of the record: leave it out, or read messages",
                B::NAME
            );
            return refuse("metadata", &reason);
        }
        #[cfg(feature = "parquet")]
        if let Some((option, column)) = self.clash() {
            return refuse(option, &crate::format::clash(column));
        }
        if self.format == Format::Csv {
            B::reads_csv(&csv).map_err(|(option, reason)| Error::config(name(option), reason))?;
        }
        let mut on_bad_record = self.on_bad_record.clone();
        if let OnBadRecord::DeadLetter(dir) = &mut on_bad_record {
            if dir.as_os_str().is_empty() {
                return refuse("on_bad_record.dead_letter", "is empty; give a directory");
            }
            *dir = base_dir.join(&*dir);
            let is_local = matches!(place, SourcePlace::Local);
            if is_local && dir.starts_with(base_dir.join(&self.path)) {
                return refuse("on_bad_record.dead_letter", "lies within `path`: it would be read itself");
            }
        }
        if !self.columns.is_empty() && self.format != Format::Parquet {
            return refuse("columns", "is for the format `parquet`: other formats are read whole");
        }
        #[cfg(feature = "parquet")]
        self.check_schema::<B>().map_err(|reason| Error::config(name("schema"), reason))?;
        let watch = Watch::new(self, &place, &selection, base_dir, name)?;
        Ok(SourceConfig {
            place,
            split_size: self.split_size.0,
            on_bad_record,
            watch,
            selection,
            read: ReadOptions {
                format: self.format,
                max_record: usize::try_from(self.max_record.0).unwrap_or(usize::MAX),
                compression: self.compression,
                csv,
                metadata: self.metadata.clone(),
                columns: self.columns.clone(),
                #[cfg(feature = "parquet")]
                schema: self.schema.clone(),
            },
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use connector_api::MessageBatch;
    use connector_api::factory::{OptionSet, Options};

    fn parse(text: &str) -> Result<SourceConfig> {
        let options = Options::new("source", serde_json::from_str(text).unwrap());
        let parsed: SourceOptions = options.parse()?;
        parsed.checked::<MessageBatch>(Path::new("/base"), &|name| options.path(name))
    }

    #[test]
    fn the_example_of_the_contract_reads() {
        let config = parse(r#"{"path": "in", "format": "lines"}"#).unwrap();
        assert_eq!((config.split_size, config.read.max_record), (64 << 20, 16 << 20));
    }

    #[test]
    fn wrong_options_are_named() {
        let cases = [
            (r#"{"format": "lines"}"#, "source.path"),
            (r#"{"path": "", "format": "lines"}"#, "source.path"),
            (r#"{"path": "in/[a", "format": "lines"}"#, "source.path"),
            (r#"{"path": "in", "format": "xml"}"#, "source.format"),
            (r#"{"path": "in", "format": "parquet"}"#, "source.format"),
            (r#"{"path": "in", "format": "lines", "include": ["{a"]}"#, "source.include"),
            (r#"{"path": "in", "format": "lines", "exclude": ["[z-a]"]}"#, "source.exclude"),
            (r#"{"path": "in", "format": "lines", "split_size": 0}"#, "source.split_size"),
            (r#"{"path": "in", "format": "lines", "max_record": "2 GiB"}"#, "source.max_record"),
            (r#"{"path": "in", "format": "lines", "recurse": true}"#, "source.recurse"),
            (r#"{"path": "in", "format": "lines", "discovery_interval": "0s"}"#, "source.discovery_interval"),
            (r#"{"path": "in", "format": "lines", "min_age": "1s"}"#, "source.min_age"),
            (r#"{"path": "in", "format": "lines", "horizon": "1s"}"#, "source.horizon"),
            (
                r#"{"path": "in", "format": "lines", "discovery_interval": "1s", "late_files": "skip"}"#,
                "source.late_files",
            ),
            (r#"{"path": "in", "format": "lines", "after_read": "keep"}"#, "source.after_read"),
            (r#"{"path": "in", "format": "lines", "after_read": "move:"}"#, "source.after_read"),
            (r#"{"path": "in", "format": "lines", "after_read": "move:in/done"}"#, "source.after_read"),
            (r#"{"path": "in/*.x", "format": "lines", "after_read": "move:in/done"}"#, "source.after_read"),
            (r#"{"path": "in", "format": "lines", "after_read": "move:a/../in"}"#, "source.after_read"),
            (
                r#"{"path": "in", "format": "lines", "discovery_interval": "1s", "after_read": "delete", "horizon": "1d"}"#,
                "source.horizon",
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
        let set = OptionSet::of::<SourceOptions>();
        let identity: Vec<_> = set.0.iter().filter(|o| o.identity).map(|o| o.name.as_str()).collect();
        let csv = ["csv.delimiter", "csv.header", "csv.quote"];
        assert_eq!(identity, [&["compression"], &csv[..], &["format", "path"]].concat());
        assert!(set.0.iter().all(|o| !o.doc.is_empty()), "{set:?}");
    }
}
