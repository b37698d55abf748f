//! Decompresses ahead of what is asked for, so that cutting records and decompressing the next ones overlap.

use std::collections::VecDeque;
use std::mem;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use connector_api::Result;
use connector_api::env::Spawner;

use super::unpack::Unpacker;

/// What is decompressed at once.
const CHUNK: usize = 256 << 10;
/// How many chunks may wait. With the one under way and the one that is taken from, at most four are held.
const WAITING: usize = 2;

/// Decompresses a file on another thread, up to [`WAITING`] chunks ahead.
///
/// Nobody waits for work that has not begun: who finds no chunk ready decompresses the next one by himself. So it gets on
/// wherever the spawner runs the work: at once, later, or never. The first chunk is always made by who asks for it: a
/// small file costs no other thread.
#[derive(Debug)]
pub(super) struct Ahead {
    shared: Arc<Shared>,
    spawner: Arc<dyn Spawner>,
    chunk: Chunk,
    taken: usize,
}

/// A piece of the content; the last one is shorter than `CHUNK`.
#[derive(Debug, Default)]
struct Chunk {
    buffer: Vec<u8>,
    filled: usize,
    is_last: bool,
}

#[derive(Debug)]
struct Shared {
    /// Held while a chunk is made. None when nobody wants any more, or nothing follows.
    unpacker: Mutex<Option<Unpacker>>,
    ready: Mutex<VecDeque<Result<Chunk>>>,
    spare: Mutex<Vec<Vec<u8>>>,
    /// Whether work was spawned that has not ended.
    is_working: AtomicBool,
    is_dropped: AtomicBool,
}

impl Ahead {
    pub(super) fn new(unpacker: Unpacker, spawner: Arc<dyn Spawner>) -> Self {
        let shared = Shared {
            unpacker: Mutex::new(Some(unpacker)),
            ready: Mutex::default(),
            spare: Mutex::default(),
            is_working: AtomicBool::new(false),
            is_dropped: AtomicBool::new(false),
        };
        Self { shared: Arc::new(shared), spawner, chunk: Chunk::default(), taken: 0 }
    }

    /// As [`Unpacker::fill`]: an error comes after all the chunks before it.
    pub(super) fn fill(&mut self, buffer: &mut [u8]) -> Result<usize> {
        let mut filled = 0;
        while filled < buffer.len() {
            let chunk = &self.chunk.buffer[self.taken..self.chunk.filled];
            if chunk.is_empty() {
                if self.chunk.is_last || !self.next(filled > 0)? {
                    break;
                }
                continue;
            }
            let n = chunk.len().min(buffer.len() - filled);
            buffer[filled..filled + n].copy_from_slice(&chunk[..n]);
            (filled, self.taken) = (filled + n, self.taken + n);
        }
        Ok(filled)
    }

    /// Takes the next chunk; false when an error comes next and is left for later, since there are bytes to give first.
    fn next(&mut self, has_some: bool) -> Result<bool> {
        let next = match self.shared.take() {
            Some(ready) => ready,
            None => {
                let mut unpacker = lock(&self.shared.unpacker);
                // What was under way is ready now.
                match self.shared.take() {
                    Some(ready) => ready,
                    None => self.shared.make(&mut unpacker),
                }
            }
        };
        let next = match next {
            Err(e) if has_some => {
                lock(&self.shared.ready).push_front(Err(e));
                return Ok(false);
            }
            next => next?,
        };
        let used = mem::replace(&mut self.chunk, next);
        self.taken = 0;
        if used.buffer.len() == CHUNK {
            lock(&self.shared.spare).push(used.buffer);
        }
        if !self.chunk.is_last && !self.shared.is_working.swap(true, Ordering::AcqRel) {
            let shared = Arc::clone(&self.shared);
            self.spawner.spawn_blocking(Box::new(move || shared.work()));
        }
        Ok(true)
    }
}

impl Drop for Ahead {
    fn drop(&mut self) {
        self.shared.is_dropped.store(true, Ordering::Release);
        // The file is closed now, or by the work that is under way, before it looks for more.
        if let Ok(mut unpacker) = self.shared.unpacker.try_lock() {
            *unpacker = None;
        }
    }
}

impl Shared {
    /// Makes chunks until enough are waiting.
    fn work(&self) {
        loop {
            let mut unpacker = lock(&self.unpacker);
            if self.is_dropped.load(Ordering::Acquire) {
                *unpacker = None;
            }
            if unpacker.is_none() || lock(&self.ready).len() >= WAITING {
                // Before the lock is given up: who takes a chunk after this spawns the next work.
                self.is_working.store(false, Ordering::Release);
                return;
            }
            let chunk = self.make(&mut unpacker);
            lock(&self.ready).push_back(chunk);
        }
    }

    fn take(&self) -> Option<Result<Chunk>> {
        lock(&self.ready).pop_front()
    }

    /// The next chunk. Nothing follows the last one, and an error.
    fn make(&self, unpacker: &mut MutexGuard<'_, Option<Unpacker>>) -> Result<Chunk> {
        let Some(decoder) = unpacker.as_mut() else { return Ok(Chunk { is_last: true, ..Chunk::default() }) };
        let mut buffer = lock(&self.spare).pop().unwrap_or_else(|| vec![0; CHUNK]);
        let filled = decoder.fill(&mut buffer);
        let is_last = filled.as_ref().map_or(true, |&filled| filled < CHUNK);
        if is_last {
            **unpacker = None;
        }
        Ok(Chunk { filled: filled?, buffer, is_last })
    }
}

/// No code panics while it holds one of these.
fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}
