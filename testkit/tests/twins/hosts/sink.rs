//! What a flaw does between the host and the probe sink.

use std::sync::Arc;
use std::time::Duration;

use async_trait::async_trait;
use bytes::Bytes;
use connector_api::id::CheckpointId;
use connector_api::sink::{
    Checkpoint, CommitRequest, DynCommitter, DynOperator, DynWriter, Flush, OperatorContext, Outcome, Output,
    Parallelism, Partition, Prepare, References, Sink, SinkPlan, Stage, SweepOrphans, WriterContext,
};
use connector_api::{Batch, Error, Result};

use super::meddler::Flaw;

type Rows = Vec<String>;

pub(super) struct MeddledSink {
    pub(super) inner: Box<dyn Sink<Rows>>,
    pub(super) flaw: Flaw,
    pub(super) timeout: Duration,
}

fn meddled(mut context: WriterContext, flaw: Flaw) -> WriterContext {
    match (flaw, &mut context.restored) {
        (Flaw::SameAttempt, _) => context.attempt.number = 1,
        (Flaw::HidesGoingBack, Some(restored)) => restored.going_back = false,
        _ => {}
    }
    context
}

impl Sink<Rows> for MeddledSink {
    fn plan(&self) -> Result<SinkPlan<Rows>> {
        let (flaw, timeout) = (self.flaw, self.timeout);
        let mut plan = self.inner.plan()?;
        let open = plan.writer.clone();
        plan.writer = Arc::new(move |context: WriterContext, states| {
            let states = if flaw == Flaw::DropsWriterState { Vec::new() } else { states };
            let clock = context.env.clock.clone();
            let opening = open(meddled(context, flaw), states);
            Box::pin(async move {
                let inner = opening.await?;
                let (held, late, calls, why) = (Vec::new(), false, 0, Flush::Checkpoint);
                Ok(Box::new(MeddledWriter { inner, flaw, timeout, clock, held, late, calls, why })
                    as Box<dyn DynWriter<Rows>>)
            })
        });
        plan.committer = plan.committer.take().map(|open| {
            let meddle = move |context: OperatorContext| -> connector_api::sink::BoxFuture<'static, _> {
                let (clock, is_restored) = (context.env.clock.clone(), context.restored.is_some());
                let opening = open(meddled(context, flaw));
                Box::pin(async move {
                    let inner = opening.await?;
                    let late = is_restored && flaw == Flaw::LateCommits;
                    Ok(Box::new(MeddledCommitter { inner, flaw, clock, late, put_off: None, is_first: true })
                        as Box<dyn DynCommitter>)
                })
            };
            Arc::new(meddle) as connector_api::sink::OpenCommitter
        });
        for stage in plan.pre_commit.iter_mut().chain(&mut plan.post_commit) {
            let open = stage.open.clone();
            stage.open = Arc::new(move |context, states| {
                let opening = open(meddled(context, flaw), states);
                Box::pin(async move {
                    let inner = opening.await?;
                    Ok(Box::new(MeddledOperator { inner, flaw, has_ended: false }) as Box<dyn DynOperator>)
                })
            });
        }
        match flaw {
            Flaw::NeverSweeps => plan.sweep = None,
            Flaw::SweepsBlindly | Flaw::NoLastSweep => {
                plan.sweep = plan
                    .sweep
                    .take()
                    .map(|inner| Arc::new(MeddledSweep { inner, flaw }) as Arc<dyn SweepOrphans>);
            }
            Flaw::DropsAbsent if plan.absent.contains_key("group") => plan.pre_commit.push(Stage {
                uid: "group".to_owned(),
                parallelism: Parallelism::One,
                partition: Partition::Rebalance,
                open: Arc::new(|_, _| Box::pin(async { Ok(Box::new(Passes) as Box<dyn DynOperator>) })),
            }),
            _ => {}
        }
        Ok(plan)
    }
}

struct MeddledWriter {
    inner: Box<dyn DynWriter<Rows>>,
    flaw: Flaw,
    timeout: Duration,
    clock: Arc<dyn connector_api::env::Clock>,
    held: Vec<Batch<Rows>>,
    /// The last flush took longer than a checkpoint may.
    late: bool,
    calls: u32,
    why: Flush,
}

impl MeddledWriter {
    async fn pass(&mut self, keep: usize) -> Result<()> {
        while self.held.len() > keep {
            let batch = self.held.remove(0);
            self.inner.write(batch).await?;
        }
        Ok(())
    }
}

#[async_trait]
impl DynWriter<Rows> for MeddledWriter {
    async fn write(&mut self, batch: Batch<Rows>) -> Result<()> {
        match self.flaw {
            Flaw::LateBatch => {
                self.held.push(batch);
                self.pass(1).await
            }
            Flaw::Unbounded => {
                self.held.push(batch);
                Ok(())
            }
            _ => self.inner.write(batch).await,
        }
    }

    async fn watermark(&mut self, millis: i64) -> Result<()> {
        // What was held back is older.
        self.pass(0).await?;
        self.inner.watermark(millis).await
    }

    async fn flush(&mut self, why: Flush) -> Result<()> {
        self.why = why;
        if self.flaw == Flaw::Unbounded || why == Flush::EndOfInput {
            self.pass(0).await?;
        }
        let why = match self.flaw {
            Flaw::PreparesFirst => return Ok(()),
            Flaw::NeverFlushesEnd => Flush::Checkpoint,
            _ => why,
        };
        let before = self.clock.monotonic();
        let flushed = self.inner.flush(why).await;
        self.late = self.clock.monotonic().saturating_sub(before) > self.timeout;
        flushed
    }

    async fn prepare_commit(&mut self) -> Result<Vec<Bytes>> {
        let prepared = self.inner.prepare_commit().await?;
        self.calls += 1;
        match self.flaw {
            Flaw::PreparesFirst => {
                self.inner.flush(self.why).await?;
                Ok(prepared)
            }
            Flaw::ForgetsCommittables if self.calls.is_multiple_of(2) => Ok(Vec::new()),
            Flaw::DropsStaged if self.late => Ok(Vec::new()),
            _ => Ok(prepared),
        }
    }

    fn snapshot(&mut self, at: Checkpoint) -> Result<Vec<Bytes>> {
        self.inner.snapshot(at)
    }

    async fn idle(&mut self) -> Result<()> {
        self.inner.idle().await
    }

    async fn close(&mut self) -> Result<()> {
        if self.flaw == Flaw::ClosesNothing { Ok(()) } else { self.inner.close().await }
    }
}

struct MeddledCommitter {
    inner: Box<dyn DynCommitter>,
    flaw: Flaw,
    clock: Arc<dyn connector_api::env::Clock>,
    late: bool,
    /// Said to be committed, and to be so after the next.
    put_off: Option<Vec<CommitRequest<Bytes>>>,
    is_first: bool,
}

fn retry(after: Duration) -> Outcome<Bytes> {
    Outcome::Retry {
        updated: None,
        after: Some(after),
        why: Error::Cancelled("committing, by a flaw,".into()),
    }
}

#[async_trait]
impl DynCommitter for MeddledCommitter {
    async fn commit(&mut self, requests: Vec<CommitRequest<Bytes>>) -> Vec<Outcome<Bytes>> {
        let count = requests.len();
        if std::mem::take(&mut self.late) {
            return requests.iter().map(|_| retry(Duration::from_millis(30))).collect();
        }
        if self.flaw == Flaw::NewestFirst && std::mem::take(&mut self.is_first) {
            self.put_off = Some(requests);
            return (0..count).map(|_| Outcome::Committed).collect();
        }
        let mut outcomes = Vec::new();
        for outcome in self.inner.commit(requests.clone()).await {
            let index = outcomes.len();
            outcomes.push(match (self.flaw, outcome) {
                (Flaw::WaitsForRetries, mut outcome) => {
                    while let Outcome::Retry { after, .. } = outcome {
                        self.clock.sleep(after.unwrap_or_default()).await;
                        outcome = self.inner.commit(vec![requests[index].clone()]).await.remove(0);
                    }
                    outcome
                }
                (Flaw::ForgetsRetries, Outcome::Retry { .. }) | (Flaw::IgnoresLoss, Outcome::Lost { .. }) => {
                    Outcome::Committed
                }
                (Flaw::RestartsAfterFatal, Outcome::Fatal(_)) => retry(Duration::from_millis(10)),
                (_, outcome) => outcome,
            });
        }
        if let Some(requests) = self.put_off.take() {
            drop(self.inner.commit(requests).await);
        }
        outcomes
    }
}

struct MeddledOperator {
    inner: Box<dyn DynOperator>,
    flaw: Flaw,
    has_ended: bool,
}

#[async_trait]
impl DynOperator for MeddledOperator {
    async fn process(&mut self, item: Bytes, at: CheckpointId, out: &mut Output<Bytes>) -> Result<()> {
        if self.flaw == Flaw::EarlyStageEnd && !std::mem::replace(&mut self.has_ended, true) {
            self.inner.end_of_input(out).await?;
        }
        self.inner.process(item, at, out).await
    }

    async fn prepare(&mut self, how: Prepare, out: &mut Output<Bytes>) -> Result<()> {
        self.inner.prepare(how, out).await
    }

    fn snapshot(&mut self, at: Checkpoint) -> Result<Vec<Bytes>> {
        let state = self.inner.snapshot(at)?;
        Ok(if self.flaw == Flaw::ForgetsStages { Vec::new() } else { state })
    }

    async fn checkpoint_complete(&mut self, checkpoint: CheckpointId, out: &mut Output<Bytes>) -> Result<()> {
        self.inner.checkpoint_complete(checkpoint, out).await
    }

    async fn end_of_input(&mut self, out: &mut Output<Bytes>) -> Result<()> {
        if self.has_ended { Ok(()) } else { self.inner.end_of_input(out).await }
    }

    async fn close(&mut self) -> Result<()> {
        if self.flaw == Flaw::ClosesNothing { Ok(()) } else { self.inner.close().await }
    }
}

/// Drops the state that it is given, and lets everything through.
struct Passes;

#[async_trait]
impl DynOperator for Passes {
    async fn process(&mut self, item: Bytes, _: CheckpointId, out: &mut Output<Bytes>) -> Result<()> {
        out.emit(item);
        Ok(())
    }

    async fn prepare(&mut self, _: Prepare, _: &mut Output<Bytes>) -> Result<()> {
        Ok(())
    }

    fn snapshot(&mut self, _: Checkpoint) -> Result<Vec<Bytes>> {
        Ok(Vec::new())
    }

    async fn checkpoint_complete(&mut self, _: CheckpointId, _: &mut Output<Bytes>) -> Result<()> {
        Ok(())
    }

    async fn end_of_input(&mut self, _: &mut Output<Bytes>) -> Result<()> {
        Ok(())
    }

    async fn close(&mut self) -> Result<()> {
        Ok(())
    }
}

struct MeddledSweep {
    inner: Arc<dyn SweepOrphans>,
    flaw: Flaw,
}

#[async_trait]
impl SweepOrphans for MeddledSweep {
    async fn sweep(&self, context: WriterContext, references: References) -> Result<u64> {
        match self.flaw {
            Flaw::NoLastSweep if context.attempt.number == u64::MAX => Ok(0),
            Flaw::SweepsBlindly => self.inner.sweep(context, References::default()).await,
            _ => self.inner.sweep(context, references).await,
        }
    }
}
