//! What a job begins with: the checkpoint directory, the checkpoint, and whether they fit this pipeline.

use std::sync::Arc;

use bytes::Bytes;
use connector_api::Result;
use connector_api::id::CheckpointId;
use connector_api::source::DynSplit;

use super::Shared;
use super::topology::SinkState;
use crate::config::StartOptions;
use crate::storage::{CheckpointRecord, JobStore};

/// Opens the directory and reads what the job is to start from. Refuses what does not fit.
pub(super) async fn open(shared: &Arc<Shared>, options: StartOptions) -> Result<JobStore> {
    let (job, config) = (shared.clone(), &shared.config);
    // Options that contradict each other are refused before anything is opened.
    shared.graph.plan(config.source_parallelism, config.sink_parallelism)?;
    let check = move |record: &CheckpointRecord| {
        record.check_identity(&job.config.identity)?;
        job.graph.check_fits(record)
    };
    JobStore::open(&shared.env, &config.checkpoint, &options, check).await
}

/// What the writers and readers go on from.
pub(super) fn data_state(record: &mut CheckpointRecord) -> (Vec<DynSplit>, Vec<Bytes>) {
    (std::mem::take(&mut record.splits), std::mem::take(&mut record.writers))
}

/// What the stages and committers go on from.
pub(super) fn sink_state(record: &mut CheckpointRecord) -> SinkState {
    let committer = std::mem::take(&mut record.committer).into_iter();
    SinkState {
        stages: std::mem::take(&mut record.stages),
        committer: committer.map(|c| (CheckpointId(c.checkpoint), c.retries, c.bytes)).collect(),
    }
}
