//! Opening a container, recovering it after a failed write, reading along with another process, closing it.

use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, PoisonError};

use connector_api::env::{Environment, FileLock};
use futures::channel::oneshot;
use tokio::sync::Notify;

use super::cache::FrameCache;
use super::files::Files;
use super::lease::Leases;
use super::record::Op;
use super::state::State;
use super::{Container, Core, Open, Status, recover};
use crate::error::{Error, Result};
use crate::log::{self, Ahead, LogWriter, Setup, Start};
use crate::options::{Durability, StoreOptions};
use crate::pool::Pool;

impl Container {
    /// Opens the log in a directory that is locked and has an identity.
    pub(crate) async fn open(
        env: Environment,
        dir: PathBuf,
        store: u128,
        options: StoreOptions,
        lock: Option<Box<dyn FileLock>>,
    ) -> Result<Arc<Self>> {
        let is_writer = lock.is_some();
        let files = Files::new(env.fs.clone(), &dir, store);
        let ahead = Arc::new(Ahead::new(env.fs.clone(), log::dir(&dir), options.log_file_size));
        let open = Open::new(0);
        let core = Core {
            state: State::default(),
            status: Status::Recovering,
            in_flight: open.outcome.clone(),
            open,
            next: 1,
            durable: 0,
            log: None,
            is_committing: false,
            standby: None,
            cache: FrameCache::new(options.tail_cache),
            logged: 0,
            wants_snapshot: false,
            beside: 0,
            snapshot_waiters: Vec::new(),
            is_upkeep_running: false,
            next_object: 1,
            follow: None,
        };
        let container = Arc::new(Self {
            env,
            dir,
            store,
            pool: Pool::new(options.idle_buffers),
            options,
            core: Mutex::new(core),
            files,
            ahead,
            recovered: Notify::new(),
            leases: Leases::default(),
            snapshots: Mutex::new(0),
            upkeep: tokio::sync::Mutex::new(()),
            lock: Mutex::new(lock),
            idle: Notify::new(),
        });
        if is_writer {
            container.recover(None).await?;
            container.clean().await?;
            Self::watch_leases(&container);
        } else {
            container.refresh().await?;
        }
        Ok(container)
    }

    /// Reads what was logged since; all of it anew where files were given back meanwhile.
    pub(crate) async fn refresh(self: &Arc<Self>) -> Result<()> {
        self.blocking(|this| {
            let mut core = this.core();
            let core = &mut *core;
            let durable = log::told(&*this.env.fs, &log::dir(&this.dir));
            if let Some(scanner) = &mut core.follow
                && recover::advance(&mut core.state, scanner, Some(durable)).is_ok()
            {
                return Ok(());
            }
            let (state, scanner) = recover::load(&this.env.fs, &this.dir, this.store, Some(durable))?;
            // Frames may have been given up, and others have their numbers.
            this.files.forget_all();
            for segment in core.state.segments.values() {
                segment.wake();
            }
            (core.state, core.follow, core.status) = (state, Some(scanner), Status::ReadOnly);
            Ok(())
        })
        .await
    }

    /// Loads the state, up to the frame that is known to be durable if that is known, and begins to write behind it.
    pub(super) async fn recover(self: &Arc<Self>, until: Option<u64>) -> Result<()> {
        let loaded = self.blocking(move |this| this.load(until)).await;
        let result = self.take_over(loaded);
        self.recovered.notify_waiters();
        result?;
        // The disk must take something before anything is promised.
        self.settled().await
    }

    /// Makes what a process left durable, and tells those who read along; for whoever holds the lock and does not want to write.
    pub(crate) fn settle(env: &Environment, dir: &Path, store: u128) -> Result<()> {
        let (state, scanner) = recover::load(&env.fs, dir, store, None)?;
        let (position, last) = (scanner.position(), state.frames.last());
        let setup = Setup {
            fs: env.fs.clone(),
            dir: log::dir(dir),
            store,
            incarnation: state.incarnation,
            file_size: 0,
            syncs: true,
            crash: env.crash.clone(),
            ahead: Arc::new(Ahead::new(env.fs.clone(), log::dir(dir), 0)),
        };
        let start = if position.file == 0 { Start::NewFile } else { Start::Continue };
        LogWriter::open(setup, position, last, start).map(drop)
    }

    /// What was loaded is the state from now on.
    pub(super) fn take_over(&self, loaded: Result<(State, LogWriter, u64)>) -> Result<()> {
        let mut core = self.core();
        if matches!(core.status, Status::Closed) {
            return Err(Error::Closed);
        }
        let (mut state, log, next_object) = match loaded {
            Ok(loaded) => loaded,
            Err(error) => {
                core.status = Status::Failed(error.clone());
                return Err(error);
            }
        };
        let position = log.position();
        // Whoever waits for more of a segment goes on waiting.
        for (key, segment) in &mut core.state.segments {
            if let Some(found) = state.segments.get_mut(key) {
                found.waiters = segment.waiters.take();
            }
        }
        core.state = state;
        core.open = Open::new(0);
        core.next = position.next;
        core.durable = position.next - 1;
        core.log = Some(log);
        core.cache.clear();
        // Upkeep may be at work on one that is not in the log yet.
        core.next_object = core.next_object.max(next_object);
        core.status = Status::Open;
        let incarnation = core.state.incarnation + 1;
        drop(core.record(&Op::Opened { incarnation, at: self.env.clock.now_millis() })?);
        let (now, silence) = (self.env.clock.monotonic(), self.options.time_writer_timeout);
        self.leases.restart(&core.state.streams, now, silence);
        Ok(())
    }

    pub(super) fn load(&self, until: Option<u64>) -> Result<(State, LogWriter, u64)> {
        let (state, scanner) = recover::load(&self.env.fs, &self.dir, self.store, until)?;
        let position = scanner.position();
        if let Some(last) = until.filter(|last| position.next <= *last) {
            return Err(Error::Unavailable { reason: format!("frame {last} was durable, and is gone") });
        }
        let next_object = self.next_object(&state)?;
        let setup = Setup {
            fs: self.env.fs.clone(),
            dir: log::dir(&self.dir),
            store: self.store,
            incarnation: state.incarnation + 1,
            file_size: self.options.log_file_size,
            syncs: self.options.durability == Durability::Sync,
            crash: self.env.crash.clone(),
            ahead: self.ahead.clone(),
        };
        let start = if until.is_some() || position.file == 0 { Start::NewFile } else { Start::Continue };
        let log = LogWriter::open(setup, position, state.frames.last(), start)?;
        Ok((state, log, next_object))
    }

    /// The lock, once the container is open: recovers it first if writing failed.
    pub(crate) async fn ready(self: &Arc<Self>) -> Result<()> {
        loop {
            let mut recovered = std::pin::pin!(self.recovered.notified());
            recovered.as_mut().enable();
            let durable = {
                let mut core = self.core();
                match &core.status {
                    Status::Open | Status::ReadOnly => return Ok(()),
                    Status::Closed => return Err(Error::Closed),
                    Status::Recovering => None,
                    Status::Failed(_) if core.is_committing => return Err(core.failure()),
                    Status::Failed(_) => {
                        core.status = Status::Recovering;
                        Some(core.durable)
                    }
                }
            };
            match durable {
                Some(durable) => {
                    // It goes on when whoever asked is gone: others wait for it.
                    let (sender, ended) = oneshot::channel();
                    let this = self.clone();
                    let task = async move { drop(sender.send(this.recover(Some(durable)).await)) };
                    drop(self.env.spawner.spawn("segment-store recovery", Box::pin(task)));
                    ended.await.unwrap_or(Err(Error::Closed)).map_err(unavailable)?;
                }
                None => recovered.await,
            }
        }
    }

    /// Nothing more is done. What is under way is written to its end; then the directory is given back.
    pub(crate) async fn close(&self) {
        {
            let mut core = self.core();
            core.status = Status::Closed;
            // Those who wait for what will not be written are told so.
            drop(std::mem::replace(&mut core.open, Open::new(0)));
            core.snapshot_waiters.clear();
            core.dismiss();
            for segment in core.state.segments.values() {
                segment.wake();
            }
        }
        let _none_runs = self.upkeep.lock().await;
        loop {
            let mut idle = std::pin::pin!(self.idle.notified());
            idle.as_mut().enable();
            if self.core().is_idle() {
                break;
            }
            idle.await;
        }
        drop(self.lock.lock().unwrap_or_else(PoisonError::into_inner).take());
    }
}

/// What a failed recovery means to a caller: the disk's errors may pass, damage does not.
pub(super) fn unavailable(error: Error) -> Error {
    match error {
        Error::Io { .. } => Error::Unavailable { reason: error.to_string() },
        other => other,
    }
}
