//! Files: a bounded source and an exactly-once sink with rolling and small-file compaction.

pub mod sink;
