//! The sink's stages as tasks: opens operators and committers and connects them.

use std::collections::BTreeMap;
use std::sync::Arc;

use bytes::Bytes;
use connector_api::Result;
use connector_api::env::Environment;
use connector_api::id::CheckpointId;
use connector_api::sink::{OperatorContext, Partition, Stage, WriterContext};
use tokio::sync::mpsc;

use super::Shared;
use crate::coordinate::checkpoint::TaskId;
use crate::coordinate::commit::CommitLedger;
use crate::coordinate::route::{Route, instances};
use crate::coordinate::source::deal;
use crate::pipeline::PlanParts;
use crate::task::{
    Command, Committable, CommitterTask, Downstream, Element, Inputs, Reports, StageTask, channel, spawn,
};

pub(super) type Commands = BTreeMap<TaskId, mpsc::UnboundedSender<Command>>;

/// What the stages and committers of a sink start with.
pub(super) struct SinkState {
    /// By the uid of the stage.
    pub(super) stages: BTreeMap<String, Vec<Bytes>>,
    pub(super) committer: Vec<(CheckpointId, u32, Bytes)>,
}

pub(super) struct SinkSetup<'a> {
    pub(super) shared: &'a Shared,
    pub(super) env: &'a Environment,
    pub(super) sink: &'a WriterContext,
    pub(super) reports: &'a Reports,
}

type Sender = mpsc::Sender<Element<Committable>>;
type Receiver = mpsc::Receiver<Element<Committable>>;

/// The channels between two neighbouring rows of tasks.
struct Edge {
    /// Per instance in front.
    senders: Vec<Vec<Sender>>,
    /// Per instance behind.
    receivers: Vec<Vec<Receiver>>,
}

fn edge(front: u32, behind: u32) -> Edge {
    let mut senders: Vec<Vec<_>> = (0..front).map(|_| Vec::new()).collect();
    let mut receivers: Vec<Vec<_>> = (0..behind).map(|_| Vec::new()).collect();
    for sender_row in &mut senders {
        for receiver_row in &mut receivers {
            let (sender, receiver) = channel();
            sender_row.push(sender);
            receiver_row.push(receiver);
        }
    }
    Edge { senders, receivers }
}

fn downstreams(senders: Vec<Vec<Sender>>, partition: &Partition) -> Vec<Option<Downstream>> {
    let ways = senders.into_iter().enumerate();
    ways.map(|(i, senders)| Some(Downstream::new(senders, partition.clone(), i))).collect()
}

/// Opens the stages and committers and lets them run; gives each writer its way to the first of them.
pub(super) async fn open(
    setup: &SinkSetup<'_>,
    plan: &PlanParts,
    mut state: SinkState,
    commands: &mut Commands,
) -> Result<Vec<Option<Downstream>>> {
    let shared = setup.shared;
    let writers = shared.config.sink_parallelism;
    let Some(open_committer) = &plan.committer else {
        return Ok((0..writers).map(|_| None).collect());
    };
    let committers = shared.config.committer_parallelism;

    // From the last task to the first, since each needs its way to the next.
    let mut index = (plan.pre_commit.len() + plan.post_commit.len()) as u32;
    let mut ways: Vec<Vec<Sender>> = Vec::new();
    let mut next: Option<Partition> = None;
    let mut fronts: Vec<u32> = vec![committers];
    fronts.extend(plan.post_commit.iter().map(|stage| instances(stage, committers)));
    for (stage, front) in plan.post_commit.iter().zip(&fronts).rev() {
        index -= 1;
        let count = instances(stage, committers);
        let Edge { senders, receivers } = edge(*front, count);
        let down = next.as_ref().map_or_else(
            || (0..count).map(|_| None).collect(),
            |partition| downstreams(std::mem::take(&mut ways), partition),
        );
        open_stage(setup, stage, index, receivers, down, &mut state, commands).await?;
        ways = senders;
        next = Some(stage.partition.clone());
    }

    let last_front = plan.pre_commit.last().map_or(writers, |stage| instances(stage, committers));
    let Edge { senders, receivers } = edge(last_front, committers);
    let down: Vec<_> = next.as_ref().map_or_else(
        || (0..committers).map(|_| None).collect(),
        |partition| downstreams(std::mem::take(&mut ways), partition),
    );
    let mut pending = deal(std::mem::take(&mut state.committer), committers).into_iter();
    for (i, (receivers, downstream)) in receivers.into_iter().zip(down).enumerate() {
        let task = TaskId::Committer(i as u32);
        let committer = open_committer(context(setup, i as u32, committers)).await?;
        let mut ledger = CommitLedger::default();
        for (checkpoint, retries, committable) in pending.next().unwrap_or_default() {
            ledger.add(checkpoint, committable, retries);
        }
        let (sender, commands_in) = mpsc::unbounded_channel();
        commands.insert(task, sender);
        let body = CommitterTask {
            task,
            env: setup.env.clone(),
            job: Arc::from(shared.config.name.as_str()),
            committer,
            ledger,
            on_lost: shared.config.on_lost,
            inputs: Inputs::new(receivers),
            downstream,
            commands: commands_in,
            reports: setup.reports.clone(),
        };
        spawn(setup.env, task, setup.reports.clone(), body.run());
    }
    ways = senders;
    let mut partition = Route::to_committers(last_front, committers);

    for (i, stage) in plan.pre_commit.iter().enumerate().rev() {
        let front = i.checked_sub(1).map_or(writers, |i| instances(&plan.pre_commit[i], committers));
        let Edge { senders, receivers } = edge(front, instances(stage, committers));
        let down = downstreams(std::mem::take(&mut ways), &partition);
        open_stage(setup, stage, i as u32, receivers, down, &mut state, commands).await?;
        ways = senders;
        partition = stage.partition.clone();
    }
    Ok(downstreams(ways, &partition))
}

async fn open_stage(
    setup: &SinkSetup<'_>,
    stage: &Stage,
    index: u32,
    receivers: Vec<Vec<Receiver>>,
    down: Vec<Option<Downstream>>,
    state: &mut SinkState,
    commands: &mut Commands,
) -> Result<()> {
    let count = receivers.len() as u32;
    let states = deal(state.stages.remove(&stage.uid).unwrap_or_default(), count);
    for (i, ((receivers, downstream), states)) in receivers.into_iter().zip(down).zip(states).enumerate() {
        let task = TaskId::Stage(index, i as u32);
        let operator = (stage.open)(context(setup, i as u32, count), states).await?;
        let (sender, commands_in) = mpsc::unbounded_channel();
        commands.insert(task, sender);
        let body = StageTask {
            task,
            operator,
            inputs: Inputs::new(receivers),
            downstream,
            commands: commands_in,
            reports: setup.reports.clone(),
        };
        spawn(setup.env, task, setup.reports.clone(), body.run());
    }
    Ok(())
}

fn context(setup: &SinkSetup<'_>, subtask: u32, parallelism: u32) -> OperatorContext {
    OperatorContext { subtask, parallelism, ..setup.sink.clone() }
}
