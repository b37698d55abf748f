//! The simulated file system.

use std::ffi::OsString;
use std::fmt;
use std::io;
use std::path::{Component, Path, PathBuf};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use connector_api::env::{Access, DirEntry, File, FileLock, FileSystem, Metadata, Rename};

use super::disk::{ContentChange, DirNode, Disk, FileNode, NamePart, Node, NodeId, ROOT};
use super::fault::{Fault, OpKind, Operation, Rule};
use super::file::{SimFile, SimLock};
use super::power::PowerCut;
use crate::random::SeededRandom;

/// A simulated file system in memory.
///
/// Clones share it, as the threads of a process share the machine's. There are no links and no permissions; relative
/// paths begin at the root. Sparse parts of files take space. A directory made by `create_dir_all` is durable at once, and
/// nothing else is without its sync. Times are a counter of changes, not those of a clock.
///
/// A "process" is ended by [`freeze`](Self::freeze): from then on every call through this value, its clones and its open
/// files fails without effect, so that leftover tasks of a dead process can do no harm. What the next process finds is
/// [`process_crash`](Self::process_crash) or [`power_cut`](Self::power_cut); both may be taken any number of times, each
/// with a disk of its own.
#[derive(Clone)]
pub struct SimFs(pub(super) Arc<Shared>);

pub(super) struct Shared {
    state: Mutex<State>,
}

pub(super) struct State {
    pub(super) disk: Disk,
    is_frozen: bool,
    freeze_at: Option<u64>,
    operations: u64,
    log: Option<Vec<Operation>>,
    rules: Vec<Rule>,
    pub(super) coins: SeededRandom,
}

impl Shared {
    fn of(disk: Disk) -> Arc<Self> {
        Arc::new(Self {
            state: Mutex::new(State {
                disk,
                is_frozen: false,
                freeze_at: None,
                operations: 0,
                log: None,
                rules: Vec::new(),
                coins: SeededRandom::new(0),
            }),
        })
    }

    pub(super) fn lock(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl State {
    /// Counts an operation. `Err` when the process is dead; else the fault that strikes it, if any.
    pub(super) fn begin(&mut self, kind: OpKind, path: &Path) -> io::Result<Option<Fault>> {
        if self.is_frozen {
            return Err(dead());
        }
        if kind.is_mutation() {
            self.operations += 1;
            if self.freeze_at.is_some_and(|k| self.operations >= k) {
                self.is_frozen = true;
                return Err(dead());
            }
            if let Some(log) = &mut self.log {
                log.push(Operation { number: self.operations, kind, path: path.to_path_buf() });
            }
        }
        let mut struck = None;
        for rule in &mut self.rules {
            struck = struck.or(rule.strikes(kind, path));
        }
        Ok(struck)
    }

    /// [`begin`](Self::begin) for operations that a fault prevents altogether.
    fn begin_or_fail(&mut self, kind: OpKind, path: &Path) -> io::Result<()> {
        self.begin(kind, path)?.map_or(Ok(()), |fault| Err(fault.error()))
    }

    fn resolve(&self, path: &Path) -> io::Result<NodeId> {
        let mut at = ROOT;
        for name in names(path) {
            at = *self.disk.dir(at)?.entries.get(name).ok_or(io::ErrorKind::NotFound)?;
        }
        Ok(at)
    }

    /// The directory that a path's last name is, or would be, in.
    fn parent(&self, path: &Path) -> io::Result<(NodeId, OsString)> {
        let mut names = names(path);
        let name = names.pop().ok_or(io::ErrorKind::IsADirectory)?.to_owned();
        let dir = names.into_iter().try_fold(ROOT, |at, name| {
            Ok::<_, io::Error>(*self.disk.dir(at)?.entries.get(name).ok_or(io::ErrorKind::NotFound)?)
        })?;
        self.disk.dir(dir)?;
        Ok((dir, name))
    }

    /// Whether a directory is on the way to a path.
    fn is_above(&self, dir: NodeId, path: &Path) -> bool {
        let names = names(path);
        (0..names.len()).any(|n| {
            let above: PathBuf = names[..n].iter().collect();
            self.resolve(&above).is_ok_and(|id| id == dir)
        })
    }

    fn create(&mut self, dir: NodeId, name: OsString) -> NodeId {
        let modified = self.disk.tick();
        let node = self.disk.add(Node::File(FileNode { modified, ..FileNode::default() }));
        self.disk.change_names(vec![NamePart { dir, name, node: Some(node) }]);
        node
    }

    pub(super) fn metadata(&self, id: NodeId) -> io::Result<Metadata> {
        let (len, modified, is_dir) = match self.disk.nodes.get(&id).ok_or(io::ErrorKind::NotFound)? {
            Node::File(file) => (file.content.len() as u64, file.modified, false),
            Node::Dir(dir) => (0, dir.modified, true),
        };
        Ok(Metadata { len, modified: Duration::from_millis(modified), is_dir, file_id: id })
    }
}

fn dead() -> io::Error {
    io::Error::other("the simulated process is dead")
}

fn names(path: &Path) -> Vec<&std::ffi::OsStr> {
    let mut names = Vec::new();
    for component in path.components() {
        match component {
            Component::Normal(name) => names.push(name),
            Component::ParentDir => {
                names.pop();
            }
            Component::CurDir | Component::RootDir | Component::Prefix(_) => {}
        }
    }
    names
}

impl SimFs {
    /// An empty file system that is never full.
    pub fn new() -> Self {
        Self(Shared::of(Disk::new()))
    }

    /// Limits the bytes of all files together; what would need more is ENOSPC, after writing what fits. `None`: no limit.
    /// A limit below what is used only stops growth.
    pub fn set_capacity(&self, bytes: Option<u64>) {
        self.0.lock().disk.capacity = bytes;
    }

    /// The bytes of all files that have a name or are open.
    pub fn used(&self) -> u64 {
        self.0.lock().disk.used()
    }

    /// Adds a rule. Of several that strike at once the first added decides; all of them count.
    pub fn inject(&self, rule: Rule) {
        self.0.lock().rules.push(rule);
    }

    /// Removes all rules.
    pub fn clear_faults(&self) {
        self.0.lock().rules.clear();
    }

    /// Seeds the coins of [`Fault::Torn`].
    pub fn seed(&self, seed: u64) {
        self.0.lock().coins = SeededRandom::new(seed);
    }

    /// How many mutations were begun ([`OpKind::is_mutation`]), also those that failed.
    pub fn operations(&self) -> u64 {
        self.0.lock().operations
    }

    /// Keeps a log of mutations from now on.
    pub fn keep_log(&self) {
        self.0.lock().log.get_or_insert_default();
    }

    /// The log so far; empty without [`keep_log`](Self::keep_log).
    pub fn log(&self) -> Vec<Operation> {
        self.0.lock().log.clone().unwrap_or_default()
    }

    /// The process dies now: every later call fails without effect.
    pub fn freeze(&self) {
        self.0.lock().is_frozen = true;
    }

    /// The process dies instead of beginning its `k`th mutation, counted from 1 as [`operations`](Self::operations) does.
    pub fn freeze_at(&self, k: u64) {
        let mut state = self.0.lock();
        state.is_frozen |= state.operations >= k;
        state.freeze_at = Some(k);
    }

    /// Whether the process is dead.
    pub fn is_frozen(&self) -> bool {
        self.0.lock().is_frozen
    }

    /// Kills the process and gives the file system as the next process finds it: everything written is there, durable or
    /// not as before; locks and open files are gone. Rules, log and count begin anew; the capacity stays.
    pub fn process_crash(&self) -> Self {
        let mut disk = self.take_over();
        disk.recount();
        Self(Shared::of(disk))
    }

    /// Kills the process and cuts the power: only what was synced survives, and of the rest what `how` says. Otherwise as
    /// [`process_crash`](Self::process_crash).
    pub fn power_cut(&self, how: PowerCut) -> Self {
        Self(Shared::of(self.take_over().after_power_cut(how)))
    }

    fn take_over(&self) -> Disk {
        let mut state = self.0.lock();
        state.is_frozen = true;
        state.disk.clone()
    }

    /// The paths of all files, in order.
    pub fn files(&self) -> Vec<PathBuf> {
        let state = self.0.lock();
        let mut files = Vec::new();
        let mut pending = vec![(PathBuf::from("/"), ROOT)];
        while let Some((path, id)) = pending.pop() {
            match state.disk.nodes.get(&id) {
                Some(Node::Dir(DirNode { entries, .. })) => {
                    pending.extend(entries.iter().map(|(name, &id)| (path.join(name), id)));
                }
                Some(Node::File(_)) => files.push(path),
                None => {}
            }
        }
        files.sort();
        files
    }

    /// The content of a file as a process would read it; works on a dead process's file system as well.
    ///
    /// # Errors
    ///
    /// As for opening it.
    pub fn content(&self, path: impl AsRef<Path>) -> io::Result<Vec<u8>> {
        let state = self.0.lock();
        Ok(state.disk.file(state.resolve(path.as_ref())?)?.content.clone())
    }

    /// Puts a file there, durably, with its directories and all other names in the last of them: the set-up of a test.
    /// Counts no operation and meets no fault.
    ///
    /// # Errors
    ///
    /// When a part of the path is in the way, or the capacity does not suffice.
    pub fn put(&self, path: impl AsRef<Path>, content: &[u8]) -> io::Result<()> {
        let path = path.as_ref();
        let mut state = self.0.lock();
        if let Some(parent) = path.parent() {
            make_dirs(&mut state, parent)?;
        }
        let (dir, name) = state.parent(path)?;
        let node = match state.disk.dir(dir)?.entries.get(&name) {
            Some(&node) => node,
            None => state.create(dir, name.clone()),
        };
        state.disk.change_content(node, ContentChange::SetLen(0))?;
        state.disk.change_content(node, ContentChange::Write { offset: 0, data: content.to_vec() })?;
        state.disk.sync_content(node)?;
        state.disk.sync_names(dir);
        Ok(())
    }
}

impl Default for SimFs {
    fn default() -> Self {
        Self::new()
    }
}

impl fmt::Debug for SimFs {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let state = self.0.lock();
        f.debug_struct("SimFs")
            .field("operations", &state.operations)
            .field("is_frozen", &state.is_frozen)
            .finish_non_exhaustive()
    }
}

fn make_dirs(state: &mut State, path: &Path) -> io::Result<()> {
    let mut at = ROOT;
    for name in names(path) {
        let found = state.disk.dir(at)?.entries.get(name).copied();
        at = match found {
            Some(id) => id,
            None => state.disk.make_dir(at, name.to_owned()),
        };
    }
    state.disk.dir(at).map(|_| ())
}

impl FileSystem for SimFs {
    fn open(&self, path: &Path, access: Access) -> io::Result<Box<dyn File>> {
        let mut state = self.0.lock();
        let kind = match access {
            Access::Read | Access::ReadWrite => OpKind::Open,
            Access::CreateNew | Access::CreateOrTruncate => OpKind::Create,
        };
        state.begin_or_fail(kind, path)?;
        let id = match access {
            Access::Read | Access::ReadWrite => state.resolve(path)?,
            Access::CreateNew | Access::CreateOrTruncate => {
                let (dir, name) = state.parent(path)?;
                match (state.disk.dir(dir)?.entries.get(&name).copied(), access) {
                    (Some(_), Access::CreateNew) => return Err(io::ErrorKind::AlreadyExists.into()),
                    (Some(id), _) => {
                        state.disk.file(id)?;
                        state.disk.change_content(id, ContentChange::SetLen(0))?;
                        id
                    }
                    (None, _) => state.create(dir, name),
                }
            }
        };
        state.disk.file(id)?;
        state.disk.opened(id);
        drop(state);
        Ok(Box::new(SimFile::new(self.0.clone(), id, path, access != Access::Read)))
    }

    fn metadata(&self, path: &Path) -> io::Result<Metadata> {
        let mut state = self.0.lock();
        state.begin_or_fail(OpKind::Metadata, path)?;
        let id = state.resolve(path)?;
        state.metadata(id)
    }

    fn list(&self, dir: &Path) -> io::Result<Vec<DirEntry>> {
        let mut state = self.0.lock();
        state.begin_or_fail(OpKind::List, dir)?;
        let id = state.resolve(dir)?;
        let disk = &state.disk;
        let entries = disk.dir(id)?.entries.iter();
        Ok(entries
            .map(|(name, id)| DirEntry {
                name: name.clone(),
                is_dir: matches!(disk.nodes.get(id), Some(Node::Dir(_))),
            })
            .collect())
    }

    fn create_dir_all(&self, dir: &Path) -> io::Result<()> {
        let mut state = self.0.lock();
        state.begin_or_fail(OpKind::CreateDir, dir)?;
        make_dirs(&mut state, dir)
    }

    fn rename(&self, from: &Path, to: &Path, how: Rename) -> io::Result<()> {
        let mut state = self.0.lock();
        state.begin_or_fail(OpKind::Rename, to)?;
        let (from_dir, from_name) = state.parent(from)?;
        let (to_dir, to_name) = state.parent(to)?;
        let node = *state.disk.dir(from_dir)?.entries.get(&from_name).ok_or(io::ErrorKind::NotFound)?;
        let target = state.disk.dir(to_dir)?.entries.get(&to_name).copied();
        match target {
            Some(_) if how == Rename::NoReplace => return Err(io::ErrorKind::AlreadyExists.into()),
            // Two names of one file: nothing happens, as POSIX has it.
            Some(target) if target == node => return Ok(()),
            // The directory that the file is in, or one above it.
            Some(target) if state.is_above(target, from) => {
                return Err(io::ErrorKind::DirectoryNotEmpty.into());
            }
            Some(target) => drop(state.disk.file(target)?),
            None => {}
        }
        // The contract is about files.
        state.disk.file(node)?;
        state.disk.change_names(vec![
            NamePart { dir: to_dir, name: to_name, node: Some(node) },
            NamePart { dir: from_dir, name: from_name, node: None },
        ]);
        Ok(())
    }

    fn remove_file(&self, path: &Path) -> io::Result<()> {
        let mut state = self.0.lock();
        state.begin_or_fail(OpKind::Remove, path)?;
        let (dir, name) = state.parent(path)?;
        let node = *state.disk.dir(dir)?.entries.get(&name).ok_or(io::ErrorKind::NotFound)?;
        state.disk.file(node)?;
        state.disk.change_names(vec![NamePart { dir, name, node: None }]);
        Ok(())
    }

    fn sync_dir(&self, dir: &Path) -> io::Result<()> {
        let mut state = self.0.lock();
        state.begin_or_fail(OpKind::SyncDir, dir)?;
        let id = state.resolve(dir)?;
        state.disk.dir(id)?;
        state.disk.sync_names(id);
        Ok(())
    }

    fn lock(&self, path: &Path) -> io::Result<Box<dyn FileLock>> {
        let mut state = self.0.lock();
        state.begin_or_fail(OpKind::Lock, path)?;
        let (dir, name) = state.parent(path)?;
        let id = match state.disk.dir(dir)?.entries.get(&name) {
            Some(&id) => id,
            None => state.create(dir, name),
        };
        state.disk.file(id)?;
        if !state.disk.locks.insert(id) {
            return Err(io::ErrorKind::WouldBlock.into());
        }
        state.disk.opened(id);
        drop(state);
        Ok(Box::new(SimLock::new(self.0.clone(), id, path)))
    }
}
