//! An embeddable single-process host: it runs one source into one sink, exactly once where the sink allows it.

pub mod config;
pub mod coordinate;
pub mod local;
pub mod report;

pub use config::{CheckpointConfig, JobConfig, OnLost, RestartStrategy, StartFrom, StartOptions};
pub use report::{CompletedCheckpoint, JobEnd, JobReport, Progress};
