//! The options of the source: one struct for files, builders and other front ends alike.

use std::path::{Path, PathBuf};

use connector_api::factory::ByteSize;
use connector_api::{Error, Result};
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use super::select::Selection;
use crate::format::{FileBatch, Format};

/// The largest `max_record` that batches allow for.
const LARGEST_RECORD: u64 = 1 << 30;

/// The options of the file source.
#[derive(Clone, Debug, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct SourceOptions {
    /// A file, a directory or a glob (`*`, `?`, `[ab]`, `{a,b}` within a name, `**` across directories). A directory that a
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
    pub(crate) selection: Selection,
    pub(crate) split_size: u64,
    pub(crate) read: ReadOptions,
}

impl ReadOptions {
    /// Whether the position of a split is the offset of a byte in its file.
    pub(crate) fn positions_are_offsets(&self) -> bool {
        match self.format {
            Format::Lines | Format::Json | Format::Csv | Format::Raw => true,
            Format::Parquet => false,
        }
    }
}

/// How the content of a file is read.
#[derive(Clone, Debug)]
pub struct ReadOptions {
    /// What files consist of.
    pub(crate) format: Format,
    /// The largest record in bytes.
    pub(crate) max_record: usize,
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
        }
    }

    /// Checks what can be told from the options alone. `name` makes the full path of an option of its name.
    pub(crate) fn checked<B: FileBatch>(
        &self,
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
        Ok(SourceConfig {
            selection: Selection::new(self, base_dir, name)?,
            split_size: self.split_size.0,
            read: ReadOptions {
                format: self.format,
                max_record: usize::try_from(self.max_record.0).unwrap_or(usize::MAX),
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
        assert_eq!(identity, ["format", "path"]);
        assert!(set.0.iter().all(|o| !o.doc.is_empty()), "{set:?}");
    }
}
