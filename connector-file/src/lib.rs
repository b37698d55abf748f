//! Files: a bounded source and an exactly-once sink with rolling and small-file compaction.

pub mod bad;
mod factory;
pub mod format;
pub mod input;
pub mod sink;
pub mod source;

pub use factory::FileConnector;

/// Where the bytes of released versions are.
#[cfg(test)]
fn golden<T: connector_api::Stored>() -> testkit::golden::Golden<T> {
    testkit::golden::Golden::new(concat!(env!("CARGO_MANIFEST_DIR"), "/tests/golden"))
}
