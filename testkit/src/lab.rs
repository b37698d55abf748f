//! Where checks get their subjects: a fresh world for each, from a seed.

use std::panic::AssertUnwindSafe;

use connector_api::env::Environment;

use crate::broken::{Broken, Verdict};
use crate::crash::Campaigns;
use crate::sim;
use crate::surroundings::Surroundings;

/// What a check is run on: the author's context, in surroundings that no other check shares.
#[derive(Debug)]
pub struct Subject<C> {
    /// What the author supplied.
    pub context: C,
    /// The process, its files and its clock.
    pub around: Surroundings,
    /// Decides whatever the check leaves to chance.
    pub seed: u64,
}

impl<C> Subject<C> {
    /// The environment of the process that lives.
    pub fn env(&self) -> Environment {
        self.around.env().clone()
    }
}

/// Makes subjects.
pub struct Lab<'a, C> {
    make: &'a dyn Fn(&Surroundings) -> C,
    settings: Settings,
    left_out: &'static [&'static str],
    campaigns: Campaigns,
}

/// How checks are run.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Settings {
    /// The first seed.
    pub seed: u64,
    /// How many seeds a check that explores tries.
    pub rounds: u64,
    /// On the real system: real files, real time, threads.
    pub real: bool,
    /// Campaigns die once at each crash point, not at every hit of it; a second death comes after three of the first alone.
    pub sparing: bool,
}

impl Default for Settings {
    fn default() -> Self {
        Self { seed: 1, rounds: 20, real: false, sparing: false }
    }
}

impl Settings {
    /// As the environment says: `TESTKIT_SEED` runs that seed alone, `TESTKIT_ROUNDS` says how many are tried.
    ///
    /// # Errors
    ///
    /// Naming the variable that is no number.
    pub fn from_env(real: bool) -> Result<Self, String> {
        let number = |name: &str| match std::env::var(name) {
            Err(_) => Ok(None),
            Ok(text) => {
                text.parse::<u64>().map(Some).map_err(|_| format!("{name} must be a number, not `{text}`"))
            }
        };
        let default = Self { real, ..Self::default() };
        let (seed, rounds) = (number("TESTKIT_SEED")?, number("TESTKIT_ROUNDS")?);
        let alone = if seed.is_some() { 1 } else { default.rounds };
        Ok(Self { seed: seed.unwrap_or(default.seed), rounds: rounds.unwrap_or(alone), ..default })
    }
}

impl<C> std::fmt::Debug for Lab<'_, C> {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Lab").field("settings", &self.settings).finish_non_exhaustive()
    }
}

impl<'a, C> Lab<'a, C> {
    /// Makes subjects with `make`.
    pub fn new(make: &'a dyn Fn(&Surroundings) -> C, settings: Settings) -> Self {
        Self { make, settings, left_out: &[], campaigns: Campaigns::default() }
    }

    /// The same, beside other checks of the subject.
    #[must_use]
    pub fn beside(self, campaigns: &Campaigns) -> Self {
        Self { campaigns: campaigns.clone(), ..self }
    }

    /// What other checks of the subject have found out.
    pub(crate) fn campaigns(&self) -> &Campaigns {
        &self.campaigns
    }

    /// See [`Settings::real`].
    pub(crate) fn is_real(&self) -> bool {
        self.settings.real
    }

    /// See [`Settings::sparing`].
    pub(crate) fn is_sparing(&self) -> bool {
        self.settings.sparing
    }

    /// The same, without these crash points.
    #[must_use]
    pub(crate) fn without(&self, left_out: &'static [&'static str]) -> Self {
        Self { left_out, campaigns: self.campaigns.clone(), ..*self }
    }

    pub(crate) fn is_left_out(&self, point: &str) -> bool {
        self.left_out.contains(&point)
    }

    /// Runs the body on one subject.
    ///
    /// # Errors
    ///
    /// What the body finds; a panic is a broken rule F-4.
    pub fn once<F: AsyncFn(&mut Subject<C>) -> Verdict>(&self, body: F) -> Verdict {
        self.at(self.settings.seed, &body)
    }

    /// Runs the body on a subject of this seed, and gives back what it gives.
    ///
    /// # Errors
    ///
    /// As [`once`](Self::once), naming the seed.
    pub fn at<T, F: AsyncFn(&mut Subject<C>) -> Result<T, Broken>>(
        &self,
        seed: u64,
        body: &F,
    ) -> Result<T, Broken> {
        let run = || self.enter(seed, body);
        let result = std::panic::catch_unwind(AssertUnwindSafe(run));
        result.unwrap_or_else(|panic| Err(Broken::new("F-4", panic_text(&*panic)))).map_err(|mut broken| {
            broken.what = format!("{} (seed {seed}: TESTKIT_SEED={seed} runs it again)", broken.what);
            broken
        })
    }

    fn enter<T, F: AsyncFn(&mut Subject<C>) -> Result<T, Broken>>(
        &self,
        seed: u64,
        body: &F,
    ) -> Result<T, Broken> {
        if self.settings.real {
            let runtime = tokio::runtime::Builder::new_multi_thread().worker_threads(2).enable_all().build();
            let runtime = runtime.map_err(|e| Broken::new("F-1", format!("no runtime: {e}")))?;
            return runtime.block_on(async {
                let env = connector_runtime::local::environment();
                self.with(Surroundings::real(env, seed), seed, body).await
            });
        }
        sim::run(async { self.with(Surroundings::simulated(seed), seed, body).await })
    }

    async fn with<T, F: AsyncFn(&mut Subject<C>) -> Result<T, Broken>>(
        &self,
        around: Surroundings,
        seed: u64,
        body: &F,
    ) -> Result<T, Broken> {
        let context = (self.make)(&around);
        let mut subject = Subject { context, around, seed };
        body(&mut subject).await
    }

    /// Runs the body on one subject per seed.
    ///
    /// # Errors
    ///
    /// The first that fails, with its seed.
    pub fn each_seed<F: AsyncFn(&mut Subject<C>) -> Verdict>(&self, body: F) -> Verdict {
        self.seeds().try_for_each(|seed| self.at(seed, &body))
    }

    /// The seed of a check that does not explore.
    pub fn first_seed(&self) -> u64 {
        self.settings.seed
    }

    /// The seeds of a check that explores.
    pub fn seeds(&self) -> impl Iterator<Item = u64> + use<C> {
        self.settings.seed..self.settings.seed.saturating_add(self.settings.rounds)
    }
}

pub(crate) fn panic_text(panic: &(dyn std::any::Any + Send)) -> String {
    let text = panic.downcast_ref::<String>().cloned();
    let text = text.or_else(|| panic.downcast_ref::<&str>().map(|text| (*text).to_owned()));
    format!("panicked: {}", text.unwrap_or_else(|| "(no text)".to_owned()))
}
