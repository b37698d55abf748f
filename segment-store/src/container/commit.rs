//! Group commit: what was opened while one frame was written is the next frame.

use std::sync::{Arc, MutexGuard};
use std::thread;

use futures::channel::oneshot;

use super::outcome::Teller;
use super::snapshot::Snapshot;
use super::state::{State, Touched};
use super::{Container, Core, Open, Status};
use crate::error::Error;
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
        let standby = core.standby.take();
        drop(core);
        if let Some(thread) = standby {
            return thread.unpark();
        }
        let mut this = self.clone();
        self.env.spawner.spawn_blocking(Box::new(move || {
            while this.commit() {
                match Self::stand_by(this) {
                    Some(called) => this = called,
                    None => return,
                }
            }
        }));
    }

    /// Waits for the next commit, without keeping the container; none when there was none to wait for.
    fn stand_by(this: Arc<Self>) -> Option<Arc<Self>> {
        let (linger, container) = (this.env.spawner.linger(), Arc::downgrade(&this));
        drop(this);
        thread::park_timeout(linger);
        // Woken without being called it goes, too: the next commit asks for a thread, then.
        container.upgrade().filter(|this| this.core().standby.take().is_none())
    }

    /// Commits until nothing is left to write. Says whether this thread is the one that stands by.
    fn commit(self: &Arc<Self>) -> bool {
        let stands_by = self.write_frames();
        self.idle.notify_waiters();
        stands_by
    }

    fn write_frames(self: &Arc<Self>) -> bool {
        let mut next = self.take(&mut self.core(), Open::new(0));
        let mut old = Vec::new();
        while let Next::Frame(taken) = next {
            let Taken { buffer, tell, room, touched, mut log, snapshot } = *taken;
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
                    return false;
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
            tell.tell(Ok(()));
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
        matches!(next, Next::StandBy)
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
    fn take(&self, core: &mut Core, next: Open) -> Next {
        let is_open = matches!(core.status, Status::Open);
        let is_due = is_open && !core.open.buffer.is_empty();
        let Some(log) = core.log.take_if(|_| is_due) else {
            core.is_committing = false;
            core.standby = is_open.then(thread::current);
            return if is_open { Next::StandBy } else { Next::End };
        };
        let Open { buffer, touched, tell, outcome, room } = std::mem::replace(&mut core.open, next);
        core.next += 1;
        core.in_flight = outcome;
        // The state as it is when this frame is durable.
        let wants_snapshot = core.wants_snapshot || core.logged >= self.options.snapshot_every;
        let snapshot = wants_snapshot.then(|| core.state.clone());
        Next::Frame(Box::new(Taken { buffer, tell, room, touched, log, snapshot }))
    }
}

/// What the thread that commits does next.
enum Next {
    Frame(Box<Taken>),
    StandBy,
    End,
}

/// A frame that is to be written, and what is to be done then.
struct Taken {
    buffer: Buffer,
    tell: Teller,
    room: Vec<oneshot::Sender<()>>,
    /// What readers may see then.
    touched: Touched,
    log: LogWriter,
    /// What a snapshot will hold, if one is due.
    snapshot: Option<State>,
}

impl Core {
    /// No commit will come any more.
    pub(super) fn dismiss(&mut self) {
        if let Some(thread) = self.standby.take() {
            thread.unpark();
        }
    }

    /// Nothing of what is not durable is acknowledged, and the state is given up.
    fn fail(&mut self, error: &Error, written: Teller) {
        if !matches!(self.status, Status::Closed) {
            self.status = Status::Failed(error.clone());
        }
        self.is_committing = false;
        let open = std::mem::replace(&mut self.open, Open::new(0));
        let unavailable = Error::Unavailable { reason: error.to_string() };
        let snapshots = std::mem::take(&mut self.snapshot_waiters);
        for tell in [written, open.tell].into_iter().chain(snapshots) {
            tell.tell(Err(unavailable.clone()));
        }
        for segment in self.state.segments.values() {
            segment.wake();
        }
    }
}
