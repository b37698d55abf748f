//! Sinks in the shape of SinkV2: a sink is a *plan* that a host reads before it runs.
//!
//! # The life of a committable
//!
//! 1. At checkpoint n the host calls [`SinkWriter::flush`], then [`CommittingWriter::prepare_commit`]: what was written since
//!    the last checkpoint is *staged* outside (a closed hidden file, a flushed transaction) and described by committables.
//! 2. They pass the pre-commit stages, each of which may group or change them, and reach the committer before its barrier,
//!    so that they are part of checkpoint n.
//! 3. When checkpoint n is complete the host commits all that belong to checkpoints up to n, oldest first. An *aborted*
//!    checkpoint undoes nothing: its committables wait for the next one that completes.
//! 4. The committer answers an [`Outcome`] for each. After a restore of n, all of n's are committed again, before any
//!    input: the answer is then `AlreadyCommitted` for those that had been.
//! 5. Those committed pass the post-commit stages, which must be idempotent.

mod committer;
mod erased;
mod operator;
mod plan;
mod topology;
mod writer;

use crate::id::CheckpointId;
use crate::{Result, RowBatch};

pub use committer::{BatchCommitter, CommitBatch, CommitRequest, Committer, Each, Outcome, Proof, Settled};
pub use erased::{BoxFuture, DynCommitter, DynOperator, DynWriter};
pub use operator::{Operator, Output, Prepare};
pub use plan::{
    Committing, OpenCommitter, OpenWriter, Partitioner, References, SinkPlan, SweepOrphans, WriterPlan,
    partition_by,
};
pub use topology::{KeyOf, OpenOperator, Parallelism, Partition, Stage, Topology};
pub use writer::{
    CommittingWriter, Flush, OperatorContext, Restored, SinkWriter, StatefulWriter, WriterContext,
};

/// A sink for batches `B`.
pub trait Sink<B: RowBatch>: Send + Sync + 'static {
    /// What the sink consists of. Cheap; no I/O. A host may call it once per attempt.
    ///
    /// # Errors
    ///
    /// [`Error::Config`](crate::Error::Config) when options contradict each other.
    fn plan(&self) -> Result<SinkPlan<B>>;
}

/// A checkpoint and what it is for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Checkpoint {
    /// Its number.
    pub id: CheckpointId,
    /// Whether it is a savepoint: it must stay valid after the job goes on, so nothing that the state refers to may be
    /// changed later (an in-progress part is rolled).
    pub savepoint: bool,
}
