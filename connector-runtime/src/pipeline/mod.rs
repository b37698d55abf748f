//! What a job runs: one source, row transforms, an optional exchange by key, one sink.

mod graph;
mod stream;

pub(crate) use graph::{DataSetup, Graph, PlanParts, ReaderSetup};
pub use stream::{Keyed, Pipeline, Stream, WatermarkStrategy};
