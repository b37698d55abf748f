//! An object that is read.

use std::sync::{Mutex, PoisonError};

use bytes::Bytes;
use connector_api::env::{Environment, Metadata};
use connector_api::{Error, Result};
use futures::FutureExt;
use futures::channel::oneshot;
use futures::future::BoxFuture;

use super::objects::{Object, Objects};
use super::wait;
use crate::input::{Input, changed};
use crate::source::FileState;

/// The first range that is asked for, at the beginning and after a jump.
const FIRST: u64 = 256 << 10;
/// The largest range that is asked for of its own accord. Each range is twice the one before while reading goes on in order.
const LARGEST: u64 = 4 << 20;
/// What is read behind the end of the split along with it: most often the end of its last record.
const BEYOND: u64 = 64 << 10;

/// An object, read in large ranges with one range ahead: at most two of 4 MiB are held, and one that a caller asks for whole.
#[derive(Debug)]
pub(crate) struct ObjectInput {
    env: Environment,
    objects: Objects,
    object: Object,
    found: FileState,
    /// Where reading ahead ends.
    ahead_to: u64,
    window: Mutex<Window>,
}

#[derive(Debug, Default)]
struct Window {
    start: u64,
    data: Bytes,
    /// The size of the next range.
    next: u64,
    /// The range behind the window, on its way.
    ahead: Option<(u64, Ahead)>,
}

type Read = Result<(Bytes, Metadata)>;

#[derive(Debug)]
enum Ahead {
    Here(Box<Read>),
    Coming(oneshot::Receiver<Read>),
}

impl ObjectInput {
    /// Opens the object, which must be as it was found. It will be read mostly up to `end`.
    pub(crate) fn open(
        env: Environment,
        objects: Objects,
        name: &str,
        found: FileState,
        end: u64,
    ) -> Result<Self> {
        let object = objects.at(name)?;
        let ahead_to = end.saturating_add(BEYOND).min(found.len);
        let input = Self { env, objects, object, found, ahead_to, window: Mutex::default() };
        input.check_name(0)?;
        Ok(input)
    }

    fn compare(&self, now: &Metadata, at: u64) -> Result<()> {
        match self.found.difference(now) {
            Some(difference) => Err(changed(&self.object.url, at, &difference)),
            None => Ok(()),
        }
    }

    /// Takes an answer in, which must be of the object that was found.
    fn take(&self, start: u64, read: Read) -> Result<Bytes> {
        let (data, meta) = read?;
        self.compare(&meta, start)?;
        Ok(data)
    }

    fn get(&self, start: u64, end: u64) -> BoxFuture<'static, Read> {
        let (objects, object) = (self.objects.clone(), self.object.clone());
        async move { objects.read(&object, start, end).await }.boxed()
    }

    /// Asks for what follows the window. A store that answers at once needs no task for it.
    fn read_ahead(&self, window: &mut Window) {
        let start = window.start + window.data.len() as u64;
        if start >= self.ahead_to {
            return;
        }
        let end = start.saturating_add(window.next).min(self.ahead_to);
        let mut get = self.get(start, end);
        let ahead = match (&mut get).now_or_never() {
            Some(read) => Ahead::Here(Box::new(read)),
            None => {
                let (done, coming) = oneshot::channel();
                let task = async move {
                    // The receiver is gone when the reader was dropped: then nobody wants it.
                    let _ = done.send(get.await);
                };
                self.env.spawner.spawn("read ahead", task.boxed());
                Ahead::Coming(coming)
            }
        };
        window.ahead = Some((start, ahead));
    }

    /// Moves the window to where it begins at `offset`, with at least one byte.
    fn move_to(&self, window: &mut Window, offset: u64) -> Result<()> {
        let in_order = offset == window.start + window.data.len() as u64 && !window.data.is_empty();
        let ahead = window.ahead.take().filter(|(start, _)| in_order && *start == offset);
        window.next = if in_order { (window.next * 2).min(LARGEST) } else { FIRST };
        let read = match ahead {
            Some((_, Ahead::Here(read))) => *read,
            Some((_, Ahead::Coming(coming))) => {
                wait(coming)?.unwrap_or(Err(Error::Cancelled("reading ahead".into())))
            }
            None => {
                let mut end = offset.saturating_add(window.next);
                if offset < self.ahead_to {
                    end = end.min(self.ahead_to);
                }
                wait(self.get(offset, end.min(self.found.len)))?
            }
        };
        window.data = self.take(offset, read)?;
        window.start = offset;
        if window.data.is_empty() {
            return Err(changed(&self.object.url, offset, "it ends before its size"));
        }
        self.read_ahead(window);
        Ok(())
    }
}

impl Input for ObjectInput {
    fn origin(&self) -> &str {
        &self.object.url
    }

    fn len(&self) -> u64 {
        self.found.len
    }

    fn read(&self, buffer: &mut [u8], offset: u64) -> Result<usize> {
        let left = usize::try_from(self.found.len.saturating_sub(offset)).unwrap_or(usize::MAX);
        let wanted = left.min(buffer.len());
        let buffer = &mut buffer[..wanted];
        let mut window = self.window.lock().unwrap_or_else(PoisonError::into_inner);
        let mut filled = 0;
        while filled < wanted {
            let at = offset + filled as u64;
            let missing = wanted - filled;
            let within = at.checked_sub(window.start).and_then(|skip| usize::try_from(skip).ok());
            if let Some(skip) = within.filter(|skip| *skip < window.data.len()) {
                let some = missing.min(window.data.len() - skip);
                buffer[filled..filled + some].copy_from_slice(&window.data[skip..skip + some]);
                filled += some;
            } else if missing as u64 >= LARGEST {
                // As one range: whoever asks for so much knows what will be needed.
                let data = self.take(at, wait(self.get(at, at + missing as u64))?)?;
                if data.len() < missing {
                    return Err(changed(&self.object.url, at + data.len() as u64, "it ends before its size"));
                }
                buffer[filled..].copy_from_slice(&data[..missing]);
                filled = wanted;
            } else {
                self.move_to(&mut window, at)?;
            }
        }
        Ok(filled)
    }

    fn check_name(&self, at: u64) -> Result<()> {
        match wait(self.objects.look(&self.object))?? {
            Some(now) => self.compare(&now, at),
            None => Err(changed(&self.object.url, at, "it is not there any more")),
        }
    }
}
