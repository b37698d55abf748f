//! Local files, with the durability that recovery depends on spelled out.

use std::any::Any;
use std::ffi::OsString;
use std::fmt::Debug;
use std::io;
use std::path::Path;
use std::time::Duration;

/// How a file is opened.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Access {
    /// An existing file, for reading.
    Read,
    /// An existing file, for reading and writing.
    ReadWrite,
    /// A file that must not exist yet, for reading and writing.
    CreateNew,
    /// A file that may exist and is emptied, for reading and writing.
    CreateOrTruncate,
}

/// What to do when the target of a rename exists.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Rename {
    /// Replace it, atomically.
    Replace,
    /// Fail with [`io::ErrorKind::AlreadyExists`], atomically.
    NoReplace,
}

/// What the file system knows of a file.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Metadata {
    /// Size in bytes.
    pub len: u64,
    /// Last modification, as time since the Unix epoch (0 for times before it).
    pub modified: Duration,
    /// Whether it is a directory.
    pub is_dir: bool,
    /// Tells this file from every other that exists at the same time on its device (an inode number).
    pub file_id: u64,
}

/// An entry of a directory. Symbolic links are followed.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct DirEntry {
    /// The name within the directory.
    pub name: OsString,
    /// Whether it is a directory.
    pub is_dir: bool,
}

/// Local files.
///
/// # Contract
///
/// Calls block; from a task, use [`Environment::blocking`](super::Environment::blocking) for all but small reads and
/// writes into the page cache. Durability is exactly this, and simulations drop everything else at a power cut:
///
/// - the content of a file is durable after [`File::sync_data`] or [`File::sync_all`] returned;
/// - that a file exists under a name (creation, rename, removal) is durable after [`sync_dir`](FileSystem::sync_dir) of the
///   directory returned; a rename across directories needs both directories;
/// - a rename is atomic: at any moment, and after a power cut, the name is the old or the new file;
/// - after a failed sync the content is unknown: don't sync again and go on, give the file up.
pub trait FileSystem: Send + Sync + Debug {
    /// Opens a file.
    ///
    /// # Errors
    ///
    /// The system's, above all `NotFound` and (for [`Access::CreateNew`]) `AlreadyExists`.
    fn open(&self, path: &Path, access: Access) -> io::Result<Box<dyn File>>;

    /// What is known of a file or directory.
    ///
    /// # Errors
    ///
    /// The system's, above all `NotFound`.
    fn metadata(&self, path: &Path) -> io::Result<Metadata>;

    /// The entries of a directory, in no particular order.
    ///
    /// # Errors
    ///
    /// The system's.
    fn list(&self, dir: &Path) -> io::Result<Vec<DirEntry>>;

    /// Makes a directory with all its parents, durably. One that exists is fine.
    ///
    /// # Errors
    ///
    /// The system's.
    fn create_dir_all(&self, dir: &Path) -> io::Result<()>;

    /// Renames a file within its file system.
    ///
    /// # Errors
    ///
    /// The system's, above all `NotFound` and (for [`Rename::NoReplace`]) `AlreadyExists`.
    fn rename(&self, from: &Path, to: &Path, how: Rename) -> io::Result<()>;

    /// Removes a file.
    ///
    /// # Errors
    ///
    /// The system's, above all `NotFound`.
    fn remove_file(&self, path: &Path) -> io::Result<()>;

    /// Makes creations, renames and removals in a directory durable.
    ///
    /// # Errors
    ///
    /// The system's.
    fn sync_dir(&self, dir: &Path) -> io::Result<()>;

    /// Takes an exclusive lock on a file (made when missing) for as long as the value lives; the lock ends with the process.
    ///
    /// # Errors
    ///
    /// [`io::ErrorKind::WouldBlock`] when another process or another holder in this process has it.
    fn lock(&self, path: &Path) -> io::Result<Box<dyn FileLock>>;
}

/// A held lock. Its file can carry a text that tells others who holds it.
pub trait FileLock: Send + Sync + Debug {
    /// Replaces the content of the lock file.
    ///
    /// # Errors
    ///
    /// The system's.
    fn set_content(&self, content: &[u8]) -> io::Result<()>;
}

/// An open file. All access is by offset: there is no cursor to share.
pub trait File: Send + Sync + Debug {
    /// Reads some bytes at `offset`; 0 is the end of the file.
    ///
    /// # Errors
    ///
    /// The system's.
    fn read_at(&self, buffer: &mut [u8], offset: u64) -> io::Result<usize>;

    /// Writes all of `data` at `offset`. After an error any part of it may have been written.
    ///
    /// # Errors
    ///
    /// The system's, above all `StorageFull`.
    fn write_all_at(&self, data: &[u8], offset: u64) -> io::Result<()>;

    /// Writes all of `parts` at `offset`, one behind the other. After an error any part of them may have been written.
    ///
    /// # Errors
    ///
    /// The system's, above all `StorageFull`.
    fn write_parts_at(&self, parts: &[&[u8]], mut offset: u64) -> io::Result<()> {
        for part in parts {
            self.write_all_at(part, offset)?;
            offset += part.len() as u64;
        }
        Ok(())
    }

    /// Begins to write out what a part of the file holds, without waiting: a [`sync_data`](File::sync_data) that follows takes less time.
    /// Nothing is durable by it, and doing nothing is right.
    fn start_sync(&self, _offset: u64, _length: u64) {}

    /// Copies `length` bytes of `from` at `from_offset` into this file at `offset`, inside the kernel where it can.
    ///
    /// # Errors
    ///
    /// The system's; `UnexpectedEof` when `from` is shorter.
    fn copy_range(&self, from: &dyn File, from_offset: u64, offset: u64, length: u64) -> io::Result<()>;

    /// Cuts the file to `length`, or extends it with zeros.
    ///
    /// # Errors
    ///
    /// The system's.
    fn set_len(&self, length: u64) -> io::Result<()>;

    /// Makes the content durable, with the metadata needed to read it back (its length), without times (fdatasync).
    ///
    /// # Errors
    ///
    /// The system's; then the content is unknown.
    fn sync_data(&self) -> io::Result<()>;

    /// Makes the content and all metadata durable (fsync).
    ///
    /// # Errors
    ///
    /// The system's; then the content is unknown.
    fn sync_all(&self) -> io::Result<()>;

    /// What is known of this file now.
    ///
    /// # Errors
    ///
    /// The system's.
    fn metadata(&self) -> io::Result<Metadata>;

    /// Lets an implementation recognise its own files in [`copy_range`](File::copy_range).
    fn as_any(&self) -> &dyn Any;
}

impl dyn File + '_ {
    /// Reads until `buffer` is full or the file ends; says how much was read.
    ///
    /// # Errors
    ///
    /// The file's.
    pub fn read_full_at(&self, buffer: &mut [u8], offset: u64) -> io::Result<usize> {
        let mut filled = 0;
        while filled < buffer.len() {
            match self.read_at(&mut buffer[filled..], offset + filled as u64) {
                Ok(0) => break,
                Ok(n) => filled += n,
                Err(e) if e.kind() == io::ErrorKind::Interrupted => {}
                Err(e) => return Err(e),
            }
        }
        Ok(filled)
    }
}
