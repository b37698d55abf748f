//! A sink driven by hand: the job of a host in its plainest form, in which a check decides what happens when.

use std::collections::BTreeMap;

use bytes::Bytes;
use connector_api::id::{AttemptId, CheckpointId};
use connector_api::sink::{
    Checkpoint, CommitRequest, DynCommitter, DynOperator, DynWriter, Flush, Outcome, Output, Parallelism,
    Partition, Prepare, Restored, SinkPlan, Stage, WriterContext,
};
use connector_api::{Error, Result};
use connector_runtime::coordinate::source::deal;

use crate::broken::Broken;
use crate::context::SinkContext;
use crate::lab::Subject;
use crate::lockstep::PATIENCE;
use crate::rows::{TestRow, batch_of};
use crate::surroundings::Death;

/// More checkpoints than this without an end of the job: it never ends.
const ROUNDS: u64 = 20;

/// What a checkpoint holds of a sink.
#[derive(Clone, Debug, Default)]
pub(super) struct Point {
    pub(super) id: u64,
    pub(super) writers: Vec<Bytes>,
    pub(super) stages: BTreeMap<String, Vec<Bytes>>,
    /// What waits to be committed.
    pub(super) committables: Vec<(CheckpointId, Bytes)>,
}

impl Point {
    /// Everything that it refers to.
    pub(super) fn references(&self) -> Vec<Bytes> {
        let committables = self.committables.iter().map(|(_, bytes)| bytes);
        self.writers.iter().chain(self.stages.values().flatten()).chain(committables).cloned().collect()
    }
}

/// What is to be opened.
#[derive(Clone, Copy, Debug)]
pub(super) struct Opening<'p> {
    pub(super) writers: u32,
    pub(super) from: Option<&'p Point>,
    pub(super) going_back: bool,
}

impl Opening<'static> {
    /// So many writers, from nothing.
    pub(super) fn fresh(writers: u32) -> Self {
        Self { writers, from: None, going_back: false }
    }
}

impl<'p> Opening<'p> {
    /// So many writers, from a checkpoint.
    pub(super) fn from(point: &'p Point, writers: u32) -> Self {
        Self { writers, from: Some(point), going_back: false }
    }

    /// From a checkpoint after which others were completed.
    pub(super) fn back_to(point: &'p Point, writers: u32) -> Self {
        Self { going_back: true, ..Self::from(point, writers) }
    }
}

struct Hop {
    uid: String,
    partition: Partition,
    instances: Vec<Box<dyn DynOperator>>,
    ended: bool,
}

/// A sink that runs.
pub(super) struct Job<C: SinkContext> {
    pub(super) writers: Vec<Box<dyn DynWriter<C::Batch>>>,
    pub(super) committer: Option<Box<dyn DynCommitter>>,
    pre: Vec<Hop>,
    post: Vec<Hop>,
    /// Staged and not committed.
    pub(super) pending: Vec<(CheckpointId, Bytes)>,
    pub(super) last: u64,
}

/// Awaits a call: it must end in time, and may fail.
pub(super) async fn in_time<T>(
    doing: &str,
    call: impl Future<Output = Result<T>>,
) -> Result<Result<T>, Broken> {
    tokio::time::timeout(PATIENCE, call)
        .await
        .map_err(|_| Broken::new("F-5", format!("{doing} does not end within {PATIENCE:?}")))
}

/// Awaits a call that may not fail here.
pub(super) async fn sound<T>(
    rule: &'static str,
    doing: &str,
    call: impl Future<Output = Result<T>>,
) -> Result<T, Broken> {
    in_time(doing, call).await?.map_err(Broken::by(rule, doing))
}

/// The plan of the sink, as a new process makes it.
pub(super) fn plan<C: SinkContext>(subject: &Subject<C>) -> Result<SinkPlan<C::Batch>, Broken> {
    let planned = subject.context.sink(subject.around.env()).and_then(|sink| sink.plan());
    planned.map_err(Broken::by("O-7", "making the plan"))
}

/// What is visible.
pub(super) async fn visible<C: SinkContext>(subject: &mut Subject<C>) -> Result<Vec<String>, Broken> {
    let env = subject.env();
    sound("W-4", "reading the output", subject.context.visible(&env)).await
}

/// What is staged and not visible.
pub(super) async fn lingering<C: SinkContext>(subject: &mut Subject<C>) -> Result<Vec<String>, Broken> {
    let env = subject.env();
    sound("W-4", "asking for what is staged", subject.context.lingering(&env)).await
}

/// A context of this attempt.
pub(super) fn context<C>(
    subject: &Subject<C>,
    attempt: AttemptId,
    parallelism: u32,
    restored: Option<Restored>,
) -> WriterContext {
    WriterContext { parallelism, restored, ..WriterContext::first(subject.env(), attempt) }
}

/// An error when something is broken outside, or why that is no excuse.
pub(super) enum Trouble {
    Error(Error),
    Broken(Broken),
}

impl From<Broken> for Trouble {
    fn from(broken: Broken) -> Self {
        Self::Broken(broken)
    }
}

impl<C: SinkContext> Job<C> {
    /// Opens in the order of rule H-44, and commits what the checkpoint holds. Sweeps nothing.
    pub(super) async fn open(subject: &mut Subject<C>, opening: Opening<'_>) -> Result<Self, Broken> {
        let attempt = subject.around.next_attempt();
        Self::open_as(subject, opening, attempt).await
    }

    pub(super) async fn open_as(
        subject: &Subject<C>,
        opening: Opening<'_>,
        attempt: AttemptId,
    ) -> Result<Self, Broken> {
        let Opening { writers: parallelism, from, going_back } = opening;
        let restored = from.map(|point| Restored { checkpoint: CheckpointId(point.id), going_back });
        let plan = plan(subject)?;
        let context = context(subject, attempt, parallelism, restored);
        let stored = from.cloned().unwrap_or_default();
        let one = WriterContext { parallelism: 1, ..context.clone() };
        let committer = match &plan.committer {
            Some(open) => Some(sound("C-1", "opening a committer", open(one.clone())).await?),
            None => None,
        };
        let pre = Self::open_stages(&plan.pre_commit, &one, &stored).await?;
        let post = Self::open_stages(&plan.post_commit, &one, &stored).await?;
        let mut writers = Vec::new();
        for (subtask, states) in deal(stored.writers, parallelism).into_iter().enumerate() {
            let context = WriterContext { subtask: subtask as u32, ..context.clone() };
            writers.push(sound("W-6", "opening a writer", (plan.writer)(context, states)).await?);
        }
        let mut this = Self { writers, committer, pre, post, pending: stored.committables, last: stored.id };
        if from.is_some() {
            this.complete(stored.id).await?;
        }
        Ok(this)
    }

    async fn open_stages(
        stages: &[Stage],
        context: &WriterContext,
        stored: &Point,
    ) -> Result<Vec<Hop>, Broken> {
        let mut hops = Vec::new();
        for stage in stages {
            let count = match stage.parallelism {
                Parallelism::One | Parallelism::Same => 1,
                Parallelism::Exactly(count) => count.max(1),
            };
            let states = stored.stages.get(&stage.uid).cloned().unwrap_or_default();
            let mut instances = Vec::new();
            for (subtask, states) in deal(states, count).into_iter().enumerate() {
                let (subtask, parallelism) = (subtask as u32, count);
                let context = WriterContext { subtask, parallelism, ..context.clone() };
                instances.push(sound("O-3", "opening a stage", (stage.open)(context, states)).await?);
            }
            let (uid, partition) = (stage.uid.clone(), stage.partition.clone());
            hops.push(Hop { uid, partition, instances, ended: false });
        }
        Ok(hops)
    }

    /// Writes rows.
    pub(super) async fn write(&mut self, writer: usize, rows: &[TestRow]) -> Result<(), Broken> {
        let batch = batch_of::<C::Batch>(rows).map_err(Broken::by("W-1", "making test data"))?;
        sound("W-1", "SinkWriter::write", self.writers[writer].write(batch)).await
    }

    /// A checkpoint, up to the point where it could complete.
    pub(super) async fn checkpoint(&mut self, why: Flush) -> Result<Point, Broken> {
        self.try_checkpoint(why).await.map_err(|trouble| match trouble {
            Trouble::Broken(broken) => broken,
            Trouble::Error(error) => Broken::by("W-1", "making a checkpoint")(error),
        })
    }

    /// A checkpoint that may fail.
    pub(super) async fn try_checkpoint(&mut self, why: Flush) -> Result<Point, Trouble> {
        self.last += 1;
        let id = CheckpointId(self.last);
        let at = Checkpoint { id, savepoint: why == Flush::Savepoint };
        let mut point = Point { id: self.last, ..Point::default() };
        let mut items = Vec::new();
        for writer in &mut self.writers {
            in_time("SinkWriter::flush", writer.flush(why)).await?.map_err(Trouble::Error)?;
            let staged = in_time("CommittingWriter::prepare_commit", writer.prepare_commit()).await?;
            items.extend(staged.map_err(Trouble::Error)?);
            point.writers.extend(writer.snapshot(at).map_err(Trouble::Error)?);
        }
        if why == Flush::EndOfInput && !point.writers.is_empty() {
            let what = format!("{} states of writers after the end of the input", point.writers.len());
            return Err(Broken::new("W-3", what).into());
        }
        self.pass_barrier(items, at, why == Flush::EndOfInput, &mut point).await?;
        Ok(point)
    }

    /// What follows on the writers' part of a checkpoint.
    async fn pass_barrier(
        &mut self,
        items: Vec<Bytes>,
        at: Checkpoint,
        ends: bool,
        point: &mut Point,
    ) -> Result<(), Trouble> {
        let items = pass(&mut self.pre, items, at, ends, &mut point.stages).await?;
        self.pending.extend(items.into_iter().map(|item| (at.id, item)));
        point.committables = self.pending.clone();
        pass(&mut self.post, Vec::new(), at, ends, &mut point.stages).await?;
        Ok(())
    }

    /// The checkpoint is complete: commits, and tells the stages.
    pub(super) async fn complete(&mut self, id: u64) -> Result<(), Broken> {
        self.commit_up_to(id).await?;
        self.notify(id).await
    }

    /// Tells the stages that a checkpoint is complete.
    pub(super) async fn notify(&mut self, id: u64) -> Result<(), Broken> {
        for operator in self.pre.iter_mut().chain(&mut self.post).flat_map(|hop| &mut hop.instances) {
            let mut out = Output::new();
            let telling = operator.checkpoint_complete(CheckpointId(id), &mut out);
            sound("O-4", "Operator::checkpoint_complete", telling).await?;
            if !out.take().is_empty() {
                return Err(Broken::new(
                    "H-21",
                    "testkit can't drive stages that emit when told of a completion",
                ));
            }
        }
        Ok(())
    }

    async fn commit_up_to(&mut self, id: u64) -> Result<(), Broken> {
        let (due, later) = std::mem::take(&mut self.pending).into_iter().partition(|(at, _)| at.0 <= id);
        self.pending = later;
        let due: Vec<(CheckpointId, Bytes)> = due;
        for outcome in self.commit(&due).await? {
            expect_committed(&outcome)?;
        }
        self.after_commit(due).await
    }

    /// Commits, and gives what the committer says.
    pub(super) async fn commit(
        &mut self,
        due: &[(CheckpointId, Bytes)],
    ) -> Result<Vec<Outcome<Bytes>>, Broken> {
        let Some(committer) = &mut self.committer else { return Ok(Vec::new()) };
        if due.is_empty() {
            return Ok(Vec::new());
        }
        sound("C-3", "Committer::commit", async { Ok(committer.commit(requests(due)).await) }).await
    }

    /// Hands what was committed to the stages behind the committer.
    pub(super) async fn after_commit(&mut self, done: Vec<(CheckpointId, Bytes)>) -> Result<(), Broken> {
        for (at, item) in done {
            if let Some(hop) = self.post.first_mut() {
                let mut out = Output::new();
                let processing = hop.instances[0].process(item, at, &mut out);
                sound("O-6", "Operator::process behind the committer", processing).await?;
            }
        }
        Ok(())
    }

    /// The input ends: everything is staged and merged, and nothing is committed.
    pub(super) async fn end(&mut self) -> Result<Point, Broken> {
        let mut point = self.checkpoint(Flush::EndOfInput).await?;
        for _ in 0..ROUNDS {
            if point.stages.values().all(Vec::is_empty) {
                return Ok(point);
            }
            self.notify(point.id).await?;
            self.last += 1;
            let at = Checkpoint { id: CheckpointId(self.last), savepoint: false };
            point = Point { id: self.last, ..Point::default() };
            self.pass_barrier(Vec::new(), at, true, &mut point).await.map_err(|trouble| match trouble {
                Trouble::Broken(broken) => broken,
                Trouble::Error(error) => Broken::by("O-5", "a checkpoint after the end of the input")(error),
            })?;
        }
        let waiting: Vec<&String> =
            point.stages.iter().filter(|(_, s)| !s.is_empty()).map(|(uid, _)| uid).collect();
        Err(Broken::new(
            "O-5",
            format!("{ROUNDS} checkpoints after the end of the input, {waiting:?} still hold things"),
        ))
    }

    /// The input ends, everything is committed, everything is closed.
    pub(super) async fn finish(&mut self) -> Result<(), Broken> {
        let point = self.end().await?;
        self.complete(point.id).await?;
        self.close().await
    }

    /// Closes everything.
    pub(super) async fn close(&mut self) -> Result<(), Broken> {
        for writer in &mut self.writers {
            sound("W-10", "SinkWriter::close", writer.close()).await?;
        }
        self.close_stages().await
    }

    pub(super) async fn close_stages(&mut self) -> Result<(), Broken> {
        for operator in self.pre.iter_mut().chain(&mut self.post).flat_map(|hop| &mut hop.instances) {
            sound("W-10", "Operator::close", operator.close()).await?;
        }
        Ok(())
    }

    /// The process dies, and another one takes its place.
    pub(super) fn die(self, subject: &mut Subject<C>, how: Death) {
        subject.around.die(how);
        drop(self);
    }
}

/// The requests of a batch.
pub(super) fn requests(due: &[(CheckpointId, Bytes)]) -> Vec<CommitRequest<Bytes>> {
    let request = |(checkpoint, committable): &(CheckpointId, Bytes)| CommitRequest {
        committable: committable.clone(),
        checkpoint: *checkpoint,
        retries: 0,
    };
    due.iter().map(request).collect()
}

/// It is visible, from now on or from before.
pub(super) fn expect_committed(outcome: &Outcome<Bytes>) -> Result<(), Broken> {
    match outcome {
        Outcome::Committed | Outcome::AlreadyCommitted { .. } => Ok(()),
        other => Err(Broken::new("C-2", format!("a commit was answered by {other:?}"))),
    }
}

/// Lets items and a barrier pass the stages of a chain.
async fn pass(
    hops: &mut [Hop],
    mut items: Vec<Bytes>,
    at: Checkpoint,
    ends: bool,
    states: &mut BTreeMap<String, Vec<Bytes>>,
) -> Result<Vec<Bytes>, Trouble> {
    for hop in hops {
        let count = hop.instances.len();
        let mut outs: Vec<Output<Bytes>> = (0..count).map(|_| Output::new()).collect();
        for (turn, item) in items.into_iter().enumerate() {
            let target = match &hop.partition {
                Partition::Key(key) => (key(&item).map_err(Trouble::Error)? % count as u64) as usize,
                _ => turn % count,
            };
            let processing = hop.instances[target].process(item, at.id, &mut outs[target]);
            in_time("Operator::process", processing).await?.map_err(Trouble::Error)?;
        }
        items = Vec::new();
        for (operator, out) in hop.instances.iter_mut().zip(&mut outs) {
            let how = if ends { Prepare::Final } else { Prepare::Running };
            if ends && !hop.ended {
                in_time("Operator::end_of_input", operator.end_of_input(out))
                    .await?
                    .map_err(Trouble::Error)?;
            }
            in_time("Operator::prepare", operator.prepare(how, out)).await?.map_err(Trouble::Error)?;
            let state = operator.snapshot(at).map_err(Trouble::Error)?;
            states.entry(hop.uid.clone()).or_default().extend(state);
            items.extend(out.take());
        }
        hop.ended |= ends;
    }
    Ok(items)
}

/// Rows, told apart by their split number, and their texts.
pub(super) fn rows(split: u32, range: std::ops::Range<u64>) -> Vec<TestRow> {
    TestRow::range(split, range)
}

/// The texts of rows.
pub(super) fn texts(rows: &[&[TestRow]]) -> Vec<String> {
    rows.iter().flat_map(|rows| rows.iter()).map(|row| row.text.clone()).collect()
}
