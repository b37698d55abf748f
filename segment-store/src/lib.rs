//! A store of streams in Pravega's model, embedded in a process.

mod cut;
mod error;
pub mod id;
mod key_range;
pub mod model;
pub mod routing;

pub use cut::StreamCut;
pub use error::{Error, Result};
pub use id::{MAX_NAME, SegmentId, SegmentName, StreamName, TransactionId, WriterId, check_scope};
pub use key_range::KeyRange;
