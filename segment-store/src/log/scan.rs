//! Reading frames back, in order.

use std::io;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use bytes::Bytes;
use connector_api::env::{Access, File, FileSystem};

use super::file::{self, FIRST, FileHeader, FileId};
use super::frame::{ALIGNMENT, HEADER, Header, Place};
use super::payload::Payload;
use super::{FramePlace, Position};
use crate::error::{Error, Result};

/// The piece in which a file is read.
const WINDOW: usize = 1 << 20;
/// How often a directory is listed anew because a file of it is gone.
const LISTINGS: usize = 100;

/// A frame that was whole and in its place.
#[derive(Debug)]
pub(crate) struct Frame {
    pub(crate) header: Header,
    pub(crate) place: FramePlace,
    pub(crate) payload: Bytes,
}

/// Reads a log from a position to its end.
#[derive(Debug)]
pub(crate) struct Scanner {
    fs: Arc<dyn FileSystem>,
    dir: PathBuf,
    store: u128,
    position: Position,
    current: Option<Current>,
}

#[derive(Debug)]
struct Current {
    path: PathBuf,
    file: Arc<dyn File>,
    length: u64,
    /// The file behind it, when there was one.
    following: Option<FileHeader>,
    window: Window,
}

/// A part of a file in memory.
#[derive(Debug, Default)]
struct Window {
    start: u64,
    bytes: Bytes,
}

impl Scanner {
    pub(crate) fn new(fs: Arc<dyn FileSystem>, dir: PathBuf, store: u128, position: Position) -> Self {
        Self { fs, dir, store, position, current: None }
    }

    pub(crate) fn dir(&self) -> &Path {
        &self.dir
    }

    /// Where the next frame is, or would be.
    pub(crate) fn position(&self) -> Position {
        self.position
    }

    /// The next frame; none at the end of the log, where it may be asked again once more was written.
    ///
    /// # Errors
    ///
    /// [`Error::Corrupt`] for a damaged frame that is not the torn end of the log.
    pub(crate) fn next(&mut self) -> Result<Option<Frame>> {
        loop {
            if self.current.is_none() && !self.open()? {
                return Ok(None);
            }
            let Some(mut current) = self.current.take() else { return Ok(None) };
            let Position { next, previous, at, file: number } = self.position;
            let id = FileId { store: self.store, number };
            let found = current.frame(Place { file: &id, at })?;
            if let Some(following) = current.following {
                let is_next = (following.first, following.previous) == (next, previous);
                match found {
                    Some((header, payload)) if !is_next && continues(&header, self.position) => {
                        return Ok(Some(self.deliver(current, header, payload)));
                    }
                    // What is here from that number on was given up.
                    _ if is_next => self.go_to(following),
                    _ => {
                        let what = format!(
                            "frame {next} is damaged, and file {:016x} goes on with frame {}",
                            following.id.number, following.first
                        );
                        return Err(Error::corrupt(&current.path, at, what));
                    }
                }
                continue;
            }
            match found {
                Some((header, payload)) if continues(&header, self.position) => {
                    return Ok(Some(self.deliver(current, header, payload)));
                }
                _ => {
                    current.following = self.following(number)?;
                    current.window = Window::default();
                    if current.following.is_none() {
                        let end = current.check_torn(&id, at, next).and_then(|()| self.check_unbegun(number));
                        let Err(damage) = end else {
                            self.current = Some(current);
                            return Ok(None);
                        };
                        // Whoever writes it may have gone on since this was looked at.
                        current.window = Window::default();
                        let found = current.frame(Place { file: &id, at })?;
                        let goes_on = found.is_some_and(|(header, _)| continues(&header, self.position));
                        current.following = self.following(number)?;
                        if current.following.is_none() && !goes_on {
                            return Err(damage);
                        }
                    }
                    self.current = Some(current);
                }
            }
        }
    }

    fn deliver(&mut self, current: Current, header: Header, payload: Bytes) -> Frame {
        let Position { file, at, .. } = self.position;
        let place = FramePlace { file, at, length: HEADER as u32 + header.length };
        self.position.at += header.padded();
        self.position.next += 1;
        self.position.previous = header.crc;
        self.current = Some(current);
        Frame { header, place, payload }
    }

    fn go_to(&mut self, following: FileHeader) {
        (self.position.file, self.position.at) = (following.id.number, FIRST);
    }

    /// Opens the file that the position is in; says whether there is one.
    fn open(&mut self) -> Result<bool> {
        if self.position.file == 0 {
            let Some(first) = self.following(0)? else {
                self.check_unbegun(0)?;
                return Ok(false);
            };
            let Position { next, previous, .. } = self.position;
            if (first.first, first.previous) != (next, previous) {
                let what = format!("it begins with frame {}; frame {next} is missing", first.first);
                return Err(Error::corrupt(&file::path(&self.dir, first.id.number), 0, what));
            }
            self.go_to(first);
        }
        let path = file::path(&self.dir, self.position.file);
        let opened = self.fs.open(&path, Access::Read).map_err(Error::io("open", &path))?;
        let length = opened.metadata().map_err(Error::io("look at", &path))?.len;
        let header = file::header_of(&*opened, &path)?;
        if header.is_none_or(|header| header.id != FileId { store: self.store, number: self.position.file }) {
            return Err(Error::corrupt(&path, 0, "its header is damaged, or that of another file"));
        }
        let following = self.following(self.position.file)?;
        let file = Arc::from(opened);
        self.current = Some(Current { path, file, length, following, window: Window::default() });
        Ok(true)
    }

    /// The first file behind `number` that was begun.
    fn following(&self, number: u64) -> Result<Option<FileHeader>> {
        self.later(number, |later, path, opened| {
            let id = FileId { store: self.store, number: later };
            Ok(file::header_of(&*opened, &path)?.filter(|header| header.id == id))
        })
    }

    /// A file whose header was never durable holds no frame: not even one of a number that is there already, which it may have replaced.
    fn check_unbegun(&self, number: u64) -> Result<()> {
        let found = self.later(number, |later, path, opened| {
            let length = opened.metadata().map_err(Error::io("look at", &path))?.len;
            let mut current =
                Current { path, file: Arc::from(opened), length, following: None, window: Window::default() };
            let id = FileId { store: self.store, number: later };
            if current.frame(Place { file: &id, at: FIRST })?.is_some() {
                return Err(Error::corrupt(&current.path, 0, "its header is damaged, and it holds frames"));
            }
            current.check_torn(&id, FIRST, 0)?;
            Ok(None::<()>)
        });
        found.map(drop)
    }

    /// Looks at the files behind `number` in order, until something is found.
    fn later<T>(
        &self,
        number: u64,
        look: impl Fn(u64, PathBuf, Box<dyn File>) -> Result<Option<T>>,
    ) -> Result<Option<T>> {
        'listed: for _ in 0..LISTINGS {
            let files = file::list(&*self.fs, &self.dir)?.files;
            for later in files.into_iter().filter(|&file| file > number) {
                let path = file::path(&self.dir, later);
                let opened = match self.fs.open(&path, Access::Read) {
                    // One that was not begun; whoever writes the log gave it another name.
                    Err(e) if e.kind() == io::ErrorKind::NotFound => continue 'listed,
                    opened => opened.map_err(Error::io("open", &path))?,
                };
                if let Some(found) = look(later, path, opened)? {
                    return Ok(Some(found));
                }
            }
            return Ok(None);
        }
        let reason = format!("the files of {} get other names time and again", self.dir.display());
        Err(Error::Unavailable { reason })
    }
}

fn continues(header: &Header, position: Position) -> bool {
    (header.number, header.previous) == (position.next, position.previous)
}

impl Current {
    /// The bytes of the file from `at`, at most `length`, fewer at its end.
    fn bytes(&mut self, at: u64, length: usize) -> Result<Bytes> {
        let length = usize::try_from(self.length.saturating_sub(at)).map_or(length, |left| left.min(length));
        let Window { start, bytes } = &self.window;
        let inside = at.checked_sub(*start).and_then(|from| usize::try_from(from).ok());
        if let Some(from) = inside.filter(|from| from + length <= bytes.len()) {
            return Ok(bytes.slice(from..from + length));
        }
        let left = usize::try_from(self.length - at.min(self.length)).unwrap_or(usize::MAX);
        let mut buffer = vec![0; length.max(WINDOW.min(left))];
        let read = self.file.read_full_at(&mut buffer, at).map_err(Error::io("read", &self.path))?;
        buffer.truncate(read);
        self.window = Window { start: at, bytes: buffer.into() };
        Ok(self.window.bytes.slice(..length.min(read)))
    }

    /// The frame at a place, if it is whole.
    fn frame(&mut self, place: Place<'_>) -> Result<Option<(Header, Bytes)>> {
        let Some(header) = Header::read(&self.bytes(place.at, HEADER)?) else { return Ok(None) };
        let size = HEADER + header.length as usize;
        if place.at + size as u64 > self.length {
            return Ok(None);
        }
        let frame = self.bytes(place.at, size)?;
        Ok(header.holds(place, &frame).then(|| (header, frame.slice(HEADER..))))
    }

    /// Fails when a whole frame numbered `next` or later lies behind `at`: then what is at `at` is no torn end.
    fn check_torn(&mut self, id: &FileId, at: u64, next: u64) -> Result<()> {
        let mut place = at;
        while place < self.length {
            let window = self.bytes(place, WINDOW)?;
            let mut within = 0;
            while within + HEADER <= window.len() {
                let here = place + within as u64;
                if here > at
                    && let Some(header) = Header::read(&window[within..])
                    && header.number >= next
                    && self.frame(Place { file: id, at: here })?.is_some()
                {
                    let what =
                        format!("frame {next} is damaged, and frame {} behind it is whole", header.number);
                    return Err(Error::corrupt(&self.path, at, what));
                }
                within += ALIGNMENT as usize;
            }
            place += (within as u64).max(ALIGNMENT);
        }
        Ok(())
    }
}

/// Reads the payload of a frame that is known to be somewhere, and checks it.
pub(crate) fn read_frame(
    file: &dyn File,
    path: &Path,
    id: &FileId,
    place: FramePlace,
    number: u64,
) -> Result<Payload> {
    let mut bytes = vec![0; place.length as usize];
    let read = file.read_full_at(&mut bytes, place.at).map_err(Error::io("read", path))?;
    let whole = super::frame::parse(Place { file: id, at: place.at }, &bytes[..read])
        .is_some_and(|(header, _)| header.number == number);
    if whole {
        Ok(Payload::whole(Bytes::from(bytes).slice(HEADER..)))
    } else {
        Err(Error::corrupt(path, place.at, format!("frame {number} is damaged")))
    }
}
