//! The template for engines: a host of connectors on one thread, driven by a mailbox.
//!
//! Read it from here: [`run`] makes attempts; `attempt.rs` is the loop of one; `source.rs` and `sink.rs` are what it drives;
//! `mail.rs` is how it is woken. What is hard (who has which split, when a checkpoint
//! is complete, what is to be committed when) is done by [`connector_runtime::coordinate`], and what survives crashes by
//! [`connector_runtime::storage`]. The README says where each rule for hosts is kept.
//!
//! It needs an executor that polls one future, and nothing else: time, files, randomness and tasks come from the
//! [`Environment`].

mod attempt;
mod mail;
mod sink;
mod source;

use std::num::NonZeroUsize;
use std::path::PathBuf;
use std::pin::pin;
use std::sync::Arc;

use connector_api::env::Environment;
use connector_api::id::{AttemptId, CheckpointId, RunId};
use connector_api::sink::{References, Sink, WriterContext};
use connector_api::source::{BoxSource, DynState, EnumeratorSetup};
use connector_api::{Error, Result, RowBatch};
use connector_runtime::coordinate::restart::Restarts;
use connector_runtime::coordinate::source::SourceCoordinator;
use connector_runtime::local::Scope;
use connector_runtime::storage::{CheckpointRecord, JobStore};
use connector_runtime::{JobConfig, StartOptions};
use futures::future::{Either, select};

use attempt::Attempt;
use mail::Mailbox;

pub use mail::StopFlag;

/// A source into a sink.
pub struct Job<B: RowBatch> {
    /// Where rows come from.
    pub source: BoxSource<B>,
    /// Where they go.
    pub sink: Box<dyn Sink<B>>,
    /// How many of each part run, where and when checkpoints are made, and what follows a failure.
    pub config: JobConfig,
    /// What each run starts from.
    pub start: StartOptions,
    /// A batch is written in parts of at most so many rows, and mails are read between them.
    pub max_rows: NonZeroUsize,
}

/// How a run ended well.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum End {
    /// The input ended, and everything is committed.
    Finished,
    /// It had ended before: nothing was done.
    AlreadyFinished,
    /// It was stopped.
    Stopped {
        /// The savepoint's file, if one was asked for.
        savepoint: Option<PathBuf>,
    },
}

/// Why an attempt ended badly.
pub(crate) enum Failure {
    /// The next attempt may do better.
    Attempt(Error),
    /// So it may, with a new enumerator (H-10).
    Enumerator(Error),
    /// Past every restart strategy (H-27).
    Final(Error),
}

impl From<Error> for Failure {
    fn from(error: Error) -> Self {
        Self::Attempt(error)
    }
}

/// Runs a job to its end, its stop, or a failure that the restart strategy does not cover. Called again it goes on from the
/// newest checkpoint, with the next attempt. When it returns nothing of the job runs any more.
///
/// # Errors
///
/// [`Error::Config`] and [`Error::State`] when the job can't be started from what is in its checkpoint directory; otherwise
/// what failed last.
pub async fn run<B: RowBatch>(job: &Job<B>, env: &Environment, stop: &StopFlag) -> Result<End> {
    job.config.validate()?;
    let (env, scope) = Scope::new(env);
    let result = supervise(job, &env, &stop.0).await;
    close(job, &env, &scope).await;
    result
}

/// Attempt after attempt.
async fn supervise<B: RowBatch>(job: &Job<B>, env: &Environment, mailbox: &Arc<Mailbox>) -> Result<End> {
    let (plan, identity) = (job.sink.plan()?, job.config.identity.clone());
    let check = move |record: &CheckpointRecord| {
        record.check_identity(&identity)?;
        record.check_fits(&plan)
    };
    let mut store = JobStore::open(env, &job.config.checkpoint, &job.start, check).await?;
    if store.is_finished() {
        if let Some(run) = store.own_run()? {
            last_sweep(job, env, run).await?;
        }
        return Ok(End::AlreadyFinished);
    }
    let mut restarts = Restarts::new(job.config.restart);
    // The enumerator outlives an attempt that it did not break.
    let mut source: Option<SourceCoordinator> = None;
    loop {
        let error = match attempt(job, env, mailbox, &store, &mut source, &mut restarts).await {
            Ok(end) => return Ok(end),
            Err(Failure::Final(error)) => return Err(error),
            Err(Failure::Attempt(error)) => error,
            Err(Failure::Enumerator(error)) => {
                source = None;
                error
            }
        };
        let Some(delay) = error.is_retryable().then(|| restarts.failed()).flatten() else {
            return Err(error);
        };
        tracing::warn!(%error, ?delay, "restarting");
        env.clock.sleep(delay).await;
        store.look_again().await?;
    }
}

/// One attempt, from its number to the end of everything that it started.
async fn attempt<B: RowBatch>(
    job: &Job<B>,
    env: &Environment,
    mailbox: &Arc<Mailbox>,
    store: &JobStore,
    source: &mut Option<SourceCoordinator>,
    restarts: &mut Restarts,
) -> Result<End, Failure> {
    // H-40: its number is durable when this returns.
    let start = store.begin_attempt().await?;
    let run = start.attempt.run;
    let record = start.record.as_ref();
    let source = match source {
        // H-3: what this checkpoint does not hold goes back to the enumerator.
        Some(source) => {
            source.reset(record.map(|r| CheckpointId(r.checkpoint))).map_err(Failure::Enumerator)?;
            source
        }
        None => {
            let parallelism = job.config.source_parallelism;
            let setup = EnumeratorSetup { env: env.clone(), parallelism, attempt: start.attempt };
            let state = record.and_then(|record| record.enumerator.clone()).map(DynState);
            let enumerator = job.source.enumerator(setup, state).map_err(Failure::Enumerator)?;
            source.insert(SourceCoordinator::start(enumerator, parallelism).map_err(Failure::Enumerator)?)
        }
    };
    let (env, scope) = Scope::new(env);
    let mut attempt = Attempt::new(job, env.clone(), mailbox, store, source, start);
    let result = attempt.run().await;
    attempt.close().await;
    if attempt.has_completed {
        restarts.progressed();
    }
    drop(attempt);
    if let Ok(End::Finished) = &result {
        last_sweep(job, &env, run).await?;
    }
    match (result, close(job, &env, &scope).await) {
        // Going on would let the dead attempt write beside the next one.
        (Err(Failure::Attempt(error) | Failure::Enumerator(error)), false) => Err(Failure::Final(error)),
        (result, _) => result,
    }
}

/// H-28: removes everything hidden that an attempt of the run made. All of them are over, and no checkpoint needs it.
async fn last_sweep<B: RowBatch>(job: &Job<B>, env: &Environment, run: RunId) -> Result<()> {
    let Some(sweep) = job.sink.plan()?.sweep else { return Ok(()) };
    let attempt = AttemptId { run, number: u64::MAX };
    let parallelism = job.config.sink_parallelism;
    let context = WriterContext { parallelism, ..WriterContext::first(env.clone(), attempt) };
    sweep.sweep(context, References::default()).await.map(drop)
}

/// Ends what was spawned. False when something does not end in time.
async fn close<B: RowBatch>(job: &Job<B>, env: &Environment, scope: &Scope) -> bool {
    let timeout = env.clock.sleep(job.config.close_timeout);
    let is_closed = matches!(select(pin!(scope.close()), timeout).await, Either::Left(_));
    if !is_closed {
        tracing::warn!(running = ?scope.running(), "did not end in time");
    }
    is_closed
}
