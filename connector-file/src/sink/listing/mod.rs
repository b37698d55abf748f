//! What stands in a sink's directory, or below its prefix of an object store, for people and tools that look at it. Moves nothing,
//! and works while jobs write there.

mod objects;

use std::collections::BTreeMap;
use std::io::ErrorKind;
use std::path::Path;

use connector_api::env::FileSystem;
use connector_api::id::AttemptId;
use connector_api::sink::References;
use connector_api::{Error, Result};

use super::committable::{FileCommittable, StagedFile, WriterState};
use super::compaction::{CompactorState, CoordinatorState, Request};
use super::naming::{self, HiddenKind};

pub use objects::SinkObjects;

/// A file below a sink's directory.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct ListedFile {
    /// The name below the directory, with the directories of its bucket.
    pub name: String,
    /// Its length in bytes.
    pub bytes: u64,
    /// What it is, as far as its name says.
    pub kind: FileKind,
    /// For the marker of an upload to an object store: the name of the object that is uploaded.
    pub uploads: Option<String>,
}

impl ListedFile {
    /// The name that checkpoints know it by; see [`pending`].
    pub fn known_as(&self) -> &str {
        self.uploads.as_ref().unwrap_or(&self.name)
    }
}

/// What a file is.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
#[non_exhaustive]
pub enum FileKind {
    /// Readers of the directory see it.
    Visible,
    /// Not data, by convention: the name begins with `_`, like that of `_SUCCESS`.
    Mark,
    /// A part that is written, or waits for its commit or its merge. Made by this attempt.
    InProgress(AttemptId),
    /// The result of a merge that is written or waits for its commit. Made by this attempt.
    Merging(AttemptId),
    /// The marker of an upload to an object store that is not completed; its own length is that of the marker. Made by this
    /// attempt. An upload whose writer died before it could mark it has none, and can't be listed.
    Uploading(AttemptId),
    /// Hidden, and nothing that a sink makes.
    Foreign,
}

impl FileKind {
    /// The attempt that made a file which is not finished.
    pub fn attempt(self) -> Option<AttemptId> {
        match self {
            Self::InProgress(attempt) | Self::Merging(attempt) | Self::Uploading(attempt) => Some(attempt),
            Self::Visible | Self::Mark | Self::Foreign => None,
        }
    }
}

/// What checkpoints know of a file that is not visible yet.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct PendingFile {
    /// The name that it will appear under; none for one whose content appears in a merged file.
    pub becomes: Option<String>,
    /// The length that belongs to the checkpoint.
    pub bytes: u64,
    /// Its records; 0 when they were not counted.
    pub records: u64,
}

/// All files below the directory, in the order of their names. A directory that is not there is empty; one whose name begins
/// with `.` is left out. Names that are not UTF-8 are shown with replacement characters. Blocks.
///
/// # Errors
///
/// The file system's. A file that vanishes meanwhile is none.
pub fn list(fs: &dyn FileSystem, dir: &Path) -> Result<Vec<ListedFile>> {
    let mut found = Vec::new();
    let mut left = vec![(dir.to_path_buf(), String::new())];
    while let Some((dir, bucket)) = left.pop() {
        let entries = match fs.list(&dir) {
            Ok(entries) => entries,
            Err(e) if e.kind() == ErrorKind::NotFound => continue,
            Err(e) => return Err(Error::io("list", &dir)(e)),
        };
        for entry in entries {
            let path = dir.join(&entry.name);
            let file = entry.name.to_string_lossy();
            let name = naming::within(&bucket, &file);
            if entry.is_dir {
                if !file.starts_with('.') {
                    left.push((path, name));
                }
                continue;
            }
            match fs.metadata(&path) {
                Ok(metadata) => {
                    found.push(ListedFile { kind: kind(&file), bytes: metadata.len, name, uploads: None })
                }
                Err(e) if e.kind() == ErrorKind::NotFound => {}
                Err(e) => return Err(Error::io("read metadata of", &path)(e)),
            }
        }
    }
    found.sort();
    Ok(found)
}

fn kind(file: &str) -> FileKind {
    match naming::hidden_kind(file) {
        Some((HiddenKind::InProgress, attempt)) => FileKind::InProgress(attempt),
        Some((HiddenKind::Merging, attempt)) => FileKind::Merging(attempt),
        Some((HiddenKind::Uploading, attempt)) => FileKind::Uploading(attempt),
        None if file.starts_with('.') => FileKind::Foreign,
        None if file.starts_with('_') => FileKind::Mark,
        None => FileKind::Visible,
    }
}

/// The hidden files that checkpoints refer to, by name: those that will be committed, those that are held back to be merged,
/// and those that a writer goes on with. Uploads are there by the name of their object. See [`ListedFile::known_as`].
///
/// # Errors
///
/// [`Error::State`] when stored bytes are damaged.
pub fn pending(references: &References) -> Result<BTreeMap<String, PendingFile>> {
    let mut pending = BTreeMap::new();
    for state in references.all::<WriterState>()? {
        let open = PendingFile { becomes: Some(state.name), bytes: state.length, records: state.rows };
        pending.insert(state.staged, open);
    }
    let committables = references.all::<FileCommittable>()?.into_iter();
    let mut files: Vec<StagedFile> = committables.filter_map(FileCommittable::into_file).collect();
    files.extend(references.all::<CoordinatorState>()?.into_iter().flat_map(|state| state.held));
    files.extend(references.all::<CompactorState>()?.into_iter().flat_map(|state| state.inputs));
    files.extend(references.all::<Request>()?.into_iter().flat_map(Request::into_files));
    for file in files {
        for input in &file.inputs {
            // Its own entry, of an older checkpoint, says more.
            let merged = PendingFile { becomes: None, bytes: 0, records: 0 };
            pending.entry(input.clone()).or_insert(merged);
        }
        let known_as = file.hidden().unwrap_or(&file.name).to_owned();
        let whole = PendingFile { becomes: Some(file.name), bytes: file.length, records: file.rows };
        pending.insert(known_as, whole);
    }
    Ok(pending)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::sink::Staged;
    use connector_api::Stored;
    use connector_api::id::RunId;
    use testkit::fs::SimFs;

    const UID: &str = "0000000000000abc_2_1";

    fn attempt(number: u64) -> AttemptId {
        AttemptId { run: RunId(0xabc), number }
    }

    #[test]
    fn files_are_told_apart_by_their_names_whatever_their_affixes() {
        let fs = SimFs::new();
        let cases = [
            (format!("part-{UID}-0"), FileKind::Visible),
            ("somebody-elses.txt".into(), FileKind::Visible),
            ("day=1/_SUCCESS".into(), FileKind::Mark),
            (format!(".part-{UID}-0.inprogress"), FileKind::InProgress(attempt(2))),
            (format!("day=1/.a-b-c-{UID}-12.jsonl.gz.inprogress"), FileKind::InProgress(attempt(2))),
            (format!(".x-{UID}-0.txt.0000000000000abc_7_0.compacting"), FileKind::Merging(attempt(7))),
            (".part-1-0.inprogress".into(), FileKind::Foreign),
            (".DS_Store".into(), FileKind::Foreign),
        ];
        for (name, _) in &cases {
            fs.put(Path::new("/out").join(name), b"12345").unwrap();
        }
        fs.put("/out/.hidden/x", b"").unwrap();
        let found: BTreeMap<_, _> =
            list(&fs, Path::new("/out")).unwrap().into_iter().map(|f| (f.name.clone(), f)).collect();
        assert_eq!(found.len(), cases.len());
        for (name, kind) in cases {
            assert_eq!((found[&name].kind, found[&name].bytes), (kind, 5), "{name}");
        }
        assert!(list(&fs, Path::new("/nowhere")).unwrap().is_empty());
    }

    #[test]
    fn what_checkpoints_refer_to_is_pending_with_what_it_becomes() {
        let open = WriterState { staged: ".o".into(), name: "o".into(), length: 9, rows: 3, created_at: 0 };
        let merged = StagedFile {
            staged: Staged::Hidden(".m".into()),
            name: "m".into(),
            length: 20,
            rows: 5,
            parts: 2,
            inputs: vec![".i".into(), ".j".into()],
        };
        let committable = FileCommittable::from(merged);
        let stored = [open.to_bytes().unwrap(), committable.to_bytes().unwrap()];
        let pending = pending(&References::new(stored.to_vec())).unwrap();
        let of = |name: &str| pending.get(name).map(|p| (p.becomes.as_deref(), p.bytes, p.records));
        assert_eq!(of(".o"), Some((Some("o"), 9, 3)));
        assert_eq!(of(".m"), Some((Some("m"), 20, 5)));
        assert_eq!((of(".i"), of(".j")), (Some((None, 0, 0)), Some((None, 0, 0))));
        assert_eq!(pending.len(), 4);
    }
}
