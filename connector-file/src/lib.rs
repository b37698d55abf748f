//! Files: a bounded source and an exactly-once sink with rolling and small-file compaction.

mod factory;
pub mod sink;
pub mod source;

pub use factory::FileConnector;
