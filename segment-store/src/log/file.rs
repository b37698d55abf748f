//! Log files: their names and headers.
//!
//! ```text
//! magic "CSDKSLOG" | version u16 | store u128 | number u64 | incarnation u32 | first frame u64 | checksum of the frame before it u32 | CRC-32C u32 | zeros to 4096
//! ```
//!
//! A file is made of zeros ahead of its use, or recycled, and never grows while it is written: syncing it then costs no journal
//! of the file system. Its header is durable before its first frame is written, so a file without one holds nothing.

use std::io;
use std::path::{Path, PathBuf};

use connector_api::env::{Access, File, FileSystem, Rename};

use crate::error::{Error, Result};

/// The first frame's place in a file.
pub(crate) const FIRST: u64 = 4096;
const MAGIC: &[u8; 8] = b"CSDKSLOG";
const VERSION: u16 = 1;
const LENGTH: usize = 8 + 2 + 16 + 8 + 4 + 8 + 4 + 4;
/// The piece in which zeros are written.
const ZEROS: usize = 1 << 20;

/// Tells a file of a store from every other.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct FileId {
    /// The store.
    pub(crate) store: u128,
    /// Counts its files.
    pub(crate) number: u64,
}

/// What a file's header says.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct FileHeader {
    pub(crate) id: FileId,
    /// Which opening of the store began it.
    pub(crate) incarnation: u32,
    /// The number of its first frame. What the file before holds from this number on was given up.
    pub(crate) first: u64,
    /// The checksum of the frame before that one.
    pub(crate) previous: u32,
}

impl FileHeader {
    pub(super) fn encode(&self) -> Vec<u8> {
        let mut out = Vec::with_capacity(FIRST as usize);
        out.extend_from_slice(MAGIC);
        out.extend_from_slice(&VERSION.to_le_bytes());
        out.extend_from_slice(&self.id.store.to_le_bytes());
        out.extend_from_slice(&self.id.number.to_le_bytes());
        out.extend_from_slice(&self.incarnation.to_le_bytes());
        out.extend_from_slice(&self.first.to_le_bytes());
        out.extend_from_slice(&self.previous.to_le_bytes());
        out.extend_from_slice(&crc32c::crc32c(&out).to_le_bytes());
        out.resize(FIRST as usize, 0);
        out
    }

    /// The header at the beginning of `bytes`; none when it is not whole.
    ///
    /// # Errors
    ///
    /// [`Error::Version`] for a whole one of a later version.
    pub(crate) fn decode(path: &Path, bytes: &[u8]) -> Result<Option<Self>> {
        let Some(header) = bytes.get(..LENGTH) else { return Ok(None) };
        let (body, crc) = header.split_at(LENGTH - 4);
        if !body.starts_with(MAGIC) || crc32c::crc32c(body).to_le_bytes() != crc {
            return Ok(None);
        }
        let mut at = 8;
        let mut take = |n: usize| {
            let mut value = [0; 16];
            value[..n].copy_from_slice(&body[at..at + n]);
            at += n;
            u128::from_le_bytes(value)
        };
        let version = take(2) as u16;
        if version > VERSION {
            return Err(Error::Version { path: path.to_path_buf(), found: version, known: VERSION });
        }
        Ok(Some(Self {
            id: FileId { store: take(16), number: take(8) as u64 },
            incarnation: take(4) as u32,
            first: take(8) as u64,
            previous: take(4) as u32,
        }))
    }

    /// Writes it durably.
    pub(crate) fn store(&self, file: &dyn File, path: &Path) -> Result<()> {
        file.write_all_at(&self.encode(), 0).map_err(Error::io("write the header of", path))?;
        file.sync_data().map_err(Error::io("sync", path))
    }
}

/// The name of the file `number`.
pub(crate) fn path(dir: &Path, number: u64) -> PathBuf {
    dir.join(format!("{number:016x}.log"))
}

fn spare_path(dir: &Path, number: u64) -> PathBuf {
    dir.join(format!("{number:016x}.spare"))
}

/// What a directory of log files holds, by number, in order.
#[derive(Debug, Default)]
pub(crate) struct Listed {
    pub(crate) files: Vec<u64>,
    pub(crate) spares: Vec<u64>,
    /// Made by a process that died before they were whole.
    pub(crate) unfinished: Vec<PathBuf>,
}

pub(crate) fn list(fs: &dyn FileSystem, dir: &Path) -> Result<Listed> {
    let mut listed = Listed::default();
    for entry in fs.list(dir).map_err(Error::io("list", dir))? {
        let name = entry.name.to_string_lossy();
        let Some((stem, extension)) = name.split_once('.') else { continue };
        match (u64::from_str_radix(stem, 16), extension) {
            (Ok(number), "log") => listed.files.push(number),
            (Ok(number), "spare") => listed.spares.push(number),
            (Ok(_), "tmp") => listed.unfinished.push(dir.join(&*name)),
            _ => {}
        }
    }
    listed.files.sort_unstable();
    listed.spares.sort_unstable();
    Ok(listed)
}

/// Makes a spare of zeros, durably.
pub(crate) fn make_spare(fs: &dyn FileSystem, dir: &Path, number: u64, size: u64) -> Result<()> {
    let unfinished = dir.join(format!("{number:016x}.tmp"));
    let made = (|| {
        let file = fs.open(&unfinished, Access::CreateOrTruncate)?;
        let zeros = vec![0; ZEROS.min(usize::try_from(size).unwrap_or(ZEROS))];
        let mut at = 0;
        while at < size {
            let piece = (size - at).min(zeros.len() as u64);
            file.write_all_at(&zeros[..piece as usize], at)?;
            at += piece;
        }
        file.sync_all()?;
        fs.rename(&unfinished, &spare_path(dir, number), Rename::Replace)
    })();
    if let Err(e) = made {
        // A full disk: what was written of it is given back at once.
        let _ = fs.remove_file(&unfinished);
        return Err(Error::io("make", &unfinished)(e));
    }
    Ok(())
}

/// Makes a spare the file `number`; durable when [`FileSystem::sync_dir`] returns.
pub(crate) fn take_spare(fs: &dyn FileSystem, dir: &Path, spare: u64, number: u64) -> Result<Box<dyn File>> {
    let target = path(dir, number);
    fs.rename(&spare_path(dir, spare), &target, Rename::Replace).map_err(Error::io("begin", &target))?;
    fs.sync_dir(dir).map_err(Error::io("sync", dir))?;
    fs.open(&target, Access::ReadWrite).map_err(Error::io("open", &target))
}

/// Makes a file that nobody needs any more a spare again.
pub(crate) fn recycle(fs: &dyn FileSystem, dir: &Path, number: u64) -> Result<()> {
    let from = path(dir, number);
    fs.rename(&from, &spare_path(dir, number), Rename::Replace).map_err(Error::io("recycle", &from))
}

/// Removes a spare or a log file. One that is gone is fine.
pub(crate) fn remove(fs: &dyn FileSystem, path: &Path) -> Result<()> {
    match fs.remove_file(path) {
        Err(e) if e.kind() != io::ErrorKind::NotFound => Err(Error::io("remove", path)(e)),
        _ => Ok(()),
    }
}

/// What a file says of itself; none when it holds nothing.
pub(crate) fn header_of(file: &dyn File, path: &Path) -> Result<Option<FileHeader>> {
    let mut bytes = [0; LENGTH];
    let read = file.read_full_at(&mut bytes, 0).map_err(Error::io("read", path))?;
    FileHeader::decode(path, &bytes[..read])
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_header_is_read_back_and_a_damaged_one_is_none() {
        let header =
            FileHeader { id: FileId { store: 1 << 100, number: 3 }, incarnation: 4, first: 5, previous: 6 };
        let bytes = header.encode();
        let path = Path::new("x");
        assert_eq!(FileHeader::decode(path, &bytes).unwrap(), Some(header));
        for i in 0..LENGTH {
            let mut bad = bytes.clone();
            bad[i] ^= 1;
            assert_eq!(FileHeader::decode(path, &bad).unwrap(), None, "byte {i}");
            assert_eq!(FileHeader::decode(path, &bytes[..i]).unwrap(), None);
        }
    }

    #[test]
    fn a_later_version_is_refused_by_name() {
        let header = FileHeader { id: FileId { store: 1, number: 1 }, incarnation: 0, first: 1, previous: 0 };
        let mut bytes = header.encode();
        bytes[8] = 2;
        let crc = crc32c::crc32c(&bytes[..LENGTH - 4]);
        bytes[LENGTH - 4..LENGTH].copy_from_slice(&crc.to_le_bytes());
        let error = FileHeader::decode(Path::new("x"), &bytes).unwrap_err();
        assert!(matches!(error, Error::Version { found: 2, known: 1, .. }), "{error}");
    }
}
