//! Disks that break their promises: what a test of the store must notice.

use std::any::Any;
use std::io;
use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use connector_api::env::{Access, DirEntry, File, FileLock, FileSystem, Metadata, Rename};
use testkit::fs::SimFs;

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Lie {
    /// A sync of a file says that it was done.
    NoSync,
    /// A sync of a directory says that it was done.
    NoSyncDir,
    /// Now and then a write leaves out its last bytes.
    LostEnd,
    /// Now and then a byte is another one.
    Flipped,
    /// A rename removes the target, then makes it anew.
    SlowRename,
    /// Now and then a write goes to another place.
    Misplaced,
    /// None: a rename takes its time.
    LateRename,
}

#[derive(Debug)]
pub struct LyingFs {
    pub inner: SimFs,
    pub lie: Lie,
    pub writes: Arc<AtomicU64>,
}

#[derive(Debug)]
struct LyingFile {
    inner: Box<dyn File>,
    lie: Lie,
    writes: Arc<AtomicU64>,
}

impl FileSystem for LyingFs {
    fn open(&self, path: &Path, access: Access) -> io::Result<Box<dyn File>> {
        let inner = self.inner.open(path, access)?;
        Ok(Box::new(LyingFile { inner, lie: self.lie, writes: self.writes.clone() }))
    }

    fn metadata(&self, path: &Path) -> io::Result<Metadata> {
        self.inner.metadata(path)
    }

    fn list(&self, dir: &Path) -> io::Result<Vec<DirEntry>> {
        self.inner.list(dir)
    }

    fn create_dir_all(&self, dir: &Path) -> io::Result<()> {
        self.inner.create_dir_all(dir)
    }

    fn rename(&self, from: &Path, to: &Path, how: Rename) -> io::Result<()> {
        if self.lie == Lie::LateRename {
            std::thread::park_timeout(std::time::Duration::from_millis(3));
        }
        if self.lie == Lie::SlowRename {
            let source = self.inner.open(from, Access::Read)?;
            let mut bytes = vec![0; source.metadata()?.len as usize];
            source.read_full_at(&mut bytes, 0)?;
            let access = if how == Rename::NoReplace { Access::CreateNew } else { Access::CreateOrTruncate };
            let target = self.inner.open(to, access)?;
            self.inner.sync_dir(to.parent().unwrap())?;
            target.write_all_at(&bytes, 0)?;
            target.sync_all()?;
            return self.inner.remove_file(from);
        }
        self.inner.rename(from, to, how)
    }

    fn remove_file(&self, path: &Path) -> io::Result<()> {
        self.inner.remove_file(path)
    }

    fn sync_dir(&self, dir: &Path) -> io::Result<()> {
        if self.lie == Lie::NoSyncDir { Ok(()) } else { self.inner.sync_dir(dir) }
    }

    fn lock(&self, path: &Path) -> io::Result<Box<dyn FileLock>> {
        self.inner.lock(path)
    }
}

impl File for LyingFile {
    fn read_at(&self, buffer: &mut [u8], offset: u64) -> io::Result<usize> {
        self.inner.read_at(buffer, offset)
    }

    fn write_all_at(&self, data: &[u8], offset: u64) -> io::Result<()> {
        let strikes = self.writes.fetch_add(1, Ordering::Relaxed) % 40 == 39;
        match self.lie {
            Lie::LostEnd if strikes => {
                self.inner.write_all_at(&data[..data.len() - data.len().min(9)], offset)
            }
            Lie::Misplaced if strikes => self.inner.write_all_at(data, offset + 8),
            Lie::Flipped if strikes => {
                let mut data = data.to_vec();
                let middle = data.len() / 2;
                if let Some(byte) = data.get_mut(middle) {
                    *byte ^= 1;
                }
                self.inner.write_all_at(&data, offset)
            }
            _ => self.inner.write_all_at(data, offset),
        }
    }

    fn copy_range(&self, from: &dyn File, from_offset: u64, offset: u64, length: u64) -> io::Result<()> {
        self.inner.copy_range(from, from_offset, offset, length)
    }

    fn set_len(&self, length: u64) -> io::Result<()> {
        self.inner.set_len(length)
    }

    fn sync_data(&self) -> io::Result<()> {
        if self.lie == Lie::NoSync { Ok(()) } else { self.inner.sync_data() }
    }

    fn sync_all(&self) -> io::Result<()> {
        if self.lie == Lie::NoSync { Ok(()) } else { self.inner.sync_all() }
    }

    fn metadata(&self) -> io::Result<Metadata> {
        self.inner.metadata()
    }

    fn as_any(&self) -> &dyn Any {
        self
    }
}
