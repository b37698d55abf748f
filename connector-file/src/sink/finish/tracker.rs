//! Tells when a bucket has ended, and how many parts went into it.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

use async_trait::async_trait;
use connector_api::Result;
use connector_api::env::Environment;
use connector_api::id::CheckpointId;
use connector_api::sink::{Checkpoint, Operator, OperatorContext, Output, Prepare};

use super::state::TrackerState;
use crate::sink::committable::{FileCommittable, FinishedBucket, Mark};
use crate::sink::config::SinkConfig;
use crate::sink::naming;

/// Holds nothing back but the marks of the writers, which end here. A bucket is forgotten when it has ended; a late part makes
/// it known again, and ends it again at the next barrier.
#[derive(Debug)]
pub(crate) struct Tracker {
    env: Environment,
    config: Arc<SinkConfig>,
    delay: i64,
    open: BTreeMap<String, Open>,
    /// What each writer of this attempt said last, by its number.
    marks: BTreeMap<u32, i64>,
    /// The number of writers.
    of: u32,
    ended: bool,
}

#[derive(Debug)]
struct Open {
    parts: u64,
    /// When it ends; none for a bucket that only the end of the input ends.
    end: Option<i64>,
}

impl Tracker {
    /// Goes on with the buckets of these states. How far the writers are is not among it: those of this attempt say it anew.
    pub(crate) fn open(
        context: &OperatorContext,
        config: Arc<SinkConfig>,
        delay: Duration,
        states: Vec<TrackerState>,
    ) -> Self {
        let delay = i64::try_from(delay.as_millis()).unwrap_or(i64::MAX);
        let mut tracker = Self {
            env: context.env.clone(),
            config,
            delay,
            open: BTreeMap::new(),
            marks: BTreeMap::new(),
            of: 0,
            ended: false,
        };
        for state in states {
            tracker.count(&state.bucket, state.parts);
        }
        tracker
    }

    fn count(&mut self, bucket: &str, parts: u64) {
        if let Some(open) = self.open.get_mut(bucket) {
            open.parts = open.parts.saturating_add(parts);
        } else {
            let end = self.config.buckets.end_of(bucket).map(|end| end.saturating_add(self.delay));
            self.open.insert(bucket.to_owned(), Open { parts, end });
        }
    }

    fn hear(&mut self, mark: Mark) {
        if mark.of != self.of {
            self.marks.clear();
            self.of = mark.of;
        }
        self.marks.insert(mark.writer, mark.watermark);
    }

    /// How far all writers are.
    fn passed(&self) -> i64 {
        if self.ended {
            return i64::MAX;
        }
        if self.marks.len() < self.of as usize {
            return i64::MIN;
        }
        self.marks.values().copied().min().unwrap_or(i64::MIN)
    }

    fn end_buckets(&mut self, out: &mut Output<FileCommittable>) {
        let passed = self.passed();
        let ended = self
            .open
            .extract_if(.., |_, open| passed == i64::MAX || open.end.is_some_and(|end| end <= passed));
        for (bucket, open) in ended {
            out.emit(FileCommittable::Finished(FinishedBucket { bucket, parts: open.parts }));
        }
        self.env.crash.hit("file-bucket-tracker/after-end");
    }
}

#[async_trait]
impl Operator for Tracker {
    type In = FileCommittable;
    type Out = FileCommittable;
    type State = TrackerState;

    async fn process(
        &mut self,
        committable: FileCommittable,
        _: CheckpointId,
        out: &mut Output<FileCommittable>,
    ) -> Result<()> {
        match committable {
            FileCommittable::Mark(mark) => self.hear(mark),
            FileCommittable::File(file) => {
                self.count(naming::split(&file.name).0, u64::from(file.parts));
                out.emit(file.into());
            }
            finished @ FileCommittable::Finished(_) => out.emit(finished),
        }
        Ok(())
    }

    async fn prepare(&mut self, _: Prepare, out: &mut Output<FileCommittable>) -> Result<()> {
        self.end_buckets(out);
        Ok(())
    }

    fn snapshot(&mut self, _: Checkpoint) -> Result<Vec<TrackerState>> {
        self.env.crash.hit("file-bucket-tracker/snapshot");
        let states = self.open.iter();
        Ok(states.map(|(bucket, open)| TrackerState { bucket: bucket.clone(), parts: open.parts }).collect())
    }

    async fn end_of_input(&mut self, out: &mut Output<FileCommittable>) -> Result<()> {
        self.ended = true;
        self.end_buckets(out);
        Ok(())
    }
}
