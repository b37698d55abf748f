//! One merge, and the thread that does them one after the other.

use std::collections::VecDeque;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use connector_api::env::{Access, Environment, TaskHandle};
use connector_api::{Error, Result};
use futures::channel::mpsc::{UnboundedReceiver, UnboundedSender, unbounded};

use super::rewrite;
use crate::sink::committable::{Staged, StagedFile};
use crate::sink::config::{Compaction, Merge, SinkConfig};
use crate::sink::local::{PartFile, Piece, buckets, concatenate, look, sync_dirs};
use crate::sink::metrics;
use crate::sink::naming::{self, Uid};
use crate::sink::objects::{self, Uploads};
use crate::sink::place::SinkPlace;

/// The number of a merge, and its result.
pub(super) type Merged = (u64, Result<StagedFile>);

/// Does merges in the background, one at a time: several at once would only wait for one device.
#[derive(Debug)]
pub(super) struct Merger {
    shared: Arc<Shared>,
    results: UnboundedReceiver<Merged>,
}

#[derive(Debug)]
struct Shared {
    env: Environment,
    config: Arc<SinkConfig>,
    uid: Uid,
    /// For parts in an object store.
    uploads: Option<Uploads>,
    given_up: AtomicBool,
    queue: Mutex<Queue>,
    done: UnboundedSender<Merged>,
}

#[derive(Debug, Default)]
struct Queue {
    waiting: VecDeque<(u64, Vec<StagedFile>)>,
    works: bool,
    /// When the next merge may begin, on the monotonic clock.
    not_before: Duration,
    /// What waits until then.
    pause: Option<Box<dyn TaskHandle>>,
}

impl Merger {
    pub(super) fn new(env: Environment, config: Arc<SinkConfig>, uid: Uid) -> Self {
        let (done, results) = unbounded();
        let uploads = match &config.place {
            SinkPlace::Local => None,
            SinkPlace::Objects(place) => Some(Uploads::new(env.clone(), place.clone(), true)),
        };
        let given_up = AtomicBool::new(false);
        let shared = Shared { env, config, uid, uploads, given_up, queue: Mutex::default(), done };
        Self { shared: Arc::new(shared), results }
    }

    /// Begins a merge, or lets it wait for the ones before. Its result comes with this number.
    pub(super) fn begin(&self, number: u64, inputs: Vec<StagedFile>) {
        let mut queue = self.shared.queue();
        queue.waiting.push_back((number, inputs));
        if !std::mem::replace(&mut queue.works, true) {
            drop(queue);
            Worker { shared: self.shared.clone(), current: None, ended: false }.start();
        }
    }

    /// The results as they come.
    pub(super) fn results(&mut self) -> &mut UnboundedReceiver<Merged> {
        &mut self.results
    }

    /// Lets the work end soon: merges not begun are dropped, the one under way stops within 8 MiB.
    pub(super) fn give_up(&self) {
        self.shared.given_up.store(true, Ordering::Relaxed);
        self.shared.stop_waiting();
    }
}

impl Drop for Merger {
    fn drop(&mut self) {
        self.give_up();
    }
}

/// The one that works. However it ends, also by never being run or by a panic, every merge gets its result.
struct Worker {
    shared: Arc<Shared>,
    current: Option<u64>,
    ended: bool,
}

impl Worker {
    /// Begins to work as soon as the rate allows. The work itself blocks, and waiting for time must not. Call it without the
    /// queue: a spawner that is closing drops the worker at once.
    fn start(self) {
        let shared = self.shared.clone();
        let pause = shared.queue().not_before.saturating_sub(shared.env.clock.monotonic());
        if pause.is_zero() {
            shared.env.spawner.spawn_blocking(Box::new(move || self.run()));
            return;
        }
        let (clock, spawner) = (shared.env.clock.clone(), shared.env.spawner.clone());
        let waits = async move {
            clock.sleep(pause).await;
            spawner.spawn_blocking(Box::new(move || self.run()));
        };
        let task = shared.env.spawner.spawn("wait to merge", Box::pin(waits));
        shared.queue().pause = Some(task);
        if shared.given_up.load(Ordering::Relaxed) {
            shared.stop_waiting();
        }
    }

    fn run(mut self) {
        while let Some((number, inputs)) = self.next() {
            self.current = Some(number);
            let bytes = inputs.iter().map(|input| input.length).fold(0, u64::saturating_add);
            let began = self.shared.env.clock.monotonic();
            let merged = self.shared.check().and_then(|()| self.shared.merge(inputs));
            self.current = None;
            self.shared.report(number, merged);
            let shared = self.shared.clone();
            let waits = {
                let mut queue = shared.queue();
                queue.not_before = began + shared.time_of(bytes);
                queue.not_before > shared.env.clock.monotonic() && !queue.waiting.is_empty()
            };
            if waits {
                return self.start();
            }
        }
    }

    fn next(&mut self) -> Option<(u64, Vec<StagedFile>)> {
        let mut queue = self.shared.queue();
        let next = queue.waiting.pop_front();
        queue.works = next.is_some();
        self.ended = next.is_none();
        next
    }
}

impl Drop for Worker {
    fn drop(&mut self) {
        if self.ended {
            return;
        }
        let mut queue = self.shared.queue();
        queue.works = false;
        let left: Vec<u64> =
            self.current.into_iter().chain(queue.waiting.drain(..).map(|(number, _)| number)).collect();
        drop(queue);
        for number in left {
            self.shared.report(number, Err(Error::Cancelled("merge".into())));
        }
    }
}

impl Shared {
    /// Drops a worker that waits, and with it what it was to do.
    fn stop_waiting(&self) {
        let pause = self.queue().pause.take();
        if let Some(pause) = pause {
            pause.abort();
        }
    }

    /// How long a merge of so many bytes takes at the wanted rate.
    fn time_of(&self, bytes: u64) -> Duration {
        match &self.config.compaction {
            Some(Compaction::Merge(Merge { rate: Some(rate), .. })) => {
                Duration::try_from_secs_f64(bytes as f64 / rate.0.max(1) as f64).unwrap_or(Duration::MAX / 2)
            }
            _ => Duration::ZERO,
        }
    }

    fn report(&self, number: u64, merged: Result<StagedFile>) {
        // The receiver is gone when the compactor was dropped: then nobody wants the result.
        let _ = self.done.unbounded_send((number, merged));
    }

    fn queue(&self) -> std::sync::MutexGuard<'_, Queue> {
        self.queue.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn check(&self) -> Result<()> {
        if self.given_up.load(Ordering::Relaxed) { Err(Error::Cancelled("merge".into())) } else { Ok(()) }
    }

    fn merge(&self, inputs: Vec<StagedFile>) -> Result<StagedFile> {
        if let Some(uploads) = &self.uploads {
            return objects::merge(uploads, &self.config, self.uid, inputs, &|| self.check());
        }
        let dir = &self.config.dir;
        for input in &inputs {
            self.check_input(input)?;
        }
        self.env.crash.hit("file-compactor/before-merge");
        let name = inputs[0].name.clone();
        let staged = naming::compacting(&name, self.uid);
        let path = naming::path_in(dir, &staged)?;
        let file = self.env.fs.open(&path, Access::CreateNew).map_err(Error::io("create", &path))?;
        let into = PartFile { file, path, _lock: None };
        let pieces =
            inputs.iter().map(|input| Ok(Piece { name: hidden(input)?.to_owned(), length: input.length }));
        let pieces: Vec<_> = pieces.collect::<Result<_>>()?;
        let between = || {
            self.env.crash.hit("file-compactor/mid-merge");
            self.check()
        };
        let length = match &self.config.rewrite {
            Some(rewrite) => rewrite::into_file(&self.env, dir, &**rewrite, &inputs, &into, &between)?,
            None => concatenate(&self.env, dir, &pieces, &into, between)?,
        };
        self.env.crash.hit("file-compactor/after-merge");
        sync_dirs(&self.env, &buckets(dir, [staged.as_str()])?)?;
        self.env.crash.hit("file-compactor/after-sync");
        let (mut rows, mut parts, mut gone) = (0_u64, 0_u32, Vec::with_capacity(inputs.len()));
        metrics::count(metrics::COMPACTION_FILES_IN, inputs.len() as u64);
        metrics::count(metrics::COMPACTION_BYTES_IN, inputs.iter().map(|input| input.length).sum());
        metrics::count(metrics::COMPACTION_FILES_OUT, 1);
        metrics::count(metrics::COMPACTION_BYTES_OUT, length);
        for input in inputs {
            rows = rows.saturating_add(input.rows);
            parts = parts.saturating_add(input.parts);
            gone.push(hidden(&input)?.to_owned());
            gone.extend(input.inputs);
        }
        Ok(StagedFile { staged: Staged::Hidden(staged), name, length, rows, parts, inputs: gone })
    }

    fn check_input(&self, input: &StagedFile) -> Result<()> {
        let path = naming::path_in(&self.config.dir, hidden(input)?)?;
        match look(&self.env, &path)? {
            Some(at) if at.len == input.length => Ok(()),
            Some(at) => {
                let reason = format!(
                    "has {} bytes, its committable says {}: it was changed after it was closed",
                    at.len, input.length
                );
                Err(Error::data(path.display().to_string(), None, reason))
            }
            None => Err(Error::Lost(format!(
                "the part {} that was to be merged is gone, with {} bytes",
                path.display(),
                input.length
            ))),
        }
    }
}

fn hidden(input: &StagedFile) -> Result<&str> {
    let reason = || Error::state("file-compactor", format!("{} was not staged in a file", input.name));
    input.hidden().ok_or_else(reason)
}
