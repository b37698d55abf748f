//! The sink driven by hand, as a host does.

use bytes::Bytes;
use connector_api::batch::FromRows;
use connector_api::env::Environment;
use connector_api::id::{AttemptId, CheckpointId, RunId};
use connector_api::message::Message;
use connector_api::sink::{
    CommitRequest, DynCommitter, DynWriter, Flush, Outcome, References, Restored, Sink, SinkPlan,
    WriterContext,
};
use connector_api::{Batch, MessageBatch, Result, Stored};
use connector_kafka::sink::{KafkaCommittable, KafkaSink, SinkOptions};
use libtest_mimic::Failed;

use super::broker;

pub(crate) fn env() -> Environment {
    connector_runtime::local::environment()
}

/// Options of a topic and a prefix of this name.
pub(crate) fn options(name: &str) -> std::result::Result<SinkOptions, Failed> {
    Ok(SinkOptions::topic(broker::bootstrap()?, name).exactly_once(name))
}

pub(crate) fn attempt(run: u64, number: u64) -> AttemptId {
    AttemptId { run: RunId(run), number }
}

pub(crate) fn context(run: u64, number: u64) -> WriterContext {
    WriterContext::first(env(), attempt(run, number))
}

pub(crate) fn rows(texts: &[&str]) -> Batch<MessageBatch> {
    let message = |text: &&str| Message { key: None, value: Some(Bytes::copy_from_slice(text.as_bytes())) };
    Batch::new(MessageBatch::from_rows(texts.iter().map(message).collect()).expect("rows fit"))
}

/// A process: a sink of its own, with one writer and a committer.
pub(crate) struct Process {
    pub(crate) plan: SinkPlan<MessageBatch>,
    pub(crate) context: WriterContext,
    pub(crate) writer: Option<Box<dyn DynWriter<MessageBatch>>>,
    pub(crate) committer: Box<dyn DynCommitter>,
}

impl Process {
    /// One that only commits.
    pub(crate) async fn committing(options: &SinkOptions, context: WriterContext) -> Result<Self> {
        let plan = KafkaSink::new(options)?.plan()?;
        let open = plan.committer.as_ref().expect("the sink commits");
        let committer = open(context.clone()).await?;
        Ok(Self { plan, context, writer: None, committer })
    }

    /// One that writes, too.
    pub(crate) async fn open(options: &SinkOptions, context: WriterContext) -> Result<Self> {
        let mut this = Self::committing(options, context).await?;
        this.writer = Some((this.plan.writer)(this.context.clone(), Vec::new()).await?);
        Ok(this)
    }

    fn writer(&mut self) -> &mut dyn DynWriter<MessageBatch> {
        &mut **self.writer.as_mut().expect("it writes")
    }

    pub(crate) async fn write(&mut self, texts: &[&str]) -> Result<()> {
        self.writer().write(rows(texts)).await
    }

    /// A checkpoint up to its completion: what it has to commit.
    pub(crate) async fn checkpoint(&mut self, why: Flush) -> Result<Vec<KafkaCommittable>> {
        self.writer().flush(why).await?;
        let staged = self.writer().prepare_commit().await?;
        staged.iter().map(|bytes| KafkaCommittable::from_bytes(bytes)).collect()
    }

    /// Writes and prepares.
    pub(crate) async fn prepare(&mut self, texts: &[&str]) -> Result<KafkaCommittable> {
        self.write(texts).await?;
        let mut staged = self.checkpoint(Flush::Checkpoint).await?;
        Ok(staged.pop().expect("a transaction is staged"))
    }

    pub(crate) async fn commit(&mut self, committable: &KafkaCommittable) -> Result<Outcome<Bytes>> {
        let committable = committable.to_bytes()?;
        let request = CommitRequest { committable, checkpoint: CheckpointId(1), retries: 0 };
        let mut outcomes = self.committer.commit(vec![request]).await;
        Ok(outcomes.pop().expect("an outcome for each"))
    }

    pub(crate) async fn sweep(&self, needed: &[KafkaCommittable]) -> Result<u64> {
        let references = needed.iter().map(Stored::to_bytes).collect::<Result<Vec<_>>>()?;
        let sweep = self.plan.sweep.as_ref().expect("the sink sweeps");
        sweep.sweep(self.context.clone(), References::new(references)).await
    }
}

/// After going back.
pub(crate) fn going_back(context: WriterContext) -> WriterContext {
    WriterContext { restored: Some(Restored { checkpoint: CheckpointId(1), going_back: true }), ..context }
}
