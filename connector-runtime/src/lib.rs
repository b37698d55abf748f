//! An embeddable single-process host: it runs one source into one sink, exactly once where the sink allows it.

pub mod config;
pub mod coordinate;
mod job;
pub mod local;
pub mod pipeline;
pub mod report;
pub mod storage;
mod task;

pub use config::{CheckpointConfig, JobConfig, OnLost, RestartStrategy, StartFrom, StartOptions};
pub use job::{Job, JobHandle};
pub use pipeline::{Keyed, Pipeline, Stream, WatermarkStrategy};
pub use report::{CompletedCheckpoint, JobEnd, JobReport, Progress};
