//! Group commit: what was opened while one frame was written is the next frame.

use std::sync::Arc;

use super::record::SegmentKey;
use super::snapshot::Snapshot;
use super::state::Visible;
use super::{Container, Core, Open, Status};
use crate::error::{Error, Result};

impl Container {
    /// Starts a commit unless one runs or there is nothing to commit.
    pub(super) fn start_commit(self: &Arc<Self>) {
        {
            let mut core = self.core();
            if core.is_committing || core.open.buffer.is_empty() || !matches!(core.status, Status::Open) {
                return;
            }
            core.is_committing = true;
        }
        let this = self.clone();
        self.env.spawner.spawn_blocking(Box::new(move || {
            this.commit();
            this.idle.notify_waiters();
        }));
    }

    /// Writes frames until nothing is left to write.
    fn commit(self: &Arc<Self>) {
        let mut spare = Open::new(0);
        loop {
            let (taken, shown, log, snapshot) = {
                let mut core = self.core();
                if core.open.buffer.is_empty() || !matches!(core.status, Status::Open) {
                    core.is_committing = false;
                    return;
                }
                let Some(log) = core.log.take() else {
                    core.is_committing = false;
                    return;
                };
                let mut taken = std::mem::replace(&mut core.open, spare);
                core.next += 1;
                let shown = core.ends_of(&mut taken.touched);
                let due = core.wants_snapshot || core.logged >= self.options.snapshot_every;
                // The state as it is when this frame is durable.
                let snapshot = due.then(|| core.state.clone());
                (taken, shown, log, snapshot)
            };
            let Open { buffer, acks, room, touched: _ } = taken;
            // They find room in the frame that is open now.
            drop(room);
            let size = buffer.copied();
            let mut log = log;
            let file = log.position().file;
            let written = log.append(buffer);
            let mut core = self.core();
            let in_flight = std::mem::take(&mut core.in_flight);
            match written {
                Ok((place, bytes)) => {
                    core.durable += 1;
                    let number = core.durable;
                    core.state.frames.push(number, place);
                    core.logged += u64::from(place.length);
                    core.cache.insert(number, bytes);
                    core.show(&shown);
                    let position = log.position();
                    core.log = Some(log);
                    let snapshot = snapshot.map(|mut state| {
                        core.logged = 0;
                        core.wants_snapshot = false;
                        core.snapshots += 1;
                        state.frames.push(number, place);
                        let waiters = std::mem::take(&mut core.snapshot_waiters);
                        (Snapshot { store: self.store, position, state }, waiters)
                    });
                    drop(core);
                    for ack in acks.into_iter().chain(in_flight) {
                        // Whoever asked may be gone.
                        let _ = ack.send(Ok(()));
                    }
                    if let Some((snapshot, waiters)) = snapshot {
                        self.start_snapshot(snapshot, waiters);
                    }
                    if place.file != file {
                        self.start_upkeep();
                    }
                }
                Err(error) => {
                    tracing::error!(%error, "the log could not be written; what was under way is not acknowledged");
                    core.fail(&error, acks.into_iter().chain(in_flight));
                    return;
                }
            }
            // The next ones will be about as large.
            spare = Open::new(size);
        }
    }
}

impl Core {
    /// What readers may see of the touched segments once the frame that was just taken is durable.
    fn ends_of(&self, touched: &mut Vec<SegmentKey>) -> Vec<(SegmentKey, Visible)> {
        touched.sort_unstable();
        touched.dedup();
        let end = |key: &SegmentKey| Some((*key, self.state.segments.get(key)?.end()));
        touched.iter().filter_map(end).collect()
    }

    /// What was written is durable: readers may see it.
    fn show(&mut self, shown: &[(SegmentKey, Visible)]) {
        for (key, visible) in shown {
            if let Some(segment) = self.state.segments.get_mut(key) {
                segment.visible = *visible;
                segment.wake();
            }
        }
    }

    /// Nothing of what is not durable is acknowledged, and the state is given up.
    fn fail(
        &mut self,
        error: &Error,
        acks: impl Iterator<Item = futures::channel::oneshot::Sender<Result<()>>>,
    ) {
        if !matches!(self.status, Status::Closed) {
            self.status = Status::Failed(error.clone());
        }
        self.is_committing = false;
        let open = std::mem::replace(&mut self.open, Open::new(0));
        let unavailable = Error::Unavailable { reason: error.to_string() };
        let snapshots = std::mem::take(&mut self.snapshot_waiters);
        for ack in acks.chain(open.acks).chain(snapshots) {
            let _ = ack.send(Err(unavailable.clone()));
        }
        for segment in self.state.segments.values() {
            segment.wake();
        }
    }
}
