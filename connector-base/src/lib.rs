//! What connector authors build on.
//!
//! | module | what stands there |
//! |---|---|
//! | [`reader`] | an author's async [`SplitReader`](reader::SplitReader) made into a host-facing reader |
//! | [`enumerator`] | what enumerators have in common: pending splits, work in the background |
//! | [`format`](mod@format) | byte formats: chunks of bytes become batches of messages (lines) |
//!
//! # Reading order
//!
//! For a source: [`reader::SplitReader`], [`reader::SplitReaderFactory`], then [`reader::SplitFetchReader`], which is what a
//! `Source` returns as its reader; and [`enumerator::PendingSplits`]. For a byte format: [`format::LineBuffer`].

pub mod enumerator;
pub mod format;
pub mod reader;
#[cfg(test)]
mod test_support;
