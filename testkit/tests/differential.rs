//! The simulated file system and the real one answer alike.
#![allow(clippy::unwrap_used)]

use std::io;
use std::path::{Path, PathBuf};

use connector_api::env::{Access, File, FileLock, FileSystem, Rename};
use connector_runtime::local::LocalFs;
use proptest::prelude::*;
use testkit::fs::SimFs;

/// Files in directories, a directory that is missing, a path through a file.
const PATHS: &[&str] = &["a", "b", "d/a", "d/b", "d", "d/e/a", "d/e", "none/a", "a/x", "d/../b", "./a"];
const SLOTS: usize = 3;

#[derive(Clone, Debug)]
enum Op {
    Open(usize, usize, Access),
    Close(usize),
    Write(usize, Vec<u8>, u64),
    Read(usize, usize, u64),
    SetLen(usize, u64),
    Copy { from: usize, to: usize, from_offset: u64, offset: u64, length: u64 },
    Sync(usize),
    Length(usize),
    Metadata(usize),
    SameFile(usize, usize),
    List(usize),
    CreateDir(usize),
    Rename(usize, usize, Rename),
    Remove(usize),
    SyncDir(usize),
    Lock(usize, usize),
    LockContent(usize, Vec<u8>),
    Unlock(usize),
}

fn op() -> impl Strategy<Value = Op> {
    let path = || 0..PATHS.len();
    let slot = || 0..SLOTS;
    let offset = || prop_oneof![4 => 0_u64..20, 1 => 500_u64..700];
    let data = || prop::collection::vec(any::<u8>(), 0..30);
    let access = prop_oneof![
        Just(Access::Read),
        Just(Access::ReadWrite),
        Just(Access::CreateNew),
        Just(Access::CreateOrTruncate)
    ];
    let how = prop_oneof![Just(Rename::Replace), Just(Rename::NoReplace)];
    prop_oneof![
        6 => (slot(), path(), access).prop_map(|(s, p, a)| Op::Open(s, p, a)),
        1 => slot().prop_map(Op::Close),
        6 => (slot(), data(), offset()).prop_map(|(s, d, o)| Op::Write(s, d, o)),
        4 => (slot(), 0_usize..40, offset()).prop_map(|(s, n, o)| Op::Read(s, n, o)),
        2 => (slot(), offset()).prop_map(|(s, n)| Op::SetLen(s, n)),
        3 => (slot(), slot(), offset(), offset(), 0_u64..30).prop_map(|(from, to, from_offset, offset, length)| {
            Op::Copy { from, to, from_offset, offset, length }
        }),
        1 => slot().prop_map(Op::Sync),
        1 => slot().prop_map(Op::Length),
        2 => path().prop_map(Op::Metadata),
        1 => (path(), path()).prop_map(|(a, b)| Op::SameFile(a, b)),
        2 => path().prop_map(Op::List),
        1 => path().prop_map(Op::CreateDir),
        6 => (path(), path(), how).prop_map(|(a, b, h)| Op::Rename(a, b, h)),
        2 => path().prop_map(Op::Remove),
        1 => path().prop_map(Op::SyncDir),
        2 => (slot(), path()).prop_map(|(s, p)| Op::Lock(s, p)),
        1 => (slot(), data()).prop_map(|(s, d)| Op::LockContent(s, d)),
        1 => slot().prop_map(Op::Unlock),
    ]
}

#[derive(Default)]
struct Process {
    files: [Option<Box<dyn File>>; SLOTS],
    locks: [Option<Box<dyn FileLock>>; SLOTS],
}

impl Process {
    /// What an operation answers, as text; times and numbers of files are the systems' own.
    fn answer(&mut self, fs: &dyn FileSystem, base: &Path, op: &Op) -> String {
        let path = |index: usize| base.join(PATHS[index]);
        let result = match op {
            Op::Open(slot, at, access) => fs.open(&path(*at), *access).map(|file| {
                self.files[*slot] = Some(file);
                String::new()
            }),
            Op::Close(slot) => {
                self.files[*slot] = None;
                Ok(String::new())
            }
            Op::Write(slot, data, offset) => {
                self.with(*slot, |file| file.write_all_at(data, *offset).map(|()| String::new()))
            }
            Op::Read(slot, length, offset) => self.with(*slot, |file| {
                let mut buffer = vec![0; *length];
                let read = file.read_full_at(&mut buffer, *offset)?;
                Ok(format!("{:?}", &buffer[..read]))
            }),
            Op::SetLen(slot, length) => {
                self.with(*slot, |file| file.set_len(*length).map(|()| String::new()))
            }
            Op::Copy { from, to, from_offset, offset, length } => {
                match (&self.files[*from], &self.files[*to]) {
                    // A file that is copied into itself may meet its own copy.
                    (Some(from), Some(to))
                        if from.metadata().map(|found| found.file_id).ok()
                            != to.metadata().map(|found| found.file_id).ok() =>
                    {
                        to.copy_range(&**from, *from_offset, *offset, *length).map(|()| String::new())
                    }
                    _ => Ok("not copied".into()),
                }
            }
            Op::Sync(slot) => self.with(*slot, |file| file.sync_all().map(|()| String::new())),
            Op::Length(slot) => self.with(*slot, |file| file.metadata().map(|found| found.len.to_string())),
            Op::Metadata(at) => fs.metadata(&path(*at)).map(|found| match found.is_dir {
                true => "dir".into(),
                false => found.len.to_string(),
            }),
            Op::SameFile(a, b) => fs
                .metadata(&path(*a))
                .and_then(|a| fs.metadata(&path(*b)).map(|b| (a.file_id == b.file_id).to_string())),
            Op::List(at) => fs.list(&path(*at)).map(|mut entries| {
                entries.sort_by(|a, b| a.name.cmp(&b.name));
                format!("{entries:?}")
            }),
            Op::CreateDir(at) => fs.create_dir_all(&path(*at)).map(|()| String::new()),
            Op::Rename(from, to, how) => {
                // The contract is about files.
                if fs.metadata(&path(*from)).is_ok_and(|found| found.is_dir) {
                    return "a directory".into();
                }
                fs.rename(&path(*from), &path(*to), *how).map(|()| String::new())
            }
            Op::Remove(at) => fs.remove_file(&path(*at)).map(|()| String::new()),
            Op::SyncDir(at) => fs.sync_dir(&path(*at)).map(|()| String::new()),
            Op::Lock(slot, at) => fs.lock(&path(*at)).map(|lock| {
                self.locks[*slot] = Some(lock);
                String::new()
            }),
            Op::LockContent(slot, data) => match &self.locks[*slot] {
                Some(lock) => lock.set_content(data).map(|()| String::new()),
                None => Ok("unlocked".into()),
            },
            Op::Unlock(slot) => {
                self.locks[*slot] = None;
                Ok(String::new())
            }
        };
        match result {
            Ok(answer) => answer,
            Err(e) => format!("{:?}", e.kind()),
        }
    }

    fn with(&self, slot: usize, work: impl FnOnce(&dyn File) -> io::Result<String>) -> io::Result<String> {
        self.files[slot].as_deref().map_or(Ok("closed".into()), work)
    }
}

fn contents(fs: &dyn FileSystem, dir: &Path, base: &Path, found: &mut Vec<(PathBuf, Vec<u8>)>) {
    for entry in fs.list(dir).unwrap() {
        let path = dir.join(&entry.name);
        if entry.is_dir {
            contents(fs, &path, base, found);
        } else {
            let file = fs.open(&path, Access::Read).unwrap();
            let mut content = vec![0; file.metadata().unwrap().len as usize];
            assert_eq!(file.read_full_at(&mut content, 0).unwrap(), content.len());
            found.push((path.strip_prefix(base).unwrap().to_path_buf(), content));
        }
    }
    found.sort();
}

fn check(ops: &[Op]) -> Result<(), TestCaseError> {
    let dir = tempfile::tempdir().unwrap();
    let (sim, sim_base) = (SimFs::new(), PathBuf::from("/base"));
    sim.create_dir_all(&sim_base.join("d")).unwrap();
    LocalFs.create_dir_all(&dir.path().join("d")).unwrap();
    let (mut on_sim, mut on_local) = (Process::default(), Process::default());
    for (i, op) in ops.iter().enumerate() {
        prop_assert_eq!(
            on_sim.answer(&sim, &sim_base, op),
            on_local.answer(&LocalFs, dir.path(), op),
            "operation {}: {:?}",
            i,
            op
        );
    }
    let (mut simulated, mut real) = (Vec::new(), Vec::new());
    contents(&sim, &sim_base, &sim_base, &mut simulated);
    contents(&LocalFs, dir.path(), dir.path(), &mut real);
    prop_assert_eq!(simulated, real);
    Ok(())
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 200, failure_persistence: None, ..ProptestConfig::default() })]
    #[test]
    fn random_operations_have_the_same_results_on_both(ops in prop::collection::vec(op(), 1..80)) {
        check(&ops)?;
    }
}
