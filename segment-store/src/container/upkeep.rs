//! What goes on beside the appends: spare files, snapshots, moving old bytes out of the log, giving space back.

use std::collections::BTreeMap;
use std::sync::{Arc, PoisonError};

use bytes::Bytes;

use super::extents::{Extent, Location};
use super::outcome::{Outcome, Teller};
use super::record::{Op, Run, SegmentKey};
use super::snapshot::{self, Snapshot};
use super::state::State;
use super::{Container, Status};
use crate::error::{Error, Result};
use crate::log::file;
use crate::log::{self, FramePlace, LogWriter};
use crate::object;

/// Files that were filled last are not looked at: much of them may be truncated soon.
const YOUNG: usize = 2;

/// What is to be moved: by segment and offset, with where it is now.
type Moves = Vec<(SegmentKey, Extent, Option<FramePlace>)>;

impl Container {
    /// Makes a snapshot durable, then gives back what only older ones needed.
    pub(super) fn start_snapshot(self: &Arc<Self>, snapshot: Snapshot, waiters: Vec<Teller>) {
        let this = self.clone();
        self.env.spawner.spawn_blocking(Box::new(move || {
            let made = this.snapshot(snapshot);
            if let Err(error) = &made {
                tracing::warn!(%error, "no snapshot could be made; the log is kept until one can");
            }
            this.core().beside -= 1;
            this.idle.notify_waiters();
            for waiter in waiters {
                waiter.tell(made.clone());
            }
        }));
    }

    fn snapshot(self: &Arc<Self>, mut snapshot: Snapshot) -> Result<()> {
        let mut newest = self.snapshots.lock().unwrap_or_else(PoisonError::into_inner);
        let last = snapshot.position.next - 1;
        if *newest >= last {
            // One that was asked for later was made sooner, and holds all that this one does.
            return Ok(());
        }
        let used = snapshot.state.in_use();
        let file = snapshot.position.file;
        let objects: Vec<u64> =
            snapshot.state.objects.keys().filter(|id| !used.objects.contains_key(id)).copied().collect();
        snapshot.state.prune(&used, file);
        self.env.crash.hit("segment-snapshot/before-store");
        snapshot.store(&*self.env.fs, &self.dir)?;
        *newest = last;
        self.env.crash.hit("segment-snapshot/after-store");
        self.core().state.forget(&used, file, &objects);
        let dir = log::dir(&self.dir);
        let listed = file::list(&*self.env.fs, &dir)?;
        let is_free = |number: &u64| *number < file && !used.files.contains_key(number);
        let free: Vec<u64> = listed.files.iter().copied().filter(is_free).collect();
        self.files.forget(&free, &objects);
        let mut spares = listed.spares.len();
        for &number in &free {
            if spares < self.options.spare_files.max(1) {
                file::recycle(&*self.env.fs, &dir, number)?;
                spares += 1;
            } else {
                file::remove(&*self.env.fs, &file::path(&dir, number))?;
            }
            self.env.crash.hit("segment-upkeep/after-recycle");
        }
        for &id in &objects {
            file::remove(&*self.env.fs, &object::path(&object::dir(&self.dir), id))?;
        }
        Ok(())
    }

    /// Makes the file ready that the log goes on in, while the open one is filled. It is counted already.
    pub(super) fn start_preparing(self: &Arc<Self>) {
        let this = self.clone();
        self.env.spawner.spawn_blocking(Box::new(move || {
            if let Err(error) = this.ahead.prepare() {
                tracing::warn!(%error, "the next log file can't be made ready; it is tried again when it is needed");
            }
            this.core().beside -= 1;
            this.idle.notify_waiters();
        }));
    }

    /// Makes a snapshot with the next frame, and waits until it is durable.
    pub(crate) async fn snapshot_now(self: &Arc<Self>) -> Result<()> {
        let made = {
            let mut core = self.core();
            if !matches!(core.status, Status::Open) {
                return Err(core.failure());
            }
            core.wants_snapshot = true;
            let (teller, made) = Outcome::new();
            core.snapshot_waiters.push(teller);
            // Something must be written for it to rest on.
            let incarnation = core.state.incarnation;
            let at = self.env.clock.now_millis();
            drop(core.record(&Op::Opened { incarnation, at })?);
            made
        };
        self.start_commit();
        made.wait().await
    }

    /// Looks after files and objects, unless that is going on.
    pub(super) fn start_upkeep(self: &Arc<Self>) {
        if std::mem::replace(&mut self.core().is_upkeep_running, true) {
            return;
        }
        // Between two steps it keeps nothing: whoever lets go of the store waits for one step at most.
        let container = Arc::downgrade(self);
        let task = async move {
            while let Some(this) = container.upgrade() {
                let alone = this.upkeep.lock().await;
                match this.upkeep_step().await {
                    Ok(true) => continue,
                    Ok(false) | Err(Error::Closed) => {}
                    Err(error) => {
                        tracing::warn!(%error, "old bytes stay in the log until the next file is full");
                    }
                }
                drop(alone);
                this.core().is_upkeep_running = false;
                return;
            }
        };
        drop(self.env.spawner.spawn("segment-store upkeep", Box::pin(task)));
    }

    pub(crate) async fn upkeep(self: &Arc<Self>) -> Result<()> {
        let _alone = self.upkeep.lock().await;
        while self.upkeep_step().await? {}
        Ok(())
    }

    /// Moves what one object takes, or else makes files ready. Says whether there may be more to do. For whoever holds `upkeep`.
    async fn upkeep_step(self: &Arc<Self>) -> Result<bool> {
        if matches!(self.core().status, Status::Closed) {
            // The directory may be somebody else's by now.
            return Err(Error::Closed);
        }
        let (moves, since) = self.moves();
        if moves.is_empty() {
            // Only now: what was moved leaves files to be used again.
            self.blocking(|this| this.ahead.stock(this.options.spare_files)).await?;
            return Ok(false);
        }
        let object = {
            let mut core = self.core();
            core.next_object += 1;
            core.next_object - 1
        };
        let (runs, length) = self.blocking(move |this| this.write_object(object, moves)).await?;
        self.env.crash.hit("segment-upkeep/after-object");
        // Offsets that were not durable may hold other bytes after a recovery.
        self.make(Op::Moved { object, length, runs }, Some(since), |_| Ok(())).await?;
        self.env.crash.hit("segment-upkeep/after-moved");
        self.snapshot_now().await?;
        Ok(true)
    }

    /// What is to be moved next: the bytes of the oldest file when there are too many, else those of files and objects that
    /// hold little else than what was truncated. With the incarnation in which that is so.
    fn moves(&self) -> (Moves, u32) {
        let core = self.core();
        let since = core.state.incarnation;
        let Some(position) =
            core.log.as_ref().map(LogWriter::position).or_else(|| last_position(&core.state))
        else {
            return (Vec::new(), since);
        };
        let used = core.state.in_use();
        let closed: Vec<(u64, u64)> =
            used.files.iter().filter(|(file, _)| **file < position.file).map(|(&f, &n)| (f, n)).collect();
        let mut files: Vec<u64> = Vec::new();
        if closed.len() > self.options.log_files {
            files.extend(closed.first().map(|(file, _)| *file));
        }
        let mut objects = Vec::new();
        if files.is_empty() {
            let mut room = self.options.log_file_size;
            let settled = closed.len().saturating_sub(YOUNG);
            for &(file, bytes) in &closed[..settled] {
                if bytes * 2 < self.options.log_file_size && bytes <= room {
                    room -= bytes;
                    files.push(file);
                }
            }
            for (&id, &bytes) in &used.objects {
                let is_sparse = core.state.objects.get(&id).is_some_and(|object| bytes * 2 < object.length);
                if is_sparse && bytes <= room {
                    room -= bytes;
                    objects.push(id);
                }
            }
        }
        if files.is_empty() && objects.is_empty() {
            return (Vec::new(), since);
        }
        let place = |location| match location {
            Location::Frame { number, .. } => {
                let place = core.state.frames.place(number)?;
                files.contains(&place.file).then_some(Some(place))
            }
            Location::Object { id, .. } => objects.contains(&id).then_some(None),
        };
        let due = core.state.extents();
        (due.filter_map(|(key, extent)| Some((key, *extent, place(extent.location)?))).collect(), since)
    }

    fn write_object(&self, id: u64, moves: Moves) -> Result<(Vec<Run>, u64)> {
        let dir = object::dir(&self.dir);
        // Each frame is read once, though its bytes belong to many segments.
        let mut by_frame: BTreeMap<u64, Vec<usize>> = BTreeMap::new();
        let mut bytes: Vec<Bytes> = vec![Bytes::new(); moves.len()];
        for (n, (_, extent, _)) in moves.iter().enumerate() {
            if let Location::Frame { number, .. } = extent.location {
                by_frame.entry(number).or_default().push(n);
            }
        }
        for (number, parts) in by_frame {
            let Some((_, _, Some(place))) = parts.first().map(|&n| moves[n]) else { continue };
            let frame = self.files.frame(number, place)?;
            for n in parts {
                let (_, extent, _) = &moves[n];
                if let Location::Frame { at, .. } = extent.location {
                    let found = frame.slice(at, extent.length as usize);
                    let found = found.ok_or_else(|| self.files.misplaced(number, place))?;
                    bytes[n] = Bytes::copy_from_slice(&found);
                }
            }
        }
        let mut writer = object::Writer::create(&*self.env.fs, &dir, id)?;
        match self.fill(&mut writer, &moves, &bytes) {
            Ok(runs) => {
                let length = writer.at();
                writer.finish()?;
                Ok((runs, length))
            }
            Err(error) => {
                writer.abandon();
                Err(error)
            }
        }
    }

    fn fill(&self, writer: &mut object::Writer<'_>, moves: &Moves, bytes: &[Bytes]) -> Result<Vec<Run>> {
        let mut runs: Vec<Run> = Vec::new();
        for ((segment, extent, _), bytes) in moves.iter().zip(bytes) {
            let at = writer.at();
            match extent.location {
                Location::Frame { .. } => writer.append(bytes)?,
                Location::Object { id, at } => {
                    let bytes = self.files.object(id)?.read(at, extent.length as usize)?;
                    writer.append(&bytes)?;
                }
            }
            match runs.last_mut() {
                Some(last) if last.segment == *segment && last.offset + last.length == extent.offset => {
                    last.length += extent.length;
                }
                _ => runs.push(Run { segment: *segment, offset: extent.offset, length: extent.length, at }),
            }
        }
        Ok(runs)
    }

    /// Which number the next object may have: one that no object has, or had as far as the state knows.
    pub(super) fn next_object(&self, state: &State) -> Result<u64> {
        let dir = object::dir(&self.dir);
        let entries = self.env.fs.list(&dir).map_err(Error::io("list", &dir))?;
        let there = entries.iter().filter_map(|entry| object::id_of(entry.name.to_str()?)).max();
        Ok(there.max(state.objects.keys().next_back().copied()).unwrap_or(0) + 1)
    }

    /// Removes what a process left that died: unfinished files, and objects that nothing refers to.
    ///
    /// Not before the state is durable in which nothing refers to them: what the log says at its end may be gone after a power cut,
    /// or, where it was given up, come back.
    pub(super) async fn clean(self: &Arc<Self>) -> Result<()> {
        let _alone = self.upkeep.lock().await;
        self.blocking(|this| {
            let used = this.core().state.in_use();
            for dir in [object::dir(&this.dir), snapshot::dir(&this.dir)] {
                for entry in this.env.fs.list(&dir).map_err(Error::io("list", &dir))? {
                    let name = entry.name.to_string_lossy();
                    let is_orphan = object::id_of(&name).is_some_and(|id| !used.objects.contains_key(&id));
                    if is_orphan || name.ends_with(".tmp") {
                        file::remove(&*this.env.fs, &dir.join(&*name))?;
                    }
                }
            }
            Ok(())
        })
        .await
    }
}

fn last_position(state: &State) -> Option<log::Position> {
    let last = state.frames.last()?;
    Some(log::Position { file: last.file, at: last.at, next: 0, previous: 0 })
}
