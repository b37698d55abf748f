//! The split: a byte range of a file, and how far it was read.

use std::ffi::OsString;
use std::fmt;
use std::os::unix::ffi::{OsStrExt, OsStringExt};
use std::path::{Component, Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use connector_api::env::Metadata;
use connector_api::id::SplitId;
use connector_api::source::Split;
use connector_api::state::{from_payload, to_payload};
use connector_api::{Result, Stored};
use serde::{Deserialize, Deserializer, Serialize, Serializer, de};

use super::config::ReadOptions;

/// A path below the path of the option, so that a checkpoint stays valid when the whole tree moves. Never empty, never
/// leading out. Names need not be UTF-8. Cloning is cheap.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct RelativePath(Arc<Path>);

impl RelativePath {
    /// Takes a path of plain names; none for any other.
    pub fn new(path: impl Into<PathBuf>) -> Option<Self> {
        let path = path.into();
        let mut parts = path.components();
        let plain = parts.clone().next().is_some() && parts.all(|part| matches!(part, Component::Normal(_)));
        plain.then(|| Self(path.into()))
    }

    /// The path.
    pub fn as_path(&self) -> &Path {
        &self.0
    }
}

/// Text that differs for paths that differ: `\`, control characters and bytes that are not UTF-8 are escaped.
impl fmt::Display for RelativePath {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        use fmt::Write;
        for chunk in self.0.as_os_str().as_bytes().utf8_chunks() {
            for c in chunk.valid().chars() {
                if c == '\\' || c.is_control() {
                    write!(f, "{}", c.escape_default())?
                } else {
                    f.write_char(c)?
                }
            }
            chunk.invalid().iter().try_for_each(|byte| write!(f, "\\x{byte:02x}"))?;
        }
        Ok(())
    }
}

impl Serialize for RelativePath {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.serialize_bytes(self.0.as_os_str().as_bytes())
    }
}

impl<'de> Deserialize<'de> for RelativePath {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct Visitor;
        impl de::Visitor<'_> for Visitor {
            type Value = RelativePath;

            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str("a relative path")
            }

            fn visit_bytes<E: de::Error>(self, bytes: &[u8]) -> Result<RelativePath, E> {
                let path = OsString::from_vec(bytes.to_vec());
                RelativePath::new(path).ok_or_else(|| E::custom("the path leads out of its directory"))
            }
        }
        deserializer.deserialize_bytes(Visitor)
    }
}

/// A file as it was when it was found. A file that differs from it has changed.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct FileState {
    /// Size in bytes.
    pub len: u64,
    /// Last modification, as time since the Unix epoch.
    pub modified: Duration,
    /// Tells files apart that bear one name after another.
    pub file_id: u64,
}

impl From<Metadata> for FileState {
    fn from(found: Metadata) -> Self {
        Self { len: found.len, modified: found.modified, file_id: found.file_id }
    }
}

impl FileState {
    /// What differs; none when nothing does.
    pub(crate) fn difference(&self, now: &Metadata) -> Option<String> {
        if self.file_id != now.file_id {
            return Some("another file bears its name now".into());
        }
        if self.len != now.len {
            let how = if now.len < self.len { "shrank" } else { "grew" };
            return Some(format!("it {how} from {} to {} bytes", self.len, now.len));
        }
        let times = (self.modified, now.modified);
        (times.0 != times.1).then(|| format!("it was modified (at {:?}, before at {:?})", times.1, times.0))
    }
}

/// A byte range of a file.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct FileSplit {
    /// The file.
    pub path: RelativePath,
    /// Where the range begins.
    pub offset: u64,
    /// The length of the range. The records that *start* in it belong to the split.
    pub length: u64,
    /// The file when it was found.
    pub file: FileState,
    /// Where reading goes on, once it began: the offset of the first record not read yet, or what the format counts by
    /// instead. [`READ`](Self::READ) when nothing is left.
    pub position: Option<u64>,
    /// Tells files apart that are found under one path one after another, where paths are forgotten: counted from 1. 0 where
    /// all paths are remembered.
    pub generation: u64,
}

/// A split as version 1 wrote it.
#[derive(Deserialize)]
pub(super) struct FileSplitV1 {
    path: RelativePath,
    offset: u64,
    length: u64,
    file: FileState,
    position: Option<u64>,
}

impl From<FileSplitV1> for FileSplit {
    fn from(split: FileSplitV1) -> Self {
        let FileSplitV1 { path, offset, length, file, position } = split;
        Self { path, offset, length, file, position, generation: 0 }
    }
}

impl Stored for FileSplit {
    const KIND: &'static str = "file-split";
    const VERSION: u16 = 2;

    fn encode(&self) -> Result<Vec<u8>> {
        to_payload(self)
    }

    fn decode(version: u16, payload: &[u8]) -> Result<Self> {
        match version {
            1 => from_payload::<FileSplitV1>(payload).map(Self::from),
            _ => from_payload(payload),
        }
    }
}

impl Split for FileSplit {
    /// `<path>:<offset>`, and `#<generation>` where there is one.
    fn id(&self) -> SplitId {
        SplitId::new(match self.generation {
            0 => format!("{}:{}", self.path, self.offset),
            generation => format!("{}:{}#{generation}", self.path, self.offset),
        })
    }
}

impl FileSplit {
    /// Where the range ends.
    pub(crate) fn end(&self) -> u64 {
        self.offset.saturating_add(self.length)
    }

    /// The position of a split that was read to its end.
    pub const READ: u64 = u64::MAX;

    /// Whether all its records were read.
    pub(crate) fn is_finished(&self, options: &ReadOptions) -> bool {
        let end = if options.positions_are_offsets(self.path.as_path()) { self.end() } else { Self::READ };
        self.position.is_some_and(|position| position >= end)
    }
}

/// Cuts a file into ranges of `size`; the last may be a tenth larger, so that no tiny one remains. None for an empty file.
pub(crate) fn cut(path: &RelativePath, file: FileState, size: u64, generation: u64) -> Vec<FileSplit> {
    let mut splits = Vec::new();
    let mut offset = 0;
    while offset < file.len {
        let rest = file.len - offset;
        let length = if rest <= size.saturating_add(size / 10) { rest } else { size };
        splits.push(FileSplit { path: path.clone(), offset, length, file, position: None, generation });
        offset += length;
    }
    splits
}

#[cfg(test)]
mod tests {
    use super::*;

    fn file(len: u64) -> FileState {
        FileState { len, modified: Duration::new(7, 9), file_id: 3 }
    }

    fn path(bytes: &[u8]) -> RelativePath {
        RelativePath::new(OsString::from_vec(bytes.to_vec())).unwrap()
    }

    #[test]
    fn ranges_cover_the_file_without_overlap_and_without_a_tiny_last_one() {
        let ranges = |len| {
            let splits = cut(&path(b"a"), file(len), 100, 0);
            splits.iter().map(|s| (s.offset, s.length)).collect::<Vec<_>>()
        };
        assert_eq!(ranges(0), []);
        assert_eq!(ranges(1), [(0, 1)]);
        assert_eq!(ranges(110), [(0, 110)]);
        assert_eq!(ranges(111), [(0, 100), (100, 11)]);
        assert_eq!(ranges(300), [(0, 100), (100, 100), (200, 100)]);
    }

    #[test]
    fn names_that_are_not_utf8_are_kept_and_told_apart() {
        let splits: Vec<_> = [&b"d/a\xff"[..], b"d/a\xfe", b"d/a\\xff", b"d/a\n"]
            .iter()
            .map(|name| cut(&path(name), file(9), 100, 0).remove(0))
            .collect();
        let ids: std::collections::BTreeSet<_> = splits.iter().map(|s| s.id()).collect();
        assert_eq!(ids.len(), 4);
        assert_eq!(splits[0].id().as_str(), "d/a\\xff:0");
        for split in splits {
            assert_eq!(FileSplit::from_bytes(&split.to_bytes().unwrap()).unwrap(), split);
        }
    }

    #[test]
    fn a_path_that_leads_out_is_refused() {
        for bad in ["", "/etc/passwd", "../x", "a/../../x"] {
            assert_eq!(RelativePath::new(bad), None, "{bad}");
        }
        let mut split = cut(&path(b"abcd"), file(9), 100, 0).remove(0);
        split.path = RelativePath(Path::new("../x").into());
        assert!(FileSplit::from_bytes(&split.to_bytes().unwrap()).is_err());
    }

    #[test]
    fn splits_of_every_version_are_read() -> Result<(), testkit::golden::Broken> {
        let untouched = cut(&path(b"a/b"), file(9), 100, 0).remove(0);
        let half_read = FileSplit { position: Some(300), ..untouched.clone() };
        let not_utf8 = FileSplit { path: path(b"d/\xff"), ..untouched.clone() };
        let named_anew = FileSplit { generation: 300, ..untouched.clone() };
        let golden = crate::golden().value("untouched", untouched).value("half-read", half_read);
        golden.value("not-utf8", not_utf8).value("named-anew", named_anew).check()
    }
}
