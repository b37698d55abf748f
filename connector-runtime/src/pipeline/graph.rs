//! A typed pipeline behind an object, so that jobs need not know its batch types.

use std::sync::Arc;

use bytes::Bytes;
use connector_api::env::Environment;
use connector_api::id::ReaderId;
use connector_api::sink::{OpenCommitter, Partitioner, Sink, SinkPlan, Stage, SweepOrphans, WriterContext};
use connector_api::source::{
    BoxEnumerator, DynSplit, DynState, EnumeratorSetup, ReaderCommand, ReaderContext, SourceReader,
};
use connector_api::{Error, Result, RowBatch};
use futures::future::BoxFuture;
use tokio::sync::mpsc;

use super::stream::Stream;
use crate::coordinate::checkpoint::TaskId;
use crate::storage::CheckpointRecord;
use crate::task::{
    Command, Downstream, Exchange, Inputs, OutputTo, Reports, SourceTask, TaskContext, WriterCore,
    WriterTask, channel, spawn,
};

/// The parts of a sink's plan that don't depend on its batch type.
pub(crate) struct PlanParts {
    pub(crate) pre_commit: Vec<Stage>,
    pub(crate) committer: Option<OpenCommitter>,
    pub(crate) post_commit: Vec<Stage>,
    pub(crate) sweep: Option<Arc<dyn SweepOrphans>>,
    /// Whether each reader has its writer in its own task.
    pub(crate) chained: bool,
}

/// What a reader starts with.
pub(crate) struct ReaderSetup {
    pub(crate) splits: Vec<DynSplit>,
    pub(crate) commands: mpsc::UnboundedReceiver<Command>,
}

/// What the tasks from source to writers start with.
pub(crate) struct DataSetup {
    pub(crate) env: Environment,
    pub(crate) context: TaskContext,
    /// What the sink's parts are made with.
    pub(crate) sink: WriterContext,
    pub(crate) readers: Vec<ReaderSetup>,
    /// Per writer: its states, its way to the next stage, and (when not chained) its commands.
    pub(crate) writers: Vec<(Vec<Bytes>, Option<Downstream>)>,
    pub(crate) writer_commands: Vec<mpsc::UnboundedReceiver<Command>>,
    pub(crate) reports: Reports,
}

/// A pipeline without its types.
pub(crate) trait Graph: Send + Sync {
    fn source_uid(&self) -> &str;
    fn sink_uid(&self) -> &str;
    fn enumerator(&self, setup: EnumeratorSetup, restored: Option<DynState>) -> Result<BoxEnumerator>;
    fn plan(&self, sources: u32, writers: u32) -> Result<PlanParts>;
    /// Refuses state that the sink would drop.
    fn check_fits(&self, record: &CheckpointRecord) -> Result<()>;
    /// Opens writers and readers and lets them run.
    fn open(&self, setup: DataSetup) -> BoxFuture<'_, Result<()>>;
}

pub(super) struct Typed<A, B: RowBatch> {
    pub(super) stream: Stream<A, B>,
    pub(super) keyed: Option<Partitioner<B>>,
    pub(super) sink_uid: String,
    pub(super) sink: Arc<dyn Sink<B>>,
}

impl<A: RowBatch, B: RowBatch> Typed<A, B> {
    fn partitioner(&self, plan: &SinkPlan<B>) -> Result<Option<Partitioner<B>>> {
        match (&self.keyed, &plan.partitioner) {
            (Some(_), Some(_)) => Err(Error::config(
                &self.sink_uid,
                "the sink deals rows to its writers by a key of its own: leave out `key_by`",
            )),
            (Some(partitioner), None) | (None, Some(partitioner)) => Ok(Some(partitioner.clone())),
            (None, None) => Ok(None),
        }
    }

    async fn open_writers(
        &self,
        setup: &mut DataSetup,
    ) -> Result<(Vec<WriterCore<B>>, Option<Partitioner<B>>)> {
        let plan = self.sink.plan()?;
        let parallelism = setup.writers.len() as u32;
        let mut writers = Vec::new();
        for (subtask, (states, downstream)) in std::mem::take(&mut setup.writers).into_iter().enumerate() {
            let context = WriterContext { subtask: subtask as u32, parallelism, ..setup.sink.clone() };
            let writer = (plan.writer)(context, states).await?;
            writers.push(WriterCore::new(writer, downstream, &setup.context, subtask as u32));
        }
        Ok((writers, self.partitioner(&plan)?))
    }
}

impl<A: RowBatch, B: RowBatch> Graph for Typed<A, B> {
    fn source_uid(&self) -> &str {
        &self.stream.source_uid
    }

    fn sink_uid(&self) -> &str {
        &self.sink_uid
    }

    fn enumerator(&self, setup: EnumeratorSetup, restored: Option<DynState>) -> Result<BoxEnumerator> {
        self.stream.source.enumerator(setup, restored)
    }

    fn plan(&self, sources: u32, writers: u32) -> Result<PlanParts> {
        let plan = self.sink.plan()?;
        let chained = self.partitioner(&plan)?.is_none() && sources == writers;
        Ok(PlanParts {
            pre_commit: plan.pre_commit,
            committer: plan.committer,
            post_commit: plan.post_commit,
            sweep: plan.sweep,
            chained,
        })
    }

    fn check_fits(&self, record: &CheckpointRecord) -> Result<()> {
        record.check_fits(&self.sink.plan()?)
    }

    fn open(&self, mut setup: DataSetup) -> BoxFuture<'_, Result<()>> {
        Box::pin(async move {
            let (writers, partitioner) = self.open_writers(&mut setup).await?;
            let sources = setup.readers.len();
            let mut outputs: Vec<OutputTo<B>> = Vec::with_capacity(sources);
            if setup.writer_commands.is_empty() {
                outputs.extend(writers.into_iter().map(|writer| OutputTo::Chained(Box::new(writer))));
            } else {
                let mut ways: Vec<Vec<_>> = (0..sources).map(|_| Vec::new()).collect();
                for (i, (writer, commands)) in
                    writers.into_iter().zip(setup.writer_commands.drain(..)).enumerate()
                {
                    let mut inputs = Vec::with_capacity(sources);
                    for way in &mut ways {
                        let (sender, receiver) = channel();
                        way.push(sender);
                        inputs.push(receiver);
                    }
                    let task = TaskId::Writer(i as u32);
                    let body =
                        WriterTask::new(task, writer, Inputs::new(inputs), commands, setup.reports.clone());
                    spawn(&setup.env, task, setup.reports.clone(), body.run());
                }
                let exchange =
                    |(i, senders)| OutputTo::Exchange(Exchange::new(senders, partitioner.clone(), i));
                outputs.extend(ways.into_iter().enumerate().map(exchange));
            }
            for (i, (reader_setup, output)) in setup.readers.into_iter().zip(outputs).enumerate() {
                let context = ReaderContext {
                    env: setup.env.clone(),
                    reader: ReaderId(i as u32),
                    parallelism: sources as u32,
                    attempt: setup.sink.attempt,
                };
                let mut reader = self.stream.source.reader(context)?;
                let task = TaskId::Source(i as u32);
                let mut watermarks = Vec::new();
                if !reader_setup.splits.is_empty() {
                    watermarks.extend(reader_setup.splits.iter().map(connector_api::source::Split::id));
                    reader.handle(ReaderCommand::AddSplits(reader_setup.splits))?;
                }
                let body = SourceTask::new(
                    ReaderId(i as u32),
                    reader,
                    self.stream.step.clone(),
                    self.stream.watermarks,
                    watermarks,
                    output,
                    reader_setup.commands,
                    setup.reports.clone(),
                    &setup.context,
                );
                spawn(&setup.env, task, setup.reports.clone(), body.run());
            }
            Ok(())
        })
    }
}
