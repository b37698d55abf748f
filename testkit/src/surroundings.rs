//! Where a check happens: a process, its clock and files, and how it dies.

use std::collections::VecDeque;
use std::fmt;

use connector_api::env::Environment;
use connector_api::id::{AttemptId, RunId};

use crate::crash::CrashRecorder;
use crate::fs::{PowerCut, SimFs};
use crate::meter::Meter;
use crate::sim;

/// How a process ends when it ends badly.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Death {
    /// The process is killed: what it wrote stays, durable or not.
    Crash,
    /// The power fails too: what was not synced is gone, or part of it.
    PowerCut(PowerCut),
}

/// What a dying process unwinds with.
pub(crate) struct Died;

/// The process that a check runs in. Each process has an environment of its own; the outside stays.
pub struct Surroundings {
    seed: u64,
    processes: u64,
    site: Site,
    env: Environment,
    meter: Meter,
    crash: CrashRecorder,
    attempts: u64,
    /// Where the processes after this one die, in turn.
    deaths: VecDeque<(String, u64)>,
}

enum Site {
    Simulated(SimFs),
    Real(Environment),
}

impl Surroundings {
    /// Simulated files and virtual time; call within [`sim::run`].
    pub fn simulated(seed: u64) -> Self {
        let fs = SimFs::new();
        fs.seed(seed);
        Self::new(seed, sim::environment(&fs, seed), Site::Simulated(fs))
    }

    /// Over a real environment: for systems that no simulation replaces. A crash drops everything and cuts no power.
    pub fn real(env: Environment, seed: u64) -> Self {
        Self::new(seed, env.clone(), Site::Real(env))
    }

    fn new(seed: u64, env: Environment, site: Site) -> Self {
        let (meter, crash) = (Meter::default(), CrashRecorder::new());
        let mut this =
            Self { seed, processes: 1, site, env, meter, crash, attempts: 0, deaths: VecDeque::new() };
        this.equip();
        this
    }

    fn equip(&mut self) {
        self.meter = Meter::default();
        self.crash = CrashRecorder::new();
        self.env = self.meter.over(&self.env);
        self.env.crash = self.crash.points();
    }

    /// The environment of the process that lives.
    pub fn env(&self) -> &Environment {
        &self.env
    }

    /// The simulated files, unless the check runs on the real system.
    pub fn fs(&self) -> Option<&SimFs> {
        match &self.site {
            Site::Simulated(fs) => Some(fs),
            Site::Real(_) => None,
        }
    }

    /// What the process holds and did.
    pub fn meter(&self) -> &Meter {
        &self.meter
    }

    /// The crash points that the process reached.
    pub fn crash(&self) -> &CrashRecorder {
        &self.crash
    }

    /// Lets the process die at the `k`th time that it reaches a crash point, counted from 1: nothing that it does later has
    /// an effect, on files and in tasks.
    pub fn die_at(&self, point: &str, k: u64) {
        let (meter, fs) = (self.meter.clone(), self.fs().cloned());
        self.crash.arm(point, k, move || {
            meter.kill();
            if let Some(fs) = fs {
                fs.freeze();
            }
            // Not a panic: no hook prints it. Whoever polls the code that died catches it.
            std::panic::resume_unwind(Box::new(Died));
        });
    }

    /// Lets this process die at the first of these points, the next one at the second, and so on.
    pub fn die_in_turn<'p>(&mut self, points: impl IntoIterator<Item = (&'p str, u64)>) {
        self.deaths = points.into_iter().map(|(point, k)| (point.to_owned(), k)).collect();
        self.arm_next();
    }

    fn arm_next(&mut self) {
        if let Some((point, k)) = self.deaths.pop_front() {
            self.die_at(&point, k);
        }
    }

    /// Whether the process has died.
    pub fn is_dead(&self) -> bool {
        self.meter.is_dead() || self.fs().is_some_and(SimFs::is_frozen)
    }

    /// The process dies, if it is not dead already, and another one takes its place.
    pub fn die(&mut self, how: Death) {
        self.meter.kill();
        self.processes += 1;
        let seed = self.seed.wrapping_mul(1_000_003).wrapping_add(self.processes);
        let env = match &mut self.site {
            Site::Real(env) => env.clone(),
            Site::Simulated(fs) => {
                *fs = match how {
                    Death::Crash => fs.process_crash(),
                    Death::PowerCut(how) => fs.power_cut(how),
                };
                fs.seed(seed);
                sim::environment(fs, seed)
            }
        };
        // Time goes on: only the process is new.
        self.env = Environment { clock: self.env.clock.clone(), ..env };
        self.equip();
        self.arm_next();
    }

    /// The number of an attempt that was never used before, in the one run of this check.
    pub fn next_attempt(&mut self) -> AttemptId {
        self.attempts += 1;
        AttemptId { run: RunId(self.seed | 1), number: self.attempts }
    }
}

impl fmt::Debug for Surroundings {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Surroundings").field("seed", &self.seed).finish_non_exhaustive()
    }
}
