//! A store of streams in Pravega's model, embedded in a process.

mod checksum;
pub mod client;
mod container;
mod cut;
mod error;
pub mod event;
#[cfg(feature = "fuzzing")]
#[doc(hidden)]
pub mod fuzzing;
mod id;
mod key_range;
mod log;
mod memory;
pub mod model;
mod object;
mod options;
mod pool;
pub mod reader;
pub mod routing;
mod store;
mod summed;
mod writer;

pub use container::{Ack, Appended, MAX_ATTRIBUTES, Read, Salvaged, StoreStats, Verified};
pub use cut::StreamCut;
pub use error::{Error, Result};
pub use id::{MAX_NAME, SegmentId, SegmentName, StreamName, TransactionId, WriterId, check_scope};
pub use key_range::KeyRange;
pub use options::{Durability, MAX_EVENT, StoreOptions};
pub use pool::Pool;
pub use reader::StreamReader;
pub use store::{SegmentHistory, Store, holds, salvage, verify};
pub use summed::Summed;
pub use writer::{EventWriter, WriterOptions};
