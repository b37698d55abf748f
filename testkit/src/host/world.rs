//! The world of the probes: the script that they follow, the outside that they write, and the journal that they keep.

use std::collections::{BTreeMap, BTreeSet};
use std::fmt;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use connector_api::id::AttemptId;
use connector_api::{Error, Result};
use tokio::sync::Notify;

use super::job::StopRequest;
use super::journal::{Entry, Party, What};
use super::script::Script;
use crate::fs::SimFs;
use crate::meter::Meter;

/// The world. Clones share it; it outlives processes.
#[derive(Clone)]
pub(super) struct World(Arc<Inner>);

struct Inner {
    state: Mutex<State>,
    /// Somebody died, or a writer is let go.
    changed: Notify,
}

pub(super) struct State {
    pub(super) script: Script,
    pub(super) outside: Outside,
    journal: Vec<Entry>,
    traps: Vec<Trap>,
    process: u32,
    body: Option<(Meter, SimFs)>,
    is_dead: bool,
    instances: u32,
}

/// What survives every process.
#[derive(Debug, Default)]
pub(super) struct Outside {
    /// By name, with who staged them.
    pub(super) staged: BTreeMap<String, (AttemptId, Vec<(u32, u64)>)>,
    pub(super) committed: BTreeSet<String>,
    pub(super) visible: Vec<(u32, u64)>,
}

/// What happens when the journal says something.
pub(super) enum Then {
    /// The process dies before the call has an effect.
    Die,
    /// The call fails, in a way that a restart may mend.
    Fail,
    /// The user wishes to stop.
    Stop(StopRequest),
    /// The script changes.
    Change(Box<dyn FnOnce(&mut Script) + Send>),
}

struct Trap {
    when: Box<dyn FnMut(&Entry) -> bool + Send>,
    then: Then,
}

/// One probe, as it writes into the journal.
#[derive(Clone)]
pub(super) struct Pen {
    world: World,
    process: u32,
    instance: u32,
    party: Party,
    clock: Arc<dyn connector_api::env::Clock>,
}

impl World {
    pub(super) fn new(script: Script) -> Self {
        let state = State {
            script,
            outside: Outside::default(),
            journal: Vec::new(),
            traps: Vec::new(),
            process: 0,
            body: None,
            is_dead: false,
            instances: 0,
        };
        Self(Arc::new(Inner { state: Mutex::new(state), changed: Notify::new() }))
    }

    pub(super) fn lock(&self) -> MutexGuard<'_, State> {
        self.0.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// A process begins, which dies by its meter and its files.
    pub(super) fn begin_process(&self, meter: &Meter, fs: &SimFs) {
        let mut state = self.lock();
        state.process += 1;
        state.is_dead = false;
        state.body = Some((meter.clone(), fs.clone()));
    }

    pub(super) fn process(&self) -> u32 {
        self.lock().process
    }

    /// Waits until the process has died.
    pub(super) async fn died(&self) {
        self.until(|state| state.is_dead).await;
    }

    /// Waits until something holds. For ever when the process dies before.
    pub(super) async fn until(&self, holds: impl Fn(&State) -> bool) {
        loop {
            let changed = self.0.changed.notified();
            tokio::pin!(changed);
            changed.as_mut().enable();
            if holds(&self.lock()) {
                return;
            }
            changed.await;
        }
    }

    /// Changes the script.
    pub(super) fn change(&self, change: impl FnOnce(&mut Script)) {
        change(&mut self.lock().script);
        self.0.changed.notify_waiters();
    }

    /// Once, at the first entry for which `when` holds.
    pub(super) fn trap(&self, when: impl FnMut(&Entry) -> bool + Send + 'static, then: Then) {
        self.lock().traps.push(Trap { when: Box::new(when), then });
    }

    /// The process dies now.
    pub(super) fn kill(&self) {
        let mut state = self.lock();
        state.is_dead = true;
        if let Some((meter, fs)) = state.body.take() {
            meter.kill();
            fs.freeze();
        }
        drop(state);
        self.0.changed.notify_waiters();
    }

    pub(super) fn journal(&self) -> Vec<Entry> {
        self.lock().journal.clone()
    }

    /// What is visible, in order of split and row.
    pub(super) fn visible(&self) -> Vec<(u32, u64)> {
        let mut visible = self.lock().outside.visible.clone();
        visible.sort_unstable();
        visible
    }

    /// A pen for something that is made in this process.
    pub(super) fn pen(&self, process: u32, party: Party, env: &connector_api::env::Environment) -> Pen {
        let mut state = self.lock();
        state.instances += 1;
        let instance = state.instances;
        drop(state);
        Pen { world: self.clone(), process, instance, party, clock: env.clock.clone() }
    }
}

impl fmt::Debug for World {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("World").finish_non_exhaustive()
    }
}

fn dead() -> Error {
    Error::Cancelled("everything: the process is dead,".into())
}

impl Pen {
    /// `Err` when the process is dead.
    pub(super) fn alive(&self) -> Result<()> {
        let state = self.world.lock();
        if state.is_dead || state.process != self.process { Err(dead()) } else { Ok(()) }
    }

    pub(super) fn world(&self) -> &World {
        &self.world
    }

    /// Writes a line. `Err` when the process is dead, dies of it, or the call is to fail.
    pub(super) fn write(&self, what: What) -> Result<()> {
        self.alive()?;
        let at = self.clock.monotonic();
        let Self { process, instance, ref party, .. } = *self;
        let entry = Entry { process, at, instance, party: party.clone(), what };
        let mut state = self.world.lock();
        let mut struck = Vec::new();
        for mut trap in std::mem::take(&mut state.traps) {
            if (trap.when)(&entry) {
                struck.push(trap.then);
            } else {
                state.traps.push(trap);
            }
        }
        state.journal.push(entry);
        let mut result = Ok(());
        let mut dies = false;
        for then in struck {
            match then {
                Then::Die => dies = true,
                Then::Fail => result = Err(Error::Cancelled("a call, by the script,".into())),
                Then::Stop(request) => request.request(),
                Then::Change(change) => change(&mut state.script),
            }
        }
        drop(state);
        if dies {
            self.world.kill();
            return Err(dead());
        }
        self.world.0.changed.notify_waiters();
        if result.is_err() {
            let mut state = self.world.lock();
            let last = Entry { process, at, instance, party: party.clone(), what: What::Failed };
            state.journal.push(last);
        }
        result
    }
}

/// How long a job may take at most, in virtual time, before it is held to hang.
pub(super) const HUNG: Duration = Duration::from_secs(40);
