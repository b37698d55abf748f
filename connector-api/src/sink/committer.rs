//! The committer: an outcome per committable, and silence is none.

use std::time::Duration;

use async_trait::async_trait;

use crate::id::CheckpointId;
use crate::{Error, Stored};

/// What a committer found that shows an earlier commit.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum Proof {
    /// The published object is there under its final name, with the size and place that the committable says.
    Published,
    /// The external system says that this transaction is committed.
    TransactionCommitted,
    /// The external system keeps the last committed checkpoint, and it is at or behind this one.
    RecordedCheckpoint,
}

/// What became of one committable.
#[derive(Debug)]
#[must_use = "an outcome that is dropped is a commit that is forgotten"]
pub enum Outcome<C> {
    /// It is visible now, durably.
    Committed,
    /// It was visible before.
    AlreadyCommitted {
        /// What shows it.
        proof: Proof,
    },
    /// Not yet. It stays in the state; it holds no barrier.
    Retry {
        /// The committable in a new form, when the attempt changed it.
        updated: Option<C>,
        /// How long to wait; none leaves it to the host.
        after: Option<Duration>,
        /// Why.
        why: Error,
    },
    /// What it stands for is gone for good. Ends the job, unless the user chose to skip losses, which counts and logs it.
    Lost {
        /// What is gone, by name, and how one can tell.
        reason: String,
    },
    /// It can't be told, and a retry would not help. Ends the job past every restart strategy.
    Fatal(Error),
}

impl<C> Outcome<C> {
    /// For an attempt that failed and changed nothing that the next one would not find: [`Retry`](Self::Retry) when the
    /// error may pass, else [`Fatal`](Self::Fatal).
    pub fn failed(why: Error) -> Self {
        if why.is_retryable() { Self::Retry { updated: None, after: None, why } } else { Self::Fatal(why) }
    }
}

/// A committable on its way.
#[derive(Clone, Debug)]
pub struct CommitRequest<C> {
    /// What to commit.
    pub committable: C,
    /// The checkpoint that it belongs to.
    pub checkpoint: CheckpointId,
    /// How often it was tried before, in this and earlier attempts.
    pub retries: u32,
}

/// Commits one committable at a time.
///
/// # Contract
///
/// Idempotent: the same committable may come again after a crash, at any later time, in another process. Called for
/// completed checkpoints only, oldest first. Whoever returns [`Outcome::Committed`] has made it durable.
#[async_trait]
pub trait Committer<C: Stored>: Send + 'static {
    /// Commits.
    async fn commit(&mut self, request: &CommitRequest<C>) -> Outcome<C>;
}

/// Commits many at once, where the system makes that cheaper. Every [`Committer`] is one by [`Each`].
#[async_trait]
pub trait BatchCommitter<C: Stored>: Send + 'static {
    /// Commits; the only way to a [`Settled`] is [`CommitBatch::settle`], which asks for an outcome of every request.
    async fn commit_batch(&mut self, batch: CommitBatch<C>) -> Settled<C>;
}

/// Requests that belong together. Oldest checkpoint first.
#[derive(Debug)]
pub struct CommitBatch<C>(Vec<CommitRequest<C>>);

impl<C> CommitBatch<C> {
    /// For hosts: a batch of these requests.
    pub fn new(requests: Vec<CommitRequest<C>>) -> Self {
        Self(requests)
    }

    /// The requests.
    pub fn requests(&self) -> &[CommitRequest<C>] {
        &self.0
    }

    /// Gives every request its outcome: `outcome` is called once per request, in order, with its index.
    pub fn settle(self, mut outcome: impl FnMut(usize, &CommitRequest<C>) -> Outcome<C>) -> Settled<C> {
        Settled(self.0.iter().enumerate().map(|(i, request)| outcome(i, request)).collect())
    }
}

/// An outcome for every request of a batch, in their order.
#[derive(Debug)]
#[must_use = "outcomes that are dropped are commits that are forgotten"]
pub struct Settled<C>(Vec<Outcome<C>>);

impl<C> Settled<C> {
    /// The outcomes.
    pub fn into_outcomes(self) -> Vec<Outcome<C>> {
        self.0
    }
}

/// A [`Committer`] as a [`BatchCommitter`]: one after the other.
#[derive(Debug)]
pub struct Each<T>(pub T);

#[async_trait]
impl<C: Stored, T: Committer<C>> BatchCommitter<C> for Each<T> {
    async fn commit_batch(&mut self, batch: CommitBatch<C>) -> Settled<C> {
        let mut outcomes = Vec::with_capacity(batch.0.len());
        for request in &batch.0 {
            outcomes.push(self.0.commit(request).await);
        }
        Settled(outcomes)
    }
}
