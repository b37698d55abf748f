//! The sink: exactly-once files.
//!
//! # The life of a record
//!
//! A writer puts it into a *part*: a file with a hidden name. At a checkpoint the part is made durable and, once
//! closed, handed over as a [committable](FileCommittable). With compaction it waits, still hidden, to be merged with others.
//! When the checkpoint is complete, the committer renames the file: the record is visible, at once and for good.
//! With [buckets](BucketOptions) a writer has a part in each directory that it writes to; once a bucket has ended and all of it is
//! visible, [a manifest and a mark](OnFinished) say so.
//! In an object store the part is an upload, and the commit completes it.
//! The sweep removes what attempts that died left hidden and no checkpoint refers to.

mod buckets;
mod committable;
mod committer;
mod compaction;
mod config;
mod crash_points;
mod factory;
mod finish;
mod job;
pub mod listing;
mod local;
pub mod metrics;
mod naming;
mod objects;
mod part;
mod place;
mod rolling;
mod staging;
mod sweep;
mod writer;

#[cfg(test)]
mod tests;

use std::marker::PhantomData;
use std::path::Path;
use std::sync::Arc;

use connector_api::sink::{Sink, SinkPlan, Topology, WriterContext};
use connector_api::{Error, MessageBatch, Result};

pub use buckets::{BucketLevel, BucketOptions, BucketTime};
pub use committable::{FileCommittable, FinishedBucket, Mark, Staged, StagedFile, WriterState};
pub use compaction::{ABSENT_HINT, COMPACTOR_UID, COORDINATOR_UID};
pub use config::{Compaction, Merge, Rolling, SinkOptions, WriteOptions};
pub use crash_points::CRASH_POINTS;
pub use factory::FileSinkFactory;
pub use finish::{FINISHER_UID, MANIFEST, Manifest, ManifestFile, OnFinished, SUCCESS, TRACKER_UID};

use buckets::{SharedClock, partitioner};
use committer::FileCommitter;
pub(crate) use config::SinkConfig;
use sweep::FileSweep;
use writer::FileWriter;

use crate::format::FileBatch;
use crate::place::{Place, Store};

/// A sink of batches `B` into a directory of files.
#[derive(Clone, Debug)]
pub struct FileSink<B = MessageBatch> {
    config: Arc<SinkConfig>,
    batch: PhantomData<fn(B)>,
}

impl<B: FileBatch> FileSink<B> {
    /// A sink of these options. A relative `path` is relative to `base_dir`.
    ///
    /// # Errors
    ///
    /// [`Error::Config`] naming the option.
    pub fn new(options: &SinkOptions, base_dir: &Path) -> Result<Self> {
        let config = options.checked::<B>(base_dir, &|name, reason| Error::config(name, reason))?;
        Ok(Self::of(config))
    }

    /// A sink into a store that the program made; `path` is a prefix within it.
    ///
    /// With more than one of `upload.max_uploads`, the parts of an upload may come out of order. `InMemory` of object_store 0.13 seems
    /// to misplace such parts: use [`MemoryStore`](crate::place::MemoryStore).
    ///
    /// # Errors
    ///
    /// [`Error::Config`] naming the option.
    pub fn on(store: Arc<dyn Store>, options: &SinkOptions) -> Result<Self> {
        let error = |name: &str, reason| Error::config(name, reason);
        let (objects, below) = Place::within(store, &options.path, &error)?;
        Ok(Self::of(options.checked_at::<B>(Place::Objects(objects, below), &error)?))
    }

    fn of(config: SinkConfig) -> Self {
        Self { config: Arc::new(config), batch: PhantomData }
    }
}

impl<B: FileBatch> Sink<B> for FileSink<B> {
    fn plan(&self) -> Result<SinkPlan<B>> {
        let for_writer = self.config.clone();
        let clock = SharedClock::default();
        let shared = clock.clone();
        let writer = SinkPlan::stateful(move |context: WriterContext, states| {
            // The writers of a plan have one; whichever is opened first gives it.
            let _ = shared.set(context.env.clone());
            FileWriter::<B>::open(context, for_writer.clone(), states)
        });
        let for_committer = self.config.clone();
        let commit = move |context| {
            let committer = FileCommitter::new(&context, for_committer.clone());
            async move { Ok(committer) }
        };
        let on = self.config.on_finished.as_ref();
        let mut stages = on.map_or_else(Topology::new, |on| finish::tracking(&self.config, on));
        if let Some(compaction) = &self.config.compaction {
            stages = compaction::topology(stages, &self.config, compaction);
        }
        let staged = writer.pre_commit(stages);
        let mut plan = match on {
            Some(on) => staged.post_commit(finish::finishing(&self.config, on)).committer(commit),
            None => staged
                .committer(commit)
                .absent(TRACKER_UID, finish::ABSENT_HINT)
                .absent(FINISHER_UID, finish::ABSENT_HINT),
        };
        if self.config.compaction.is_none() {
            plan = plan.absent(COORDINATOR_UID, ABSENT_HINT).absent(COMPACTOR_UID, ABSENT_HINT);
        }
        if self.config.shuffle {
            plan.partitioner = Some(partitioner(&self.config.buckets, clock));
        }
        Ok(plan.sweep(FileSweep { config: self.config.clone() }))
    }
}
