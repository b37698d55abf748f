//! What the enumerator keeps in checkpoints.

use std::time::Duration;

use connector_api::state::{from_payload, to_payload};
use connector_api::{Result, Stored};
use serde::{Deserialize, Serialize};

use super::seen::SeenPaths;
use super::split::{FileSplit, FileSplitV1, FileState, RelativePath};

/// What the enumerator keeps in checkpoints.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct FileEnumeratorState {
    /// Whether the files were listed. A source that is not continuous lists once.
    pub listed: bool,
    /// The splits that no reader has.
    pub pending: Vec<FileSplit>,
    /// The size of all files together, for a source that lists once.
    pub total_bytes: u64,
    /// Whether `seen` is kept.
    pub remembers: bool,
    /// The paths that were found and are not forgotten.
    pub seen: SeenPaths,
    /// The latest time of modification of all files that were found.
    pub newest: Duration,
    /// How many files were found, where paths are forgotten.
    pub generations: u64,
    /// Files that are to be disposed of once they are read.
    pub kept: Vec<KeptFile>,
}

/// A file that is to be disposed of once it is read.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct KeptFile {
    /// The file.
    pub path: RelativePath,
    /// The file when it was found.
    pub file: FileState,
    /// Which of the files that were found under this path it is.
    pub generation: u64,
    /// The offsets of its splits that were not read to their end. When there is none, the checkpoint holds them all as read.
    pub unread: Vec<u64>,
}

/// The state as version 1 wrote it.
#[derive(Deserialize)]
struct V1 {
    listed: bool,
    pending: Vec<FileSplitV1>,
    total_bytes: u64,
}

impl Stored for FileEnumeratorState {
    const KIND: &'static str = "file-enumerator";
    const VERSION: u16 = 2;

    fn encode(&self) -> Result<Vec<u8>> {
        to_payload(self)
    }

    fn decode(version: u16, payload: &[u8]) -> Result<Self> {
        if version > 1 {
            return from_payload(payload);
        }
        let V1 { listed, pending, total_bytes } = from_payload(payload)?;
        let pending = pending.into_iter().map(FileSplit::from).collect();
        Ok(Self { listed, pending, total_bytes, ..Self::default() })
    }
}

#[cfg(test)]
mod tests {
    use super::super::split::cut;
    use super::*;

    #[test]
    fn states_of_every_version_are_read() -> Result<(), testkit::golden::Broken> {
        let path = |text| RelativePath::new(text).unwrap();
        let file = FileState { len: 150, modified: Duration::new(7, 9), file_id: 3 };
        let pending = cut(&path("a/b"), file, 100, 0);
        let listed = FileEnumeratorState { listed: true, pending, total_bytes: 150, ..Default::default() };
        let watching = FileEnumeratorState {
            listed: true,
            pending: cut(&path("a/c"), file, 100, 2),
            remembers: true,
            seen: [(path("a/b"), file.modified), (path("a/c"), file.modified)].into_iter().collect(),
            newest: file.modified,
            generations: 2,
            kept: vec![KeptFile { path: path("a/b"), file, generation: 1, unread: vec![100] }],
            ..Default::default()
        };
        let golden = crate::golden().value("before-listing", FileEnumeratorState::default());
        golden.value("listed", listed).value("watching", watching).check()
    }
}
