//! Buffers that are filled again once nobody reads them any more: their pages are there, and the last ones are in the processor's caches still.

use std::sync::{Arc, Mutex, PoisonError, Weak};

use bytes::Bytes;

/// What takes less than one part of so many of its buffer is copied out of it.
const LITTLE: usize = 4;

/// Buffers of about the same size.
#[derive(Debug)]
pub(crate) struct Pool(Arc<Mutex<Idle>>);

/// Those that wait to be used again.
#[derive(Debug)]
struct Idle {
    buffers: Vec<Vec<u8>>,
    /// The sum of their capacities.
    bytes: usize,
    /// How much that may be.
    limit: usize,
}

impl Pool {
    /// Keeps buffers of at most `limit` bytes altogether.
    pub(crate) fn new(limit: usize) -> Self {
        Self(Arc::new(Mutex::new(Idle { buffers: Vec::new(), bytes: 0, limit })))
    }

    /// An empty buffer with room for `capacity` bytes, if possible one that was used before.
    pub(crate) fn take(&self, capacity: usize) -> Vec<u8> {
        let mut idle = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        let used = idle.buffers.pop();
        idle.bytes -= used.as_ref().map_or(0, Vec::capacity);
        drop(idle);
        used.filter(|used| used.capacity() >= capacity).unwrap_or_else(|| Vec::with_capacity(capacity))
    }

    /// What a buffer holds. The buffer comes back when nobody has any of it; at once, when it holds little: whoever keeps that would keep the whole
    /// buffer.
    pub(crate) fn share(&self, bytes: Vec<u8>) -> Bytes {
        let is_little = bytes.len() * LITTLE < bytes.capacity();
        let pooled = Pooled { bytes, idle: Arc::downgrade(&self.0) };
        if is_little { Bytes::copy_from_slice(&pooled.bytes) } else { Bytes::from_owner(pooled) }
    }
}

struct Pooled {
    bytes: Vec<u8>,
    idle: Weak<Mutex<Idle>>,
}

impl AsRef<[u8]> for Pooled {
    fn as_ref(&self) -> &[u8] {
        &self.bytes
    }
}

impl Drop for Pooled {
    fn drop(&mut self) {
        let Some(idle) = self.idle.upgrade() else { return };
        let mut idle = idle.lock().unwrap_or_else(PoisonError::into_inner);
        if idle.bytes + self.bytes.capacity() <= idle.limit {
            self.bytes.clear();
            idle.bytes += self.bytes.capacity();
            idle.buffers.push(std::mem::take(&mut self.bytes));
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_buffer_comes_back_when_nobody_reads_it() {
        let pool = Pool::new(1000);
        let mut buffer = pool.take(10);
        buffer.extend_from_slice(b"abc");
        let memory = buffer.as_ptr();
        let bytes = pool.share(buffer);
        let part = bytes.slice(1..2);
        drop(bytes);
        let other = pool.take(10);
        assert_ne!(other.as_ptr(), memory);
        assert_eq!(part, "b");
        drop(part);
        let again = pool.take(10);
        assert_eq!((again.as_ptr(), again.len()), (memory, 0));
        let last = pool.share(b"abc".to_vec());
        drop(pool);
        assert_eq!(last, "abc");
    }

    #[test]
    fn what_is_little_does_not_keep_its_buffer() {
        let pool = Pool::new(1000);
        let mut buffer = pool.take(1000);
        buffer.extend_from_slice(b"abc");
        let memory = buffer.as_ptr();
        let bytes = pool.share(buffer);
        let again = pool.take(1000);
        assert_eq!(again.as_ptr(), memory);
        assert_eq!(bytes, "abc");
    }

    #[test]
    fn no_more_is_kept_than_is_allowed() {
        let pool = Pool::new(1000);
        let buffers: Vec<Bytes> = (0..3).map(|_| pool.share(vec![1; 400])).collect();
        drop(buffers);
        let kept = (0..3).filter(|_| pool.take(0).capacity() > 0).count();
        assert_eq!(kept, 2);
    }
}
