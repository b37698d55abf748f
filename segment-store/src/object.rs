//! Objects: sealed chunks of segments' bytes, moved out of the log.
//!
//! ```text
//! bytes | a CRC-32C u32 for each 64 KiB of them | length of the bytes u64 | version u16 | CRC-32C of all behind the bytes u32 | magic "CSDKSOBJ"
//! ```
//!
//! An object is written once, under a name that was never used, and is durable before anything rests on it. What its bytes
//! belong to is said by the log alone. Every read checks the blocks that it touches.

use std::path::{Path, PathBuf};

use bytes::Bytes;
use connector_api::env::{Access, File, FileSystem, Rename};

use crate::error::{Error, Result};

/// The part of an object that one checksum covers.
pub(crate) const BLOCK: u64 = 64 * 1024;
const MAGIC: &[u8; 8] = b"CSDKSOBJ";
const VERSION: u16 = 1;
const TRAILER: u64 = 8 + 2 + 4 + 8;

/// The directory of the objects in a store's directory.
pub(crate) fn dir(store: &Path) -> PathBuf {
    store.join("objects")
}

/// The name of an object.
pub(crate) fn path(dir: &Path, id: u64) -> PathBuf {
    dir.join(format!("{id:016x}.obj"))
}

/// The id in a name; none for what is no object.
pub(crate) fn id_of(name: &str) -> Option<u64> {
    u64::from_str_radix(name.strip_suffix(".obj")?, 16).ok()
}

/// Writes an object, piece by piece.
pub(crate) struct Writer<'a> {
    fs: &'a dyn FileSystem,
    dir: &'a Path,
    id: u64,
    unfinished: PathBuf,
    file: Box<dyn File>,
    buffer: Vec<u8>,
    written: u64,
    sums: Vec<u8>,
}

impl<'a> Writer<'a> {
    pub(crate) fn create(fs: &'a dyn FileSystem, dir: &'a Path, id: u64) -> Result<Self> {
        let unfinished = dir.join(format!("{id:016x}.tmp"));
        let file = fs.open(&unfinished, Access::CreateOrTruncate).map_err(Error::io("make", &unfinished))?;
        Ok(Self { fs, dir, id, unfinished, file, buffer: Vec::new(), written: 0, sums: Vec::new() })
    }

    /// How many bytes it holds so far: where the next ones go.
    pub(crate) fn at(&self) -> u64 {
        self.written + self.buffer.len() as u64
    }

    pub(crate) fn append(&mut self, bytes: &[u8]) -> Result<()> {
        self.buffer.extend_from_slice(bytes);
        let whole = self.buffer.len() - self.buffer.len() % BLOCK as usize;
        if whole >= 16 * BLOCK as usize { self.flush(whole) } else { Ok(()) }
    }

    fn flush(&mut self, length: usize) -> Result<()> {
        for block in self.buffer[..length].chunks(BLOCK as usize) {
            self.sums.extend_from_slice(&crc32c::crc32c(block).to_le_bytes());
        }
        let write = self.file.write_all_at(&self.buffer[..length], self.written);
        write.map_err(Error::io("write", &self.unfinished))?;
        self.written += length as u64;
        self.buffer.drain(..length);
        Ok(())
    }

    /// Makes it durable under its name; says how large the file is. When that fails its space is given back.
    pub(crate) fn finish(mut self) -> Result<u64> {
        let made = self.make_durable();
        if made.is_err() {
            self.abandon();
        }
        made
    }

    fn make_durable(&mut self) -> Result<u64> {
        self.flush(self.buffer.len())?;
        let mut end = std::mem::take(&mut self.sums);
        end.extend_from_slice(&self.written.to_le_bytes());
        end.extend_from_slice(&VERSION.to_le_bytes());
        end.extend_from_slice(&crc32c::crc32c(&end).to_le_bytes());
        end.extend_from_slice(MAGIC);
        self.file.write_all_at(&end, self.written).map_err(Error::io("write", &self.unfinished))?;
        self.file.sync_all().map_err(Error::io("sync", &self.unfinished))?;
        let path = path(self.dir, self.id);
        self.fs.rename(&self.unfinished, &path, Rename::NoReplace).map_err(Error::io("make", &path))?;
        self.fs.sync_dir(self.dir).map_err(Error::io("sync", self.dir))?;
        Ok(self.written + end.len() as u64)
    }

    /// Gives it up and frees its space.
    pub(crate) fn abandon(self) {
        // A leftover is removed when the store is opened next.
        let _ = self.fs.remove_file(&self.unfinished);
    }
}

/// An open object.
#[derive(Debug)]
pub(crate) struct Object {
    path: PathBuf,
    file: Box<dyn File>,
    length: u64,
    sums: Vec<u8>,
}

impl Object {
    pub(crate) fn open(fs: &dyn FileSystem, dir: &Path, id: u64) -> Result<Self> {
        let path = path(dir, id);
        let file = fs.open(&path, Access::Read).map_err(Error::io("open", &path))?;
        let size = file.metadata().map_err(Error::io("look at", &path))?.len;
        Self::of(path, file, size)
    }

    fn of(path: PathBuf, file: Box<dyn File>, size: u64) -> Result<Self> {
        let bad = |reason: &str| Error::corrupt(&path, size, reason);
        let end = size.checked_sub(TRAILER).ok_or_else(|| bad("it is shorter than an object's end"))?;
        let mut trailer = [0; TRAILER as usize];
        let read = file.read_full_at(&mut trailer, end).map_err(Error::io("read", &path))?;
        if read < trailer.len() || &trailer[14..] != MAGIC {
            return Err(bad("it does not end as an object does"));
        }
        let length = u64::from_le_bytes([
            trailer[0], trailer[1], trailer[2], trailer[3], trailer[4], trailer[5], trailer[6], trailer[7],
        ]);
        let version = u16::from_le_bytes([trailer[8], trailer[9]]);
        let sums_length = length.div_ceil(BLOCK).checked_mul(4);
        if sums_length.and_then(|sums| sums.checked_add(length)) != Some(end) {
            return Err(bad("its parts have not the sizes that its end says"));
        }
        // Checked against the size of the file just now.
        let mut sums = vec![0; usize::try_from(end - length).map_err(|_| bad("it is too large"))?];
        let read = file.read_full_at(&mut sums, length).map_err(Error::io("read", &path))?;
        let crc = crc32c::crc32c_append(crc32c::crc32c(&sums), &trailer[..10]);
        if read < sums.len() || trailer[10..14] != crc.to_le_bytes() {
            return Err(bad("the checksum of its end is wrong"));
        }
        if version > VERSION {
            return Err(Error::Version { path, found: version, known: VERSION });
        }
        Ok(Self { path, file, length, sums })
    }

    /// How many bytes it holds.
    pub(crate) fn length(&self) -> u64 {
        self.length
    }

    /// `length` bytes at `at`, checked.
    pub(crate) fn read(&self, at: u64, length: usize) -> Result<Bytes> {
        let until = at + length as u64;
        if until > self.length {
            return Err(Error::corrupt(&self.path, self.length, format!("byte {until} is missing")));
        }
        let start = at - at % BLOCK;
        let end = until.next_multiple_of(BLOCK).min(self.length);
        let mut bytes = vec![0; (end - start) as usize];
        let read = self.file.read_full_at(&mut bytes, start).map_err(Error::io("read", &self.path))?;
        if read < bytes.len() {
            return Err(Error::corrupt(&self.path, start + read as u64, "it was cut off"));
        }
        for (n, block) in bytes.chunks(BLOCK as usize).enumerate() {
            let number = start / BLOCK + n as u64;
            let at = number as usize * 4;
            if self.sums[at..at + 4] != crc32c::crc32c(block).to_le_bytes() {
                return Err(Error::corrupt(&self.path, number * BLOCK, "the checksum of a block is wrong"));
            }
        }
        let from = (at - start) as usize;
        Ok(Bytes::from(bytes).slice(from..from + length))
    }

    /// Reads and checks all of it.
    pub(crate) fn verify(&self) -> Result<()> {
        let mut at = 0;
        while at < self.length {
            let piece = (self.length - at).min(16 * BLOCK);
            self.read(at, piece as usize)?;
            at += piece;
        }
        Ok(())
    }
}

/// Makes the checksums at the end of what looks like an object right.
#[cfg(feature = "fuzzing")]
pub(crate) fn make_right(bytes: &mut [u8]) {
    let Some(end) = bytes.len().checked_sub(TRAILER as usize) else { return };
    let mut length = [0; 8];
    length.copy_from_slice(&bytes[end..end + 8]);
    let length = usize::try_from(u64::from_le_bytes(length)).unwrap_or(usize::MAX).min(end);
    let (content, sums) = bytes.split_at_mut(length);
    for (n, block) in content.chunks(BLOCK as usize).enumerate() {
        if let Some(sum) = sums[..end - length].get_mut(n * 4..n * 4 + 4) {
            sum.copy_from_slice(&crc32c::crc32c(block).to_le_bytes());
        }
    }
    let crc = crc32c::crc32c(&bytes[length..end + 10]);
    bytes[end + 10..end + 14].copy_from_slice(&crc.to_le_bytes());
}

#[cfg(test)]
mod tests {
    use testkit::fs::SimFs;

    use super::*;

    fn written(bytes: &[u8]) -> (SimFs, u64) {
        let fs = SimFs::new();
        let dir = Path::new("o");
        fs.create_dir_all(dir).unwrap();
        let mut writer = Writer::create(&fs, dir, 1).unwrap();
        for piece in bytes.chunks(100_000) {
            writer.append(piece).unwrap();
        }
        assert_eq!(writer.at(), bytes.len() as u64);
        let size = writer.finish().unwrap();
        (fs, size)
    }

    fn content(length: usize) -> Vec<u8> {
        (0..length).map(|i| (i * 7 % 251) as u8).collect()
    }

    #[test]
    fn any_range_is_read_back() {
        for length in [0, 1, 65_535, 65_536, 65_537, 2_000_000] {
            let bytes = content(length);
            let (fs, _) = written(&bytes);
            let object = Object::open(&fs, Path::new("o"), 1).unwrap();
            object.verify().unwrap();
            for (at, until) in [(0, length), (length / 3, length / 2), (length, length)] {
                assert_eq!(object.read(at as u64, until - at).unwrap(), bytes[at..until]);
            }
            assert!(object.read(length as u64, 1).is_err());
        }
    }

    #[test]
    fn a_changed_byte_is_never_read() {
        let bytes = content(200_000);
        let (fs, size) = written(&bytes);
        let path = path(Path::new("o"), 1);
        for at in (0..size).step_by(997).chain(size - 60..size) {
            let file = fs.open(&path, Access::ReadWrite).unwrap();
            let mut byte = [0];
            file.read_at(&mut byte, at).unwrap();
            file.write_all_at(&[byte[0] ^ 4], at).unwrap();
            let refused = match Object::open(&fs, Path::new("o"), 1) {
                Ok(object) => object.verify(),
                Err(e) => Err(e),
            };
            assert!(
                matches!(refused, Err(Error::Corrupt { .. } | Error::Version { .. })),
                "byte {at}: {refused:?}"
            );
            file.write_all_at(&byte, at).unwrap();
        }
    }
}
