//! What lies behind the writers: stages and committers, in rows.

use std::collections::VecDeque;

use bytes::Bytes;
use connector_api::RowBatch;
use connector_api::id::CheckpointId;
use connector_api::sink::{DynCommitter, DynOperator, Output, Partition, SinkPlan, Stage, WriterContext};
use connector_runtime::coordinate::checkpoint::{TaskId, Trigger};
use connector_runtime::coordinate::commit::CommitLedger;
use connector_runtime::coordinate::route::{Route, instances};
use connector_runtime::coordinate::source::{SourceCoordinator, deal};

use super::attempt::{Attempt, guarded};
use super::channel::{Committable, Element, Inbox, Taken};
use super::state::{Part, Stored};
use super::{Pair, Run, Stop};
use crate::rows::TestBatch;

/// All instances of a stage, or all committers.
pub(super) struct Hop {
    pub(super) seats: Vec<Seat>,
    /// How what comes in is dealt.
    partition: Partition,
    uid: Option<String>,
}

pub(super) struct Seat {
    pub(super) task: TaskId,
    pub(super) inbox: Inbox<Committable>,
    pub(super) role: Role,
    /// Completions that it has not been told yet.
    pub(super) notices: VecDeque<CheckpointId>,
    ended: bool,
    /// Whether what is behind knows of the end.
    said_end: bool,
    /// To the row behind; made with the first item that goes there.
    route: Option<Route>,
}

pub(super) enum Role {
    Operator { operator: Box<dyn DynOperator>, out: Output<Bytes> },
    Committer { committer: Box<dyn DynCommitter>, ledger: CommitLedger },
}

impl Hop {
    pub(super) fn tasks(&self) -> impl Iterator<Item = TaskId> {
        self.seats.iter().map(|seat| seat.task)
    }

    pub(super) fn is_committer(&self) -> bool {
        self.uid.is_none()
    }

    pub(super) async fn close(&mut self, run: &Run<'_>) -> Result<(), Stop> {
        for seat in &mut self.seats {
            if let Role::Operator { operator, .. } = &mut seat.role {
                guarded(run.around, "Operator::close", operator.close()).await?;
            }
        }
        Ok(())
    }
}

/// Opens stages and committers, each row before the one in front of it.
pub(super) async fn hops<B: RowBatch>(
    run: &mut Run<'_>,
    plan: &SinkPlan<B>,
    context: &WriterContext,
    stored: Option<&Stored>,
    writers: u32,
    committers: u32,
) -> Result<Vec<Hop>, Stop> {
    let mut hops = Vec::new();
    let Some(open_committer) = &plan.committer else { return Ok(hops) };
    let mut front = writers;
    let mut index = 0;
    for stage in &plan.pre_commit {
        let hop = open_stage(run, stage, index, context, stored, front, committers).await?;
        (front, index) = (hop.seats.len() as u32, index + 1);
        hops.push(hop);
    }
    let pending = stored.map(|s| s.committables.clone()).unwrap_or_default();
    let mut seats = Vec::new();
    for (i, pending) in deal(pending, committers).into_iter().enumerate() {
        let context = WriterContext { subtask: i as u32, parallelism: committers, ..context.clone() };
        let committer = guarded(run.around, "opening a committer", open_committer(context)).await?;
        let mut ledger = CommitLedger::default();
        for (checkpoint, retries, committable) in pending {
            ledger.add(checkpoint, committable, retries);
        }
        let task = TaskId::Committer(i as u32);
        seats.push(Seat::new(task, front, Role::Committer { committer, ledger }));
    }
    let partition = Route::to_committers(front, committers);
    hops.push(Hop { seats, partition, uid: None });
    front = committers;
    for stage in &plan.post_commit {
        let hop = open_stage(run, stage, index, context, stored, front, committers).await?;
        (front, index) = (hop.seats.len() as u32, index + 1);
        hops.push(hop);
    }
    Ok(hops)
}

async fn open_stage(
    run: &mut Run<'_>,
    stage: &Stage,
    index: u32,
    context: &WriterContext,
    stored: Option<&Stored>,
    front: u32,
    committers: u32,
) -> Result<Hop, Stop> {
    let count = instances(stage, committers);
    let states = stored.and_then(|s| s.stages.get(&stage.uid)).cloned().unwrap_or_default();
    let mut seats = Vec::new();
    for (i, states) in deal(states, count).into_iter().enumerate() {
        let context = WriterContext { subtask: i as u32, parallelism: count, ..context.clone() };
        let operator = guarded(run.around, "opening a stage", (stage.open)(context, states)).await?;
        let role = Role::Operator { operator, out: Output::new() };
        seats.push(Seat::new(TaskId::Stage(index, i as u32), front, role));
    }
    Ok(Hop { seats, partition: stage.partition.clone(), uid: Some(stage.uid.clone()) })
}

impl Seat {
    fn new(task: TaskId, inputs: u32, role: Role) -> Self {
        let inbox = Inbox::new(inputs as usize);
        Self { task, inbox, role, notices: VecDeque::new(), ended: false, said_end: false, route: None }
    }
}

impl<B: TestBatch> Attempt<B> {
    fn behind(hop: Option<usize>) -> usize {
        hop.map_or(0, |hop| hop + 1)
    }

    /// Sends items to the row behind this one (behind the writers, for none).
    pub(super) fn send_on(
        &mut self,
        hop: Option<usize>,
        index: usize,
        checkpoint: CheckpointId,
        items: Vec<Bytes>,
    ) -> Result<(), Stop> {
        let behind = Self::behind(hop);
        let Some(next) = self.hops.get(behind) else { return Ok(()) };
        let (count, partition) = (next.seats.len(), next.partition.clone());
        for bytes in items {
            let route = match hop {
                None => &mut self.writers[index].route,
                Some(hop) => &mut self.hops[hop].seats[index].route,
            };
            let route = route.get_or_insert_with(|| Route::new(partition.clone(), index));
            let target = route.target(&bytes, count)?;
            let item = Element::Data(Committable { checkpoint, bytes });
            self.hops[behind].seats[target].inbox.push(index, item);
        }
        Ok(())
    }

    pub(super) fn barrier_on(&mut self, hop: Option<usize>, index: usize, trigger: Trigger) {
        if let Some(next) = self.hops.get_mut(Self::behind(hop)) {
            next.seats.iter_mut().for_each(|seat| seat.inbox.push(index, Element::Barrier(trigger)));
        }
    }

    pub(super) fn end_on(&mut self, hop: Option<usize>, index: usize) {
        if let Some(next) = self.hops.get_mut(Self::behind(hop)) {
            next.seats.iter_mut().for_each(|seat| seat.inbox.push(index, Element::End));
        }
    }

    pub(super) async fn seat_takes(
        &mut self,
        run: &mut Run<'_>,
        pair: &mut dyn Pair<B>,
        enumerator: &mut Option<SourceCoordinator>,
        (hop, index, input): (usize, usize, usize),
    ) -> Result<(), Stop> {
        let seat = &mut self.hops[hop].seats[index];
        let task = seat.task;
        match seat.inbox.take(input) {
            Some(Taken::Data(item)) => {
                match &mut seat.role {
                    Role::Committer { ledger, .. } => ledger.add(item.checkpoint, item.bytes, 0),
                    Role::Operator { operator, out } => {
                        let processing = operator.process(item.bytes, item.checkpoint, out);
                        guarded(run.around, "Operator::process", processing).await?;
                        run.look(pair).await?;
                    }
                }
                Ok(())
            }
            Some(Taken::Barrier(trigger)) => {
                self.seat_barrier(run, pair, enumerator, hop, index, trigger).await
            }
            Some(Taken::End) => {
                if let Role::Operator { operator, out } = &mut seat.role {
                    guarded(run.around, "Operator::end_of_input", operator.end_of_input(out)).await?;
                }
                seat.ended = true;
                run.log.line(run.around, format!("{task}: end of input"));
                Ok(run.look(pair).await?)
            }
            Some(Taken::Aligning | Taken::Ended(_) | Taken::Watermark(..) | Taken::Idle(..)) | None => Ok(()),
        }
    }

    async fn seat_barrier(
        &mut self,
        run: &mut Run<'_>,
        pair: &mut dyn Pair<B>,
        enumerator: &mut Option<SourceCoordinator>,
        hop: usize,
        index: usize,
        trigger: Trigger,
    ) -> Result<(), Stop> {
        let uid = self.hops[hop].uid.clone();
        let seat = &mut self.hops[hop].seats[index];
        let (task, ended, checkpoint) = (seat.task, seat.ended, trigger.checkpoint);
        let (part, pending, items) = match &mut seat.role {
            Role::Committer { ledger, .. } => {
                let all: Vec<_> = ledger.pending().map(|(id, retries, c)| (id, retries, c.clone())).collect();
                let pending = all.len() as u64;
                (Part::Committer(all), pending, Vec::new())
            }
            Role::Operator { operator, out } => {
                guarded(run.around, "Operator::prepare", operator.prepare(trigger.prepare, out)).await?;
                let snapshot = async { operator.snapshot(checkpoint) };
                let state = guarded(run.around, "Operator::snapshot", snapshot).await?;
                let pending = state.len() as u64;
                (Part::Stage(uid.unwrap_or_default(), state), pending, out.take())
            }
        };
        run.log.line(
            run.around,
            format!("{task}: barrier {}, {pending} pending, {} go on", checkpoint.id, items.len()),
        );
        self.send_on(Some(hop), index, checkpoint.id, items)?;
        // Behind the last item, which may still wait here.
        let seat = &mut self.hops[hop].seats[index];
        if ended && pending == 0 && !std::mem::replace(&mut seat.said_end, true) {
            self.end_on(Some(hop), index);
        }
        self.barrier_on(Some(hop), index, trigger);
        run.look(pair).await?;
        self.acknowledge(run, enumerator, task, checkpoint.id, ended, pending, part).await
    }
}
