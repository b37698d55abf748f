//! Files in memory, for a store that survives nothing.

use std::any::Any;
use std::collections::BTreeMap;
use std::ffi::OsString;
use std::io;
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError, RwLock};
use std::time::Duration;

use connector_api::env::{Access, DirEntry, File, FileLock, FileSystem, Metadata, Rename};

/// A file system in memory. Everything is as durable as it will ever be; one process has it, so locks are always free.
#[derive(Debug, Default)]
pub(crate) struct MemoryFs(Mutex<BTreeMap<PathBuf, MemoryFile>>);

#[derive(Clone, Debug, Default)]
struct MemoryFile(Arc<RwLock<Vec<u8>>>);

#[derive(Debug)]
struct MemoryLock;

impl FileLock for MemoryLock {
    fn set_content(&self, _: &[u8]) -> io::Result<()> {
        Ok(())
    }
}

impl MemoryFs {
    fn files(&self) -> MutexGuard<'_, BTreeMap<PathBuf, MemoryFile>> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl FileSystem for MemoryFs {
    fn open(&self, path: &Path, access: Access) -> io::Result<Box<dyn File>> {
        let mut files = self.files();
        let found = files.get(path).cloned();
        let file = match (access, found) {
            (Access::Read | Access::ReadWrite, None) => return Err(io::ErrorKind::NotFound.into()),
            (Access::CreateNew, Some(_)) => return Err(io::ErrorKind::AlreadyExists.into()),
            (Access::Read | Access::ReadWrite, Some(file)) => file,
            (Access::CreateOrTruncate, Some(file)) => {
                file.set_len(0)?;
                file
            }
            (Access::CreateNew | Access::CreateOrTruncate, None) => {
                files.entry(path.to_path_buf()).or_default().clone()
            }
        };
        Ok(Box::new(file))
    }

    fn metadata(&self, path: &Path) -> io::Result<Metadata> {
        match self.files().get(path) {
            Some(file) => file.metadata(),
            None => Err(io::ErrorKind::NotFound.into()),
        }
    }

    fn list(&self, dir: &Path) -> io::Result<Vec<DirEntry>> {
        let name = |path: &PathBuf| match path.parent() {
            Some(parent) if parent == dir => path.file_name().map(OsString::from),
            _ => None,
        };
        Ok(self.files().keys().filter_map(name).map(|name| DirEntry { name, is_dir: false }).collect())
    }

    fn create_dir_all(&self, _: &Path) -> io::Result<()> {
        Ok(())
    }

    fn rename(&self, from: &Path, to: &Path, how: Rename) -> io::Result<()> {
        let mut files = self.files();
        if how == Rename::NoReplace && files.contains_key(to) {
            return Err(io::ErrorKind::AlreadyExists.into());
        }
        let file = files.remove(from).ok_or(io::ErrorKind::NotFound)?;
        files.insert(to.to_path_buf(), file);
        Ok(())
    }

    fn remove_file(&self, path: &Path) -> io::Result<()> {
        self.files().remove(path).map(drop).ok_or_else(|| io::ErrorKind::NotFound.into())
    }

    fn sync_dir(&self, _: &Path) -> io::Result<()> {
        Ok(())
    }

    fn lock(&self, _: &Path) -> io::Result<Box<dyn FileLock>> {
        Ok(Box::new(MemoryLock))
    }
}

fn place(offset: u64) -> io::Result<usize> {
    usize::try_from(offset).map_err(|_| io::ErrorKind::FileTooLarge.into())
}

impl File for MemoryFile {
    fn read_at(&self, buffer: &mut [u8], offset: u64) -> io::Result<usize> {
        let content = self.0.read().unwrap_or_else(PoisonError::into_inner);
        let rest = content.get(place(offset)?..).unwrap_or_default();
        let length = rest.len().min(buffer.len());
        buffer[..length].copy_from_slice(&rest[..length]);
        Ok(length)
    }

    fn write_all_at(&self, data: &[u8], offset: u64) -> io::Result<()> {
        let start = place(offset)?;
        let mut content = self.0.write().unwrap_or_else(PoisonError::into_inner);
        if content.len() < start + data.len() {
            content.resize(start + data.len(), 0);
        }
        content[start..start + data.len()].copy_from_slice(data);
        Ok(())
    }

    fn copy_range(&self, from: &dyn File, from_offset: u64, offset: u64, length: u64) -> io::Result<()> {
        let mut bytes = vec![0; place(length)?];
        if from.read_full_at(&mut bytes, from_offset)? < bytes.len() {
            return Err(io::ErrorKind::UnexpectedEof.into());
        }
        self.write_all_at(&bytes, offset)
    }

    fn set_len(&self, length: u64) -> io::Result<()> {
        let length = place(length)?;
        self.0.write().unwrap_or_else(PoisonError::into_inner).resize(length, 0);
        Ok(())
    }

    fn sync_data(&self) -> io::Result<()> {
        Ok(())
    }

    fn sync_all(&self) -> io::Result<()> {
        Ok(())
    }

    fn metadata(&self) -> io::Result<Metadata> {
        let len = self.0.read().unwrap_or_else(PoisonError::into_inner).len() as u64;
        let file_id = Arc::as_ptr(&self.0) as usize as u64;
        Ok(Metadata { len, modified: Duration::ZERO, is_dir: false, file_id })
    }

    fn as_any(&self) -> &dyn Any {
        self
    }
}
