//! Group commit: what was opened while one frame was written is the next frame.

use std::sync::{Arc, MutexGuard};

use futures::channel::oneshot;

use super::snapshot::Snapshot;
use super::state::{State, Touched};
use super::{Container, Core, Open, Status};
use crate::error::{Error, Result};
use crate::log::frame::Buffer;
use crate::log::{LogWriter, Payload};

impl Container {
    /// Starts a commit unless one runs or there is nothing to commit.
    pub(super) fn start_commit(self: &Arc<Self>) {
        self.start_commit_of(self.core());
    }

    pub(super) fn start_commit_of(self: &Arc<Self>, mut core: MutexGuard<'_, Core>) {
        if core.is_committing || core.open.buffer.is_empty() || !matches!(core.status, Status::Open) {
            return;
        }
        core.is_committing = true;
        drop(core);
        let this = self.clone();
        self.env.spawner.spawn_blocking(Box::new(move || {
            this.commit();
            this.idle.notify_waiters();
        }));
    }

    /// Writes frames until nothing is left to write.
    fn commit(self: &Arc<Self>) {
        let mut next = self.take(&mut self.core(), Open::new(0));
        let mut old = Vec::new();
        while let Some(Taken { buffer, tell, room, touched, mut log, snapshot }) = next {
            let (size, file) = (buffer.copied(), log.position().file);
            let replaced = std::mem::take(&mut old);
            // Those who waited find room in the frame that is open now. Woken sooner, they would take the processor from this thread.
            let under_way = || self.leave(room, replaced);
            let written = log.append(buffer, under_way);
            let mut core = self.core();
            let (place, bytes) = match written {
                Ok(written) => written,
                Err(error) => {
                    tracing::error!(%error, "the log could not be written; what was under way is not acknowledged");
                    core.fail(&error, tell);
                    return;
                }
            };
            core.durable += 1;
            let number = core.durable;
            core.state.frames.push(number, place);
            core.logged += u64::from(place.length);
            old = core.cache.insert(number, bytes);
            core.state.show(&touched);
            let position = log.position();
            core.log = Some(log);
            let snapshot = snapshot.map(|mut state| {
                core.logged = 0;
                core.wants_snapshot = false;
                core.beside += 1;
                state.frames.push(number, place);
                let waiters = std::mem::take(&mut core.snapshot_waiters);
                (Snapshot { store: self.store, position, state }, waiters)
            });
            let prepares = self.ahead.is_wanted();
            core.beside += u32::from(prepares);
            // The next ones will be about as large.
            next = self.take(&mut core, Open::new(size));
            drop(core);
            // Whoever asked may be gone.
            let _ = tell.send(Ok(()));
            if let Some((snapshot, waiters)) = snapshot {
                self.start_snapshot(snapshot, waiters);
            }
            if prepares {
                self.start_preparing();
            }
            if place.file != file {
                self.start_upkeep();
            }
        }
    }

    /// Wakes those who wait for room, and drops what is not needed any more.
    fn leave(&self, room: Vec<oneshot::Sender<()>>, old: Vec<Payload>) {
        let work = (room, old);
        if work.0.len() > 1 {
            // To wake many takes long from here, and little from a task.
            drop(self.env.spawner.spawn("segment-store room", Box::pin(async move { drop(work) })));
        }
    }

    /// Takes the open frame, to be written, and opens another one; when there is nothing to write, commits end.
    fn take(&self, core: &mut Core, next: Open) -> Option<Taken> {
        let is_due = !core.open.buffer.is_empty() && matches!(core.status, Status::Open);
        let Some(log) = core.log.take_if(|_| is_due) else {
            core.is_committing = false;
            return None;
        };
        let Open { buffer, touched, tell, outcome, room } = std::mem::replace(&mut core.open, next);
        core.next += 1;
        core.in_flight = outcome;
        // The state as it is when this frame is durable.
        let wants_snapshot = core.wants_snapshot || core.logged >= self.options.snapshot_every;
        let snapshot = wants_snapshot.then(|| core.state.clone());
        Some(Taken { buffer, tell, room, touched, log, snapshot })
    }
}

/// A frame that is to be written, and what is to be done then.
struct Taken {
    buffer: Buffer,
    tell: oneshot::Sender<Result<()>>,
    room: Vec<oneshot::Sender<()>>,
    /// What readers may see then.
    touched: Touched,
    log: LogWriter,
    /// What a snapshot will hold, if one is due.
    snapshot: Option<State>,
}

impl Core {
    /// Nothing of what is not durable is acknowledged, and the state is given up.
    fn fail(&mut self, error: &Error, written: oneshot::Sender<Result<()>>) {
        if !matches!(self.status, Status::Closed) {
            self.status = Status::Failed(error.clone());
        }
        self.is_committing = false;
        let open = std::mem::replace(&mut self.open, Open::new(0));
        let unavailable = Error::Unavailable { reason: error.to_string() };
        let snapshots = std::mem::take(&mut self.snapshot_waiters);
        for tell in [written, open.tell].into_iter().chain(snapshots) {
            // Whoever asked may be gone.
            let _ = tell.send(Err(unavailable.clone()));
        }
        for segment in self.state.segments.values() {
            segment.wake();
        }
    }
}
