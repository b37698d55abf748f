//! The tasks of an attempt: what each does with batches, barriers and notices. All decisions are in
//! [`coordinate`](crate::coordinate); these are the thin shell around them.

mod committer;
mod gauges;
mod inputs;
mod message;
mod output;
mod source;
mod stage;
mod writer;

pub(crate) use committer::CommitterTask;
pub(crate) use inputs::Inputs;
pub(crate) use message::{
    Acknowledgement, Command, Committable, Counts, Element, LiveCounts, Report, Reports, TaskContext,
    TaskState, channel, is_neighbour_gone, spawn,
};
pub(crate) use output::{Downstream, Exchange, OutputTo};
pub(crate) use source::SourceTask;
pub(crate) use stage::StageTask;
pub(crate) use writer::{WriterCore, WriterTask};
