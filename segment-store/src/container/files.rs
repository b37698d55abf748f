//! Reading bytes back from where they are.

use std::collections::HashMap;
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, PoisonError};

use bytes::{Bytes, BytesMut};
use connector_api::env::{Access, File, FileSystem};

use super::cache::FrameCache;
use crate::error::{Error, Result};
use crate::log::Payload;
use crate::log::file::FileId;
use crate::log::{self, FramePlace};
use crate::object::{self, Object};

/// How many files are kept open for reading.
const OPEN_FILES: usize = 64;
/// How much of old frames is kept in memory for readers that follow on each other.
const READ_CACHE: usize = 16 << 20;

/// Where some bytes are to be read from.
#[derive(Clone, Debug)]
pub(crate) enum Piece {
    /// They are in memory.
    Memory(Bytes),
    /// A part of a frame's payload. A frame whose place is not known is a defect, which a read tells.
    Frame { number: u64, place: Option<FramePlace>, at: u32, length: usize },
    /// A part of an object.
    Object { id: u64, at: u64, length: usize },
}

/// The files of a store, for reading.
#[derive(Debug)]
pub(crate) struct Files {
    fs: Arc<dyn FileSystem>,
    log: PathBuf,
    objects: PathBuf,
    store: u128,
    open: Mutex<Open>,
}

#[derive(Debug)]
struct Open {
    logs: HashMap<u64, Arc<dyn File>>,
    objects: HashMap<u64, Arc<Object>>,
    frames: FrameCache,
}

impl Files {
    pub(crate) fn new(fs: Arc<dyn FileSystem>, dir: &Path, store: u128) -> Self {
        let open =
            Open { logs: HashMap::new(), objects: HashMap::new(), frames: FrameCache::new(READ_CACHE) };
        Self { fs, log: log::dir(dir), objects: object::dir(dir), store, open: Mutex::new(open) }
    }

    fn open(&self) -> std::sync::MutexGuard<'_, Open> {
        self.open.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// The bytes of these pieces, one after the other. Blocks.
    pub(crate) fn read(&self, pieces: &[Piece]) -> Result<Bytes> {
        if let [piece] = pieces {
            return self.piece(piece);
        }
        let mut all = BytesMut::new();
        for piece in pieces {
            all.extend_from_slice(&self.piece(piece)?);
        }
        Ok(all.freeze())
    }

    fn piece(&self, piece: &Piece) -> Result<Bytes> {
        match piece {
            Piece::Memory(bytes) => Ok(bytes.clone()),
            &Piece::Frame { number, place, at, length } => {
                let Some(place) = place else {
                    return Err(Error::corrupt(&self.log, 0, format!("frame {number} is in no file")));
                };
                let bytes = self.frame(number, place)?.slice(at, length);
                bytes.ok_or_else(|| self.misplaced(number, place))
            }
            &Piece::Object { id, at, length } => self.object(id)?.read(at, length),
        }
    }

    /// A frame is whole, and holds less than was said of it.
    pub(crate) fn misplaced(&self, number: u64, place: FramePlace) -> Error {
        let path = log::file::path(&self.log, place.file);
        Error::corrupt(&path, place.at, format!("frame {number} is shorter than what it holds"))
    }

    /// The payload of a whole frame, checked.
    pub(crate) fn frame(&self, number: u64, place: FramePlace) -> Result<Payload> {
        if let Some(frame) = self.open().frames.get(number) {
            return Ok(frame.clone());
        }
        let path = log::file::path(&self.log, place.file);
        let file = self.log_file(place.file, &path)?;
        let id = FileId { store: self.store, number: place.file };
        let frame = log::read_frame(&*file, &path, &id, place, number)?;
        drop(self.open().frames.insert(number, frame.clone()));
        Ok(frame)
    }

    fn log_file(&self, number: u64, path: &Path) -> Result<Arc<dyn File>> {
        if let Some(file) = self.open().logs.get(&number) {
            return Ok(file.clone());
        }
        let file: Arc<dyn File> =
            Arc::from(self.fs.open(path, Access::Read).map_err(Error::io("open", path))?);
        let mut open = self.open();
        if open.logs.len() >= OPEN_FILES {
            open.logs.clear();
        }
        open.logs.insert(number, file.clone());
        Ok(file)
    }

    pub(crate) fn object(&self, id: u64) -> Result<Arc<Object>> {
        if let Some(object) = self.open().objects.get(&id) {
            return Ok(object.clone());
        }
        let object = Arc::new(Object::open(&*self.fs, &self.objects, id)?);
        let mut open = self.open();
        if open.objects.len() >= OPEN_FILES {
            open.objects.clear();
        }
        open.objects.insert(id, object.clone());
        Ok(object)
    }

    /// What is stored may be another.
    pub(crate) fn forget_all(&self) {
        let mut open = self.open();
        open.logs.clear();
        open.objects.clear();
        open.frames.clear();
    }

    /// The files are about to be removed or recycled.
    pub(crate) fn forget(&self, logs: &[u64], objects: &[u64]) {
        let mut open = self.open();
        logs.iter().for_each(|number| drop(open.logs.remove(number)));
        objects.iter().for_each(|id| drop(open.objects.remove(id)));
    }
}
