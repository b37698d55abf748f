//! A sink is a plan: a value that names its parts, which a host reads before it runs.

use std::collections::BTreeMap;
use std::fmt;
use std::future::Future;
use std::marker::PhantomData;
use std::sync::Arc;

use async_trait::async_trait;
use bytes::Bytes;

use super::erased::{
    BoxFuture, DynCommitter, DynWriter, ErasedCommitter, ErasedWriter, PrepareCommit, Snapshot, decode_all,
    encode_all,
};
use super::{
    BatchCommitter, CommittingWriter, OperatorContext, SinkWriter, Stage, StatefulWriter, Topology,
    WriterContext,
};
use crate::batch::{Batch, RowBatch, Rows};
use crate::state::Envelope;
use crate::{Result, Stored};

/// Opens a writer with the states that it is to go on from.
pub type OpenWriter<B> =
    Arc<dyn Fn(WriterContext, Vec<Bytes>) -> BoxFuture<'static, Result<Box<dyn DynWriter<B>>>> + Send + Sync>;

/// Opens a committer.
pub type OpenCommitter =
    Arc<dyn Fn(OperatorContext) -> BoxFuture<'static, Result<Box<dyn DynCommitter>>> + Send + Sync>;

/// Deals the rows of a batch to writers: gives the parts with the writer's index, which is below the number given.
pub type Partitioner<B> = Arc<dyn Fn(Batch<B>, u32) -> Vec<(u32, Batch<B>)> + Send + Sync>;

/// Everything that retained checkpoints still refer to, for a sweep of orphans.
#[derive(Clone, Debug, Default)]
pub struct References(Vec<Bytes>);

impl References {
    /// For hosts: the enveloped states and committables of this sink in *all* retained checkpoints and savepoints.
    pub fn new(stored: Vec<Bytes>) -> Self {
        Self(stored)
    }

    /// All stored values of one type.
    ///
    /// # Errors
    ///
    /// When bytes are damaged. A sweep must not go on then.
    pub fn all<T: Stored>(&self) -> Result<Vec<T>> {
        let mut found = Vec::new();
        for bytes in &self.0 {
            if Envelope::open(bytes)?.kind == T::KIND {
                found.push(T::from_bytes(bytes)?);
            }
        }
        Ok(found)
    }
}

/// Removes what dead attempts left outside.
#[async_trait]
pub trait SweepOrphans: Send + Sync + 'static {
    /// Removes everything that an *earlier attempt of this run* made and nothing in `references` names; says how many.
    /// Called once per attempt, before a writer or committer is opened; and when the job has ended, without references and
    /// with an attempt above all others. Must not touch what belongs to others, and never anything that is visible.
    ///
    /// # Errors
    ///
    /// An error fails the attempt.
    async fn sweep(&self, context: WriterContext, references: References) -> Result<u64>;
}

/// What a sink consists of, with its types erased: what a host reads. Built from [`SinkPlan::writer`] or
/// [`SinkPlan::stateful`].
#[must_use]
pub struct SinkPlan<B: RowBatch> {
    /// Opens a writer.
    pub writer: OpenWriter<B>,
    /// Whether writers have state.
    pub has_state: bool,
    /// How rows are dealt to writers; none leaves it to the host.
    pub partitioner: Option<Partitioner<B>>,
    /// The stages between writer and committer.
    pub pre_commit: Vec<Stage>,
    /// Opens a committer; none for a sink that is at least once.
    pub committer: Option<OpenCommitter>,
    /// The stages behind the committer.
    pub post_commit: Vec<Stage>,
    /// Removes what dead attempts left.
    pub sweep: Option<Arc<dyn SweepOrphans>>,
    /// Uids of stages that this plan leaves out, each with what the user is told when state of it is found.
    pub absent: BTreeMap<String, String>,
}

impl<B: RowBatch> fmt::Debug for SinkPlan<B> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("SinkPlan")
            .field("has_state", &self.has_state)
            .field("pre_commit", &self.pre_commit)
            .field("commits", &self.committer.is_some())
            .field("post_commit", &self.post_commit)
            .finish_non_exhaustive()
    }
}

impl<B: RowBatch> SinkPlan<B> {
    /// A plan whose writers have no state.
    pub fn writer<W, F, Fut>(open: F) -> WriterPlan<B, W>
    where
        W: SinkWriter<B>,
        F: Fn(WriterContext) -> Fut + Send + Sync + 'static,
        Fut: Future<Output = Result<W>> + Send + 'static,
    {
        WriterPlan {
            open: Arc::new(move |context, _| Box::pin(open(context))),
            snapshot: None,
            partitioner: None,
            batch: PhantomData,
        }
    }

    /// A plan whose writers have state; `open` gets the states that the writer is to go on from (any number, also none).
    pub fn stateful<W, F, Fut>(open: F) -> WriterPlan<B, W>
    where
        W: StatefulWriter<B>,
        F: Fn(WriterContext, Vec<W::State>) -> Fut + Send + Sync + 'static,
        Fut: Future<Output = Result<W>> + Send + 'static,
    {
        WriterPlan {
            open: Arc::new(move |context, states| {
                let opened = decode_all(&states).map(|states| open(context, states));
                Box::pin(async move { opened?.await })
            }),
            snapshot: Some(|writer, at| encode_all(&writer.snapshot(at)?)),
            partitioner: None,
            batch: PhantomData,
        }
    }

    /// Adds a sweep of orphans.
    pub fn sweep(mut self, sweep: impl SweepOrphans) -> Self {
        self.sweep = Some(Arc::new(sweep));
        self
    }

    /// Says that this plan leaves out a stage which it has under other options. A host that finds *non-empty* state of that
    /// uid refuses the start with `hint`; empty state is dropped.
    pub fn absent(mut self, uid: impl Into<String>, hint: impl Into<String>) -> Self {
        self.absent.insert(uid.into(), hint.into());
        self
    }
}

type OpenTyped<W> = Arc<dyn Fn(WriterContext, Vec<Bytes>) -> BoxFuture<'static, Result<W>> + Send + Sync>;

/// A plan that has a writer and no decision yet on how its writes become visible.
#[must_use = "end it with `at_least_once`, `committer` or `pre_commit`"]
pub struct WriterPlan<B, W> {
    open: OpenTyped<W>,
    snapshot: Option<Snapshot<W>>,
    partitioner: Option<Partitioner<B>>,
    batch: PhantomData<fn(B)>,
}

impl<B: RowBatch, W: SinkWriter<B>> WriterPlan<B, W> {
    /// Deals rows to writers by a key: rows of equal keys go to the same writer.
    pub fn partition_by(mut self, key: impl Fn(B::Row<'_>) -> u64 + Send + Sync + 'static) -> Self
    where
        B: Rows,
    {
        self.partitioner = Some(partition_by(key));
        self
    }

    /// What `flush` made durable is visible: no committer. Don't use it with a writer that stages.
    pub fn at_least_once(self) -> SinkPlan<B> {
        self.plan(None, Vec::new(), None, Vec::new())
    }

    /// Commits what the writer staged.
    pub fn committer<T, F, Fut>(self, open: F) -> SinkPlan<B>
    where
        W: CommittingWriter<B>,
        T: BatchCommitter<W::Committable>,
        F: Fn(OperatorContext) -> Fut + Send + Sync + 'static,
        Fut: Future<Output = Result<T>> + Send + 'static,
    {
        self.pre_commit(Topology::new()).committer(open)
    }

    /// Puts stages between writer and committer.
    pub fn pre_commit<D: Stored>(self, topology: Topology<W::Committable, D>) -> Committing<B, W, D, D>
    where
        W: CommittingWriter<B>,
    {
        Committing { writer: self, pre_commit: topology.stages, post_commit: Vec::new(), types: PhantomData }
    }

    fn plan(
        self,
        prepare_commit: Option<PrepareCommit<W>>,
        pre_commit: Vec<Stage>,
        committer: Option<OpenCommitter>,
        post_commit: Vec<Stage>,
    ) -> SinkPlan<B> {
        let Self { open, snapshot, partitioner, .. } = self;
        SinkPlan {
            writer: Arc::new(move |context, states| {
                let opened = open(context, states);
                Box::pin(async move {
                    let writer = opened.await?;
                    Ok(Box::new(ErasedWriter { writer, snapshot, prepare_commit, batch: PhantomData })
                        as Box<dyn DynWriter<B>>)
                })
            }),
            has_state: snapshot.is_some(),
            partitioner,
            pre_commit,
            committer,
            post_commit,
            sweep: None,
            absent: BTreeMap::new(),
        }
    }
}

/// A plan that stages and still needs its committer, which takes `D`; the post-commit stages end in `E`.
#[must_use = "end it with `committer`"]
pub struct Committing<B, W, D, E> {
    writer: WriterPlan<B, W>,
    pre_commit: Vec<Stage>,
    post_commit: Vec<Stage>,
    types: PhantomData<fn(D) -> E>,
}

impl<B: RowBatch, W: CommittingWriter<B>, D: Stored, E: Stored> Committing<B, W, D, E> {
    /// Puts stages behind the committer; they get what was committed and must be idempotent.
    pub fn post_commit<G: Stored>(self, topology: Topology<D, G>) -> Committing<B, W, D, G> {
        Committing {
            writer: self.writer,
            pre_commit: self.pre_commit,
            post_commit: topology.stages,
            types: PhantomData,
        }
    }

    /// Commits what comes out of the pre-commit stages.
    pub fn committer<T, F, Fut>(self, open: F) -> SinkPlan<B>
    where
        T: BatchCommitter<D>,
        F: Fn(OperatorContext) -> Fut + Send + Sync + 'static,
        Fut: Future<Output = Result<T>> + Send + 'static,
    {
        let open: OpenCommitter = Arc::new(move |context| {
            let opened = open(context);
            Box::pin(async move {
                let committer = opened.await?;
                Ok(Box::new(ErasedCommitter { committer, committable: PhantomData::<fn(D)> })
                    as Box<dyn DynCommitter>)
            })
        });
        let prepare_commit: PrepareCommit<W> =
            |writer| Box::pin(async move { encode_all(&writer.prepare_commit().await?) });
        self.writer.plan(Some(prepare_commit), self.pre_commit, Some(open), self.post_commit)
    }
}

/// Deals rows by a key: rows of equal keys keep their order and go to the same target.
pub fn partition_by<B: Rows>(key: impl Fn(B::Row<'_>) -> u64 + Send + Sync + 'static) -> Partitioner<B> {
    Arc::new(move |batch, targets| {
        let mut rows: Vec<Vec<usize>> = vec![Vec::new(); targets.max(1) as usize];
        for i in 0..batch.rows.rows() {
            let target = key(batch.rows.row(i)) % u64::from(targets.max(1));
            rows[target as usize].push(i);
        }
        deal(batch, rows)
    })
}

fn deal<B: Rows>(batch: Batch<B>, rows: Vec<Vec<usize>>) -> Vec<(u32, Batch<B>)> {
    let total = batch.rows.rows();
    let (order, parts): (Vec<usize>, Vec<(u32, usize)>) = {
        let mut order = Vec::with_capacity(total);
        let mut parts = Vec::new();
        for (target, indices) in rows.into_iter().enumerate().filter(|(_, indices)| !indices.is_empty()) {
            parts.push((target as u32, indices.len()));
            order.extend(indices);
        }
        (order, parts)
    };
    // One permutation, then cheap prefixes of it.
    let mut dealt = batch.select(&order);
    parts.into_iter().map(|(target, count)| (target, dealt.take_front(count))).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn rows_of_one_key_go_to_one_writer_in_their_order() {
        let partition = partition_by::<Vec<u64>>(|n| *n % 3);
        let batch = Batch::with_timestamps(vec![1, 2, 4, 3, 5, 6], vec![10, 20, 40, 30, 50, 60]).unwrap();
        let parts = partition(batch, 2);
        assert_eq!(parts[0], (0, Batch { rows: vec![2, 3, 5, 6], timestamps: vec![20, 30, 50, 60] }));
        assert_eq!(parts[1], (1, Batch { rows: vec![1, 4], timestamps: vec![10, 40] }));
    }
}
