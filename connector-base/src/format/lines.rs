//! Lines: records of bytes that end with a terminator.
//!
//! A line is bytes, of no particular encoding. Its terminator is `\n` or `\r\n` and not part of the record; a `\r` elsewhere
//! is content. The last line may lack its terminator. A line without content is a record of zero bytes.

use bytes::Bytes;
use connector_api::message::Span;
use connector_api::{Batch, Error, MessageBatch, Result};
use memchr::{memchr, memchr_iter};

use super::BufferPool;
use crate::reader::{Fetched, Positions};

/// The largest `max_record` that batches allow for.
const LARGEST_RECORD: usize = 1 << 30;

/// What a [`LineBuffer`] cuts.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct LineOptions {
    /// Names the file in errors.
    pub origin: String,
    /// The offset in the file of the first byte that will be filled in.
    pub offset: u64,
    /// Whether the first byte may lie inside a record, which is then passed over up to and with its terminator.
    pub inside: bool,
    /// Records that start here or later are not cut: the end of the split. `u64::MAX` for none.
    pub limit: u64,
    /// The largest record in bytes, without its terminator. More than 1 GiB counts as 1 GiB.
    pub max_record: usize,
}

/// Cuts lines out of bytes that are filled in piece by piece; the records share the buffer they were read into.
///
/// ```text
/// room() -> read into it -> filled(n) -> take(ended) -> ...
/// ```
///
/// Only the beginning of the record that a buffer ends in is copied, into the next buffer. Memory: one buffer of the pool,
/// or one record of `max_record` bytes.
#[derive(Debug)]
pub struct LineBuffer {
    options: LineOptions,
    pool: BufferPool,
    buffer: Vec<u8>,
    /// The offset in the file of `buffer[0]`.
    base: u64,
    /// Where the first record that was not taken yet starts in `buffer`.
    start: usize,
    /// `buffer[start..scanned]` holds no terminator.
    scanned: usize,
    filled: usize,
    inside: bool,
    done: bool,
    /// How many records the last batch had.
    usual: usize,
}

/// Records with their places in the file. At least one.
#[derive(Debug)]
pub struct Lines {
    /// The records.
    pub batch: MessageBatch,
    base: u64,
    end: u64,
}

impl LineBuffer {
    /// A buffer to fill.
    pub fn new(pool: BufferPool, options: LineOptions) -> Self {
        Self {
            base: options.offset,
            inside: options.inside,
            done: !options.inside && options.offset >= options.limit,
            options: LineOptions { max_record: options.max_record.min(LARGEST_RECORD), ..options },
            pool,
            buffer: Vec::new(),
            start: 0,
            scanned: 0,
            filled: 0,
            usual: 0,
        }
    }

    /// Where the next bytes go; never empty.
    pub fn room(&mut self) -> &mut [u8] {
        if self.buffer.is_empty() {
            self.buffer = self.pool.take();
        }
        if self.filled == self.buffer.len() {
            if self.start > 0 {
                self.buffer.copy_within(self.start..self.filled, 0);
                self.base += self.start as u64;
                self.scanned -= self.start;
                self.filled -= self.start;
                self.start = 0;
            } else {
                // `take` has refused a record above the limit, so this ends.
                let most = (self.options.max_record + 2).max(self.filled + 1);
                self.buffer.resize((self.buffer.len() * 2).min(most), 0);
            }
        }
        &mut self.buffer[self.filled..]
    }

    /// Says that `n` bytes were written to the front of [`room`](Self::room).
    ///
    /// # Panics
    ///
    /// When that is more than there was room.
    pub fn filled(&mut self, n: usize) {
        assert!(
            n <= self.buffer.len() - self.filled,
            "{n} bytes in a room of {}",
            self.buffer.len() - self.filled
        );
        self.filled += n;
    }

    /// The offset in the file of the next byte to fill in.
    pub fn next_offset(&self) -> u64 {
        self.base + self.filled as u64
    }

    /// Whether every record that starts before the limit was taken. No more bytes are needed then.
    pub fn is_done(&self) -> bool {
        self.done
    }

    /// Takes the records that are complete; `ended` says that no byte follows, so that what is left is a record too.
    ///
    /// # Errors
    ///
    /// [`Error::Data`] with the offset of a record longer than `max_record`, after all before it were taken.
    pub fn take(&mut self, ended: bool) -> Result<Option<Lines>> {
        if self.inside {
            self.pass_over(ended);
        }
        if self.done || self.inside {
            return Ok(None);
        }
        let limit = usize::try_from(self.options.limit - self.base).unwrap_or(usize::MAX);
        let (mut spans, mut at) = self.cut(limit, ended);
        if self.filled - self.start > self.options.max_record {
            at = self.check(&mut spans, at, limit)?;
        }
        self.done = at >= limit || (ended && at == self.filled);
        if spans.is_empty() {
            return Ok(None);
        }
        self.usual = spans.len();
        let base = self.base;
        let buffer = self.hand_over(at);
        let batch = MessageBatch::from_spans(buffer, spans)?;
        Ok(Some(Lines { batch, base, end: base + at as u64 }))
    }

    /// Passes over the rest of the record that the first byte lies in.
    fn pass_over(&mut self, ended: bool) {
        match memchr(b'\n', &self.buffer[..self.filled]) {
            Some(at) => {
                self.inside = false;
                self.start = at + 1;
                self.scanned = at + 1;
                self.done = self.base + self.start as u64 >= self.options.limit;
            }
            None => {
                self.base += self.filled as u64;
                self.filled = 0;
                self.done = ended || self.base >= self.options.limit;
            }
        }
    }

    /// Finds the records that start before `limit`; also says where the first that was not found starts.
    fn cut(&mut self, limit: usize, ended: bool) -> (Vec<Span>, usize) {
        let bytes = &self.buffer[..self.filled];
        let mut at = self.start;
        // Records grow shorter now and then: a little more than last time avoids most of the growing.
        let mut spans =
            Vec::with_capacity(if self.usual == 0 { 0 } else { self.usual + self.usual / 16 + 8 });
        for found in memchr_iter(b'\n', &bytes[self.scanned..]) {
            if at >= limit {
                break;
            }
            let terminator = self.scanned + found;
            let returns = usize::from(terminator > at && bytes[terminator - 1] == b'\r');
            spans.push(Span::new(at as u32, (terminator - returns) as u32));
            at = terminator + 1;
        }
        if ended && at < limit && at < self.filled {
            spans.push(Span::new(at as u32, self.filled as u32));
            at = self.filled;
        }
        self.scanned = self.filled;
        (spans, at)
    }

    /// Keeps the records before one that is too long; without any, says that it is.
    fn check(&mut self, spans: &mut Vec<Span>, at: usize, limit: usize) -> Result<usize> {
        let max = self.options.max_record;
        let too_long = spans.iter().position(|s| s.range().is_some_and(|r| r.len() > max));
        let starts = too_long.and_then(|i| spans[i].range()).map(|r| r.start);
        let rest = &self.buffer[at.min(self.filled)..self.filled];
        // A `\r` at the end may be the first half of a terminator.
        let unfinished = at < limit && rest.len() - usize::from(rest.last() == Some(&b'\r')) > max;
        let Some(starts) = starts.or(unfinished.then_some(at)) else { return Ok(at) };
        if let Some(i) = too_long {
            spans.truncate(i);
        }
        if spans.is_empty() {
            let reason =
                format!("no terminator within {max} bytes, the largest record that `max_record` allows");
            return Err(Error::data(self.options.origin.clone(), Some(self.base + starts as u64), reason));
        }
        self.scanned = starts;
        Ok(starts)
    }

    /// Hands `buffer[..at]` over and goes on in a new buffer with what follows.
    fn hand_over(&mut self, at: usize) -> Bytes {
        let full = std::mem::take(&mut self.buffer);
        let rest = &full[at..self.filled];
        if !rest.is_empty() && !self.done {
            self.buffer = self.pool.take();
            if self.buffer.len() < rest.len() {
                self.buffer.resize(rest.len(), 0);
            }
            self.buffer[..rest.len()].copy_from_slice(rest);
            self.filled = rest.len();
        } else {
            self.filled = 0;
        }
        self.scanned = self.scanned.saturating_sub(at).min(self.filled);
        self.base += at as u64;
        self.start = 0;
        self.pool.freeze(full).slice(..at)
    }
}

impl Lines {
    /// The offset in the file behind the first `n` records and their terminators: where reading begins again.
    pub fn position(&self, n: usize) -> u64 {
        position(&self.batch, self.base, self.end, n)
    }

    /// As a [`SplitReader`](crate::reader::SplitReader) returns it; positions are offsets in the file.
    pub fn into_fetched(self) -> Fetched<MessageBatch, u64> {
        let Self { batch, base, end } = self;
        let spans = batch.clone();
        Fetched::rows(Batch::new(batch), Positions::by(move |n| position(&spans, base, end, n)))
    }
}

fn position(batch: &MessageBatch, base: u64, end: u64, n: usize) -> u64 {
    let next = batch.value_spans().get(n).and_then(|span| span.range());
    next.map_or(end, |range| base + range.start as u64)
}

#[cfg(test)]
#[path = "lines_tests.rs"]
mod tests;
