//! One attempt: from opening the sink to the end, the stop or the first failure.

use std::collections::{BTreeMap, BTreeSet};
use std::future::poll_fn;
use std::path::PathBuf;
use std::sync::Arc;
use std::task::Poll;

use connector_api::env::Environment;
use connector_api::id::{AttemptId, CheckpointId, ReaderId, RunId};
use connector_api::sink::{References, Restored, WriterContext};
use connector_api::source::{DynState, EnumeratorCommand};
use connector_api::{Error, Result, metrics as names};
use tokio::sync::mpsc;

use super::Shared;
use super::checkpointing::{Checkpointing, Durable, OnStored};
use super::handle::{Board, Control};
use super::topology::{self, Commands, SinkSetup, SinkState};
use crate::coordinate::checkpoint::{CheckpointCoordinator, Input, Output, TaskId};
use crate::coordinate::source::{SourceCoordinator, ToReader, deal, deal_splits};
use crate::local::Scope;
use crate::pipeline::{DataSetup, ReaderSetup};
use crate::storage::{CheckpointRecord, SharedStore};
use crate::task::{Command, Counts, LiveCounts, Report, TaskContext, is_neighbour_gone};

/// What an attempt begins with.
pub(super) struct AttemptSetup {
    pub(super) attempt: AttemptId,
    pub(super) ancestors: Arc<[RunId]>,
    /// The checkpoint, decoded, and whether it is an older one.
    pub(super) restored: Option<(CheckpointRecord, bool)>,
    /// Everything of the sink in all retained checkpoints.
    pub(super) references: References,
    pub(super) next_checkpoint: CheckpointId,
    /// What was counted up to the restored checkpoint, since the job was started.
    pub(super) base: Counts,
    /// Whether to stop with a savepoint as soon as the attempt runs.
    pub(super) stop: bool,
}

/// How an attempt ended.
pub(super) enum AttemptEnd {
    Finished,
    Stopped(PathBuf),
    Aborted,
    Failed {
        error: Error,
        /// No restart may follow.
        fatal: bool,
        /// The enumerator is not to be used any more.
        enumerator_failed: bool,
    },
}

impl AttemptEnd {
    fn failed(error: Error) -> Self {
        Self::Failed { error, fatal: false, enumerator_failed: false }
    }

    fn enumerator(error: Error) -> Self {
        Self::Failed { error, fatal: false, enumerator_failed: true }
    }
}

/// A running attempt.
pub(super) struct Attempt<'a> {
    shared: &'a Arc<Shared>,
    env: Environment,
    board: &'a Board,
    control: &'a mut mpsc::UnboundedReceiver<Control>,
    source: &'a mut SourceCoordinator,
    checkpointing: Checkpointing,
    coordinator: CheckpointCoordinator,
    commands: Commands,
    reports: mpsc::UnboundedReceiver<Report>,
    open_tasks: usize,
    /// Why a task failed that was heard only when the attempt was closed.
    cause: Option<(Error, bool)>,
    stop_requested: bool,
    /// The enumerator's numbers as they were shown last: unassigned splits, bytes in all.
    shown: (Option<u64>, Option<u64>),
}

/// What the parts of an attempt are lent by the supervisor.
pub(super) struct Lent<'a> {
    pub(super) shared: &'a Arc<Shared>,
    pub(super) board: &'a Board,
    pub(super) control: &'a mut mpsc::UnboundedReceiver<Control>,
    pub(super) source: &'a mut SourceCoordinator,
    pub(super) store: SharedStore,
    pub(super) stored: OnStored,
}

/// Runs an attempt. When it returns, nothing of the attempt runs any more.
pub(super) async fn run(lent: Lent<'_>, setup: AttemptSetup) -> AttemptEnd {
    let (env, scope) = Scope::new(&lent.shared.env);
    let close_timeout = lent.shared.config.close_timeout;
    let clock = env.clock.clone();
    let end = run_in(lent, setup, env).await;
    let closed = tokio::select! {
        () = scope.close() => true,
        () = clock.sleep(close_timeout) => false,
    };
    if closed {
        return end;
    }
    // Going on would let the dead attempt write beside the next one.
    let reason = format!("did not end within {close_timeout:?}: {}", scope.running().join(", "));
    match end {
        AttemptEnd::Failed { error, enumerator_failed, .. } => {
            tracing::error!(%reason, "the attempt failed and does not end");
            AttemptEnd::Failed { error, fatal: true, enumerator_failed }
        }
        end => {
            tracing::warn!(%reason, "something of the ended job still runs");
            end
        }
    }
}

async fn run_in(lent: Lent<'_>, setup: AttemptSetup, env: Environment) -> AttemptEnd {
    let close_timeout = lent.shared.config.close_timeout;
    let run = setup.attempt.run;
    let mut attempt = match Attempt::open(lent, setup, env).await {
        Ok(attempt) => attempt,
        Err(end) => return end,
    };
    let end = attempt.coordinate().await;
    let clock = attempt.env.clock.clone();
    // Writers and readers give up what they hold outside; what does not listen is aborted by the scope.
    tokio::select! {
        () = attempt.close() => {}
        () = clock.sleep(close_timeout) => tracing::warn!("tasks did not close in time"),
    }
    // A task that failed lets go of its neighbours a moment before it says why: one of them may have been heard first.
    let end = match (end, attempt.cause.take()) {
        (AttemptEnd::Failed { error, enumerator_failed, .. }, Some((cause, fatal)))
            if is_neighbour_gone(&error) =>
        {
            AttemptEnd::Failed { error: cause, fatal, enumerator_failed }
        }
        (end, _) => end,
    };
    if matches!(end, AttemptEnd::Finished)
        && let Err(error) = super::finish::settle(attempt.source, &*clock, close_timeout).await
    {
        return AttemptEnd::enumerator(error);
    }
    if matches!(end, AttemptEnd::Finished)
        && let Err(error) = super::finish::sweep(attempt.shared, &attempt.env, run).await
    {
        return AttemptEnd::failed(error);
    }
    end
}

impl<'a> Attempt<'a> {
    async fn open(lent: Lent<'a>, setup: AttemptSetup, env: Environment) -> Result<Self, AttemptEnd> {
        let Lent { shared, board, control, source, store, stored } = lent;
        let AttemptSetup { attempt, ancestors, restored, references, next_checkpoint, base, stop } = setup;
        let (reports_in, reports) = mpsc::unbounded_channel();
        let config = &shared.config;
        let plan = shared
            .graph
            .plan(config.source_parallelism, config.sink_parallelism)
            .map_err(AttemptEnd::failed)?;
        let (mut record, restored) = match restored {
            None => (None, None),
            Some((record, going_back)) => {
                let checkpoint = CheckpointId(record.checkpoint);
                (Some(record), Some(Restored { checkpoint, going_back }))
            }
        };

        let context = WriterContext {
            parallelism: config.sink_parallelism,
            restored,
            ancestors,
            checkpoint_interval: Some(config.checkpoint.interval),
            ..WriterContext::first(env.clone(), attempt)
        };
        if let Some(sweep) = &plan.sweep {
            let swept = sweep.sweep(context.clone(), references).await.map_err(AttemptEnd::failed)?;
            if swept > 0 {
                tracing::info!(swept, "removed what earlier attempts left behind");
            }
        }

        let mut commands = Commands::new();
        let live = Arc::new(LiveCounts::default());
        board.begin_attempt(base, live.clone());
        let sink_state = record.as_mut().map_or_else(
            || SinkState { stages: BTreeMap::new(), committer: Vec::new() },
            super::restore::sink_state,
        );
        let sink_setup = SinkSetup { shared, env: &env, sink: &context, reports: &reports_in };
        let ways = topology::open(&sink_setup, &plan, sink_state, &mut commands)
            .await
            .map_err(AttemptEnd::failed)?;

        let open_tasks = commands.len();
        let now = env.clock.monotonic();
        let sources = (0..config.source_parallelism).map(TaskId::Source);
        let writers = (0..config.sink_parallelism).map(TaskId::Writer).filter(|_| !plan.chained);
        let data_tasks: Vec<TaskId> = sources.chain(writers).collect();
        let tasks: Vec<TaskId> = commands.keys().copied().chain(data_tasks.iter().copied()).collect();
        let coordinator = CheckpointCoordinator::new(
            tasks,
            next_checkpoint,
            config.checkpoint.interval,
            config.checkpoint.timeout,
            now,
        );
        let checkpointing =
            Checkpointing::new(shared.clone(), env.clone(), store, stored, attempt, base, &plan);
        let mut this = Self {
            shared,
            env: env.clone(),
            board,
            control,
            source,
            checkpointing,
            coordinator,
            commands,
            reports,
            open_tasks,
            cause: None,
            stop_requested: stop,
            shown: (None, None),
        };

        // Restored commits come before any input.
        if let Some(Restored { checkpoint, .. }) = restored {
            let committers = |t: &TaskId| matches!(t, TaskId::Committer(_));
            this.announce(checkpoint, committers).await?;
            this.announce(checkpoint, |t| !committers(t)).await?;
        }

        let (splits, states) = record.as_mut().map(super::restore::data_state).unwrap_or_default();
        let mut readers = Vec::new();
        let mut writer_commands = Vec::new();
        for task in data_tasks {
            let (sender, receiver) = mpsc::unbounded_channel();
            this.commands.insert(task, sender);
            match task {
                TaskId::Source(_) => readers.push(receiver),
                _ => writer_commands.push(receiver),
            }
        }
        let readers = readers.into_iter().zip(deal_splits(splits, config.source_parallelism));
        let data = DataSetup {
            context: TaskContext { env: env.clone(), job: Arc::from(config.name.as_str()), live },
            env,
            sink: context,
            readers: readers.map(|(commands, splits)| ReaderSetup { splits, commands }).collect(),
            writers: deal(states, config.sink_parallelism).into_iter().zip(ways).collect(),
            writer_commands,
            reports: reports_in,
        };
        shared.graph.open(data).await.map_err(AttemptEnd::failed)?;
        this.open_tasks = this.commands.len();
        for i in 0..config.source_parallelism {
            let out = this.source.add_reader(ReaderId(i)).map_err(AttemptEnd::enumerator)?;
            this.to_readers(out);
        }
        Ok(this)
    }

    /// Tells some tasks that the restored checkpoint is complete and waits until they have dealt with it.
    async fn announce(
        &mut self,
        checkpoint: CheckpointId,
        to: impl Fn(&TaskId) -> bool,
    ) -> Result<(), AttemptEnd> {
        let mut missing: BTreeSet<TaskId> = self.commands.keys().copied().filter(|t| to(t)).collect();
        for task in &missing {
            self.send(*task, Command::Complete(checkpoint));
        }
        while !missing.is_empty() {
            tokio::select! {
                biased;
                control = self.control.recv() => match control {
                    Some(Control::Stop) => self.stop_requested = true,
                    Some(Control::Abort) | None => return Err(AttemptEnd::Aborted),
                },
                report = self.reports.recv() => match report {
                    Some(Report::Noticed(task, _)) => {
                        missing.remove(&task);
                    }
                    Some(Report::Committed { committed, lost }) => self.committed(committed, lost),
                    Some(Report::Failed { task, error, fatal }) => {
                        tracing::debug!(%task, "failed while restored commits were made");
                        return Err(AttemptEnd::Failed { error, fatal, enumerator_failed: false });
                    }
                    Some(_) => {}
                    None => return Err(AttemptEnd::failed(Error::Cancelled("restoring".into()))),
                },
            }
        }
        Ok(())
    }

    async fn coordinate(&mut self) -> AttemptEnd {
        if std::mem::take(&mut self.stop_requested)
            && let Err(end) = self.input(Input::Stop)
        {
            return end;
        }
        loop {
            let wake_at = self.coordinator.wake_at();
            let wait = wake_at.map(|at| at.saturating_sub(self.env.clock.monotonic()));
            let timer = async {
                match wait {
                    Some(wait) => self.env.clock.sleep(wait).await,
                    None => std::future::pending().await,
                }
            };
            let step = tokio::select! {
                biased;
                control = self.control.recv() => match control {
                    Some(Control::Stop) => self.input(Input::Stop),
                    Some(Control::Abort) | None => Err(AttemptEnd::Aborted),
                },
                report = self.reports.recv() => match report {
                    Some(report) => self.report(report),
                    None => Err(AttemptEnd::failed(Error::Cancelled("the attempt".into()))),
                },
                stored = self.checkpointing.stored() => self.stored(stored),
                commands = poll_fn(|cx| match self.source.poll(cx) {
                    Ok(out) if out.is_empty() => Poll::Pending,
                    other => Poll::Ready(other),
                }) => match commands {
                    Ok(out) => {
                        self.to_readers(out);
                        Ok(())
                    }
                    Err(error) => Err(AttemptEnd::enumerator(error)),
                },
                () = timer => self.input(Input::Tick),
            };
            if let Err(end) = step {
                return end;
            }
            self.show_source();
        }
    }

    /// What the enumerator says of itself, to the board and to the metrics.
    fn show_source(&mut self) {
        let (unassigned, total) = (self.source.unassigned(), self.source.total_bytes());
        if (unassigned, total) == self.shown {
            return;
        }
        self.shown = (unassigned, total);
        self.board.update(|progress| {
            progress.unassigned_splits = unassigned;
            progress.total_bytes = total;
        });
        if let Some(splits) = unassigned {
            let job = self.shared.config.name.clone();
            metrics::gauge!(names::UNASSIGNED_SPLITS, "job" => job).set(splits as f64);
        }
    }

    fn report(&mut self, report: Report) -> Result<(), AttemptEnd> {
        match report {
            Report::SplitRequest(reader) => self.enumerator(EnumeratorCommand::SplitRequest(reader)),
            Report::SplitFinished(reader, split) => {
                self.enumerator(EnumeratorCommand::SplitFinished(reader, split))
            }
            Report::ReaderEvent(reader, event) => {
                self.enumerator(EnumeratorCommand::ReaderEvent(reader, event))
            }
            Report::Ack(task, ack) => {
                let input =
                    Input::Ack { task, checkpoint: ack.checkpoint, ended: ack.ended, pending: ack.pending };
                self.checkpointing.acknowledged(task, *ack);
                self.input(input)
            }
            Report::Noticed(task, checkpoint) => self.input(Input::Noticed { task, checkpoint }),
            Report::Ended(task) => self.input(Input::Ended(task)),
            Report::Committed { committed, lost } => {
                self.committed(committed, lost);
                Ok(())
            }
            Report::Failed { task, error, fatal } => {
                tracing::error!(%task, %error, "failed");
                Err(AttemptEnd::Failed { error, fatal, enumerator_failed: false })
            }
            Report::Closed => {
                self.open_tasks = self.open_tasks.saturating_sub(1);
                let error = Error::contract("a task", "ended although nobody told it to");
                Err(AttemptEnd::failed(error))
            }
        }
    }

    fn committed(&mut self, committed: u64, lost: u64) {
        self.board.update(|progress| {
            progress.lost += lost;
            progress.committed += committed;
            progress.pending = progress.pending.saturating_sub(committed + lost);
        });
    }

    fn enumerator(
        &mut self,
        command: EnumeratorCommand<connector_api::source::DynSplit>,
    ) -> Result<(), AttemptEnd> {
        let out = self.source.handle(command).map_err(AttemptEnd::enumerator)?;
        self.to_readers(out);
        Ok(())
    }

    fn to_readers(&self, out: Vec<ToReader>) {
        for (reader, command) in out {
            self.send(TaskId::Source(reader.0), Command::Reader(command));
        }
    }

    fn send(&self, task: TaskId, command: Command) {
        if let Some(commands) = self.commands.get(&task) {
            // A task that is gone has said why, or will have by the time its report is read.
            let _ = commands.send(command);
        }
    }

    fn input(&mut self, input: Input) -> Result<(), AttemptEnd> {
        let now = self.env.clock.monotonic();
        for output in self.coordinator.handle(input, now) {
            match output {
                Output::Trigger(trigger) => {
                    let id = trigger.checkpoint.id;
                    let enumerator: DynState = self.source.snapshot(id).map_err(AttemptEnd::enumerator)?;
                    self.checkpointing.begin(trigger.checkpoint, enumerator, now);
                    for i in 0..self.shared.config.source_parallelism {
                        self.send(TaskId::Source(i), Command::Trigger(trigger));
                    }
                }
                Output::Store { checkpoint, finished } => self.checkpointing.store(checkpoint, finished),
                Output::Complete(id) => {
                    self.env.crash.hit("checkpoint/before-notice");
                    for task in self.commands.keys() {
                        self.send(*task, Command::Complete(id));
                    }
                    self.enumerator(EnumeratorCommand::CheckpointComplete(id))?;
                }
                Output::Abort(id) => {
                    let timeout = self.shared.config.checkpoint.timeout;
                    tracing::warn!(checkpoint = %id, ?timeout, "a checkpoint was not complete in time and is aborted");
                    self.checkpointing.aborted();
                    for task in self.commands.keys() {
                        self.send(*task, Command::Aborted(id));
                    }
                    self.enumerator(EnumeratorCommand::CheckpointAborted(id))?;
                }
                Output::Finished => return Err(AttemptEnd::Finished),
                Output::Stopped(id) => return Err(AttemptEnd::Stopped(self.checkpointing.path_of(id))),
            }
        }
        Ok(())
    }

    fn stored(&mut self, stored: Result<Durable>) -> Result<(), AttemptEnd> {
        let durable = stored.map_err(AttemptEnd::failed)?;
        if let Some(error) = durable.failure {
            return Err(AttemptEnd::failed(error));
        }
        self.board.update(|progress| {
            progress.checkpoints += 1;
            progress.pending = durable.pending;
            progress.last_checkpoint = Some(durable.summary);
        });
        self.input(Input::Stored(CheckpointId(durable.summary.id)))
    }

    async fn close(&mut self) {
        for task in self.commands.keys() {
            self.send(*task, Command::Close);
        }
        while self.open_tasks > 0 {
            match self.reports.recv().await {
                Some(Report::Closed) => self.open_tasks -= 1,
                Some(Report::Failed { error, fatal, .. }) if !is_neighbour_gone(&error) => {
                    self.cause.get_or_insert((error, fatal));
                }
                Some(_) => {}
                None => return,
            }
        }
    }
}
