//! Writing frames.

use std::path::{Path, PathBuf};
use std::sync::Arc;

use connector_api::env::{Access, CrashPoints, File, FileSystem};

use super::ahead::Ahead;
use super::durable::Durable;
use super::file::{self, FIRST, FileHeader, FileId};
use super::frame::{Buffer, HEADER, Place, Sealed};
use super::payload::Payload;
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

/// About how much of a frame is written before the disk begins with it: 512 KiB.
const PIECE: usize = 512 << 10;

/// Appends frames, one at a time.
#[derive(Debug)]
pub(crate) struct LogWriter {
    dir: PathBuf,
    store: u128,
    incarnation: u32,
    file_size: u64,
    syncs: bool,
    crash: CrashPoints,
    position: Position,
    open: Option<Box<dyn File>>,
    ahead: Arc<Ahead>,
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
    /// Where its files come from.
    pub(crate) ahead: Arc<Ahead>,
}

impl LogWriter {
    /// Goes on at `position`. The last frame before it is made durable first.
    pub(crate) fn open(
        setup: Setup,
        position: Position,
        last: Option<FramePlace>,
        start: Start,
    ) -> Result<Self> {
        let Setup { fs, dir, store, incarnation, file_size, syncs, crash, ahead } = setup;
        ahead.restart(position.file, position.at)?;
        let durable = Durable::open(&*fs, &dir)?;
        let mut writer =
            Self { dir, store, incarnation, file_size, syncs, crash, position, open: None, ahead, durable };
        if let Start::Continue = start {
            let path = file::path(&writer.dir, position.file);
            let open = fs.open(&path, Access::ReadWrite).map_err(Error::io("open", &path))?;
            // Whoever wrote these may have failed to sync them, and the system forgets that it did.
            let header = FramePlace { file: position.file, at: 0, length: FIRST as u32 };
            for place in [Some(header), last.filter(|last| last.file == position.file)].into_iter().flatten()
            {
                rewrite(&*open, &path, place)?;
            }
            fs.sync_dir(&writer.dir).map_err(Error::io("sync", &writer.dir))?;
            writer.open = Some(open);
        }
        writer.durable.tell(position.next - 1);
        Ok(writer)
    }

    /// Where the next frame goes.
    pub(crate) fn position(&self) -> Position {
        self.position
    }

    /// Writes a frame; it is durable when this returns. `under_way` is called when the disk has begun.
    ///
    /// After an error the writer must not be used again: open another one with [`Start::NewFile`].
    pub(crate) fn append(
        &mut self,
        buffer: Buffer,
        under_way: impl FnOnce(),
    ) -> Result<(FramePlace, Payload)> {
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
        let parts: Vec<&[u8]> = std::iter::once(&head[..]).chain(payload.parts()).collect();
        write(&*file, &parts, self.position.at, self.syncs).map_err(|e| Error::io("write", &path())(e))?;
        under_way();
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
        let (number, opened) = self.ahead.take()?;
        self.crash.hit("segment-log/after-begin");
        let id = FileId { store: self.store, number };
        let Position { next, previous, .. } = self.position;
        let header = FileHeader { id, incarnation: self.incarnation, first: next, previous };
        header.store(&*opened, &file::path(&self.dir, number))?;
        self.crash.hit("segment-log/after-header");
        (self.position.file, self.position.at) = (number, FIRST);
        Ok(opened)
    }
}

/// Writes a frame piece by piece. If it is to be synced, the disk takes one piece while the next one is copied.
fn write(file: &dyn File, mut parts: &[&[u8]], mut at: u64, syncs: bool) -> std::io::Result<()> {
    while !parts.is_empty() {
        let (mut count, mut length) = (0, 0);
        while let Some(part) = parts.get(count).filter(|_| length < PIECE) {
            (count, length) = (count + 1, length + part.len());
        }
        let (piece, rest) = parts.split_at(count);
        file.write_parts_at(piece, at)?;
        // A small frame is sooner synced than begun to be.
        if syncs && length >= PIECE {
            file.start_sync(at, length as u64);
        }
        (parts, at) = (rest, at + length as u64);
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
