//! Writing frames.

use std::path::{Path, PathBuf};
use std::sync::Arc;

use connector_api::env::{Access, CrashPoints, File, FileSystem};

use super::durable::Durable;
use super::file::{self, FIRST, FileHeader, FileId};
use super::frame::{Buffer, HEADER, Payload, Place, Sealed};
use super::{FramePlace, Position};
use crate::error::{Error, Result};

/// Where writing begins.
#[derive(Clone, Copy, Debug)]
pub(crate) enum Start {
    /// Behind the last whole frame, in its file.
    Continue,
    /// In a new file, because the last one can't be trusted, or there is none.
    NewFile,
}

/// What is copied to save a write.
const SMALL: usize = 64 * 1024;

/// The first number of the spares that are made ahead.
const SPARES: u64 = 1 << 62;

/// Appends frames, one at a time.
#[derive(Debug)]
pub(crate) struct LogWriter {
    fs: Arc<dyn FileSystem>,
    dir: PathBuf,
    store: u128,
    incarnation: u32,
    file_size: u64,
    syncs: bool,
    crash: CrashPoints,
    position: Position,
    open: Option<Box<dyn File>>,
    /// The greatest number that a file ever had.
    newest: u64,
    durable: Durable,
}

/// What a writer is made of.
#[derive(Debug)]
pub(crate) struct Setup {
    pub(crate) fs: Arc<dyn FileSystem>,
    pub(crate) dir: PathBuf,
    pub(crate) store: u128,
    pub(crate) incarnation: u32,
    /// Size of a file in bytes.
    pub(crate) file_size: u64,
    /// Whether a frame is synced before it counts.
    pub(crate) syncs: bool,
    pub(crate) crash: CrashPoints,
}

impl LogWriter {
    /// Goes on at `position`. The last frame before it is made durable first.
    pub(crate) fn open(
        setup: Setup,
        position: Position,
        last: Option<FramePlace>,
        start: Start,
    ) -> Result<Self> {
        let Setup { fs, dir, store, incarnation, file_size, syncs, crash } = setup;
        let listed = file::list(&*fs, &dir)?;
        for path in &listed.unfinished {
            file::remove(&*fs, path)?;
        }
        let newest = listed.files.last().copied().unwrap_or(0).max(position.file);
        let durable = Durable::open(&*fs, &dir)?;
        let mut writer = Self {
            fs,
            dir,
            store,
            incarnation,
            file_size,
            syncs,
            crash,
            position,
            open: None,
            newest,
            durable,
        };
        if let Start::Continue = start {
            let path = file::path(&writer.dir, position.file);
            let open = writer.fs.open(&path, Access::ReadWrite).map_err(Error::io("open", &path))?;
            // Whoever wrote these may have failed to sync them, and the system forgets that it did.
            let header = FramePlace { file: position.file, at: 0, length: FIRST as u32 };
            for place in [Some(header), last.filter(|last| last.file == position.file)].into_iter().flatten()
            {
                rewrite(&*open, &path, place)?;
            }
            writer.fs.sync_dir(&writer.dir).map_err(Error::io("sync", &writer.dir))?;
            writer.open = Some(open);
        }
        writer.durable.tell(position.next - 1);
        Ok(writer)
    }

    /// Where the next frame goes.
    pub(crate) fn position(&self) -> Position {
        self.position
    }

    /// Writes a frame; it is durable when this returns.
    ///
    /// After an error the writer must not be used again: open another one with [`Start::NewFile`].
    pub(crate) fn append(&mut self, buffer: Buffer) -> Result<(FramePlace, Payload)> {
        let size = (HEADER + buffer.len()) as u64;
        let file = match self.open.take() {
            Some(file) if self.position.at + size <= self.file_size => file,
            _ => self.next_file()?,
        };
        let id = FileId { store: self.store, number: self.position.file };
        let place = Place { file: &id, at: self.position.at };
        let Sealed { header, head, payload } =
            buffer.seal(place, self.position.next, self.position.previous, self.incarnation);
        let path = || file::path(&self.dir, self.position.file);
        self.crash.hit("segment-log/before-write");
        write(&*file, &head, &payload, self.position.at).map_err(|e| Error::io("write", &path())(e))?;
        self.crash.hit("segment-log/before-sync");
        if self.syncs {
            file.sync_data().map_err(|e| Error::io("sync", &path())(e))?;
        }
        self.crash.hit("segment-log/after-sync");
        let placed = FramePlace {
            file: self.position.file,
            at: self.position.at,
            length: HEADER as u32 + header.length,
        };
        self.position.at += header.padded();
        self.position.next += 1;
        self.position.previous = header.crc;
        self.open = Some(file);
        self.durable.tell(self.position.next - 1);
        Ok((placed, payload))
    }

    fn next_file(&mut self) -> Result<Box<dyn File>> {
        let number = self.newest + 1;
        let spare = match file::list(&*self.fs, &self.dir)?.spares.first() {
            Some(&spare) => spare,
            None => {
                file::make_spare(&*self.fs, &self.dir, number, self.file_size)?;
                number
            }
        };
        let opened = file::take_spare(&*self.fs, &self.dir, spare, number)?;
        self.newest = number;
        self.crash.hit("segment-log/after-begin");
        let id = FileId { store: self.store, number };
        let Position { next, previous, .. } = self.position;
        let header = FileHeader { id, incarnation: self.incarnation, first: next, previous };
        header.store(&*opened, &file::path(&self.dir, number))?;
        self.crash.hit("segment-log/after-header");
        (self.position.file, self.position.at) = (number, FIRST);
        Ok(opened)
    }

    /// Makes spares until there are `wanted`. Costs as much writing as the files are large.
    pub(crate) fn prepare(fs: &dyn FileSystem, dir: &Path, wanted: usize, file_size: u64) -> Result<()> {
        let listed = file::list(fs, dir)?;
        // Numbers of spares only tell them apart; these never meet those of files.
        let first = listed.spares.last().map_or(SPARES, |&newest| (newest + 1).max(SPARES));
        let missing = wanted.saturating_sub(listed.spares.len()) as u64;
        for number in first..first + missing {
            file::make_spare(fs, dir, number, file_size)?;
        }
        Ok(())
    }
}

/// Writes a frame: the header with the first part, if that is small, since each write costs something.
fn write(file: &dyn File, head: &[u8], payload: &Payload, mut at: u64) -> std::io::Result<()> {
    let mut parts = payload.parts();
    match parts.next() {
        Some(first) if first.len() <= SMALL => {
            let bytes = [head, first].concat();
            file.write_all_at(&bytes, at)?;
            at += bytes.len() as u64;
        }
        first => {
            file.write_all_at(head, at)?;
            at += head.len() as u64;
            if let Some(first) = first {
                file.write_all_at(first, at)?;
                at += first.len() as u64;
            }
        }
    }
    for part in parts {
        file.write_all_at(part, at)?;
        at += part.len() as u64;
    }
    Ok(())
}

/// Writes a frame that is there again, so that syncing makes it durable whatever became of an earlier sync.
fn rewrite(file: &dyn File, path: &Path, place: FramePlace) -> Result<()> {
    let mut bytes = vec![0; place.length as usize];
    let read = file.read_full_at(&mut bytes, place.at).map_err(Error::io("read", path))?;
    file.write_all_at(&bytes[..read], place.at).map_err(Error::io("write", path))?;
    file.sync_data().map_err(Error::io("sync", path))
}
