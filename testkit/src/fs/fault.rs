//! Faults by rule: which operation on which path fails, the how manieth time, and how.

use std::fmt;
use std::io;
use std::path::{Path, PathBuf};
use std::sync::Arc;

/// What a call asked for.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum OpKind {
    /// `open` of a file that exists, without emptying it.
    Open,
    /// `open` that makes or empties a file.
    Create,
    /// `metadata`, of a path or an open file.
    Metadata,
    /// `list`.
    List,
    /// `create_dir_all`.
    CreateDir,
    /// `rename`; the path that rules see is the one renamed *to*.
    Rename,
    /// `remove_file`.
    Remove,
    /// `sync_dir`.
    SyncDir,
    /// `lock`.
    Lock,
    /// `read_at`.
    Read,
    /// `write_all_at`, and `set_content` of a lock.
    Write,
    /// `copy_range`; the path that rules see is the one copied *to*. Its reads are [`OpKind::Read`]s of the other.
    Copy,
    /// `set_len`.
    SetLen,
    /// `sync_data` and `sync_all`.
    Sync,
}

impl OpKind {
    /// Whether the operation can change what is on the disk: the moments between which a crash makes a difference.
    pub fn is_mutation(self) -> bool {
        !matches!(self, Self::Open | Self::Metadata | Self::List | Self::Lock | Self::Read)
    }
}

/// A mutation that happened, or was tried.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Operation {
    /// Counts the mutations of this file system, from 1.
    pub number: u64,
    /// What was asked for.
    pub kind: OpKind,
    /// On what: for an open file the path it was opened under.
    pub path: PathBuf,
}

/// How an operation fails.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Fault {
    /// EIO; nothing is done. The operation may succeed later.
    Eio,
    /// ENOSPC; nothing is done.
    NoSpace,
    /// EACCES; nothing is done.
    Denied,
    /// The first `bytes` of a write or copy are written, then ENOSPC. Other operations: ENOSPC.
    Short {
        /// How much is written, at most.
        bytes: usize,
    },
    /// Some sectors of a write or copy are written (each by the toss of a seeded coin), then EIO. Other operations: EIO.
    Torn,
    /// A sync fails with EIO and the content since the last sync is given up: a later sync succeeds without having made it
    /// durable, as Linux does ("fsyncgate"). Until a power cut, or until `forget`, reads still show it. Other operations: EIO.
    SyncLoss {
        /// Whether reads show the last synced content at once, as if the pages had been evicted.
        forget: bool,
    },
}

impl Fault {
    pub(super) fn error(self) -> io::Error {
        const EIO: i32 = 5;
        const EACCES: i32 = 13;
        match self {
            Self::NoSpace | Self::Short { .. } => no_space(),
            Self::Denied => io::Error::from_raw_os_error(EACCES),
            Self::Eio | Self::Torn | Self::SyncLoss { .. } => io::Error::from_raw_os_error(EIO),
        }
    }
}

pub(super) fn no_space() -> io::Error {
    const ENOSPC: i32 = 28;
    io::Error::from_raw_os_error(ENOSPC)
}

/// Which operations fail, and how.
#[derive(Clone)]
pub struct Rule {
    kind: Option<OpKind>,
    path: Arc<dyn Fn(&Path) -> bool + Send + Sync>,
    first: u64,
    last: u64,
    fault: Fault,
    seen: u64,
}

impl Rule {
    /// Every operation of this kind fails so.
    pub fn on(kind: OpKind, fault: Fault) -> Self {
        Self { kind: Some(kind), path: Arc::new(|_| true), first: 1, last: u64::MAX, fault, seen: 0 }
    }

    /// Every operation of any kind fails so.
    pub fn on_any(fault: Fault) -> Self {
        Self { kind: None, ..Self::on(OpKind::Open, fault) }
    }

    /// Only on paths whose text contains this.
    #[must_use]
    pub fn path_containing(self, text: &str) -> Self {
        let text = text.to_owned();
        self.path_where(move |path| path.to_string_lossy().contains(&text))
    }

    /// Only on paths for which this holds.
    #[must_use]
    pub fn path_where(mut self, holds: impl Fn(&Path) -> bool + Send + Sync + 'static) -> Self {
        self.path = Arc::new(holds);
        self
    }

    /// Only the nth of the matching operations from now on, counted from 1.
    #[must_use]
    pub fn nth(mut self, n: u64) -> Self {
        (self.first, self.last) = (n, n);
        self
    }

    /// Only the nth of the matching operations from now on, counted from 1, and all after it.
    #[must_use]
    pub fn from_nth(mut self, n: u64) -> Self {
        (self.first, self.last) = (n, u64::MAX);
        self
    }

    /// Counts the operation if it matches; says whether it fails.
    pub(super) fn strikes(&mut self, kind: OpKind, path: &Path) -> Option<Fault> {
        if self.kind.is_some_and(|wanted| wanted != kind) || !(self.path)(path) {
            return None;
        }
        self.seen += 1;
        (self.first..=self.last).contains(&self.seen).then_some(self.fault)
    }
}

impl fmt::Debug for Rule {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Rule")
            .field("kind", &self.kind)
            .field("first", &self.first)
            .field("last", &self.last)
            .field("fault", &self.fault)
            .finish_non_exhaustive()
    }
}
