//! Streams in Pravega's model, embedded in the process: a source that keeps the order of keys over scaling, and a sink that is exactly
//! once if wanted.
//!
//! Everything but the module that opens stores speaks to a [`StoreClient`](segment_store::client::StoreClient) alone.

#[cfg(test)]
extern crate self as connector_pravega;

mod embedded;
mod error;
mod factory;
mod options;
pub mod sink;
pub mod source;

pub use embedded::shared_store;
pub use error::StoreError;
pub use factory::PravegaConnector;
pub use options::DurabilityOption;

#[cfg(test)]
#[path = "../tests/support/stream.rs"]
mod stream;
