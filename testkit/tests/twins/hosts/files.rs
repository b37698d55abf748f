//! Files that forget what the host asks of them.

use std::io;
use std::path::Path;
use std::sync::Arc;

use connector_api::env::{Access, DirEntry, File, FileLock, FileSystem, Metadata, Rename};

use super::meddler::Flaw;

#[derive(Debug)]
pub(super) struct MeddledFs {
    pub(super) inner: Arc<dyn FileSystem>,
    pub(super) flaw: Flaw,
}

/// Holds nothing.
#[derive(Debug)]
struct NoLock;

impl FileLock for NoLock {
    fn set_content(&self, _: &[u8]) -> io::Result<()> {
        Ok(())
    }
}

/// Is never synced.
#[derive(Debug)]
struct Unsynced(Box<dyn File>);

impl File for Unsynced {
    fn read_at(&self, buffer: &mut [u8], offset: u64) -> io::Result<usize> {
        self.0.read_at(buffer, offset)
    }

    fn write_all_at(&self, data: &[u8], offset: u64) -> io::Result<()> {
        self.0.write_all_at(data, offset)
    }

    fn copy_range(&self, from: &dyn File, from_offset: u64, offset: u64, length: u64) -> io::Result<()> {
        self.0.copy_range(from, from_offset, offset, length)
    }

    fn set_len(&self, length: u64) -> io::Result<()> {
        self.0.set_len(length)
    }

    fn sync_data(&self) -> io::Result<()> {
        Ok(())
    }

    fn sync_all(&self) -> io::Result<()> {
        Ok(())
    }

    fn metadata(&self) -> io::Result<Metadata> {
        self.0.metadata()
    }

    fn as_any(&self) -> &dyn std::any::Any {
        self.0.as_any()
    }
}

fn name(path: &Path) -> String {
    path.file_name().map(|name| name.to_string_lossy().into_owned()).unwrap_or_default()
}

impl FileSystem for MeddledFs {
    fn open(&self, path: &Path, access: Access) -> io::Result<Box<dyn File>> {
        let file = self.inner.open(path, access)?;
        Ok(if self.flaw == Flaw::NoFileSync { Box::new(Unsynced(file)) } else { file })
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
        if self.flaw == Flaw::NoHighWater && name(to) == "high-water" {
            return self.inner.remove_file(from);
        }
        self.inner.rename(from, to, how)?;
        if let (Flaw::RemovesSavepoints, Some(dir)) = (self.flaw, to.parent())
            && name(to).starts_with("chk-")
        {
            let entries = self.inner.list(dir)?.into_iter();
            let savepoints = entries.filter(|entry| entry.name.to_string_lossy().starts_with("sav-"));
            savepoints
                .map(|entry| dir.join(entry.name))
                .try_for_each(|path| self.inner.remove_file(&path))?;
        }
        Ok(())
    }

    fn remove_file(&self, path: &Path) -> io::Result<()> {
        self.inner.remove_file(path)
    }

    fn sync_dir(&self, dir: &Path) -> io::Result<()> {
        if self.flaw == Flaw::NoDirectorySync { Ok(()) } else { self.inner.sync_dir(dir) }
    }

    fn lock(&self, path: &Path) -> io::Result<Box<dyn FileLock>> {
        if self.flaw == Flaw::NoLock { Ok(Box::new(NoLock)) } else { self.inner.lock(path) }
    }
}
