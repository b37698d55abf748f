//! One attempt: the loop.
//!
//! ```text
//! each turn:  mails -> coordinator (a whole checkpoint is one step) -> enumerator -> commits -> a step of each reader
//! nothing to do:  wait for a mail, the next checkpoint, the next try of a commit, or a writer's own work
//! ```

use std::collections::VecDeque;
use std::future::poll_fn;
use std::path::PathBuf;
use std::pin::pin;
use std::sync::Arc;
use std::task::{Context, Poll, Waker};

use connector_api::env::Environment;
use connector_api::id::ReaderId;
use connector_api::sink::WriterContext;
use connector_api::source::{
    DynSplit, DynState, EnumeratorCommand, ReaderCommand, ReaderContext, ReaderEvent,
};
use connector_api::{Error, RowBatch};
use connector_runtime::coordinate::checkpoint::{CheckpointCoordinator, Input, Output, TaskId, Trigger};
use connector_runtime::coordinate::source::{SourceCoordinator, ToReader, deal_splits};
use connector_runtime::coordinate::watermark::SourceWatermarks;
use connector_runtime::storage::{AttemptStart, CheckpointRecord, JobStore};
use futures::FutureExt;
use futures::future::{Either, select};

use crate::mail::{Mail, Mailbox, Stop, yield_now};
use crate::sink::SinkTasks;
use crate::source::ReaderTask;
use crate::{End, Failure, Job};

/// On one thread a barrier goes through the whole job in one step: for the coordinator it is one task, of a kind that also
/// answers notices.
const JOB: TaskId = TaskId::Committer(0);

/// What runs.
pub(crate) struct Attempt<'a, B: RowBatch> {
    job: &'a Job<B>,
    env: Environment,
    mailbox: &'a Arc<Mailbox>,
    store: &'a JobStore,
    source: &'a mut SourceCoordinator,
    start: AttemptStart,
    coordinator: CheckpointCoordinator,
    /// What the coordinator is to be told.
    inputs: VecDeque<Input>,
    /// The checkpoint that the coordinator is about to have stored, and the file of the last one.
    snapshot: Option<CheckpointRecord>,
    stored: Option<PathBuf>,
    /// Whether a checkpoint was completed: the job makes progress.
    pub(crate) has_completed: bool,
    poll_enumerator: bool,
    enumerator_waker: Waker,
    readers: Vec<ReaderTask<B>>,
    watermarks: SourceWatermarks,
    sink: SinkTasks<B>,
    /// False behind the barrier of a stopping savepoint.
    is_reading: bool,
}

impl<'a, B: RowBatch> Attempt<'a, B> {
    pub(crate) fn new(
        job: &'a Job<B>,
        env: Environment,
        mailbox: &'a Arc<Mailbox>,
        store: &'a JobStore,
        source: &'a mut SourceCoordinator,
        start: AttemptStart,
    ) -> Self {
        let config = &job.config.checkpoint;
        let now = env.clock.monotonic();
        let coordinator =
            CheckpointCoordinator::new([JOB], start.next_checkpoint, config.interval, config.timeout, now);
        Self {
            job,
            env,
            mailbox,
            store,
            source,
            start,
            coordinator,
            inputs: VecDeque::new(),
            snapshot: None,
            stored: None,
            has_completed: false,
            poll_enumerator: true,
            enumerator_waker: mailbox.waker(Mail::Enumerator),
            readers: Vec::new(),
            watermarks: SourceWatermarks::new(job.config.source_parallelism),
            sink: SinkTasks::new(),
            is_reading: true,
        }
    }

    /// Runs to the end. Whatever was opened is to be closed afterwards.
    pub(crate) async fn run(&mut self) -> Result<End, Failure> {
        self.open().await?;
        loop {
            while let Some(mail) = self.mailbox.take() {
                match mail {
                    Mail::Enumerator => self.poll_enumerator = true,
                    // A mail may be of a reader of an earlier attempt: then it is polled once in vain.
                    Mail::Reader(i) => self.readers.get_mut(i).into_iter().for_each(|r| r.is_ready = true),
                    Mail::User => {}
                }
            }
            self.inputs.push_back(match self.mailbox.stop() {
                Some(Stop::Now) => return Ok(End::Stopped { savepoint: None }),
                Some(Stop::Savepoint) => Input::Stop,
                None => Input::Tick,
            });
            if let Some(end) = self.coordinate().await? {
                return Ok(end);
            }
            if std::mem::take(&mut self.poll_enumerator) {
                let mut cx = Context::from_waker(&self.enumerator_waker);
                let out = self.source.poll(&mut cx).map_err(Failure::Enumerator)?;
                self.tell_readers(out)?;
            }
            self.sink.commit(self.job.config.on_lost, &self.env).await?;
            self.sink.hand_on().await?;
            match self.read().await? {
                true => yield_now().await,
                false => self.wait().await?,
            }
        }
    }

    /// H-44: the sink, the restored commits, and only then the source.
    async fn open(&mut self) -> Result<(), Failure> {
        let config = &self.job.config;
        let (env, attempt) = (self.env.clone(), self.start.attempt);
        let parallelism = config.sink_parallelism;
        let context = WriterContext {
            parallelism,
            restored: self.start.restored,
            ancestors: self.start.ancestors.clone(),
            checkpoint_interval: Some(config.checkpoint.interval),
            ..WriterContext::first(env.clone(), attempt)
        };
        let mut record = self.start.record.take().unwrap_or_default();
        let plan = self.job.sink.plan()?;
        if let Some(sweep) = &plan.sweep {
            sweep.sweep(context.clone(), std::mem::take(&mut self.start.references)).await?;
        }
        self.sink.open(plan, &context, config.committer_parallelism, &mut record).await?;
        if let Some(restored) = self.start.restored {
            self.sink.complete(restored.checkpoint, config.on_lost, &self.env).await?;
        }
        let parallelism = config.source_parallelism;
        for (i, splits) in deal_splits(record.splits, parallelism).into_iter().enumerate() {
            let reader = ReaderId(i as u32);
            let context = ReaderContext { env: env.clone(), reader, parallelism, attempt };
            let waker = self.mailbox.waker(Mail::Reader(i));
            self.readers.push(ReaderTask::new(self.job.source.reader(context)?, waker));
            if !splits.is_empty() {
                self.tell_readers(vec![(reader, ReaderCommand::AddSplits(splits))])?;
            }
        }
        for i in 0..parallelism {
            let out = self.source.add_reader(ReaderId(i)).map_err(Failure::Enumerator)?;
            self.tell_readers(out)?;
        }
        Ok(())
    }

    /// Tells the coordinator what happened and does what it says.
    async fn coordinate(&mut self) -> Result<Option<End>, Failure> {
        while let Some(input) = self.inputs.pop_front() {
            for output in self.coordinator.handle(input, self.env.clock.monotonic()) {
                match output {
                    Output::Trigger(trigger) => self.barrier_in_time(trigger).await?,
                    Output::Store { checkpoint, finished } => {
                        let Some(mut record) = self.snapshot.take() else { continue };
                        record.finished = finished;
                        self.stored = Some(self.store.store(record).await?);
                        self.has_completed = true;
                        self.inputs.push_back(Input::Stored(checkpoint.id));
                    }
                    Output::Complete(id) => {
                        self.env.crash.hit("checkpoint/before-notice");
                        self.tell_all_readers(&ReaderCommand::CheckpointComplete(id))?;
                        self.tell_enumerator(EnumeratorCommand::CheckpointComplete(id))?;
                        self.sink.complete(id, self.job.config.on_lost, &self.env).await?;
                        self.inputs.push_back(Input::Noticed { task: JOB, checkpoint: id });
                    }
                    // Only for a host that lets time go by between a trigger and its acknowledgement.
                    Output::Abort(id) => {
                        self.tell_all_readers(&ReaderCommand::CheckpointAborted(id))?;
                        self.tell_enumerator(EnumeratorCommand::CheckpointAborted(id))?;
                    }
                    Output::Finished => {
                        // Bounded like everything at the end: what is left then is done by the next start.
                        let timeout = self.env.clock.sleep(self.job.config.close_timeout);
                        if let Either::Left((settled, _)) = select(pin!(self.source.settle()), timeout).await
                        {
                            settled.map_err(Failure::Enumerator)?;
                        }
                        return Ok(Some(End::Finished));
                    }
                    Output::Stopped(_) => return Ok(Some(End::Stopped { savepoint: self.stored.take() })),
                }
            }
        }
        Ok(None)
    }

    /// A writer whose flush is given up half-way is not to be used again (W-7): a checkpoint that takes too long fails the
    /// attempt.
    async fn barrier_in_time(&mut self, trigger: Trigger) -> Result<(), Failure> {
        let timeout = self.env.clock.sleep(self.job.config.checkpoint.timeout);
        match select(pin!(self.barrier(trigger)), timeout).await {
            Either::Left((result, _)) => result,
            Either::Right(_) => {
                Err(Error::Cancelled("a checkpoint that took longer than its time-out".into()).into())
            }
        }
    }

    /// Takes all snapshots of a checkpoint. Nothing else happens meanwhile; so what the enumerator assigned before is with
    /// the readers, and what it assigns later comes behind the barrier (H-4).
    async fn barrier(&mut self, trigger: Trigger) -> Result<(), Failure> {
        let id = trigger.checkpoint.id;
        self.is_reading &= !trigger.stop;
        let DynState(enumerator) = self.source.snapshot(id).map_err(Failure::Enumerator)?;
        let mut record = CheckpointRecord {
            checkpoint: id.0,
            savepoint: trigger.checkpoint.savepoint,
            run: self.start.attempt.run,
            attempt: self.start.attempt.number,
            time_millis: self.env.clock.now_millis(),
            identity: self.job.config.identity.clone(),
            enumerator: Some(enumerator),
            ..CheckpointRecord::default()
        };
        for reader in &mut self.readers {
            record.splits.extend(reader.snapshot(id)?);
        }
        let ended = self.has_ended();
        self.sink.barrier(trigger, ended, &mut record).await?;
        let pending = record.committer.len() + record.stages.values().map(Vec::len).sum::<usize>();
        self.snapshot = Some(record);
        self.inputs.push_back(Input::Ack { task: JOB, checkpoint: id, ended, pending: pending as u64 });
        Ok(())
    }

    fn has_ended(&self) -> bool {
        self.readers.iter().all(|reader| reader.has_ended)
    }

    /// Lets each reader do a step. Says whether one had something to do.
    async fn read(&mut self) -> Result<bool, Failure> {
        let mut was_busy = false;
        if self.is_reading {
            for i in 0..self.readers.len() {
                if let Some(event) = self.readers[i].step(self.job.max_rows.get())? {
                    self.event(i, event).await?;
                    was_busy = true;
                }
            }
        }
        Ok(was_busy)
    }

    async fn event(&mut self, i: usize, event: ReaderEvent<B>) -> Result<(), Failure> {
        let id = ReaderId(i as u32);
        if let Some(millis) = self.watermarks.event(i, &event) {
            for writer in &mut self.sink.writers {
                writer.watermark(millis).await?;
            }
        }
        match event {
            ReaderEvent::Batch { batch, .. } => Ok(self.sink.write(i, batch).await?),
            ReaderEvent::SplitRequest => self.tell_enumerator(EnumeratorCommand::SplitRequest(id)),
            ReaderEvent::SplitFinished(split) => {
                self.tell_enumerator(EnumeratorCommand::SplitFinished(id, split))
            }
            ReaderEvent::EnumeratorEvent(event) => {
                self.tell_enumerator(EnumeratorCommand::ReaderEvent(id, event))
            }
            ReaderEvent::EndOfInput => {
                self.readers[i].has_ended = true;
                if self.has_ended() {
                    self.inputs.push_back(Input::Ended(JOB));
                }
                Ok(())
            }
            ReaderEvent::Watermark { .. } | ReaderEvent::Idle(_) | ReaderEvent::Active(_) => Ok(()),
        }
    }

    fn tell_enumerator(&mut self, command: EnumeratorCommand<DynSplit>) -> Result<(), Failure> {
        self.poll_enumerator = true;
        let out = self.source.handle(command).map_err(Failure::Enumerator)?;
        self.tell_readers(out)
    }

    fn tell_readers(&mut self, out: Vec<ToReader>) -> Result<(), Failure> {
        for (ReaderId(reader), command) in out {
            let Some(task) = self.readers.get_mut(reader as usize) else { continue };
            if let ReaderCommand::AddSplits(splits) = &command {
                self.watermarks.add(reader as usize, splits);
            }
            task.handle(command)?;
        }
        Ok(())
    }

    fn tell_all_readers(&mut self, command: &ReaderCommand<DynSplit>) -> Result<(), Failure> {
        Ok(self.readers.iter_mut().try_for_each(|reader| reader.handle(command.clone()))?)
    }

    /// Waits until there is something to do. Meanwhile writers do their own work.
    async fn wait(&mut self) -> Result<(), Failure> {
        if self.poll_enumerator || !self.inputs.is_empty() {
            return Ok(());
        }
        let now = self.env.clock.monotonic();
        let due = [self.coordinator.wake_at(), self.sink.due_at()].into_iter().flatten().min();
        let mut timer = due.map(|due| self.env.clock.sleep(due.saturating_sub(now)));
        let is_flushed = self.sink.is_flushed;
        let mut idle: Vec<_> =
            self.sink.writers.iter_mut().filter(|_| !is_flushed).map(|writer| writer.idle()).collect();
        poll_fn(|cx| {
            let is_due = timer.as_mut().is_some_and(|timer| timer.poll_unpin(cx).is_ready());
            if self.mailbox.poll(cx).is_ready() || is_due {
                return Poll::Ready(Ok(()));
            }
            idle.iter_mut().map(|work| work.poll_unpin(cx)).find(Poll::is_ready).unwrap_or(Poll::Pending)
        })
        .await?;
        Ok(())
    }

    /// Gives everything up, for at most the time that the job allows.
    pub(crate) async fn close(&mut self) {
        let timeout = self.env.clock.sleep(self.job.config.close_timeout);
        let close = async {
            self.sink.close().await;
            for reader in &mut self.readers {
                reader.close().await;
            }
        };
        if let Either::Right(_) = select(pin!(close), timeout).await {
            tracing::warn!("readers, writers and stages did not close in time");
        }
    }
}
