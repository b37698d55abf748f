//! A system outside: rows are staged under an id and become visible when that id is committed.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use async_trait::async_trait;
use connector_api::id::CheckpointId;
use connector_api::sink::{
    Checkpoint, CommitRequest, Committer, CommittingWriter, Each, Flush, Operator, OperatorContext, Outcome,
    Output, Parallelism, Partition, Prepare, Proof, Sink, SinkPlan, SinkWriter, Topology, WriterContext,
};
use connector_api::{Batch, Error, Result, stored};
use serde::{Deserialize, Serialize};
use testkit::fs::SimFs;

use super::Twin;

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Shape {
    /// Writer and committer.
    Plain,
    /// A pre-commit stage that groups committables over two checkpoints, and a post-commit stage that lists them.
    Staged,
    /// As `Staged`, with the grouping left out.
    Unstaged,
}

#[derive(Debug, Default)]
pub struct State {
    pub staged: BTreeMap<String, Vec<u64>>,
    pub committed: BTreeSet<String>,
    pub visible: Vec<u64>,
    pub published: BTreeMap<String, Vec<u64>>,
    /// What the post-commit stage was given.
    pub listed: BTreeSet<String>,
    /// A stage was given an item behind the end of its input.
    pub late: bool,
    pub watermarks: BTreeMap<u32, Vec<i64>>,
    pub events: Vec<String>,
    /// The next so many commits answer "retry".
    pub flaky: u64,
    /// Commits of these ids answer "lost".
    pub lose: u64,
    pub writes_until_failure: Option<u64>,
    pub flush_delay: Duration,
}

/// Survives the jobs that write into it. Nothing gets in from a process that is dead.
#[derive(Clone, Debug)]
pub struct Outside {
    pub state: Arc<Mutex<State>>,
    process: SimFs,
    pub twin: Twin,
}

impl Outside {
    pub fn new(process: &SimFs) -> Self {
        Self { state: Arc::default(), process: process.clone(), twin: Twin::Sound }
    }

    /// The same outside, for the next process.
    pub fn for_process(&self, process: &SimFs) -> Self {
        Self { state: self.state.clone(), process: process.clone(), twin: self.twin }
    }

    pub fn visible(&self) -> Vec<u64> {
        let state = self.state.lock().unwrap();
        assert!(!state.late || self.twin != Twin::Sound, "an item behind the end of the input");
        let mut visible = state.visible.clone();
        visible.sort_unstable();
        visible
    }

    pub fn sink(&self, shape: Shape) -> Box<dyn Sink<Vec<u64>>> {
        Box::new(OutsideSink { outside: self.clone(), shape })
    }

    fn alive(&self) -> Result<()> {
        if self.process.is_frozen() {
            Err(Error::Cancelled("everything: the process is dead,".into()))
        } else {
            Ok(())
        }
    }
}

struct OutsideSink {
    outside: Outside,
    shape: Shape,
}

#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct Staged(Vec<String>);
stored!(Staged, "staged");

impl Sink<Vec<u64>> for OutsideSink {
    fn plan(&self) -> Result<SinkPlan<Vec<u64>>> {
        let outside = self.outside.clone();
        let open = move |context: WriterContext| {
            let outside = outside.clone();
            async move { Ok(Writer { outside, context, counter: 0, rows: Vec::new() }) }
        };
        let outside = self.outside.clone();
        let commit = move |_: OperatorContext| {
            let outside = outside.clone();
            async move { Ok(Each(Commits(outside))) }
        };
        let listed = self.outside.clone();
        let list = move |_: OperatorContext, _: Vec<()>| {
            let outside = listed.clone();
            async move { Ok(List { outside, ended: false }) }
        };
        let listing = Topology::new().stage("list", Parallelism::Exactly(2), Partition::Rebalance, list);
        let plan = SinkPlan::writer(open);
        Ok(match self.shape {
            Shape::Plain => plan.committer(commit),
            Shape::Unstaged => plan
                .pre_commit(Topology::new())
                .post_commit(listing)
                .committer(commit)
                .absent("group", "set grouping to \"drain\""),
            Shape::Staged => {
                let twin = self.outside.twin;
                let grouped = self.outside.clone();
                let group = move |_: OperatorContext, states: Vec<Staged>| {
                    let held = states.into_iter().flat_map(|s| s.0).collect();
                    let group = Group { held, checkpoints: 0, ended: false, outside: grouped.clone(), twin };
                    async move { Ok(group) }
                };
                let grouping = Topology::new().stage("group", Parallelism::One, Partition::Rebalance, group);
                plan.pre_commit(grouping).post_commit(listing).committer(commit)
            }
        })
    }
}

struct Writer {
    outside: Outside,
    context: WriterContext,
    counter: u64,
    rows: Vec<u64>,
}

#[async_trait]
impl SinkWriter<Vec<u64>> for Writer {
    async fn write(&mut self, batch: Batch<Vec<u64>>) -> Result<()> {
        {
            let mut state = self.outside.state.lock().unwrap();
            state.events.push("write".to_owned());
            if let Some(left) = &mut state.writes_until_failure {
                *left = left.saturating_sub(1);
                if *left == 0 {
                    state.writes_until_failure = None;
                    return Err(Error::Cancelled("writing, by a test,".into()));
                }
            }
        }
        self.rows.extend(batch.rows);
        Ok(())
    }

    async fn watermark(&mut self, millis: i64) -> Result<()> {
        let mut state = self.outside.state.lock().unwrap();
        state.watermarks.entry(self.context.subtask).or_default().push(millis);
        Ok(())
    }

    async fn flush(&mut self, why: Flush) -> Result<()> {
        let delay = self.outside.state.lock().unwrap().flush_delay;
        if why != Flush::EndOfInput && !delay.is_zero() {
            self.context.env.clock.sleep(delay).await;
        }
        Ok(())
    }
}

#[async_trait]
impl CommittingWriter<Vec<u64>> for Writer {
    type Committable = Staged;

    async fn prepare_commit(&mut self) -> Result<Vec<Staged>> {
        self.outside.alive()?;
        if self.rows.is_empty() {
            return Ok(Vec::new());
        }
        self.counter += 1;
        let id = format!("{}-{}-{}", self.context.attempt, self.context.subtask, self.counter);
        let mut state = self.outside.state.lock().unwrap();
        assert!(!state.staged.contains_key(&id) && !state.committed.contains(&id), "id {id} was used before");
        let mut rows = std::mem::take(&mut self.rows);
        match self.outside.twin {
            Twin::PublishesEarly => state.visible.extend(rows.drain(..1)),
            Twin::StagesLate => self.rows.extend(rows.pop()),
            _ => {}
        }
        state.staged.insert(id.clone(), rows);
        Ok(vec![Staged(vec![id])])
    }
}

struct Commits(Outside);

#[async_trait]
impl Committer<Staged> for Commits {
    async fn commit(&mut self, request: &CommitRequest<Staged>) -> Outcome<Staged> {
        if let Err(e) = self.0.alive() {
            return Outcome::Fatal(e);
        }
        let mut state = self.0.state.lock().unwrap();
        if state.flaky > 0 {
            state.flaky -= 1;
            return Outcome::Retry {
                updated: None,
                after: None,
                why: Error::Cancelled("committing, by a test,".into()),
            };
        }
        if state.lose > 0 {
            state.lose -= 1;
            return Outcome::Lost { reason: format!("{:?} expired", request.committable.0) };
        }
        let mut fresh = false;
        for id in &request.committable.0 {
            if self.0.twin == Twin::ClaimsCommits {
                state.committed.insert(id.clone());
            }
            if state.committed.contains(id) {
                if self.0.twin == Twin::CommitsTwice {
                    let rows = state.published.get(id).cloned().unwrap_or_default();
                    state.visible.extend(rows);
                }
                continue;
            }
            let Some(rows) = state.staged.remove(id) else {
                return Outcome::Lost { reason: format!("{id} is not staged") };
            };
            state.visible.extend(&rows);
            state.published.insert(id.clone(), rows);
            state.committed.insert(id.clone());
            state.events.push("commit".to_owned());
            fresh = true;
        }
        if fresh {
            Outcome::Committed
        } else {
            Outcome::AlreadyCommitted { proof: Proof::TransactionCommitted }
        }
    }
}

/// Gathers the committables of two checkpoints into one.
struct Group {
    held: Vec<String>,
    checkpoints: u32,
    ended: bool,
    outside: Outside,
    twin: Twin,
}

#[async_trait]
impl Operator for Group {
    type In = Staged;
    type Out = Staged;
    type State = Staged;

    async fn process(&mut self, item: Staged, _: CheckpointId, _: &mut Output<Staged>) -> Result<()> {
        self.outside.state.lock().unwrap().late |= self.ended;
        self.held.extend(item.0);
        Ok(())
    }

    async fn prepare(&mut self, how: Prepare, out: &mut Output<Staged>) -> Result<()> {
        self.checkpoints += 1;
        if (self.checkpoints.is_multiple_of(2) || how == Prepare::Final) && !self.held.is_empty() {
            out.emit(Staged(std::mem::take(&mut self.held)));
        }
        Ok(())
    }

    async fn end_of_input(&mut self, _: &mut Output<Staged>) -> Result<()> {
        self.ended = true;
        Ok(())
    }

    fn snapshot(&mut self, _: Checkpoint) -> Result<Vec<Staged>> {
        Ok(if self.held.is_empty() || self.twin == Twin::ForgetsHeld {
            Vec::new()
        } else {
            vec![Staged(self.held.clone())]
        })
    }
}

struct List {
    outside: Outside,
    ended: bool,
}

#[async_trait]
impl Operator for List {
    type In = Staged;
    type Out = ();
    type State = ();

    async fn process(&mut self, item: Staged, _: CheckpointId, _: &mut Output<()>) -> Result<()> {
        self.outside.alive()?;
        let mut state = self.outside.state.lock().unwrap();
        state.late |= self.ended;
        state.listed.extend(item.0);
        Ok(())
    }

    async fn end_of_input(&mut self, _: &mut Output<()>) -> Result<()> {
        self.ended = true;
        Ok(())
    }

    fn snapshot(&mut self, _: Checkpoint) -> Result<Vec<()>> {
        Ok(Vec::new())
    }
}
