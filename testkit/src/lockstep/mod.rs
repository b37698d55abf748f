//! A deterministic host: one thread, one step at a time, the next step drawn from a seed.
//!
//! It drives the runtime's own state machines ([`connector_runtime::coordinate`]) and re-implements none of them; what is its own
//! is the order in which things happen, which is as adverse as the rules for hosts allow: batches emitted in parts with
//! barriers between them, notices that never arrive, checkpoints that are aborted, attempts that fail, processes that die,
//! savepoints, other parallelism at each restart. A run writes a log; the same seed writes the same log.

mod attempt;
mod channel;
mod commit;
mod log;
mod source_side;
mod stage;
mod state;
mod step;
mod writer_side;

use std::time::Duration;

use async_trait::async_trait;
use connector_api::env::{Environment, Random};
use connector_api::sink::Sink;
use connector_api::source::{BoxEnumerator, BoxSource};
use connector_api::{Error, Result};

use crate::broken::{Broken, Verdict};
use crate::history::{Event, History};
use crate::random::SeededRandom;
use crate::rows::TestBatch;
use crate::surroundings::{Death, Surroundings};

pub use log::Log;
pub use state::Stored;

use attempt::Attempt;

/// Readers, writers, committers.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Scale(pub u32, pub u32, pub u32);

/// What goes wrong in a run, and how often. Each is within what the rules for hosts allow.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Adversity {
    /// Percent of batches that are emitted in parts, with whatever happens between them.
    pub parts: u64,
    /// Percent of notices (a checkpoint's completion or abort) that are never delivered.
    pub lost_notices: u64,
    /// Percent of checkpoints that are aborted.
    pub aborts: u64,
    /// How many attempts fail; the enumerator lives on.
    pub failures: u32,
    /// How many processes die.
    pub deaths: u32,
    /// How many times the job is stopped with a savepoint and started again.
    pub savepoints: u32,
    /// How a process dies.
    pub death: Death,
}

impl Adversity {
    /// Nothing goes wrong.
    pub const NONE: Self = Self {
        parts: 0,
        lost_notices: 0,
        aborts: 0,
        failures: 0,
        deaths: 0,
        savepoints: 0,
        death: Death::Crash,
    };

    /// Everything goes wrong now and then.
    pub const ALL: Self = Self {
        parts: 40,
        lost_notices: 25,
        aborts: 20,
        failures: 2,
        deaths: 2,
        savepoints: 1,
        death: Death::Crash,
    };
}

/// How a run goes.
#[derive(Clone, Debug)]
pub struct Options {
    /// Decides everything that is left to chance.
    pub seed: u64,
    /// The parallelism of each attempt, in turn.
    pub scales: Vec<Scale>,
    /// What goes wrong.
    pub adversity: Adversity,
    /// After so many steps the run counts as one that never ends.
    pub steps: u64,
    /// The rule that is broken by a run that never ends or whose connector fails without a cause.
    pub rule: &'static str,
}

impl Options {
    /// Two readers, two writers, one committer; nothing goes wrong.
    pub fn calm(seed: u64) -> Self {
        let scales = vec![Scale(2, 2, 1)];
        Self { seed, scales, adversity: Adversity::NONE, steps: 100_000, rule: "R-6" }
    }

    /// Nothing goes wrong but the deaths that [`Surroundings::die_in_turn`] names; each process has another parallelism.
    pub fn dying(seed: u64, death: Death) -> Self {
        let scales = vec![Scale(2, 2, 1), Scale(1, 1, 2), Scale(3, 3, 1)];
        Self { scales, adversity: Adversity { death, ..Adversity::NONE }, ..Self::calm(seed) }
    }

    /// Everything goes wrong now and then, and no two attempts have the same parallelism.
    pub fn adverse(seed: u64) -> Self {
        let scales = vec![Scale(2, 2, 1), Scale(1, 1, 1), Scale(3, 2, 2), Scale(1, 3, 1)];
        Self { scales, adversity: Adversity::ALL, ..Self::calm(seed) }
    }
}

/// What runs in the host, and what happens around it.
#[async_trait]
pub trait Pair<B: TestBatch>: Send {
    /// The source, made anew in each process.
    ///
    /// # Errors
    ///
    /// When it can't be made.
    fn source(&mut self, env: &Environment) -> Result<BoxSource<B>>;

    /// The sink, made anew in each attempt.
    ///
    /// # Errors
    ///
    /// When it can't be made.
    fn sink(&mut self, env: &Environment) -> Result<Box<dyn Sink<B>>>;

    /// What is visible now, if that is watched. Asked after every step that could change it.
    ///
    /// # Errors
    ///
    /// When the output can't be read.
    async fn visible(&mut self, env: &Environment) -> Result<Option<Vec<String>>> {
        let _ = env;
        Ok(None)
    }

    /// Called between two steps: the world goes on (rows are appended, the system breaks). `steps` counts from the
    /// beginning of the run.
    ///
    /// # Errors
    ///
    /// When the world can't.
    async fn meanwhile(&mut self, env: &Environment, steps: u64) -> Result<()> {
        let _ = (env, steps);
        Ok(())
    }

    /// Whether an unbounded job has done its work: then it is stopped with a savepoint, and the run ends.
    fn is_enough(&mut self, history: &History) -> bool {
        let _ = history;
        false
    }

    /// Whether an error of the connector has a cause that the pair knows, such as a broken system: then the attempt fails
    /// and is restarted.
    fn excuses(&mut self, error: &Error) -> bool {
        let _ = error;
        false
    }
}

/// What a run left.
#[derive(Debug)]
pub struct Ran {
    /// What happened.
    pub history: History,
    /// Every step. Also printed by a check that fails.
    pub log: Log,
    /// The checkpoints that completed, oldest first.
    pub checkpoints: Vec<Stored>,
    /// How many steps there were.
    pub steps: u64,
    /// How many processes died.
    pub deaths: u64,
}

/// Why an attempt does not go on.
pub(crate) enum Stop {
    /// The process is dead.
    Died,
    /// The connector gave an error.
    Failed(Error),
    /// A rule is broken.
    Broken(Broken),
    /// All is done.
    Finished,
    /// The savepoint is complete.
    Stopped,
}

impl From<Broken> for Stop {
    fn from(broken: Broken) -> Self {
        Self::Broken(broken)
    }
}

impl From<Error> for Stop {
    fn from(error: Error) -> Self {
        Self::Failed(error)
    }
}

/// What outlives processes.
pub(crate) struct Run<'a> {
    pub(crate) around: &'a mut Surroundings,
    pub(crate) options: Options,
    pub(crate) random: SeededRandom,
    pub(crate) history: History,
    pub(crate) log: Log,
    pub(crate) checkpoints: Vec<Stored>,
    /// Which checkpoint the next attempt starts from, if not the newest.
    pub(crate) next_checkpoint: u64,
    pub(crate) steps: u64,
    attempts: u64,
    deaths: u64,
    left: Adversity,
    /// A completed checkpoint to start from that is not the newest: the job goes back.
    pub(crate) high_water: u64,
}

/// A run that ended badly.
#[derive(Debug)]
pub struct Failed {
    /// What is wrong.
    pub broken: Broken,
    /// What there was until then.
    pub ran: Ran,
}

/// Runs a pair to its end.
///
/// # Errors
///
/// The rule that is broken.
pub async fn run<B: TestBatch>(
    pair: &mut dyn Pair<B>,
    around: &mut Surroundings,
    options: Options,
) -> Result<Ran, Box<Failed>> {
    run_from(pair, around, options, Vec::new()).await
}

/// Runs a pair to its end, from the last of these checkpoints.
///
/// # Errors
///
/// The rule that is broken.
pub async fn run_from<B: TestBatch>(
    pair: &mut dyn Pair<B>,
    around: &mut Surroundings,
    options: Options,
    checkpoints: Vec<Stored>,
) -> Result<Ran, Box<Failed>> {
    let newest = checkpoints.iter().map(|c| c.checkpoint.0).max().unwrap_or(0);
    let mut run = Run {
        around,
        random: SeededRandom::new(options.seed),
        left: options.adversity,
        options,
        history: History::new(),
        log: Log::default(),
        checkpoints,
        next_checkpoint: newest + 1,
        steps: 0,
        attempts: 0,
        deaths: 0,
        high_water: newest,
    };
    let verdict = run.until_end(pair).await;
    let Run { history, log, checkpoints, steps, deaths, .. } = run;
    let ran = Ran { history, log, checkpoints, steps, deaths };
    match verdict {
        Ok(()) => Ok(ran),
        Err(broken) => Err(Box::new(Failed { broken, ran })),
    }
}

impl Run<'_> {
    async fn until_end<B: TestBatch>(&mut self, pair: &mut dyn Pair<B>) -> Verdict {
        loop {
            let mut enumerator = None;
            let ended = self.process(pair, &mut enumerator).await;
            drop(enumerator);
            match ended {
                Stop::Finished => return Ok(()),
                Stop::Stopped if self.left.savepoints == 0 => return Ok(()),
                Stop::Stopped => {
                    self.left.savepoints -= 1;
                    self.log.line(self.around, "stopped with a savepoint; started again");
                    self.around.die(Death::Crash);
                }
                Stop::Died => {
                    self.deaths += 1;
                    self.log.line(self.around, "the process is dead");
                    self.history.push(Event::Ended { why: "death".to_owned() });
                    self.around.die(self.options.adversity.death);
                    self.look(pair).await?;
                }
                Stop::Broken(broken) => return Err(broken),
                Stop::Failed(error) => return Err(Broken::by(self.options.rule, "the job failed")(error)),
            }
        }
    }

    /// Attempts in one process; the enumerator lives on over failures that it did not cause.
    async fn process<B: TestBatch>(
        &mut self,
        pair: &mut dyn Pair<B>,
        enumerator: &mut Option<connector_runtime::coordinate::source::SourceCoordinator>,
    ) -> Stop {
        loop {
            let scale = self.options.scales[self.attempts as usize % self.options.scales.len().max(1)];
            self.attempts += 1;
            let stop = match Attempt::open(self, pair, enumerator, scale).await {
                Ok(attempt) => attempt.until_end(self, pair, enumerator).await,
                Err(stop) => stop,
            };
            match stop {
                Stop::Failed(error) if !self.around.is_dead() => {
                    let injected = matches!(&error, Error::Cancelled(what) if what == INJECTED);
                    if !injected && !pair.excuses(&error) {
                        return Stop::Failed(error);
                    }
                    self.log.line(self.around, format!("the attempt failed: {error}"));
                    self.history.push(Event::Ended { why: error.to_string() });
                    // The world goes on also while no attempt can be opened.
                    self.steps += 1;
                    let env = self.around.env().clone();
                    if let Err(error) = pair.meanwhile(&env, self.steps).await {
                        return Stop::Failed(error);
                    }
                    if self.steps >= self.options.steps {
                        let what = format!("does not end: {} steps were made", self.steps);
                        return Stop::Broken(Broken::new(self.options.rule, what));
                    }
                }
                Stop::Failed(_) => return Stop::Died,
                stop => return stop,
            }
        }
    }

    /// Looks at what is visible.
    pub(crate) async fn look<B: TestBatch>(&mut self, pair: &mut dyn Pair<B>) -> Verdict {
        let env = self.around.env().clone();
        match pair.visible(&env).await {
            Ok(Some(rows)) => {
                let last = self.history.events().iter().rev().find_map(|event| match event {
                    Event::Visible(rows) => Some(rows),
                    _ => None,
                });
                if last != Some(&rows) {
                    self.log.line(self.around, format!("{} rows are visible", rows.len()));
                    self.history.push(Event::Visible(rows));
                }
                Ok(())
            }
            Ok(None) => Ok(()),
            Err(_) if self.around.is_dead() => Ok(()),
            Err(error) => Err(Broken::by("W-4", "reading the output")(error)),
        }
    }

    pub(crate) fn chance(&self, percent: u64) -> bool {
        percent > 0 && self.random.chance(percent)
    }

    /// Uses up one of the failures that are left.
    pub(crate) fn fails_now(&mut self) -> bool {
        let fails = self.left.failures > 0 && self.random.below(FAILURE_ONCE_IN) == 0;
        self.left.failures -= u32::from(fails);
        fails
    }

    /// Uses up one of the deaths that are left.
    pub(crate) fn dies_now(&mut self) -> bool {
        let dies = self.left.deaths > 0 && self.random.below(FAILURE_ONCE_IN) == 0;
        self.left.deaths -= u32::from(dies);
        dies
    }

    /// Whether to stop with a savepoint now; used up when it is complete.
    pub(crate) fn stops_now(&self) -> bool {
        self.left.savepoints > 0 && self.random.below(FAILURE_ONCE_IN) == 0
    }

    pub(crate) fn pick(&self, count: usize) -> usize {
        (self.random.next_u64() % count.max(1) as u64) as usize
    }
}

const FAILURE_ONCE_IN: u64 = 120;
/// What the error of an injected failure says.
pub(crate) const INJECTED: &str = "the attempt, by the host,";
/// How long a call of a connector may take: virtual time in the simulation, real time outside.
pub(crate) const PATIENCE: Duration = Duration::from_secs(600);

/// The newest enumerator, for those who look into it.
pub type Enumerator = BoxEnumerator;

impl From<Box<Failed>> for Broken {
    fn from(failed: Box<Failed>) -> Self {
        failed.ran.explain(failed.broken.clone())
    }
}

impl Ran {
    /// Adds the last steps of the run to what was found in it; all of them, when `TESTKIT_LOG` is set to `all`.
    #[must_use]
    pub fn explain(&self, broken: Broken) -> Broken {
        let all = std::env::var("TESTKIT_LOG").is_ok_and(|value| value == "all");
        let steps = if all { self.log.to_string() } else { self.log.tail(25) };
        Broken { what: format!("{}\nthe last steps:\n{steps}\n", broken.what), ..broken }
    }
}

/// What a checker says of a run, with its last steps.
pub(crate) fn with_log(verdict: Verdict, ran: &Ran) -> Verdict {
    verdict.map_err(|broken| ran.explain(broken))
}
