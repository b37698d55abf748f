//! An open local file.

use std::any::Any;
use std::fs;
use std::io;
#[cfg(target_os = "linux")]
use std::io::IoSlice;
use std::os::unix::fs::{FileExt, MetadataExt};
use std::time::Duration;

use connector_api::env::{File, Metadata};
#[cfg(target_os = "linux")]
use rustix::io::Errno;

/// The piece that a copy in user space moves at once.
const COPY_BUFFER: usize = 256 * 1024;

/// How many parts the kernel takes at once.
#[cfg(target_os = "linux")]
const PARTS: usize = 1024;

/// An open local file.
#[derive(Debug)]
pub struct LocalFile(pub(super) fs::File);

pub(super) fn metadata_of(found: &fs::Metadata) -> Metadata {
    let modified = match (u64::try_from(found.mtime()), u32::try_from(found.mtime_nsec())) {
        (Ok(seconds), Ok(nanos)) => Duration::new(seconds, nanos),
        _ => Duration::ZERO,
    };
    Metadata { len: found.len(), modified, is_dir: found.is_dir(), file_id: found.ino() }
}

impl File for LocalFile {
    fn read_at(&self, buffer: &mut [u8], offset: u64) -> io::Result<usize> {
        self.0.read_at(buffer, offset)
    }

    fn write_all_at(&self, data: &[u8], offset: u64) -> io::Result<()> {
        self.0.write_all_at(data, offset)
    }

    #[cfg(target_os = "linux")]
    fn write_parts_at(&self, parts: &[&[u8]], mut offset: u64) -> io::Result<()> {
        for parts in parts.chunks(PARTS) {
            let mut slices: Vec<IoSlice<'_>> = parts.iter().map(|part| IoSlice::new(part)).collect();
            let mut left = &mut slices[..];
            while !left.is_empty() {
                match rustix::io::pwritev(&self.0, left, offset) {
                    Ok(0) if left.iter().any(|part| !part.is_empty()) => {
                        return Err(io::ErrorKind::WriteZero.into());
                    }
                    Ok(n) => {
                        offset += n as u64;
                        IoSlice::advance_slices(&mut left, n);
                    }
                    Err(Errno::INTR) => {}
                    Err(e) => return Err(e.into()),
                }
            }
        }
        Ok(())
    }

    #[cfg(target_os = "linux")]
    fn start_sync(&self, offset: u64, length: u64) {
        // Where the file system can't, the sync does it all; and an error of the disk comes back from it.
        let _ = super::unsafe_sync::start(&self.0, offset, length);
    }

    fn copy_range(&self, from: &dyn File, from_offset: u64, offset: u64, length: u64) -> io::Result<()> {
        let copied = match from.as_any().downcast_ref::<Self>() {
            Some(from) => copy_in_kernel(from, self, from_offset, offset, length)?,
            None => 0,
        };
        copy_through_memory(from, self, from_offset + copied, offset + copied, length - copied)
    }

    fn set_len(&self, length: u64) -> io::Result<()> {
        self.0.set_len(length)
    }

    fn sync_data(&self) -> io::Result<()> {
        self.0.sync_data()
    }

    fn sync_all(&self) -> io::Result<()> {
        self.0.sync_all()
    }

    fn metadata(&self) -> io::Result<Metadata> {
        Ok(metadata_of(&self.0.metadata()?))
    }

    fn as_any(&self) -> &dyn Any {
        self
    }
}

/// Copies as far as the kernel goes; says how far. What is left is for a copy through memory, which also tells a source
/// that is too short from a file system on which the kernel can't copy (some then say "0 bytes" instead of an error).
#[cfg(target_os = "linux")]
fn copy_in_kernel(
    from: &LocalFile,
    to: &LocalFile,
    from_offset: u64,
    offset: u64,
    length: u64,
) -> io::Result<u64> {
    let mut copied = 0;
    while copied < length {
        // The kernel takes at most 2 GiB less a page; asking for less keeps a call interruptible.
        let piece = usize::try_from((length - copied).min(1 << 30)).unwrap_or(1 << 30);
        let (mut read, mut written) = (from_offset + copied, offset + copied);
        match rustix::fs::copy_file_range(&from.0, Some(&mut read), &to.0, Some(&mut written), piece) {
            Ok(0) => break,
            Ok(n) => copied += n as u64,
            Err(Errno::INTR) => {}
            // Not on this pair of file systems, or not within one file: the other way does it.
            Err(
                Errno::XDEV | Errno::INVAL | Errno::NOSYS | Errno::OPNOTSUPP | Errno::PERM | Errno::TXTBSY,
            ) => {
                break;
            }
            Err(e) => return Err(e.into()),
        }
    }
    Ok(copied)
}

#[cfg(not(target_os = "linux"))]
fn copy_in_kernel(_: &LocalFile, _: &LocalFile, _: u64, _: u64, _: u64) -> io::Result<u64> {
    Ok(0)
}

fn copy_through_memory(
    from: &dyn File,
    to: &LocalFile,
    from_offset: u64,
    offset: u64,
    length: u64,
) -> io::Result<()> {
    if length == 0 {
        return Ok(());
    }
    let capacity = usize::try_from(length).map_or(COPY_BUFFER, |length| length.min(COPY_BUFFER));
    let mut buffer = vec![0; capacity];
    let mut copied = 0;
    while copied < length {
        let piece = usize::try_from(length - copied).map_or(capacity, |left| left.min(capacity));
        let read = from.read_full_at(&mut buffer[..piece], from_offset + copied)?;
        to.write_all_at(&buffer[..read], offset + copied)?;
        copied += read as u64;
        if read < piece {
            return Err(io::Error::new(
                io::ErrorKind::UnexpectedEof,
                format!("the source ends {} bytes early", length - copied),
            ));
        }
    }
    Ok(())
}
