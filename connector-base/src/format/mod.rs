//! Byte formats: bytes become batches of messages.
//!
//! No input or output here: whoever reads bytes hands them over and takes batches out.

mod lines;
mod pool;

pub use lines::{LineBuffer, LineOptions, Lines};
pub use pool::BufferPool;
