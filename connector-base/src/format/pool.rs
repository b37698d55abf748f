//! Buffers that are used again.

use std::sync::{Arc, Mutex, PoisonError};

use bytes::Bytes;

/// Buffers of one size for reading into, used again when the last batch that points into them is gone.
///
/// A fresh buffer costs as much in page faults as reading into it does. Cloning shares the pool.
#[derive(Clone, Debug)]
pub struct BufferPool {
    shared: Arc<Shared>,
}

#[derive(Debug)]
struct Shared {
    size: usize,
    keep: usize,
    free: Mutex<Vec<Vec<u8>>>,
}

/// A frozen buffer on its way back.
struct Pooled {
    buffer: Vec<u8>,
    pool: Arc<Shared>,
}

impl BufferPool {
    /// Buffers of `size` bytes (at least 1), of which at most `keep` are kept while nobody uses them.
    pub fn new(size: usize, keep: usize) -> Self {
        Self { shared: Arc::new(Shared { size: size.max(1), keep, free: Mutex::default() }) }
    }

    /// The size of a buffer in bytes.
    pub fn size(&self) -> usize {
        self.shared.size
    }

    /// A buffer; its content is left over from earlier use.
    pub(super) fn take(&self) -> Vec<u8> {
        let mut free = self.shared.free.lock().unwrap_or_else(PoisonError::into_inner);
        free.pop().unwrap_or_else(|| vec![0; self.shared.size])
    }

    /// Makes a buffer shareable; it comes back when the last share is dropped, if it is of the pool's size.
    pub(super) fn freeze(&self, buffer: Vec<u8>) -> Bytes {
        if buffer.len() != self.shared.size {
            return buffer.into();
        }
        Bytes::from_owner(Pooled { buffer, pool: Arc::clone(&self.shared) })
    }
}

impl AsRef<[u8]> for Pooled {
    fn as_ref(&self) -> &[u8] {
        &self.buffer
    }
}

impl Drop for Pooled {
    fn drop(&mut self) {
        let mut free = self.pool.free.lock().unwrap_or_else(PoisonError::into_inner);
        if free.len() < self.pool.keep {
            free.push(std::mem::take(&mut self.buffer));
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_buffer_comes_back_after_its_last_share() {
        let pool = BufferPool::new(8, 1);
        let buffer = pool.take();
        let address = buffer.as_ptr();
        let bytes = pool.freeze(buffer);
        let share = bytes.slice(2..4);
        drop(bytes);
        let other = pool.take();
        assert_ne!(other.as_ptr(), address);
        drop(share);
        let again = pool.take();
        assert_eq!(again.as_ptr(), address);
    }

    #[test]
    fn no_more_than_the_limit_is_kept() {
        let pool = BufferPool::new(8, 1);
        let both = (pool.freeze(pool.take()), pool.freeze(pool.take()));
        drop(both);
        assert_eq!(pool.shared.free.lock().unwrap().len(), 1);
    }
}
