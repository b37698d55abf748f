//! When checkpoints are made, when one is complete, and when a job is done.
//!
//! Aligned barriers after Chandy and Lamport, "Distributed Snapshots" (1985), in the form of Carbone et al., "Lightweight
//! Asynchronous Snapshots for Distributed Dataflows" (2015). One checkpoint is in flight at a time.

use std::collections::BTreeSet;
use std::time::Duration;

use connector_api::id::CheckpointId;
use connector_api::sink::{Checkpoint, Prepare};

/// A task that takes part in checkpoints.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum TaskId {
    /// A reader, with the writer that is chained to it, if any.
    Source(u32),
    /// A writer behind an exchange.
    Writer(u32),
    /// An instance of the stage with this index (pre-commit stages first, then post-commit).
    Stage(u32, u32),
    /// A committer.
    Committer(u32),
}

impl std::fmt::Display for TaskId {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            Self::Source(i) => write!(f, "source {i}"),
            Self::Writer(i) => write!(f, "writer {i}"),
            Self::Stage(stage, i) => write!(f, "stage {stage} instance {i}"),
            Self::Committer(i) => write!(f, "committer {i}"),
        }
    }
}

/// What a barrier carries through the job.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Trigger {
    /// The checkpoint.
    pub checkpoint: Checkpoint,
    /// How far operators go before it.
    pub prepare: Prepare,
    /// Whether sources stop reading behind it.
    pub stop: bool,
}

/// What happened.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Input {
    /// Time went by.
    Tick,
    /// A task's snapshot is there.
    Ack {
        /// Which task.
        task: TaskId,
        /// Of which checkpoint.
        checkpoint: CheckpointId,
        /// Whether the task had seen the end of its input before.
        ended: bool,
        /// How many entries of its state wait for something (0 for readers and writers).
        pending: u64,
    },
    /// The checkpoint is durable.
    Stored(CheckpointId),
    /// A task has dealt with the completion of a checkpoint.
    Noticed {
        /// Which task.
        task: TaskId,
        /// Which checkpoint.
        checkpoint: CheckpointId,
    },
    /// A task has seen the end of its input. For stages and committers their acknowledgements say so: they end behind the last
    /// item, which comes with a barrier.
    Ended(TaskId),
    /// The user wants to stop with a savepoint.
    Stop,
}

/// What to do.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Output {
    /// Snapshot the enumerator, then send a barrier into every source.
    Trigger(Trigger),
    /// All snapshots are there: make the checkpoint durable, then its high-water mark, then say [`Input::Stored`].
    Store {
        /// Which.
        checkpoint: Checkpoint,
        /// Whether nothing is left to do once it is complete.
        finished: bool,
    },
    /// Tell every task that it is complete.
    Complete(CheckpointId),
    /// Tell every task that it will never complete.
    Abort(CheckpointId),
    /// The job ended: nothing is pending, and the last checkpoint says so.
    Finished,
    /// The job stopped; this savepoint is complete and its commits were tried.
    Stopped(CheckpointId),
}

#[derive(Debug)]
struct InFlight {
    trigger: Trigger,
    started: Duration,
    missing: BTreeSet<TaskId>,
    /// How many of those that acknowledged it are not at their end.
    not_ended: usize,
    pending: u64,
    storing: bool,
}

/// Decides. Every call returns what to do, in order.
#[derive(Debug)]
pub struct CheckpointCoordinator {
    interval: Duration,
    timeout: Duration,
    tasks: BTreeSet<TaskId>,
    answers_notices: BTreeSet<TaskId>,
    /// Those whose end is the end of the input.
    fed: BTreeSet<TaskId>,
    ended: BTreeSet<TaskId>,
    next_id: u64,
    next_at: Duration,
    in_flight: Option<InFlight>,
    /// The last completed checkpoint and who has not dealt with its completion.
    unsettled: Option<(CheckpointId, BTreeSet<TaskId>)>,
    stop: StopPhase,
    /// What the last checkpoint behind the end of the input left: tasks not at their end, entries that wait.
    last_left: Option<(usize, u64)>,
    done: bool,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum StopPhase {
    Running,
    Requested,
    Stopping(CheckpointId),
}

impl CheckpointCoordinator {
    /// For these tasks, all of which acknowledge barriers; stages and committers also answer notices. The first checkpoint
    /// gets the number `next_id`, and is triggered `interval` after `now`.
    pub fn new(
        tasks: impl IntoIterator<Item = TaskId>,
        next_id: CheckpointId,
        interval: Duration,
        timeout: Duration,
        now: Duration,
    ) -> Self {
        let tasks: BTreeSet<_> = tasks.into_iter().collect();
        let answers = |t: &TaskId| matches!(t, TaskId::Stage(..) | TaskId::Committer(_));
        let is_fed = |t: &&TaskId| matches!(t, TaskId::Source(_) | TaskId::Writer(_));
        let mut fed: BTreeSet<_> = tasks.iter().filter(is_fed).copied().collect();
        if fed.is_empty() {
            fed = tasks.clone();
        }
        Self {
            fed,
            interval,
            timeout,
            answers_notices: tasks.iter().copied().filter(answers).collect(),
            tasks,
            ended: BTreeSet::new(),
            next_id: next_id.0,
            next_at: now.saturating_add(interval),
            in_flight: None,
            unsettled: None,
            stop: StopPhase::Running,
            last_left: None,
            done: false,
        }
    }

    /// When [`Input::Tick`] is needed next.
    pub fn wake_at(&self) -> Option<Duration> {
        match &self.in_flight {
            _ if self.done => None,
            Some(current) if current.storing => None,
            Some(current) => Some(current.started.saturating_add(self.timeout)),
            None if self.may_trigger() => Some(self.next_at),
            None => None,
        }
    }

    /// The checkpoint in flight.
    pub fn in_flight(&self) -> Option<Checkpoint> {
        self.in_flight.as_ref().map(|c| c.trigger.checkpoint)
    }

    /// Takes an input.
    pub fn handle(&mut self, input: Input, now: Duration) -> Vec<Output> {
        let mut out = Vec::new();
        if self.done {
            return out;
        }
        match input {
            Input::Tick => self.check_timeout(now, &mut out),
            Input::Ack { task, checkpoint, ended, pending } => {
                self.acknowledge(task, checkpoint, ended, pending, &mut out)
            }
            Input::Stored(id) => self.stored(id, now, &mut out),
            Input::Noticed { task, checkpoint } => {
                if let Some((id, missing)) = &mut self.unsettled
                    && *id == checkpoint
                {
                    missing.remove(&task);
                }
            }
            Input::Ended(task) => {
                self.ended.insert(task);
                if self.all_ended() {
                    self.next_at = now;
                }
            }
            Input::Stop => {
                if self.stop == StopPhase::Running {
                    self.stop = StopPhase::Requested;
                    self.next_at = now;
                }
            }
        }
        self.settle(&mut out);
        self.maybe_trigger(now, &mut out);
        out
    }

    fn all_ended(&self) -> bool {
        self.fed.is_subset(&self.ended)
    }

    fn settled(&self) -> bool {
        self.unsettled.as_ref().is_none_or(|(_, missing)| missing.is_empty())
    }

    /// Towards the end each checkpoint waits until the completion of the one before has been dealt with: it is what moves
    /// things on. A running job doesn't wait: a commit in flight holds no barrier.
    fn may_trigger(&self) -> bool {
        !matches!(self.stop, StopPhase::Stopping(_)) && (!self.all_ended() || self.settled())
    }

    fn maybe_trigger(&mut self, now: Duration, out: &mut Vec<Output>) {
        if self.done || self.in_flight.is_some() || !self.may_trigger() || now < self.next_at {
            return;
        }
        let stop = self.stop == StopPhase::Requested;
        let checkpoint = Checkpoint { id: CheckpointId(self.next_id), savepoint: stop };
        self.next_id += 1;
        self.next_at = now.saturating_add(self.interval);
        if stop {
            self.stop = StopPhase::Stopping(checkpoint.id);
        }
        // A savepoint of a job at its end waits for nothing: what is in flight is in the state.
        let prepare = if self.all_ended() && !stop { Prepare::Final } else { Prepare::Running };
        let trigger = Trigger { checkpoint, prepare, stop };
        self.in_flight = Some(InFlight {
            trigger,
            started: now,
            missing: self.tasks.clone(),
            not_ended: 0,
            pending: 0,
            storing: false,
        });
        out.push(Output::Trigger(trigger));
    }

    fn check_timeout(&mut self, now: Duration, out: &mut Vec<Output>) {
        let expired = self
            .in_flight
            .as_ref()
            .filter(|c| !c.storing && now >= c.started.saturating_add(self.timeout))
            .map(|c| c.trigger.checkpoint.id);
        if let Some(id) = expired {
            self.in_flight = None;
            // A pause, so that tasks which need longer than the time-out still get to read something in between.
            self.next_at = now.saturating_add(self.interval);
            if self.stop == StopPhase::Stopping(id) {
                // The sources stand still behind its barrier: try again at once.
                self.stop = StopPhase::Requested;
                self.next_at = now;
            }
            out.push(Output::Abort(id));
        }
    }

    fn acknowledge(
        &mut self,
        task: TaskId,
        id: CheckpointId,
        ended: bool,
        pending: u64,
        out: &mut Vec<Output>,
    ) {
        let Some(current) = self.in_flight.as_mut().filter(|c| c.trigger.checkpoint.id == id && !c.storing)
        else {
            return;
        };
        if !current.missing.remove(&task) {
            return;
        }
        current.not_ended += usize::from(!ended);
        current.pending += pending;
        if current.missing.is_empty() {
            current.storing = true;
            let finished = current.not_ended == 0 && current.pending == 0;
            out.push(Output::Store { checkpoint: current.trigger.checkpoint, finished });
        }
    }

    fn stored(&mut self, id: CheckpointId, now: Duration, out: &mut Vec<Output>) {
        if self.in_flight.as_ref().is_none_or(|c| c.trigger.checkpoint.id != id || !c.storing) {
            return;
        }
        let Some(current) = self.in_flight.take() else { return };
        out.push(Output::Complete(id));
        self.unsettled = Some((id, self.answers_notices.clone()));
        if current.not_ended == 0 && current.pending == 0 {
            self.done = true;
            out.push(Output::Finished);
            return;
        }
        if self.all_ended() {
            // Go on at once while things move; at the interval while all that is left waits for a retry.
            let left = (current.not_ended, current.pending);
            let moved = self.last_left != Some(left);
            self.last_left = Some(left);
            self.next_at = if moved { now } else { current.started.saturating_add(self.interval).max(now) };
        }
    }

    fn settle(&mut self, out: &mut Vec<Output>) {
        if let StopPhase::Stopping(id) = self.stop
            && self.unsettled.as_ref().is_some_and(|(settled, missing)| *settled == id && missing.is_empty())
        {
            self.done = true;
            out.push(Output::Stopped(id));
        }
    }
}
