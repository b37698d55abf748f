//! What passes from the writers to the committer: staged files, each with the name that it will appear under.

use connector_api::state::{from_payload, to_payload};
use connector_api::{Result, Stored};
use serde::{Deserialize, Serialize};

/// What a writer hands over. Its bytes alone are enough to commit it, by another process and at any later time.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum FileCommittable {
    /// A file to publish.
    File(StagedFile),
    /// How far a writer is, for those who watch for finished buckets. Nothing to publish.
    Mark(Mark),
    /// No part of a bucket is missing any more, for those who finish buckets. Nothing to publish.
    Finished(FinishedBucket),
}

/// A staged file. All names are below the sink's base directory, and have a directory part for buckets.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct StagedFile {
    /// Where its content is now.
    pub staged: Staged,
    /// The name under which it becomes visible.
    pub name: String,
    /// Its length in bytes.
    pub length: u64,
    /// The number of its records; 0 when it was staged by a version that did not count.
    pub rows: u64,
    /// How many parts of writers it consists of.
    pub parts: u32,
    /// Hidden files whose content it stands for: removed once it is visible, durably.
    pub inputs: Vec<String>,
}

/// Where the content of a file is until its commit.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum Staged {
    /// In a file or object of this hidden name.
    Hidden(String),
    /// In an object store, as a multipart upload that was not completed.
    Upload {
        /// The id that the store gave.
        id: String,
        /// What the store answered to each part, in order.
        parts: Vec<String>,
    },
}

/// How far a writer is.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Mark {
    /// Which writer.
    pub writer: u32,
    /// Of how many.
    pub of: u32,
    /// No later record of this writer goes to a bucket that ends at or before this (milliseconds since the Unix epoch).
    pub watermark: i64,
}

/// A bucket of which no part is missing any more.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct FinishedBucket {
    /// The directory below the base directory.
    pub bucket: String,
    /// How many parts of writers went into it since it was finished last.
    pub parts: u64,
}

impl StagedFile {
    /// The hidden name, for a file that has one.
    pub fn hidden(&self) -> Option<&str> {
        match &self.staged {
            Staged::Hidden(name) => Some(name),
            Staged::Upload { .. } => None,
        }
    }
}

impl FileCommittable {
    /// The file, if it is one.
    pub fn into_file(self) -> Option<StagedFile> {
        match self {
            Self::File(file) => Some(file),
            Self::Mark(_) | Self::Finished(_) => None,
        }
    }
}

impl From<StagedFile> for FileCommittable {
    fn from(file: StagedFile) -> Self {
        Self::File(file)
    }
}

impl Stored for FileCommittable {
    const KIND: &'static str = "file-committable";
    const VERSION: u16 = 2;

    fn encode(&self) -> Result<Vec<u8>> {
        to_payload(self)
    }

    fn decode(version: u16, payload: &[u8]) -> Result<Self> {
        match version {
            1 => Ok(Self::File(from_payload::<v1::File>(payload)?.into())),
            _ => from_payload(payload),
        }
    }
}

/// What version 1 stored: one kind of committable, always in a hidden file.
pub(crate) mod v1 {
    use serde::Deserialize;

    use super::{Staged, StagedFile};

    #[derive(Debug, Deserialize)]
    pub(crate) struct File {
        staged: String,
        name: String,
        length: u64,
        inputs: Vec<String>,
    }

    impl From<File> for StagedFile {
        fn from(File { staged, name, length, inputs }: File) -> Self {
            let parts = u32::try_from(inputs.len()).unwrap_or(u32::MAX).max(1);
            Self { staged: Staged::Hidden(staged), name, length, rows: 0, parts, inputs }
        }
    }
}

/// What a writer needs to go on with a part that a checkpoint left open.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct WriterState {
    /// The hidden name of the part.
    pub staged: String,
    /// The name under which it becomes visible.
    pub name: String,
    /// The bytes of it that belong to the checkpoint, all durable.
    pub length: u64,
    /// The number of its records in them; 0 at the start of one that was begun by a version that did not count.
    pub rows: u64,
    /// When its first record was written, in milliseconds since the Unix epoch.
    pub created_at: i64,
}

impl Stored for WriterState {
    const KIND: &'static str = "file-writer";
    const VERSION: u16 = 2;

    fn encode(&self) -> Result<Vec<u8>> {
        to_payload(self)
    }

    fn decode(version: u16, payload: &[u8]) -> Result<Self> {
        if version == 1 {
            let (staged, name, length, created_at) = from_payload(payload)?;
            return Ok(Self { staged, name, length, rows: 0, created_at });
        }
        from_payload(payload)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::golden;
    use testkit::golden::Broken;

    fn file() -> StagedFile {
        StagedFile {
            staged: Staged::Hidden(".a.inprogress".into()),
            name: "a".into(),
            length: 300,
            rows: 7,
            parts: 1,
            inputs: Vec::new(),
        }
    }

    #[test]
    fn committables_of_every_version_are_read() -> Result<(), Broken> {
        let alone = file();
        let merged = StagedFile { inputs: vec![".b".into()], ..alone.clone() };
        let upload = Staged::Upload { id: "u".into(), parts: vec!["p".into(), "q".into()] };
        let uploaded = StagedFile { staged: upload, name: "day=1/a".into(), ..alone.clone() };
        let finished = FinishedBucket { bucket: "day=1".into(), parts: 3 };
        let uncounted = |file: &StagedFile| StagedFile { rows: 0, ..file.clone() };
        golden()
            .earlier(1, "alone", uncounted(&alone).into())
            .earlier(1, "merged", uncounted(&merged).into())
            .value("alone", alone.into())
            .value("merged", merged.into())
            .value("uploaded", uploaded.into())
            .value("mark", FileCommittable::Mark(Mark { writer: 1, of: 2, watermark: -1 }))
            .value("finished", FileCommittable::Finished(finished))
            .check()
    }

    #[test]
    fn writer_states_of_every_version_are_read() -> Result<(), Broken> {
        let open = WriterState {
            staged: ".a.inprogress".into(),
            name: "a".into(),
            length: 300,
            rows: 9,
            created_at: -1,
        };
        golden().earlier(1, "open", WriterState { rows: 0, ..open.clone() }).value("open", open).check()
    }
}
