//! The probe sink: writers with state, a committer, stages around it and a sweep, all of which write down what the host
//! does to them.

use async_trait::async_trait;
use connector_api::id::CheckpointId;
use connector_api::sink::{
    Checkpoint, CommitRequest, Committer, CommittingWriter, Each, Flush, Operator, OperatorContext, Outcome,
    Output, Parallelism, Partition, Prepare, Proof, References, Sink, SinkPlan, SinkWriter, StatefulWriter,
    SweepOrphans, Topology, WriterContext,
};
use connector_api::{Batch, Error, Result, stored};
use serde::{Deserialize, Serialize};

use super::journal::{Party, Settled, What};
use super::script::{HINT, Shape};
use super::world::{Pen, World};

struct ProbeSink {
    world: World,
    process: u32,
}

impl World {
    /// The sink, as the process that lives makes it.
    pub(super) fn sink(&self) -> Box<dyn Sink<Vec<String>>> {
        Box::new(ProbeSink { world: self.clone(), process: self.process() })
    }
}

/// Names of staged rows.
#[derive(Clone, Debug, Serialize, Deserialize)]
struct Names(Vec<String>);
stored!(Names, "probe-names");

/// What a stage holds.
#[derive(Clone, Debug, Serialize, Deserialize)]
struct Held(Vec<String>);
stored!(Held, "probe-held");

/// A writer's state: a name that no other has.
#[derive(Clone, Debug, Serialize, Deserialize)]
struct Label(String);
stored!(Label, "probe-label");

fn opened(
    world: &World,
    process: u32,
    party: Party,
    context: &WriterContext,
    states: Vec<String>,
) -> Result<Pen> {
    let pen = world.pen(process, party, &context.env);
    let (attempt, of, restored) = (context.attempt, context.parallelism, context.restored);
    pen.write(What::Made { attempt, of, restored, states })?;
    Ok(pen)
}

impl Sink<Vec<String>> for ProbeSink {
    fn plan(&self) -> Result<SinkPlan<Vec<String>>> {
        let shape = self.world.lock().script.shape;
        let (world, process) = (self.world.clone(), self.process);
        let plan = SinkPlan::stateful(move |context: WriterContext, states: Vec<Label>| {
            let world = world.clone();
            async move {
                let states: Vec<String> = states.into_iter().map(|label| label.0).collect();
                let pen = opened(&world, process, Party::Writer(context.subtask), &context, states)?;
                Ok(ProbeWriter { pen, context, rows: Vec::new(), staged: 0, has_ended: false })
            }
        });
        let world = self.world.clone();
        let commit = move |context: OperatorContext| {
            let world = world.clone();
            async move {
                let party = Party::Committer(context.subtask);
                Ok(Each(ProbeCommitter { pen: opened(&world, process, party, &context, Vec::new())? }))
            }
        };
        let stage = |uid: &'static str| {
            let world = self.world.clone();
            move |context: OperatorContext, states: Vec<Held>| {
                let world = world.clone();
                async move {
                    let held: Vec<String> = states.into_iter().flat_map(|held| held.0).collect();
                    let party = Party::Stage(uid, context.subtask);
                    let pen = opened(&world, process, party, &context, held.clone())?;
                    Ok((pen, held))
                }
            }
        };
        let (group, list) = (stage("group"), stage("list"));
        let listing = Topology::new().stage("list", Parallelism::Same, Partition::Rebalance, move |c, s| {
            let opening = list(c, s);
            async move {
                let (pen, held) = opening.await?;
                Ok(List { pen, held: held.into_iter().map(|name| (name, Some(0))).collect() })
            }
        });
        let plan = match shape {
            Shape::Plain => plan.committer(commit),
            Shape::Unstaged => {
                plan.pre_commit(Topology::new()).post_commit(listing).committer(commit).absent("group", HINT)
            }
            Shape::Staged => {
                let grouping = move |c: OperatorContext, s: Vec<Held>| {
                    let opening = group(c, s);
                    async move {
                        let (pen, held) = opening.await?;
                        let due = held.len();
                        Ok(Group { pen, held, due })
                    }
                };
                let grouping =
                    Topology::new().stage("group", Parallelism::One, Partition::Rebalance, grouping);
                plan.pre_commit(grouping).post_commit(listing).committer(commit)
            }
        };
        Ok(plan.sweep(Sweep { world: self.world.clone(), process }))
    }
}

struct ProbeWriter {
    pen: Pen,
    context: WriterContext,
    rows: Vec<(u32, u64)>,
    staged: u64,
    has_ended: bool,
}

fn parse(row: &str) -> Result<(u32, u64)> {
    let parts = row.split_once(':').and_then(|(split, row)| Some((split.parse().ok()?, row.parse().ok()?)));
    parts.ok_or_else(|| Error::contract("host", format!("wrote `{row}`, which no reader emitted")))
}

#[async_trait]
impl SinkWriter<Vec<String>> for ProbeWriter {
    async fn write(&mut self, batch: Batch<Vec<String>>) -> Result<()> {
        let rows = batch.rows.iter().map(|row| parse(row)).collect::<Result<Vec<_>>>()?;
        self.pen.write(What::Written(rows.clone()))?;
        self.pen.world().until(|state| !state.script.writers_stuck).await;
        self.rows.extend(rows);
        Ok(())
    }

    async fn watermark(&mut self, millis: i64) -> Result<()> {
        self.pen.write(What::Watermark(millis))
    }

    async fn flush(&mut self, why: Flush) -> Result<()> {
        self.pen.write(What::Flushed(why))?;
        let wait = {
            let mut state = self.pen.world().lock();
            let (left, span) = state.script.slow_flushes;
            state.script.slow_flushes.0 = left.saturating_sub(1);
            (left > 0).then_some(span)
        };
        if let Some(wait) = wait {
            self.context.env.clock.sleep(wait).await;
        }
        self.has_ended |= why == Flush::EndOfInput;
        Ok(())
    }

    async fn close(&mut self) -> Result<()> {
        self.pen.write(What::Closed)
    }
}

impl StatefulWriter<Vec<String>> for ProbeWriter {
    type State = Label;

    fn snapshot(&mut self, at: Checkpoint) -> Result<Vec<Label>> {
        let WriterContext { attempt, subtask, .. } = &self.context;
        let label = (!self.has_ended).then(|| format!("{}@{}-{subtask}", at.id, attempt.number));
        let states: Vec<String> = label.into_iter().collect();
        let checkpoint = at.id.0;
        self.pen.write(What::Snapshot {
            checkpoint,
            unemitted: 0,
            positions: Vec::new(),
            states: states.clone(),
        })?;
        Ok(states.into_iter().map(Label).collect())
    }
}

#[async_trait]
impl CommittingWriter<Vec<String>> for ProbeWriter {
    type Committable = Names;

    async fn prepare_commit(&mut self) -> Result<Vec<Names>> {
        if self.rows.is_empty() {
            self.pen.write(What::Prepared(None))?;
            return Ok(Vec::new());
        }
        self.staged += 1;
        let WriterContext { attempt, subtask, .. } = &self.context;
        let name = format!("{}-{subtask}-{}", attempt.number, self.staged);
        self.pen.write(What::Prepared(Some(name.clone())))?;
        let rows = std::mem::take(&mut self.rows);
        self.pen.world().lock().outside.staged.insert(name.clone(), (*attempt, rows));
        Ok(vec![Names(vec![name])])
    }
}

struct ProbeCommitter {
    pen: Pen,
}

impl ProbeCommitter {
    /// What comes of it, without doing it.
    fn settle(&self, names: &[String]) -> Settled {
        let mut state = self.pen.world().lock();
        let script = &mut state.script;
        for (left, settled) in [(&mut script.fatal, Settled::Fatal), (&mut script.losses, Settled::Lost)] {
            if *left > 0 {
                *left -= 1;
                return settled;
            }
        }
        if script.retries.0 > 0 {
            script.retries.0 -= 1;
            return Settled::Retry;
        }
        let outside = &state.outside;
        let is_there = |name: &&String| {
            outside.staged.contains_key(name.as_str()) || outside.committed.contains(name.as_str())
        };
        if !names.iter().all(|name| is_there(&name)) {
            Settled::Lost
        } else if names.iter().all(|name| outside.committed.contains(name)) {
            Settled::Already
        } else {
            Settled::Committed
        }
    }
}

#[async_trait]
impl Committer<Names> for ProbeCommitter {
    async fn commit(&mut self, request: &CommitRequest<Names>) -> Outcome<Names> {
        let names = request.committable.0.clone();
        if let Err(error) = self.pen.alive() {
            return Outcome::Fatal(error);
        }
        let settled = self.settle(&names);
        let (checkpoint, retries) = (request.checkpoint.0, request.retries);
        let line = What::Commit { names: names.clone(), checkpoint, retries, settled };
        if let Err(error) = self.pen.write(line) {
            return Outcome::Fatal(error);
        }
        match settled {
            Settled::Committed => {
                let mut state = self.pen.world().lock();
                let outside = &mut state.outside;
                for name in names {
                    if let Some((_, rows)) = outside.staged.remove(&name) {
                        outside.visible.extend(rows);
                        outside.committed.insert(name);
                    }
                }
                Outcome::Committed
            }
            Settled::Already => Outcome::AlreadyCommitted { proof: Proof::TransactionCommitted },
            Settled::Retry => Outcome::Retry {
                updated: None,
                after: Some(self.pen.world().lock().script.retries.1),
                why: Error::Cancelled("committing, by the script,".into()),
            },
            Settled::Lost => Outcome::Lost { reason: format!("{names:?} is not staged") },
            Settled::Fatal => Outcome::Fatal(Error::Cancelled("committing, by the script,".into())),
        }
    }
}

/// Holds each item for one checkpoint, unless it is to hurry.
struct Group {
    pen: Pen,
    held: Vec<String>,
    /// So many of the first were in the last snapshot.
    due: usize,
}

#[async_trait]
impl Operator for Group {
    type In = Names;
    type Out = Names;
    type State = Held;

    async fn process(&mut self, item: Names, _: CheckpointId, _: &mut Output<Names>) -> Result<()> {
        for name in item.0 {
            self.pen.write(What::Processed(name.clone()))?;
            self.held.push(name);
        }
        Ok(())
    }

    async fn prepare(&mut self, how: Prepare, out: &mut Output<Names>) -> Result<()> {
        self.pen.write(What::StagePrepared(how))?;
        let due = if how == Prepare::Final { self.held.len() } else { self.due };
        if due > 0 {
            out.emit(Names(self.held.drain(..due).collect()));
        }
        Ok(())
    }

    fn snapshot(&mut self, at: Checkpoint) -> Result<Vec<Held>> {
        let (checkpoint, states) = (at.id.0, self.held.clone());
        self.pen.write(What::Snapshot { checkpoint, unemitted: 0, positions: Vec::new(), states })?;
        self.due = self.held.len();
        Ok(if self.held.is_empty() { Vec::new() } else { vec![Held(self.held.clone())] })
    }

    async fn checkpoint_complete(&mut self, checkpoint: CheckpointId, _: &mut Output<Names>) -> Result<()> {
        self.pen.write(What::Complete(checkpoint.0))
    }

    async fn end_of_input(&mut self, out: &mut Output<Names>) -> Result<()> {
        self.pen.write(What::StageEnded)?;
        if !self.held.is_empty() {
            out.emit(Names(std::mem::take(&mut self.held)));
            self.due = 0;
        }
        Ok(())
    }

    async fn close(&mut self) -> Result<()> {
        self.pen.write(What::Closed)
    }
}

/// Holds each item until the checkpoint that holds it is complete.
struct List {
    pen: Pen,
    /// With the first checkpoint that held it.
    held: Vec<(String, Option<u64>)>,
}

#[async_trait]
impl Operator for List {
    type In = Names;
    type Out = ();
    type State = Held;

    async fn process(&mut self, item: Names, _: CheckpointId, _: &mut Output<()>) -> Result<()> {
        for name in item.0 {
            self.pen.write(What::Processed(name.clone()))?;
            self.held.push((name, None));
        }
        Ok(())
    }

    async fn prepare(&mut self, how: Prepare, _: &mut Output<()>) -> Result<()> {
        self.pen.write(What::StagePrepared(how))
    }

    fn snapshot(&mut self, at: Checkpoint) -> Result<Vec<Held>> {
        let states: Vec<String> = self.held.iter().map(|(name, _)| name.clone()).collect();
        let checkpoint = at.id.0;
        self.held.iter_mut().for_each(|(_, since)| *since = since.or(Some(checkpoint)));
        let line = What::Snapshot { checkpoint, unemitted: 0, positions: Vec::new(), states: states.clone() };
        self.pen.write(line)?;
        Ok(if states.is_empty() { Vec::new() } else { vec![Held(states)] })
    }

    async fn checkpoint_complete(&mut self, checkpoint: CheckpointId, _: &mut Output<()>) -> Result<()> {
        self.held.retain(|(_, since)| since.is_none_or(|since| since > checkpoint.0));
        self.pen.write(What::Complete(checkpoint.0))
    }

    async fn end_of_input(&mut self, _: &mut Output<()>) -> Result<()> {
        self.pen.write(What::StageEnded)
    }

    async fn close(&mut self) -> Result<()> {
        self.pen.write(What::Closed)
    }
}

struct Sweep {
    world: World,
    process: u32,
}

#[async_trait]
impl SweepOrphans for Sweep {
    async fn sweep(&self, context: WriterContext, references: References) -> Result<u64> {
        let mut named: Vec<String> = references.all::<Names>()?.into_iter().flat_map(|n| n.0).collect();
        named.extend(references.all::<Held>()?.into_iter().flat_map(|held| held.0));
        let pen = opened(&self.world, self.process, Party::Sweep, &context, Vec::new())?;
        pen.write(What::Swept(named.clone()))?;
        let mut state = self.world.lock();
        let staged = &mut state.outside.staged;
        let before = staged.len();
        staged.retain(|name, (maker, _)| {
            maker.run != context.attempt.run || maker.number >= context.attempt.number || named.contains(name)
        });
        Ok((before - staged.len()) as u64)
    }
}
