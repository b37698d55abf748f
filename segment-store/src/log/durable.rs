//! Which frame is the last durable one, told to other processes on the machine that read along.
//!
//! A whole frame at the end of the log may not be durable yet, and a reader must not see what may still be lost. So the writer says in a small file
//! how far it is. The file itself is never synced: it speaks to those who live at the same time. Who opens the log when nobody writes finds out
//! by itself.

use std::path::{Path, PathBuf};

use connector_api::env::{Access, File, FileSystem};

use crate::error::{Error, Result};

fn path(dir: &Path) -> PathBuf {
    dir.join("durable")
}

/// The file, for telling.
#[derive(Debug)]
pub(super) struct Durable(Box<dyn File>);

impl Durable {
    pub(super) fn open(fs: &dyn FileSystem, dir: &Path) -> Result<Self> {
        let path = path(dir);
        let file = match fs.open(&path, Access::ReadWrite) {
            Err(e) if e.kind() == std::io::ErrorKind::NotFound => fs.open(&path, Access::CreateOrTruncate),
            opened => opened,
        };
        file.map(Self).map_err(Error::io("open", &path))
    }

    /// The frame `number` and all before it are durable.
    pub(super) fn tell(&self, number: u64) {
        let number = number.to_le_bytes();
        let mut bytes = [0; 12];
        bytes[..8].copy_from_slice(&number);
        bytes[8..].copy_from_slice(&crc32c::crc32c(&number).to_le_bytes());
        // Readers see it with the next frame, then.
        if let Err(error) = self.0.write_all_at(&bytes, 0) {
            tracing::warn!(%error, "readers in other processes can't be told how far the log is durable");
        }
    }
}

/// What the writer told last; 0 where that can't be read.
pub(crate) fn told(fs: &dyn FileSystem, dir: &Path) -> u64 {
    let mut bytes = [0; 12];
    let read = fs.open(&path(dir), Access::Read).and_then(|file| file.read_full_at(&mut bytes, 0));
    let (number, crc) = bytes.split_at(8);
    if read.is_ok_and(|n| n == 12) && crc == crc32c::crc32c(number).to_le_bytes() {
        u64::from_le_bytes([
            number[0], number[1], number[2], number[3], number[4], number[5], number[6], number[7],
        ])
    } else {
        0
    }
}
