//! One attempt: opening in the order of rule H-44, then step after step.

use std::collections::VecDeque;
use std::panic::AssertUnwindSafe;
use std::sync::Arc;
use std::time::Duration;

use connector_api::id::{AttemptId, ReaderId};
use connector_api::sink::{Partitioner, Restored, SinkPlan, WriterContext};
use connector_api::source::{DynSplit, EnumeratorCommand, EnumeratorSetup, ReaderCommand, ReaderContext};
use connector_api::{Error, Result};
use connector_runtime::coordinate::checkpoint::{CheckpointCoordinator, Input, TaskId};
use connector_runtime::coordinate::source::{SourceCoordinator, deal};
use futures::FutureExt;
use tokio::sync::Notify;

use super::source_side::ReaderSeat;
use super::stage::{Hop, hops};
use super::state::{Building, Stored, references};
use super::writer_side::WriterSeat;
use super::{PATIENCE, Pair, Run, Scale, Stop};
use crate::broken::Broken;
use crate::drive::Woken;
use crate::history::Event;
use crate::rows::TestBatch;
use crate::surroundings::Surroundings;

/// Simulated intervals; how time goes by is the schedule's business.
const INTERVAL: Duration = Duration::from_millis(50);
const TIMEOUT: Duration = Duration::from_secs(30);

/// The tasks of an attempt and what is between them.
pub(super) struct Attempt<B: TestBatch> {
    pub(super) context: WriterContext,
    pub(super) coordinator: CheckpointCoordinator,
    /// How far the schedule has turned the coordinator's clock on.
    pub(super) skew: Duration,
    pub(super) doomed: bool,
    pub(super) building: Option<Building>,
    pub(super) storing: bool,
    pub(super) readers: Vec<ReaderSeat<B>>,
    pub(super) writers: Vec<WriterSeat<B>>,
    pub(super) partitioner: Option<Partitioner<B>>,
    /// Pre-commit stages, committers, post-commit stages.
    pub(super) hops: Vec<Hop>,
    /// From readers to the enumerator.
    pub(super) reports: VecDeque<EnumeratorCommand<DynSplit>>,
    pub(super) enumerator_woken: Arc<Woken>,
    pub(super) notify: Arc<Notify>,
    pub(super) stopping: bool,
    pub(super) ended: bool,
    plan: SinkPlan<B>,
    tasks_before: usize,
}

/// Awaits a call of the connector: it may not panic, and must end in time.
pub(super) async fn guarded<T>(
    around: &Surroundings,
    doing: &str,
    call: impl Future<Output = Result<T>>,
) -> Result<T, Stop> {
    let timed = tokio::time::timeout(PATIENCE, AssertUnwindSafe(call).catch_unwind()).await;
    if around.is_dead() {
        return Err(Stop::Died);
    }
    match timed {
        Err(_) => Err(Broken::new("F-5", format!("{doing} does not end within {PATIENCE:?}")).into()),
        Ok(Err(panic)) => Err(panicked(doing, &*panic)),
        Ok(Ok(result)) => result.map_err(Stop::Failed),
    }
}

/// The same for a call that returns at once.
pub(super) fn guarded_now<T>(
    around: &Surroundings,
    what: &'static str,
    call: impl FnOnce() -> Result<T>,
) -> Result<T, Stop> {
    let call = AssertUnwindSafe(|| around.meter().must_not_block(what, call));
    let result = std::panic::catch_unwind(call);
    if around.is_dead() {
        return Err(Stop::Died);
    }
    match result {
        Err(panic) => Err(panicked(what, &*panic)),
        Ok(result) => result.map_err(Stop::Failed),
    }
}

fn panicked(doing: &str, panic: &(dyn std::any::Any + Send)) -> Stop {
    let text = panic.downcast_ref::<String>().map(String::as_str);
    let text = text.or_else(|| panic.downcast_ref::<&str>().copied()).unwrap_or("(no text)");
    Broken::new("F-4", format!("{doing} panicked: {text}")).into()
}

impl<B: TestBatch> Attempt<B> {
    pub(super) async fn open(
        run: &mut Run<'_>,
        pair: &mut dyn Pair<B>,
        enumerator: &mut Option<SourceCoordinator>,
        scale: Scale,
    ) -> Result<Self, Stop> {
        let env = run.around.env().clone();
        let attempt = run.around.next_attempt();
        let tasks_before = run.around.meter().tasks().len();
        let stored = run.checkpoints.last().cloned();
        let restored = stored.as_ref().map(|stored| Restored {
            checkpoint: stored.checkpoint,
            going_back: stored.checkpoint.0 < run.high_water,
        });
        run.log.line(run.around, format!("attempt {} at {scale:?}, restored {restored:?}", attempt.number));
        let checkpoint = restored.map(|r| r.checkpoint);
        run.history.push(Event::Began { attempt: attempt.number, restored: checkpoint });

        let Scale(readers, writers, committers) = scale;
        let plan = guarded(run.around, "making the sink", async { pair.sink(&env)?.plan() }).await?;
        let context = WriterContext { parallelism: writers, restored, ..WriterContext::first(env, attempt) };
        if let Some(sweep) = &plan.sweep {
            let sweeping = sweep.sweep(context.clone(), references(&run.checkpoints));
            guarded(run.around, "the sweep of orphans", sweeping).await?;
        }
        let hops = hops(run, &plan, &context, stored.as_ref(), writers, committers).await?;
        let tasks = hops.iter().flat_map(Hop::tasks);
        let tasks = tasks
            .chain((0..readers).map(TaskId::Source))
            .chain((0..writers).map(TaskId::Writer))
            .collect::<Vec<_>>();
        let next = connector_api::id::CheckpointId(run.next_checkpoint);
        let now = context.env.clock.monotonic();
        let coordinator = CheckpointCoordinator::new(tasks, next, INTERVAL, TIMEOUT, now);
        let notify = Arc::new(Notify::new());
        let mut this = Self {
            coordinator,
            skew: Duration::ZERO,
            doomed: false,
            building: None,
            storing: false,
            readers: Vec::new(),
            writers: Vec::new(),
            partitioner: plan.partitioner.clone(),
            hops,
            reports: VecDeque::new(),
            enumerator_woken: Woken::new(notify.clone()),
            notify,
            stopping: false,
            ended: false,
            plan,
            tasks_before,
            context,
        };
        if let Some(Restored { checkpoint, .. }) = restored {
            this.commit_restored(run, pair, checkpoint).await?;
        }
        this.open_writers(run, stored.as_ref(), scale).await?;
        this.open_readers(run, pair, enumerator, stored.as_ref(), scale).await?;
        Ok(this)
    }

    async fn open_writers(
        &mut self,
        run: &mut Run<'_>,
        stored: Option<&Stored>,
        scale: Scale,
    ) -> Result<(), Stop> {
        let states = deal(stored.map(|s| s.writers.clone()).unwrap_or_default(), scale.1);
        for (subtask, states) in states.into_iter().enumerate() {
            let context = WriterContext { subtask: subtask as u32, ..self.context.clone() };
            let opening = (self.plan.writer)(context, states);
            let writer = guarded(run.around, "opening a writer", opening).await?;
            self.writers.push(WriterSeat::new(writer, subtask as u32, scale.0 as usize));
        }
        Ok(())
    }

    async fn open_readers(
        &mut self,
        run: &mut Run<'_>,
        pair: &mut dyn Pair<B>,
        enumerator: &mut Option<SourceCoordinator>,
        stored: Option<&Stored>,
        scale: Scale,
    ) -> Result<(), Stop> {
        let env = self.context.env.clone();
        let source = guarded(run.around, "making the source", async { pair.source(&env) }).await?;
        match enumerator {
            Some(coordinator) => guarded_now(run.around, "SplitEnumerator::handle", || {
                coordinator.reset(stored.map(|s| s.checkpoint))
            })?,
            None => {
                let setup =
                    EnumeratorSetup { env: env.clone(), parallelism: scale.0, attempt: self.context.attempt };
                let calls = run.around.meter().file_system_calls();
                let state = stored.map(|s| s.enumerator.clone());
                let made = guarded_now(run.around, "Source::enumerator", || source.enumerator(setup, state))?;
                if run.around.meter().file_system_calls() > calls {
                    return Err(Broken::new("E-9", "files were touched before `Start`").into());
                }
                let coordinator = guarded_now(run.around, "SplitEnumerator::handle", || {
                    SourceCoordinator::start(made, scale.0)
                })?;
                *enumerator = Some(coordinator);
            }
        }
        let splits = deal(stored.map(|s| s.splits.clone()).unwrap_or_default(), scale.0);
        for (reader, splits) in splits.into_iter().enumerate() {
            let reader_id = ReaderId(reader as u32);
            let context = ReaderContext {
                env: env.clone(),
                reader: reader_id,
                parallelism: scale.0,
                attempt: self.context.attempt,
            };
            let reader = guarded_now(run.around, "Source::reader", || source.reader(context))?;
            let mut seat = ReaderSeat::new(reader, reader_id, self.notify.clone());
            if !splits.is_empty() {
                seat.command(run, ReaderCommand::AddSplits(splits))?;
            }
            self.readers.push(seat);
        }
        (0..self.readers.len()).for_each(|reader| self.say_idle(reader));
        for reader in 0..scale.0 {
            let coordinator = coordinator(enumerator)?;
            let out = guarded_now(run.around, "SplitEnumerator::handle", || {
                coordinator.add_reader(ReaderId(reader))
            })?;
            self.tell_readers(out);
        }
        self.enumerator_woken.raise();
        Ok(())
    }

    /// Runs until there is a reason to stop. What is left is closed, unless the process is dead.
    pub(super) async fn until_end(
        mut self,
        run: &mut Run<'_>,
        pair: &mut dyn Pair<B>,
        enumerator: &mut Option<SourceCoordinator>,
    ) -> Stop {
        let mut stop = loop {
            if run.steps >= run.options.steps {
                let what = format!("does not end: {} steps were made", run.steps);
                break Stop::Broken(Broken::new(run.options.rule, what));
            }
            if let Err(stop) = self.step(run, pair, enumerator).await {
                break stop;
            }
        };
        run.next_checkpoint = run.next_checkpoint.max(run.high_water + 1);
        if matches!(stop, Stop::Died | Stop::Broken(_)) {
            return stop;
        }
        if let Err(failed) = self.settle(run, enumerator).await {
            stop = failed;
        }
        if let Err(again) = self.close(run, pair).await
            && !matches!(stop, Stop::Failed(_))
        {
            stop = again;
        }
        stop
    }

    /// At the end of the job the enumerator brings to an end what it does outside.
    async fn settle(
        &mut self,
        run: &mut Run<'_>,
        enumerator: &mut Option<SourceCoordinator>,
    ) -> Result<(), Stop> {
        match enumerator {
            Some(coordinator) if self.ended => {
                guarded(run.around, "SplitEnumerator::poll", coordinator.settle()).await
            }
            _ => Ok(()),
        }
    }

    async fn close(&mut self, run: &mut Run<'_>, pair: &mut dyn Pair<B>) -> Result<(), Stop> {
        for seat in &mut self.readers {
            let closing = std::future::poll_fn(|cx| seat.reader.poll_close(cx));
            guarded(run.around, "SourceReader::poll_close", closing).await?;
        }
        for seat in &mut self.writers {
            guarded(run.around, "SinkWriter::close", seat.writer.close()).await?;
        }
        for hop in &mut self.hops {
            hop.close(run).await?;
        }
        self.readers.clear();
        self.writers.clear();
        self.hops.clear();
        run.look(pair).await?;
        // What the attempt started in the background ends before the next one begins.
        for _ in 0..100 {
            if run.around.meter().tasks().len() <= self.tasks_before {
                break;
            }
            self.context.env.clock.sleep(Duration::from_millis(10)).await;
        }
        if self.ended
            && let Some(sweep) = &self.plan.sweep
        {
            let attempt = run.around.next_attempt();
            let above = WriterContext { attempt, ..self.context.clone() };
            let sweeping = sweep.sweep(above, references(&[]));
            guarded(run.around, "the sweep of orphans", sweeping).await?;
            run.look(pair).await?;
        }
        Ok(())
    }

    pub(super) fn now(&self) -> Duration {
        self.context.env.clock.monotonic() + self.skew
    }

    pub(super) async fn input(
        &mut self,
        run: &mut Run<'_>,
        enumerator: &mut Option<SourceCoordinator>,
        input: Input,
    ) -> Result<(), Stop> {
        let outputs = self.coordinator.handle(input, self.now());
        for output in outputs {
            self.output(run, enumerator, output)?;
        }
        Ok(())
    }

    /// The attempt's number.
    pub(super) fn attempt(&self) -> AttemptId {
        self.context.attempt
    }
}

pub(super) fn coordinator(
    enumerator: &mut Option<SourceCoordinator>,
) -> Result<&mut SourceCoordinator, Stop> {
    enumerator.as_mut().ok_or_else(|| Stop::Failed(Error::contract("host", "has no enumerator")))
}
