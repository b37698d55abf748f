//! Attempt after attempt, as the restart strategy says.

use std::sync::{Arc, Mutex};

use connector_api::env::Spawner;
use connector_api::id::CheckpointId;
use connector_api::source::{DynState, EnumeratorSetup};
use connector_api::{Error, Result, metrics as names};
use tokio::sync::{mpsc, oneshot};

use super::Shared;
use super::attempt::{self, AttemptEnd, AttemptSetup, Lent};
use super::finish;
use super::handle::{Board, Control, JobHandle};
use crate::coordinate::restart::Restarts;
use crate::coordinate::source::SourceCoordinator;
use crate::local::Scope;
use crate::report::{JobEnd, JobReport};
use crate::storage::{AttemptStart, JobStore};
use crate::task::Counts;

/// Lets the job run in a task of its own.
pub(super) fn run(shared: Arc<Shared>, started: JobStore, scope: Scope, outer: &dyn Spawner) -> JobHandle {
    let (control, control_in) = mpsc::unbounded_channel();
    let (end, ended) = oneshot::channel();
    let board = Arc::new(Board::default());
    let supervisor = Supervisor { board: board.clone(), control: control_in, shared };
    // Not in the job's own scope, which this task closes.
    outer.spawn(
        "job",
        Box::pin(async move {
            let result = supervisor.supervise(started).await;
            scope.close().await;
            // Nobody waits for the end when the handle was dropped.
            let _ = end.send(result);
        }),
    );
    JobHandle { control, board, end: ended }
}

struct Supervisor {
    shared: Arc<Shared>,
    board: Arc<Board>,
    control: mpsc::UnboundedReceiver<Control>,
}

/// What the last stored checkpoint of an attempt stands for.
#[derive(Clone, Copy, Default)]
struct Reached {
    /// None when the attempt stored no checkpoint.
    counts: Option<Counts>,
    /// Whether one was announced: the job makes progress.
    announced: bool,
}

impl Supervisor {
    async fn supervise(mut self, mut started: JobStore) -> Result<JobReport> {
        let begun = self.shared.env.clock.monotonic();
        if started.is_finished() {
            if let Some(run) = started.own_run()? {
                // The process may have died before the enumerator was done.
                let mut source = None;
                let source = self.source(&mut source, &started.begin_attempt().await?)?;
                let (env, timeout) = (&self.shared.env, self.shared.config.close_timeout);
                finish::settle(source, &*env.clock, timeout).await?;
                finish::sweep(&self.shared, env, run).await?;
            }
            return Ok(self.report(begun, JobEnd::AlreadyFinished));
        }
        let mut restarts = Restarts::new(self.shared.config.restart);
        let mut source: Option<SourceCoordinator> = None;
        let reached = Arc::new(Mutex::new(Reached::default()));
        let mut base = Counts::default();
        let mut stop = false;
        loop {
            let (mut error, fatal) = match self.attempt(&mut started, &mut source, base, stop, &reached).await
            {
                AttemptEnd::Finished => return Ok(self.report(begun, JobEnd::Finished)),
                AttemptEnd::Stopped(savepoint) => {
                    return Ok(self.report(begun, JobEnd::Stopped { savepoint }));
                }
                AttemptEnd::Aborted => return Err(Error::Cancelled("the job".into())),
                AttemptEnd::Failed { error, fatal, enumerator_failed } => {
                    if enumerator_failed {
                        source = None;
                    }
                    (error, fatal)
                }
            };
            let progress = std::mem::take(&mut *reached.lock().map_err(|_| poisoned())?);
            base = progress.counts.unwrap_or(base);
            if progress.announced {
                restarts.progressed();
            }
            if fatal {
                return Err(error);
            }
            loop {
                stop |= self.wait_for_restart(error, &mut restarts).await?;
                match started.look_again().await {
                    Ok(()) => break,
                    Err(again) => error = again,
                }
            }
        }
    }

    /// Waits as the restart strategy says, or gives the failure back. Says whether the job is to stop meanwhile: the
    /// savepoint needs a running attempt, which is to begin at once.
    async fn wait_for_restart(&mut self, error: Error, restarts: &mut Restarts) -> Result<bool> {
        let Some(delay) = error.is_retryable().then(|| restarts.failed()).flatten() else {
            return Err(error);
        };
        tracing::warn!(%error, ?delay, "restarting");
        metrics::counter!(names::NUM_RESTARTS, "job" => self.shared.config.name.clone()).increment(1);
        self.board.update(|progress| progress.restarts += 1);
        tokio::select! {
            () = self.shared.env.clock.sleep(delay) => Ok(false),
            control = self.control.recv() => match control {
                Some(Control::Stop) => Ok(true),
                Some(Control::Abort) | None => Err(Error::Cancelled("the job".into())),
            },
        }
    }

    async fn attempt(
        &mut self,
        started: &mut JobStore,
        source: &mut Option<SourceCoordinator>,
        base: Counts,
        stop: bool,
        reached: &Arc<Mutex<Reached>>,
    ) -> AttemptEnd {
        let failed = |error| AttemptEnd::Failed { error, fatal: false, enumerator_failed: false };
        let prepared = match started.begin_attempt().await {
            Ok(prepared) => prepared,
            Err(error) => return failed(error),
        };
        let coordinator = match self.source(source, &prepared) {
            Ok(coordinator) => coordinator,
            Err(error) => return AttemptEnd::Failed { error, fatal: false, enumerator_failed: true },
        };
        let setup = AttemptSetup {
            attempt: prepared.attempt,
            ancestors: prepared.ancestors,
            restored: prepared.record.zip(prepared.restored.map(|restored| restored.going_back)),
            references: prepared.references,
            next_checkpoint: prepared.next_checkpoint,
            base,
            stop,
        };
        let reached = reached.clone();
        let stored = move |counts, announced| {
            if let Ok(mut reached) = reached.lock() {
                let announced = announced || reached.announced;
                *reached = Reached { counts: Some(counts), announced };
            }
        };
        let lent = Lent {
            shared: &self.shared,
            board: &self.board,
            control: &mut self.control,
            source: coordinator,
            store: started.shared(),
            stored: Arc::new(stored),
        };
        attempt::run(lent, setup).await
    }

    /// The enumerator outlives an attempt that it did not break; splits that the restored checkpoint does not hold are
    /// given back to it.
    fn source<'a>(
        &self,
        source: &'a mut Option<SourceCoordinator>,
        prepared: &AttemptStart,
    ) -> Result<&'a mut SourceCoordinator> {
        let record = prepared.record.as_ref();
        match source {
            Some(coordinator) => {
                coordinator.reset(record.map(|record| CheckpointId(record.checkpoint)))?;
                Ok(coordinator)
            }
            None => {
                let parallelism = self.shared.config.source_parallelism;
                let setup =
                    EnumeratorSetup { env: self.shared.env.clone(), parallelism, attempt: prepared.attempt };
                let state = record.and_then(|record| record.enumerator.clone());
                let state = state.map(DynState);
                let enumerator = self.shared.graph.enumerator(setup, state)?;
                Ok(source.insert(SourceCoordinator::start(enumerator, parallelism)?))
            }
        }
    }

    fn report(&self, begun: std::time::Duration, end: JobEnd) -> JobReport {
        let progress = self.board.read();
        JobReport {
            records_in: progress.records_in,
            bytes_in: progress.bytes_in,
            records_out: progress.records_out,
            bytes_out: progress.bytes_out,
            checkpoints: progress.checkpoints,
            restarts: progress.restarts,
            committed: progress.committed,
            pending: progress.pending,
            lost: progress.lost,
            elapsed: self.shared.env.clock.monotonic().saturating_sub(begun),
            end,
        }
    }
}

fn poisoned() -> Error {
    Error::contract("supervisor", "a thread panicked while it held the counts")
}
