//! Disks and transforms that break one rule, to show that the checks notice.

use std::any::Any;
use std::io;
use std::path::Path;
use std::sync::Arc;

use connector_api::env::{Access, DirEntry, File, FileLock, FileSystem, Metadata, Rename};
use connector_api::{Batch, MessageBatch, RowBatch};
use testkit::fs::SimFs;

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Twin {
    /// Breaks none.
    Sound,
    /// Makes no name durable in the output.
    NoOutputNames,
    /// Makes no name durable in the checkpoint directory.
    NoCheckpointNames,
    /// Makes no content durable in the output.
    NoOutputContent,
    /// Makes no content durable in the checkpoint directory.
    NoCheckpointContent,
    /// Renames in the output by copying and removing.
    RenamesByCopy,
    /// Says that it renamed in the output, and has not.
    RenamesNot,
    /// Says that it removed, and has not.
    RemovesNot,
    /// Says that it cut a file, and has not.
    CutsNot,
    /// The transform drops a row.
    DropsRow,
    /// The transform makes two of a row.
    DoublesRow,
}

impl Twin {
    pub const BROKEN: [Self; 10] = [
        Self::NoOutputNames,
        Self::NoCheckpointNames,
        Self::NoOutputContent,
        Self::NoCheckpointContent,
        Self::RenamesByCopy,
        Self::RenamesNot,
        Self::RemovesNot,
        Self::CutsNot,
        Self::DropsRow,
        Self::DoublesRow,
    ];

    pub fn over(self, fs: &SimFs) -> Arc<dyn FileSystem> {
        if self == Self::Sound {
            Arc::new(fs.clone())
        } else {
            Arc::new(TwinFs { fs: fs.clone(), twin: self })
        }
    }

    pub fn rows(self, batch: Batch<MessageBatch>) -> Batch<MessageBatch> {
        let mut rows: Vec<usize> = (0..batch.rows.rows()).collect();
        let special =
            rows.iter().position(|&i| batch.rows.get(i).value.is_some_and(|v| v.starts_with(b"00042")));
        match (self, special) {
            (Self::DropsRow, Some(i)) => drop(rows.remove(i)),
            (Self::DoublesRow, Some(i)) => rows.insert(i, i),
            _ => return batch,
        }
        batch.select(&rows)
    }
}

#[derive(Debug)]
struct TwinFs {
    fs: SimFs,
    twin: Twin,
}

#[derive(Debug)]
struct TwinFile {
    file: Box<dyn File>,
    twin: Twin,
    is_output: bool,
}

fn is_output(path: &Path) -> bool {
    path.starts_with("/out")
}

impl FileSystem for TwinFs {
    fn open(&self, path: &Path, access: Access) -> io::Result<Box<dyn File>> {
        let file = self.fs.open(path, access)?;
        Ok(Box::new(TwinFile { file, twin: self.twin, is_output: is_output(path) }))
    }

    fn metadata(&self, path: &Path) -> io::Result<Metadata> {
        self.fs.metadata(path)
    }

    fn list(&self, dir: &Path) -> io::Result<Vec<DirEntry>> {
        self.fs.list(dir)
    }

    fn create_dir_all(&self, dir: &Path) -> io::Result<()> {
        self.fs.create_dir_all(dir)
    }

    fn rename(&self, from: &Path, to: &Path, how: Rename) -> io::Result<()> {
        match self.twin {
            Twin::RenamesByCopy if is_output(to) => {
                let source = self.fs.open(from, Access::Read)?;
                let length = source.metadata()?.len;
                let target = self.fs.open(to, Access::CreateNew)?;
                target.copy_range(&*source, 0, 0, length)?;
                target.sync_all()?;
                self.fs.remove_file(from)
            }
            Twin::RenamesNot if is_output(to) => Ok(()),
            _ => self.fs.rename(from, to, how),
        }
    }

    fn remove_file(&self, path: &Path) -> io::Result<()> {
        if self.twin == Twin::RemovesNot { Ok(()) } else { self.fs.remove_file(path) }
    }

    fn sync_dir(&self, dir: &Path) -> io::Result<()> {
        match self.twin {
            Twin::NoOutputNames if is_output(dir) => Ok(()),
            Twin::NoCheckpointNames if !is_output(dir) => Ok(()),
            _ => self.fs.sync_dir(dir),
        }
    }

    fn lock(&self, path: &Path) -> io::Result<Box<dyn FileLock>> {
        self.fs.lock(path)
    }
}

impl File for TwinFile {
    fn read_at(&self, buffer: &mut [u8], offset: u64) -> io::Result<usize> {
        self.file.read_at(buffer, offset)
    }

    fn write_all_at(&self, data: &[u8], offset: u64) -> io::Result<()> {
        self.file.write_all_at(data, offset)
    }

    fn copy_range(&self, from: &dyn File, from_offset: u64, offset: u64, length: u64) -> io::Result<()> {
        self.file.copy_range(from, from_offset, offset, length)
    }

    fn set_len(&self, length: u64) -> io::Result<()> {
        if self.twin == Twin::CutsNot { Ok(()) } else { self.file.set_len(length) }
    }

    fn sync_data(&self) -> io::Result<()> {
        match self.twin {
            Twin::NoOutputContent if self.is_output => Ok(()),
            Twin::NoCheckpointContent if !self.is_output => Ok(()),
            _ => self.file.sync_data(),
        }
    }

    fn sync_all(&self) -> io::Result<()> {
        self.sync_data()
    }

    fn metadata(&self) -> io::Result<Metadata> {
        self.file.metadata()
    }

    fn as_any(&self) -> &dyn Any {
        self
    }
}
