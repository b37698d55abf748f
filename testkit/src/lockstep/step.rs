//! The schedule: which of the steps that are possible is made next.

use std::time::Duration;

use connector_api::Error;
use connector_api::id::CheckpointId;
use connector_api::source::{EnumeratorCommand, ReaderCommand};
use connector_runtime::coordinate::checkpoint::{Input, Output, TaskId};
use connector_runtime::coordinate::source::SourceCoordinator;

use super::attempt::{Attempt, coordinator, guarded_now};
use super::source_side::Inward;
use super::stage::Role;
use super::state::{Building, Part};
use super::{INJECTED, Pair, Run, Stop};
use crate::broken::Broken;
use crate::history::Event;
use crate::rows::TestBatch;

enum Step {
    PollEnumerator,
    Report,
    Inward(usize),
    Poll(usize),
    Emit(usize),
    Write(usize, usize),
    Seat(usize, usize, usize),
    Notice(usize, usize),
    Retry(usize, usize),
    Store,
    Tick,
}

impl<B: TestBatch> Attempt<B> {
    pub(super) async fn step(
        &mut self,
        run: &mut Run<'_>,
        pair: &mut dyn Pair<B>,
        enumerator: &mut Option<SourceCoordinator>,
    ) -> Result<(), Stop> {
        run.steps += 1;
        if let Some(first) = run.around.meter().blocking_calls().first() {
            let rule = if first.starts_with("SplitEnumerator") { "E-3" } else { "R-7" };
            return Err(Broken::new(rule, format!("work that blocks in {first}")).into());
        }
        let env = self.context.env.clone();
        pair.meanwhile(&env, run.steps).await?;
        self.interfere(run, pair, enumerator).await?;
        // The connector's own tasks go on beside the host.
        tokio::task::yield_now().await;
        if run.around.is_dead() {
            return Err(Stop::Died);
        }
        let mut steps = self.possible();
        if steps.is_empty() {
            return self.wait(run).await;
        }
        let step = steps.swap_remove(run.pick(steps.len()));
        match step {
            Step::PollEnumerator => self.poll_enumerator(run, enumerator),
            Step::Report => match self.reports.pop_front() {
                Some(report) => self.tell_enumerator(run, enumerator, report),
                None => Ok(()),
            },
            Step::Inward(reader) => self.inward(run, enumerator, reader).await,
            Step::Poll(reader) => self.poll_reader(run, enumerator, reader).await,
            Step::Emit(reader) => self.emit(run, reader),
            Step::Write(writer, input) => self.writer_takes(run, pair, enumerator, writer, input).await,
            Step::Seat(hop, index, input) => {
                self.seat_takes(run, pair, enumerator, (hop, index, input)).await
            }
            Step::Notice(hop, index) => self.deliver_notice(run, pair, enumerator, hop, index).await,
            Step::Retry(hop, index) => self.commit(run, pair, hop, index).await,
            Step::Store => self.store(run, enumerator).await,
            Step::Tick => self.input(run, enumerator, Input::Tick).await,
        }
    }

    fn possible(&self) -> Vec<Step> {
        let mut steps = Vec::new();
        let now = self.now();
        if self.enumerator_woken.is_raised() {
            steps.push(Step::PollEnumerator);
        }
        if !self.reports.is_empty() {
            steps.push(Step::Report);
        }
        for (i, seat) in self.readers.iter().enumerate() {
            if !seat.inbox.is_empty() {
                steps.push(Step::Inward(i));
            }
            let may_read = seat.reading && self.has_room(i);
            if may_read && seat.unemitted.is_some() {
                steps.push(Step::Emit(i));
            } else if may_read && seat.woken.is_raised() {
                steps.push(Step::Poll(i));
            }
        }
        for (i, seat) in self.writers.iter().enumerate() {
            steps.extend(seat.inbox.ready().into_iter().map(|input| Step::Write(i, input)));
        }
        for (h, hop) in self.hops.iter().enumerate() {
            for (i, seat) in hop.seats.iter().enumerate() {
                steps.extend(seat.inbox.ready().into_iter().map(|input| Step::Seat(h, i, input)));
                if !seat.notices.is_empty() {
                    steps.push(Step::Notice(h, i));
                }
                if let Role::Committer { ledger, .. } = &seat.role
                    && ledger.due_at().is_some_and(|due| due <= now)
                {
                    steps.push(Step::Retry(h, i));
                }
            }
        }
        if self.storing {
            steps.push(Step::Store);
        }
        if self.coordinator.wake_at().is_some_and(|at| at <= now) {
            steps.push(Step::Tick);
        }
        steps
    }

    /// What the schedule does by itself: checkpoints, aborts, failures, deaths, stops, the passing of time.
    async fn interfere(
        &mut self,
        run: &mut Run<'_>,
        pair: &mut dyn Pair<B>,
        enumerator: &mut Option<SourceCoordinator>,
    ) -> Result<(), Stop> {
        let due = match self.coordinator.in_flight() {
            None => run.chance(4),
            Some(_) => self.doomed && run.chance(8),
        };
        if due && let Some(at) = self.coordinator.wake_at() {
            self.skew += at.saturating_sub(self.now());
        }
        if run.chance(2) {
            self.context.env.clock.sleep(Duration::from_millis(1 + run.pick(20) as u64)).await;
            self.readers.iter_mut().for_each(|seat| seat.seen.time_passed());
        }
        if run.dies_now() {
            run.log.line(run.around, "the process is killed");
            return Err(Stop::Died);
        }
        if run.fails_now() {
            return Err(Stop::Failed(Error::Cancelled(INJECTED.into())));
        }
        if !self.stopping && (run.stops_now() || pair.is_enough(&run.history)) {
            self.stopping = true;
            run.log.line(run.around, "stop with a savepoint");
            self.input(run, enumerator, Input::Stop).await?;
        }
        Ok(())
    }

    /// Nothing is possible: time goes by until something wakes, or until it is clear that nothing will.
    async fn wait(&mut self, run: &mut Run<'_>) -> Result<(), Stop> {
        let now = self.now();
        let retries = self.hops.iter().flat_map(|hop| &hop.seats).filter_map(|seat| match &seat.role {
            Role::Committer { ledger, .. } => ledger.due_at(),
            Role::Operator { .. } => None,
        });
        let next = retries.chain(self.coordinator.wake_at()).min();
        let wait = next.map(|at| at.saturating_sub(now));
        let timer = self.context.env.clock.sleep(wait.unwrap_or(super::PATIENCE));
        let idle = futures::future::select_all(self.writers.iter_mut().map(|seat| {
            let ended = seat.ended;
            let writer = &mut seat.writer;
            Box::pin(async move { if ended { std::future::pending().await } else { writer.idle().await } })
        }));
        let stop = tokio::select! {
            () = self.notify.notified() => Ok(()),
            () = timer => match wait {
                Some(_) => Ok(()),
                None => Err(Stop::Broken(Broken::new("R-7", "nothing can go on, and nothing wakes anybody"))),
            },
            (done, ..) = idle => done.map_err(Stop::Failed),
        };
        self.readers.iter_mut().for_each(|seat| seat.seen.time_passed());
        if run.around.is_dead() { Err(Stop::Died) } else { stop }
    }

    #[allow(clippy::too_many_arguments)]
    pub(super) async fn acknowledge(
        &mut self,
        run: &mut Run<'_>,
        enumerator: &mut Option<SourceCoordinator>,
        task: TaskId,
        checkpoint: CheckpointId,
        ended: bool,
        pending: u64,
        part: Part,
    ) -> Result<(), Stop> {
        if let Some(building) = self.building.as_mut().filter(|b| b.checkpoint.id == checkpoint) {
            building.parts.insert(task, part);
        }
        self.input(run, enumerator, Input::Ack { task, checkpoint, ended, pending }).await
    }

    async fn store(
        &mut self,
        run: &mut Run<'_>,
        enumerator: &mut Option<SourceCoordinator>,
    ) -> Result<(), Stop> {
        self.storing = false;
        let Some(building) = self.building.take() else { return Ok(()) };
        let stored = building.finish();
        let id = stored.checkpoint;
        run.log.line(run.around, format!("checkpoint {id} is durable"));
        run.history.push(Event::Completed(id));
        run.high_water = run.high_water.max(id.0);
        run.checkpoints.push(stored);
        self.input(run, enumerator, Input::Stored(id)).await
    }

    pub(super) fn output(
        &mut self,
        run: &mut Run<'_>,
        enumerator: &mut Option<SourceCoordinator>,
        output: Output,
    ) -> Result<(), Stop> {
        match output {
            Output::Trigger(trigger) => {
                let checkpoint = trigger.checkpoint;
                run.next_checkpoint = checkpoint.id.0 + 1;
                let source = coordinator(enumerator)?;
                let state =
                    guarded_now(run.around, "SplitEnumerator::snapshot", || source.snapshot(checkpoint.id))?;
                run.log.line(
                    run.around,
                    format!("checkpoint {} begins (attempt {})", checkpoint.id, self.attempt().number),
                );
                self.doomed = !trigger.stop && run.chance(run.options.adversity.aborts);
                self.building = Some(Building { checkpoint, enumerator: state, parts: Default::default() });
                self.readers.iter_mut().for_each(|seat| seat.inbox.push_back(Inward::Trigger(trigger)));
                Ok(())
            }
            Output::Store { .. } => {
                self.storing = true;
                Ok(())
            }
            Output::Complete(id) => self.complete(run, enumerator, id),
            Output::Abort(id) => {
                run.log.line(run.around, format!("checkpoint {id} is aborted"));
                self.building = None;
                for seat in &mut self.readers {
                    if !run.chance(run.options.adversity.lost_notices) {
                        seat.inbox.push_back(Inward::Command(ReaderCommand::CheckpointAborted(id)));
                    }
                }
                self.tell_enumerator(run, enumerator, EnumeratorCommand::CheckpointAborted(id))
            }
            Output::Finished => {
                self.ended = true;
                Err(Stop::Finished)
            }
            Output::Stopped(_) => Err(Stop::Stopped),
        }
    }

    /// Tells everybody, or nearly everybody: a notice may be lost, and the next one stands for it. Towards the end and
    /// for a savepoint none is lost, since no next one may come.
    fn complete(
        &mut self,
        run: &mut Run<'_>,
        enumerator: &mut Option<SourceCoordinator>,
        id: CheckpointId,
    ) -> Result<(), Stop> {
        let sure = self.stopping || self.writers.iter().any(|seat| seat.ended);
        let lost = if sure { 0 } else { run.options.adversity.lost_notices };
        for seat in &mut self.readers {
            if !run.chance(lost) {
                seat.inbox.push_back(Inward::Command(ReaderCommand::CheckpointComplete(id)));
            }
        }
        for seat in self.hops.iter_mut().flat_map(|hop| &mut hop.seats) {
            if run.chance(lost) {
                // Nobody waits for this task to deal with what it never hears of.
                self.coordinator.handle(Input::Noticed { task: seat.task, checkpoint: id }, Duration::ZERO);
            } else {
                seat.notices.push_back(id);
            }
        }
        if run.chance(lost) {
            return Ok(());
        }
        self.tell_enumerator(run, enumerator, EnumeratorCommand::CheckpointComplete(id))
    }
}
