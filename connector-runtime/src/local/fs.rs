//! The local file system.

use std::fs;
use std::io;
use std::os::unix::fs::FileExt;
use std::path::{Path, PathBuf};

use connector_api::env::{Access, DirEntry, File, FileLock, FileSystem, Metadata, Rename};
use rustix::fs::{CWD, RenameFlags};
use rustix::io::Errno;

use super::file::{LocalFile, metadata_of};

/// The local file system, with the durability that [`FileSystem`] promises.
///
/// On a file system without an exclusive rename, [`Rename::NoReplace`] is a hard link and a removal: as exclusive, but a
/// crash between the two leaves the file under both names (with one `file_id`).
#[derive(Clone, Copy, Debug, Default)]
pub struct LocalFs;

impl FileSystem for LocalFs {
    fn open(&self, path: &Path, access: Access) -> io::Result<Box<dyn File>> {
        let mut options = fs::OpenOptions::new();
        options.read(true);
        match access {
            Access::Read => {}
            Access::ReadWrite => {
                options.write(true);
            }
            Access::CreateNew => {
                options.write(true).create_new(true);
            }
            Access::CreateOrTruncate => {
                options.write(true).create(true).truncate(true);
            }
        }
        let file = options.open(path)?;
        // The system opens a directory for reading and fails at the first read only.
        if access == Access::Read && file.metadata()?.is_dir() {
            return Err(Errno::ISDIR.into());
        }
        Ok(Box::new(LocalFile(file)))
    }

    fn metadata(&self, path: &Path) -> io::Result<Metadata> {
        Ok(metadata_of(&fs::metadata(path)?))
    }

    fn list(&self, dir: &Path) -> io::Result<Vec<DirEntry>> {
        let mut entries = Vec::new();
        for entry in fs::read_dir(dir)? {
            let entry = entry?;
            let kind = entry.file_type()?;
            // A link to nothing is listed as a file; opening it says what is wrong.
            let is_dir = if kind.is_symlink() {
                fs::metadata(entry.path()).is_ok_and(|target| target.is_dir())
            } else {
                kind.is_dir()
            };
            entries.push(DirEntry { name: entry.file_name(), is_dir });
        }
        Ok(entries)
    }

    fn create_dir_all(&self, dir: &Path) -> io::Result<()> {
        let mut missing: Vec<PathBuf> = Vec::new();
        let mut at = dir;
        loop {
            match fs::metadata(or_here(at)) {
                Ok(found) if found.is_dir() => break,
                Ok(_) => return Err(Errno::NOTDIR.into()),
                Err(e) if e.kind() == io::ErrorKind::NotFound => missing.push(at.to_path_buf()),
                Err(e) => return Err(e),
            }
            match at.parent() {
                Some(parent) => at = parent,
                None => break,
            }
        }
        for dir in missing.iter().rev() {
            match fs::create_dir(dir) {
                // Another may have made it a moment ago; whether durably we don't know, so it is synced all the same.
                Ok(()) => {}
                Err(e) if e.kind() == io::ErrorKind::AlreadyExists && fs::metadata(dir)?.is_dir() => {}
                Err(e) => return Err(e),
            }
            if let Err(e) = self.sync_dir(dir.parent().unwrap_or(Path::new("."))) {
                // One that stayed would be taken for durable by the next call. It is empty, or another's: then it stays.
                let _ = fs::remove_dir(dir);
                return Err(e);
            }
        }
        Ok(())
    }

    fn rename(&self, from: &Path, to: &Path, how: Rename) -> io::Result<()> {
        match how {
            Rename::Replace => fs::rename(from, to),
            Rename::NoReplace => {
                match rustix::fs::renameat_with(CWD, from, CWD, to, RenameFlags::NOREPLACE) {
                    Err(Errno::INVAL | Errno::NOSYS | Errno::OPNOTSUPP) => rename_by_link(from, to),
                    result => Ok(result?),
                }
            }
        }
    }

    fn remove_file(&self, path: &Path) -> io::Result<()> {
        fs::remove_file(path)
    }

    fn sync_dir(&self, dir: &Path) -> io::Result<()> {
        let opened = fs::File::open(or_here(dir))?;
        if !opened.metadata()?.is_dir() {
            return Err(Errno::NOTDIR.into());
        }
        opened.sync_all()
    }

    fn lock(&self, path: &Path) -> io::Result<Box<dyn FileLock>> {
        // Not truncated: until we have the lock the content is its holder's.
        let file = fs::OpenOptions::new().read(true).write(true).create(true).truncate(false).open(path)?;
        // flock(2) belongs to the open file, so that it excludes a second holder in this process as well.
        match file.try_lock() {
            Ok(()) => Ok(Box::new(LocalLock(file))),
            Err(fs::TryLockError::WouldBlock) => Err(io::ErrorKind::WouldBlock.into()),
            Err(fs::TryLockError::Error(e)) => Err(e),
        }
    }
}

/// The empty path is the parent of a plain name: the working directory.
fn or_here(path: &Path) -> &Path {
    if path.as_os_str().is_empty() { Path::new(".") } else { path }
}

fn rename_by_link(from: &Path, to: &Path) -> io::Result<()> {
    fs::hard_link(from, to)?;
    fs::remove_file(from)
}

#[derive(Debug)]
struct LocalLock(fs::File);

impl FileLock for LocalLock {
    fn set_content(&self, content: &[u8]) -> io::Result<()> {
        // Written first and cut then, so that a reader in between sees the new text, perhaps with an old tail.
        self.0.write_all_at(content, 0)?;
        self.0.set_len(content.len() as u64)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn write(fs: &LocalFs, path: &Path, content: &[u8]) {
        let file = fs.open(path, Access::CreateOrTruncate).unwrap();
        file.write_all_at(content, 0).unwrap();
        file.sync_data().unwrap();
    }

    fn read(fs: &LocalFs, path: &Path) -> Vec<u8> {
        let file = fs.open(path, Access::Read).unwrap();
        let mut content = vec![0; file.metadata().unwrap().len as usize];
        assert_eq!(file.read_full_at(&mut content, 0).unwrap(), content.len());
        content
    }

    #[test]
    fn an_exclusive_rename_never_replaces() {
        let dir = tempfile::tempdir().unwrap();
        let (a, b, c) = (dir.path().join("a"), dir.path().join("b"), dir.path().join("c"));
        for rename in [|a: &Path, b: &Path| LocalFs.rename(a, b, Rename::NoReplace), rename_by_link] {
            write(&LocalFs, &a, b"new");
            write(&LocalFs, &b, b"old");
            assert_eq!(rename(&a, &b).unwrap_err().kind(), io::ErrorKind::AlreadyExists);
            assert_eq!(read(&LocalFs, &b), b"old");
            rename(&a, &c).unwrap();
            assert_eq!(read(&LocalFs, &c), b"new");
            assert_eq!(rename(&a, &b).unwrap_err().kind(), io::ErrorKind::NotFound);
            LocalFs.remove_file(&c).unwrap();
        }
    }

    #[test]
    fn a_lock_excludes_a_second_holder_in_the_process_and_ends_with_its_value() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("lock");
        let held = LocalFs.lock(&path).unwrap();
        held.set_content(b"a longer text").unwrap();
        held.set_content(b"17").unwrap();
        assert_eq!(LocalFs.lock(&path).unwrap_err().kind(), io::ErrorKind::WouldBlock);
        assert_eq!(read(&LocalFs, &path), b"17");
        drop(held);
        LocalFs.lock(&path).unwrap();
    }

    #[test]
    fn many_parts_are_written_one_behind_the_other() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("parts");
        // More than the kernel takes at once, empty ones among them, some larger than a pipe.
        let parts: Vec<Vec<u8>> =
            (0..2500).map(|n: usize| vec![n as u8; if n % 1000 == 7 { 300_000 } else { n % 5 }]).collect();
        let parts: Vec<&[u8]> = parts.iter().map(Vec::as_slice).collect();
        let file = LocalFs.open(&path, Access::CreateNew).unwrap();
        file.write_parts_at(&parts, 11).unwrap();
        file.start_sync(0, 1 << 20);
        file.write_parts_at(&[], 3).unwrap();
        file.write_parts_at(&[b"", b"ab", b""], 3).unwrap();
        file.sync_data().unwrap();
        let content = read(&LocalFs, &path);
        assert_eq!(content[..11], *b"\0\0\0ab\0\0\0\0\0\0");
        assert_eq!(content[11..], parts.concat());
        let only_read = LocalFs.open(&path, Access::Read).unwrap();
        assert!(only_read.write_parts_at(&[b"x"], 0).is_err());
    }

    #[test]
    fn a_copy_of_a_source_that_is_too_short_is_an_error() {
        let dir = tempfile::tempdir().unwrap();
        let (a, b) = (dir.path().join("a"), dir.path().join("b"));
        let content: Vec<u8> = (0..600_000_u32).map(|i| (i % 251) as u8).collect();
        write(&LocalFs, &a, &content);
        let from = LocalFs.open(&a, Access::Read).unwrap();
        let to = LocalFs.open(&b, Access::CreateNew).unwrap();
        to.copy_range(&*from, 10, 3, 599_990).unwrap();
        assert_eq!(read(&LocalFs, &b)[3..], content[10..]);
        let error = to.copy_range(&*from, 10, 3, 599_991).unwrap_err();
        assert_eq!(error.kind(), io::ErrorKind::UnexpectedEof);
    }

    #[test]
    fn directories_are_made_with_their_parents_and_once_only() {
        let dir = tempfile::tempdir().unwrap();
        let deep = dir.path().join("a/b/c");
        LocalFs.create_dir_all(&deep).unwrap();
        LocalFs.create_dir_all(&deep).unwrap();
        assert!(LocalFs.metadata(&deep).unwrap().is_dir);
        assert_eq!(LocalFs.open(&deep, Access::Read).unwrap_err().kind(), io::ErrorKind::IsADirectory);
        write(&LocalFs, &dir.path().join("a/file"), b"");
        let through_file = dir.path().join("a/file/d");
        assert_eq!(LocalFs.create_dir_all(&through_file).unwrap_err().kind(), io::ErrorKind::NotADirectory);
    }
}
