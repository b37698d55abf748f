//! Files that are to be disposed of once a completed checkpoint holds all their splits as read.
//!
//! A split that was reported finished before the enumerator's snapshot for checkpoint n is finished in n: the barrier of n
//! follows behind the report. So it is certain once n, or a later one, is complete. Until then the report is worth nothing if
//! its reader goes: the checkpoint that is restored may hold the split unfinished, and it is read again.

use std::collections::{BTreeMap, HashMap};

use connector_api::id::{CheckpointId, ReaderId, SplitId};
use connector_api::source::Split;

use super::split::{FileSplit, FileState, RelativePath};
use super::state::KeptFile;

/// A file that may be disposed of.
#[derive(Clone, Debug)]
pub(super) struct Done {
    pub(super) generation: u64,
    pub(super) path: RelativePath,
    pub(super) file: FileState,
}

/// How far a split is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Reading {
    Unread,
    /// Reported finished by this reader, and held by the first checkpoint that was begun since.
    Reported(ReaderId, Option<CheckpointId>),
    /// A completed checkpoint holds it as read.
    Certain,
}

#[derive(Debug)]
struct Kept {
    path: RelativePath,
    file: FileState,
    splits: BTreeMap<u64, Reading>,
    /// For a file without splits: the first checkpoint that knows of it.
    known_in: Option<CheckpointId>,
    /// Whether a completed checkpoint knows of the file.
    known: bool,
    /// Whether it was said to be done.
    said: bool,
}

impl Kept {
    fn is_done(&self) -> bool {
        self.known && self.splits.values().all(|split| *split == Reading::Certain)
    }
}

/// The files, by their generations.
#[derive(Debug, Default)]
pub(super) struct KeptFiles {
    files: BTreeMap<u64, Kept>,
    by_split: HashMap<SplitId, (u64, u64)>,
    /// The files that may be disposed of.
    done: Vec<u64>,
}

impl KeptFiles {
    /// Those of a restored checkpoint, which is complete.
    pub(super) fn restore(kept: Vec<KeptFile>) -> Self {
        let mut this = Self::default();
        for KeptFile { path, file, generation, unread } in kept {
            for offset in &unread {
                this.by_split.insert(id(&path, file, generation, *offset), (generation, *offset));
            }
            let splits = unread.into_iter().map(|offset| (offset, Reading::Unread)).collect();
            let kept = Kept { path, file, splits, known_in: None, known: true, said: false };
            this.files.insert(generation, kept);
        }
        this.look();
        this
    }

    /// A file was found and cut into these splits.
    pub(super) fn add(
        &mut self,
        path: &RelativePath,
        file: FileState,
        generation: u64,
        splits: &[FileSplit],
    ) {
        for split in splits {
            self.by_split.insert(split.id(), (generation, split.offset));
        }
        let splits = splits.iter().map(|split| (split.offset, Reading::Unread)).collect();
        let kept = Kept { path: path.clone(), file, splits, known_in: None, known: false, said: false };
        self.files.insert(generation, kept);
    }

    fn split(&mut self, id: &SplitId) -> Option<&mut Reading> {
        let (generation, offset) = self.by_split.get(id)?;
        self.files.get_mut(generation)?.splits.get_mut(offset)
    }

    /// A reader says that it read a split to its end. May be said again, also of files that are gone.
    pub(super) fn reported(&mut self, reader: ReaderId, id: &SplitId) {
        if let Some(split) = self.split(id)
            && *split == Reading::Unread
        {
            *split = Reading::Reported(reader, None);
        }
    }

    /// What a reader reported and no completed checkpoint holds is void.
    pub(super) fn reader_is_gone(&mut self, reader: ReaderId) {
        let splits = self.files.values_mut().flat_map(|kept| kept.splits.values_mut());
        for split in splits.filter(|split| matches!(split, Reading::Reported(by, _) if *by == reader)) {
            *split = Reading::Unread;
        }
    }

    /// These are to be read again.
    pub(super) fn given_back(&mut self, splits: &[FileSplit]) {
        for split in splits {
            if let Some(reading) = self.split(&split.id()) {
                *reading = Reading::Unread;
            }
        }
    }

    /// The state for a checkpoint: what was reported so far is finished in it.
    pub(super) fn snapshot(&mut self, checkpoint: CheckpointId) -> Vec<KeptFile> {
        let snapshot = self.files.iter_mut().map(|(generation, kept)| {
            kept.known_in.get_or_insert(checkpoint);
            let mut unread = Vec::new();
            for (offset, reading) in &mut kept.splits {
                match reading {
                    Reading::Unread => unread.push(*offset),
                    Reading::Reported(_, held_by) => {
                        held_by.get_or_insert(checkpoint);
                    }
                    Reading::Certain => {}
                }
            }
            KeptFile { path: kept.path.clone(), file: kept.file, generation: *generation, unread }
        });
        snapshot.collect()
    }

    /// The checkpoint and all before it are complete.
    pub(super) fn completed(&mut self, checkpoint: CheckpointId) {
        let is_complete =
            |held_by: Option<CheckpointId>| held_by.is_some_and(|held_by| held_by <= checkpoint);
        for kept in self.files.values_mut() {
            kept.known |= is_complete(kept.known_in);
            for split in kept.splits.values_mut() {
                if matches!(split, Reading::Reported(_, held_by) if is_complete(*held_by)) {
                    *split = Reading::Certain;
                }
            }
        }
        self.look();
    }

    /// Looks for files that are done.
    fn look(&mut self) {
        for (generation, kept) in self.files.iter_mut().filter(|(_, kept)| !kept.said && kept.is_done()) {
            kept.said = true;
            self.done.push(*generation);
        }
    }

    /// Whether there are files that may be disposed of.
    pub(super) fn any_done(&self) -> bool {
        !self.done.is_empty()
    }

    /// Some of the files that may be disposed of, each given once. They stay until they are [`forget`](Self::forget)ten.
    pub(super) fn take_done(&mut self, most: usize) -> Vec<Done> {
        let rest = self.done.split_off(self.done.len().min(most));
        let done = std::mem::replace(&mut self.done, rest);
        let file = |generation| {
            let kept = self.files.get(&generation)?;
            Some(Done { generation, path: kept.path.clone(), file: kept.file })
        };
        done.into_iter().filter_map(file).collect()
    }

    /// A file was disposed of.
    pub(super) fn forget(&mut self, done: &Done) {
        let Done { generation, path, file } = done;
        if let Some(kept) = self.files.remove(generation) {
            for offset in kept.splits.into_keys() {
                self.by_split.remove(&id(path, *file, *generation, offset));
            }
        }
    }
}

fn id(path: &RelativePath, file: FileState, generation: u64, offset: u64) -> SplitId {
    FileSplit { path: path.clone(), offset, length: 0, file, position: None, generation }.id()
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::super::split::cut;
    use super::*;

    const READERS: [ReaderId; 2] = [ReaderId(0), ReaderId(1)];

    /// A file of two splits.
    fn two() -> (KeptFiles, Vec<FileSplit>) {
        let path = RelativePath::new("a").unwrap();
        let file = FileState { len: 200, modified: Duration::ZERO, file_id: 1 };
        let splits = cut(&path, file, 100, 1);
        let mut kept = KeptFiles::default();
        kept.add(&path, file, 1, &splits);
        (kept, splits)
    }

    #[test]
    fn a_file_is_done_when_a_checkpoint_that_was_begun_after_the_last_report_is_complete() {
        let (mut kept, splits) = two();
        kept.reported(READERS[0], &splits[0].id());
        assert_eq!(kept.snapshot(CheckpointId(1))[0].unread, [100]);
        kept.reported(READERS[1], &splits[1].id());
        kept.completed(CheckpointId(1));
        assert!(!kept.any_done(), "checkpoint 1 does not hold the second split as read");
        assert!(kept.snapshot(CheckpointId(2))[0].unread.is_empty());
        assert!(!kept.any_done(), "it is not complete");
        kept.completed(CheckpointId(3));
        assert_eq!(kept.take_done(9).len(), 1, "a later one stands for it");
        kept.completed(CheckpointId(4));
        assert!(!kept.any_done(), "each is given once");
    }

    #[test]
    fn what_a_reader_reported_is_void_when_it_goes_before_a_completion() {
        let (mut kept, splits) = two();
        splits.iter().for_each(|split| kept.reported(READERS[0], &split.id()));
        kept.snapshot(CheckpointId(1));
        kept.reader_is_gone(READERS[0]);
        assert_eq!(kept.snapshot(CheckpointId(2))[0].unread, [0, 100]);
        kept.completed(CheckpointId(2));
        assert!(!kept.any_done());
        // The next reader says it anew.
        splits.iter().for_each(|split| kept.reported(READERS[1], &split.id()));
        kept.snapshot(CheckpointId(3));
        kept.completed(CheckpointId(3));
        kept.reader_is_gone(READERS[1]);
        assert!(kept.any_done(), "what a completed checkpoint holds stays");
    }

    #[test]
    fn a_restored_file_waits_for_what_its_checkpoint_had_not_read() {
        let (mut kept, splits) = two();
        kept.reported(READERS[0], &splits[0].id());
        let mut restored = KeptFiles::restore(kept.snapshot(CheckpointId(1)));
        assert!(!restored.any_done());
        // Told again by whoever was given the finished split, and read by another.
        restored.reported(READERS[1], &splits[0].id());
        restored.reported(READERS[1], &splits[1].id());
        let done = KeptFiles::restore(restored.snapshot(CheckpointId(2)));
        assert!(done.any_done());
    }
}
