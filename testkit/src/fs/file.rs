//! Open files and held locks.

use std::any::Any;
use std::fmt;
use std::io;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use connector_api::env::{File, FileLock, Metadata};

use super::disk::{ContentChange, NodeId};
use super::fault::{Fault, OpKind, no_space};
use super::power::sectors;
use super::sim::{Shared, State};

const EBADF: i32 = 9;
const EINVAL: i32 = 22;

/// An open file.
pub(super) struct SimFile {
    shared: Arc<Shared>,
    id: NodeId,
    path: PathBuf,
    is_writable: bool,
}

impl SimFile {
    pub(super) fn new(shared: Arc<Shared>, id: NodeId, path: &Path, is_writable: bool) -> Self {
        Self { shared, id, path: path.to_path_buf(), is_writable }
    }

    fn write(&self, kind: OpKind, data: &[u8], offset: u64) -> io::Result<()> {
        let mut state = self.shared.lock();
        let fault = state.begin(kind, &self.path)?;
        if data.is_empty() && fault.is_none() {
            return Ok(());
        }
        if !self.is_writable {
            return Err(io::Error::from_raw_os_error(EBADF));
        }
        write(&mut state, self.id, fault, data, offset)
    }

    fn sync(&self) -> io::Result<()> {
        let mut state = self.shared.lock();
        match state.begin(OpKind::Sync, &self.path)? {
            None => state.disk.sync_content(self.id),
            Some(fault) => {
                if let Fault::SyncLoss { forget } = fault {
                    state.disk.lose_content(self.id, forget)?;
                }
                Err(fault.error())
            }
        }
    }
}

fn write(state: &mut State, id: NodeId, fault: Option<Fault>, data: &[u8], offset: u64) -> io::Result<()> {
    let put = |state: &mut State, offset: u64, data: &[u8]| {
        if data.is_empty() {
            return Ok(());
        }
        state.disk.change_content(id, ContentChange::Write { offset, data: data.to_vec() })
    };
    match fault {
        None => {
            // A full disk takes what fits.
            let length = state.disk.file(id)?.content.len() as u64;
            let room = length.saturating_add(state.disk.free()).saturating_sub(offset);
            match usize::try_from(room).ok().and_then(|room| data.get(..room)) {
                Some(fits) if fits.len() < data.len() => {
                    put(state, offset, fits)?;
                    Err(no_space())
                }
                _ => put(state, offset, data),
            }
        }
        Some(fault @ Fault::Short { bytes }) => {
            put(state, offset, &data[..bytes.min(data.len())])?;
            Err(fault.error())
        }
        Some(fault @ Fault::Torn) => {
            for (at, piece) in sectors(offset, data) {
                if state.coins.chance(50) {
                    put(state, at, piece)?;
                }
            }
            Err(fault.error())
        }
        Some(fault) => Err(fault.error()),
    }
}

impl File for SimFile {
    fn read_at(&self, buffer: &mut [u8], offset: u64) -> io::Result<usize> {
        let mut state = self.shared.lock();
        if let Some(fault) = state.begin(OpKind::Read, &self.path)? {
            return Err(fault.error());
        }
        let content = &state.disk.file(self.id)?.content;
        let rest = usize::try_from(offset).ok().and_then(|offset| content.get(offset..)).unwrap_or_default();
        let read = rest.len().min(buffer.len());
        buffer[..read].copy_from_slice(&rest[..read]);
        Ok(read)
    }

    fn write_all_at(&self, data: &[u8], offset: u64) -> io::Result<()> {
        self.write(OpKind::Write, data, offset)
    }

    fn copy_range(&self, from: &dyn File, from_offset: u64, offset: u64, length: u64) -> io::Result<()> {
        if length > 0 && !self.is_writable {
            return Err(io::Error::from_raw_os_error(EBADF));
        }
        let source = from.metadata()?.len.saturating_sub(from_offset);
        let mut data = vec![0; usize::try_from(source.min(length)).map_err(|_| io::ErrorKind::OutOfMemory)?];
        let read = from.read_full_at(&mut data, from_offset)?;
        self.write(OpKind::Copy, &data[..read], offset)?;
        if (read as u64) < length {
            return Err(io::Error::new(
                io::ErrorKind::UnexpectedEof,
                format!("the source ends {} bytes early", length - read as u64),
            ));
        }
        Ok(())
    }

    fn set_len(&self, length: u64) -> io::Result<()> {
        let mut state = self.shared.lock();
        if let Some(fault) = state.begin(OpKind::SetLen, &self.path)? {
            return Err(fault.error());
        }
        if !self.is_writable {
            return Err(io::Error::from_raw_os_error(EINVAL));
        }
        state.disk.change_content(self.id, ContentChange::SetLen(length))
    }

    fn sync_data(&self) -> io::Result<()> {
        self.sync()
    }

    fn sync_all(&self) -> io::Result<()> {
        self.sync()
    }

    fn metadata(&self) -> io::Result<Metadata> {
        let mut state = self.shared.lock();
        if let Some(fault) = state.begin(OpKind::Metadata, &self.path)? {
            return Err(fault.error());
        }
        state.metadata(self.id)
    }

    fn as_any(&self) -> &dyn Any {
        self
    }
}

impl Drop for SimFile {
    fn drop(&mut self) {
        self.shared.lock().disk.closed(self.id);
    }
}

impl fmt::Debug for SimFile {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "SimFile({})", self.path.display())
    }
}

/// A held lock.
pub(super) struct SimLock {
    shared: Arc<Shared>,
    id: NodeId,
    path: PathBuf,
}

impl SimLock {
    pub(super) fn new(shared: Arc<Shared>, id: NodeId, path: &Path) -> Self {
        Self { shared, id, path: path.to_path_buf() }
    }
}

impl FileLock for SimLock {
    fn set_content(&self, content: &[u8]) -> io::Result<()> {
        let mut state = self.shared.lock();
        let fault = state.begin(OpKind::Write, &self.path)?;
        write(&mut state, self.id, fault, content, 0)?;
        state.disk.change_content(self.id, ContentChange::SetLen(content.len() as u64))
    }
}

impl Drop for SimLock {
    fn drop(&mut self) {
        let mut state = self.shared.lock();
        state.disk.locks.remove(&self.id);
        state.disk.closed(self.id);
    }
}

impl fmt::Debug for SimLock {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "SimLock({})", self.path.display())
    }
}
