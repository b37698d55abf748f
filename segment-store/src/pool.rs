//! Buffers that are filled again once nobody reads them any more: their pages are there, and the last ones are in the processor's caches still.

use std::sync::{Arc, Mutex, PoisonError, Weak};

use bytes::Bytes;

/// What takes less than one part of so many of its buffer is copied out of it.
const LITTLE: usize = 4;

/// Buffers that writers take and readers give back: one for all writers of a store, since what one of them gave back last is what the next one
/// should fill.
#[derive(Clone, Debug)]
pub struct Pool(Arc<Mutex<Idle>>);

/// Those that wait to be used again.
#[derive(Debug)]
struct Idle {
    /// Those of at least `2^n` bytes and less than `2^(n+1)` at `n`.
    buffers: Vec<Vec<Vec<u8>>>,
    /// The sum of their capacities.
    bytes: usize,
    /// How much that may be.
    limit: usize,
}

impl Pool {
    /// Keeps buffers of at most `limit` bytes altogether.
    pub fn new(limit: usize) -> Self {
        Self(Arc::new(Mutex::new(Idle { buffers: Vec::new(), bytes: 0, limit })))
    }

    /// An empty buffer with room for `capacity` bytes, and up to twice as much, if possible one that was used before.
    pub fn take(&self, capacity: usize) -> Vec<u8> {
        let class = capacity.next_power_of_two();
        let mut idle = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        let used = idle.buffers.get_mut(class.ilog2() as usize).and_then(Vec::pop);
        idle.bytes -= used.as_ref().map_or(0, Vec::capacity);
        drop(idle);
        used.unwrap_or_else(|| Vec::with_capacity(class))
    }

    /// What a buffer holds. The buffer comes back when nobody has any of it; at once, when it holds little: whoever keeps that would keep the whole
    /// buffer.
    pub fn share(&self, bytes: Vec<u8>) -> Bytes {
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
        let (Some(idle), Some(class)) = (self.idle.upgrade(), self.bytes.capacity().checked_ilog2()) else {
            return;
        };
        let mut idle = idle.lock().unwrap_or_else(PoisonError::into_inner);
        if idle.bytes + self.bytes.capacity() > idle.limit {
            return;
        }
        self.bytes.clear();
        idle.bytes += self.bytes.capacity();
        let class = class as usize;
        if idle.buffers.len() <= class {
            idle.buffers.resize_with(class + 1, Vec::new);
        }
        idle.buffers[class].push(std::mem::take(&mut self.bytes));
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_buffer_comes_back_when_nobody_reads_it() {
        let pool = Pool::new(1000);
        let mut buffer = pool.take(10);
        buffer.extend_from_slice(b"abcd");
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
        let pool = Pool::new(2000);
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
        let kept = (0..3).filter(|_| pool.take(256).capacity() == 400).count();
        assert_eq!(kept, 2);
    }

    #[test]
    fn a_buffer_is_as_large_as_it_is_asked_for() {
        let pool = Pool::new(1 << 20);
        drop(pool.share(vec![1; 400]));
        drop(pool.share(vec![1; 4000]));
        assert_eq!([300, 1, 3000, 200, 0].map(|asked| pool.take(asked).capacity()), [512, 1, 4096, 400, 1]);
    }
}
