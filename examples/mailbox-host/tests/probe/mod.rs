//! Numbers into a sink that writes down how it is called.

use std::collections::BTreeMap;
use std::num::NonZeroUsize;
use std::path::PathBuf;
use std::sync::{Arc, Mutex};
use std::time::Duration;

use async_trait::async_trait;
use connector_api::env::Clock;
use connector_api::id::CheckpointId;
use connector_api::sink::{
    Checkpoint, CommitRequest, Committer, CommittingWriter, Each, Flush, Operator, Outcome, Output,
    Parallelism, Partition, Sink, SinkPlan, SinkWriter, Topology,
};
use connector_api::source::erase;
use connector_api::{Batch, Error, MessageBatch, Result, stored};
use connector_runtime::{CheckpointConfig, JobConfig, OnLost, RestartStrategy, StartOptions};
use mailbox_host::{End, Job, StopFlag};
use serde::{Deserialize, Serialize};
use testkit::fs::SimFs;
use testkit::reference::Numbers;
use testkit::rows::{TestBatch, TestRow};
use testkit::sim;

const ROWS: u64 = 60;

/// What the committer answers.
#[derive(Clone, Copy, Debug)]
pub(crate) enum Answer {
    Commit,
    /// Since the process began.
    RetryUntil(Duration),
    Lost,
}

#[derive(Debug, Default)]
struct Seen {
    log: Vec<String>,
    visible: Vec<String>,
    written: usize,
}

pub(crate) struct Probe {
    fs: SimFs,
    numbers: Numbers,
    seen: Arc<Mutex<Seen>>,
    pub(crate) answer: Answer,
    pub(crate) restart: RestartStrategy,
    pub(crate) on_lost: OnLost,
    /// A savepoint is asked for when so many rows are written.
    pub(crate) stop_at: Option<usize>,
}

impl Probe {
    pub(crate) fn new(answer: Answer) -> Self {
        let numbers = Numbers::new();
        (0..3).for_each(|split| numbers.append(split, &TestRow::range(split, 0..ROWS / 3)));
        Self {
            fs: SimFs::new(),
            numbers,
            seen: Arc::default(),
            answer,
            restart: RestartStrategy::None,
            on_lost: OnLost::Fail,
            stop_at: None,
        }
    }

    /// A process that runs the job, one row at a time.
    pub(crate) fn run(&self) -> Result<End> {
        sim::run(async {
            let env = sim::environment(&self.fs, 7);
            let stop = StopFlag::new();
            let parts = Parts {
                seen: self.seen.clone(),
                answer: self.answer,
                clock: env.clock.clone(),
                stop: self.stop_at.map(|at| (at, stop.clone())),
            };
            let job = Job::<MessageBatch> {
                source: erase(self.numbers.source()),
                sink: Box::new(parts),
                config: JobConfig {
                    name: "probe".to_owned(),
                    source_parallelism: 1,
                    sink_parallelism: 1,
                    committer_parallelism: 1,
                    checkpoint: CheckpointConfig {
                        interval: Duration::from_millis(5),
                        dir: PathBuf::from("/checkpoints"),
                        retain: 2,
                        timeout: Duration::from_secs(60),
                    },
                    restart: self.restart,
                    on_lost: self.on_lost,
                    identity: BTreeMap::new(),
                    close_timeout: Duration::from_secs(5),
                },
                start: StartOptions::default(),
                max_rows: NonZeroUsize::MIN,
            };
            let life = mailbox_host::run(&job, &env, &stop);
            let hangs = || Error::contract("the host", "hangs: an hour has gone by");
            tokio::time::timeout(Duration::from_secs(3_600), life).await.unwrap_or_else(|_| Err(hangs()))
        })
    }

    pub(crate) fn log(&self) -> Vec<String> {
        self.seen.lock().unwrap().log.clone()
    }

    /// The numbers behind a word in the log.
    pub(crate) fn numbers(&self, word: &str) -> Vec<u64> {
        self.log().iter().filter_map(|line| line.strip_prefix(word)?.parse().ok()).collect()
    }

    pub(crate) fn rows(&self) -> Vec<String> {
        self.seen.lock().unwrap().visible.clone()
    }

    /// Every row is visible once.
    pub(crate) fn check_rows(&self) {
        let all = (0..3).flat_map(|split| TestRow::range(split, 0..ROWS / 3));
        let mut all: Vec<String> = all.map(|row| row.text).collect();
        let mut rows = self.rows();
        all.sort();
        rows.sort();
        assert_eq!(rows, all);
    }
}

#[derive(Clone)]
struct Parts {
    seen: Arc<Mutex<Seen>>,
    answer: Answer,
    clock: Arc<dyn Clock>,
    stop: Option<(usize, StopFlag)>,
}

impl Parts {
    fn say(&self, line: impl Into<String>) {
        self.seen.lock().unwrap().log.push(line.into());
    }
}

#[derive(Clone, Serialize, Deserialize)]
struct Staged(Vec<String>);
stored!(Staged, "probe-staged");

impl Sink<MessageBatch> for Parts {
    fn plan(&self) -> Result<SinkPlan<MessageBatch>> {
        let (for_writer, for_committer, for_stage) = (self.clone(), self.clone(), self.clone());
        let behind = Topology::new().stage("behind", Parallelism::One, Partition::Same, move |_, _| {
            let parts = for_stage.clone();
            async move { Ok(Behind(parts)) }
        });
        let writer = SinkPlan::writer(move |_| {
            let parts = for_writer.clone();
            parts.say("open");
            async move { Ok(Writer { parts, rows: Vec::new() }) }
        });
        let plan = writer.pre_commit(Topology::new()).post_commit(behind);
        Ok(plan.committer(move |_| {
            let parts = for_committer.clone();
            async move { Ok(Each(Commits(parts))) }
        }))
    }
}

struct Writer {
    parts: Parts,
    rows: Vec<String>,
}

#[async_trait]
impl SinkWriter<MessageBatch> for Writer {
    async fn write(&mut self, batch: Batch<MessageBatch>) -> Result<()> {
        self.rows.extend(batch.rows.texts()?);
        self.parts.say("write");
        let mut seen = self.parts.seen.lock().unwrap();
        seen.written += 1;
        if let Some((at, stop)) = &self.parts.stop
            && seen.written >= *at
        {
            stop.stop_with_savepoint();
        }
        Ok(())
    }

    async fn flush(&mut self, _: Flush) -> Result<()> {
        self.parts.say("flush");
        Ok(())
    }
}

#[async_trait]
impl CommittingWriter<MessageBatch> for Writer {
    type Committable = Staged;

    async fn prepare_commit(&mut self) -> Result<Vec<Staged>> {
        let rows = std::mem::take(&mut self.rows);
        Ok(if rows.is_empty() { Vec::new() } else { vec![Staged(rows)] })
    }
}

struct Commits(Parts);

#[async_trait]
impl Committer<Staged> for Commits {
    async fn commit(&mut self, request: &CommitRequest<Staged>) -> Outcome<Staged> {
        let why = Error::Cancelled("committing".into());
        match self.0.answer {
            Answer::Lost => return Outcome::Lost { reason: "it is gone".to_owned() },
            Answer::RetryUntil(end) if self.0.clock.monotonic() < end => {
                return Outcome::Retry { updated: None, after: None, why };
            }
            Answer::RetryUntil(_) | Answer::Commit => {}
        }
        self.0.say(format!("committed {}", request.checkpoint));
        self.0.seen.lock().unwrap().visible.extend(request.committable.0.iter().cloned());
        Outcome::Committed
    }
}

struct Behind(Parts);

#[async_trait]
impl Operator for Behind {
    type In = Staged;
    type Out = Staged;
    type State = Staged;

    async fn process(&mut self, _: Staged, at: CheckpointId, _: &mut Output<Staged>) -> Result<()> {
        self.0.say(format!("after {at}"));
        Ok(())
    }

    fn snapshot(&mut self, _: Checkpoint) -> Result<Vec<Staged>> {
        Ok(Vec::new())
    }

    async fn checkpoint_complete(&mut self, at: CheckpointId, _: &mut Output<Staged>) -> Result<()> {
        self.0.say(format!("told {at}"));
        Ok(())
    }

    async fn end_of_input(&mut self, _: &mut Output<Staged>) -> Result<()> {
        self.0.say("end of input");
        Ok(())
    }
}
