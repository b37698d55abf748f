//! Suites of named checks, run like tests.

use std::process::ExitCode;
use std::sync::Arc;

use libtest_mimic::{Arguments, Completion, Failed, Trial};

use crate::capability::Capabilities;
use crate::check::Check;
use crate::context::{SinkContext, SourceContext};
use crate::crash::Campaigns;
use crate::factory::FactorySubject;
use crate::lab::Settings;
use crate::surroundings::Surroundings;
use crate::{factory, sim, sink, source};

/// Suites for a connector. Run it from a test target with `harness = false`:
///
/// ```no_run
/// # use testkit::reference::{LedgerContext, NumbersContext};
/// fn main() -> std::process::ExitCode {
///     testkit::Suite::new("numbers")
///         .source(|_| NumbersContext::default())
///         .sink(|_| LedgerContext::default())
///         .main()
/// }
/// ```
///
/// Each check is a test: `cargo test --test conformance source::restore` runs some of them. What a connector does not declare is
/// listed as ignored, with the capability that is missing. A check that fails prints its seed, its rule, where the rule comes
/// from and what the failure means; `TESTKIT_SEED=n` runs that seed again, `TESTKIT_ROUNDS=n` tries more seeds, and
/// `TESTKIT_LOG=all` prints every step of the run.
pub struct Suite {
    connector: String,
    real: bool,
    sparing: Option<u64>,
    needs: Option<Need>,
    threads: Option<usize>,
    trials: Vec<Trial>,
}

/// Says in one line what is missing on this machine.
type Need = fn() -> Result<(), String>;

impl std::fmt::Debug for Suite {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Suite").field("connector", &self.connector).finish_non_exhaustive()
    }
}

impl Suite {
    /// Suites for this connector, in the simulation.
    pub fn new(connector: impl Into<String>) -> Self {
        Self {
            connector: connector.into(),
            real: false,
            sparing: None,
            needs: None,
            threads: None,
            trials: Vec::new(),
        }
    }

    /// What is added from here on is listed under this name.
    #[must_use]
    pub fn named(mut self, connector: impl Into<String>) -> Self {
        self.connector = connector.into();
        self
    }

    /// What is added from here on runs on the real system: real files, real time, threads.
    #[must_use]
    pub fn on_the_real_system(mut self) -> Self {
        self.real = true;
        self
    }

    /// What is added from here on takes less time: checks that explore try at most so many seeds (`TESTKIT_ROUNDS` says
    /// otherwise), and crash campaigns die once at each point; see [`Settings::sparing`]. A crash-point table is then judged by
    /// what such a campaign can know: run one combination of the connector without this, that the table is judged whole.
    #[must_use]
    pub fn sparing(mut self, rounds: u64) -> Self {
        self.sparing = Some(rounds);
        self
    }

    /// How many checks run at the same time, unless the command line says: more than there are cores where they mostly wait for a
    /// real system.
    #[must_use]
    pub fn threads(mut self, threads: usize) -> Self {
        self.threads = Some(threads);
        self
    }

    /// What is added from here on needs something of this machine. Where it is missing, the checks are listed as ignored, with the
    /// line that says what; with `CI` in the environment they fail.
    #[must_use]
    pub fn needing(mut self, needs: fn() -> Result<(), String>) -> Self {
        self.needs = Some(needs);
        self
    }

    /// Adds all checks of a source. `make` makes the context of each check anew.
    #[must_use]
    pub fn source<C: SourceContext>(
        self,
        make: impl Fn(&Surroundings) -> C + Send + Sync + Clone + 'static,
    ) -> Self {
        let capabilities = in_a_world(&make, |mut context| source::capabilities(&mut context));
        self.checks(source::checks(), make, &capabilities)
    }

    /// Adds all checks of a sink. `make` makes the context of each check anew.
    #[must_use]
    pub fn sink<C: SinkContext>(
        self,
        make: impl Fn(&Surroundings) -> C + Send + Sync + Clone + 'static,
    ) -> Self {
        let capabilities = in_a_world(&make, |mut context| sink::capabilities(&mut context));
        self.checks(sink::checks(), make, &capabilities)
    }

    /// Adds all checks of a factory. `make` makes the subject of each check anew.
    #[must_use]
    pub fn factory<C: FactorySubject>(
        self,
        make: impl Fn(&Surroundings) -> C + Send + Sync + Clone + 'static,
    ) -> Self {
        let capabilities = in_a_world(&make, |subject| factory::capabilities(&subject));
        self.checks(factory::checks(), make, &capabilities)
    }

    /// Adds checks of any family.
    #[must_use]
    pub fn checks<C: 'static>(
        mut self,
        checks: Vec<Check<C>>,
        make: impl Fn(&Surroundings) -> C + Send + Sync + 'static,
        capabilities: &Capabilities,
    ) -> Self {
        let make = Arc::new(make);
        let (real, sparing, needs) = (self.real, self.sparing, self.needs);
        let campaigns = Campaigns::default();
        for check in checks {
            let (make, campaigns) = (make.clone(), campaigns.clone());
            let trial = match capabilities.missing(check.needs) {
                Some(missing) => {
                    let why = format!("capability {missing} not declared");
                    let kind = format!("skipped: {why}");
                    Trial::test(check.name, move || Err(Failed::from(why)))
                        .with_kind(kind)
                        .with_ignored_flag(true)
                }
                None => {
                    let run = move || run(&check, &*make, &campaigns, real, sparing);
                    Trial::ignorable_test(check.name, move || where_it_can(needs, run))
                        .with_kind(self.connector.clone())
                }
            };
            self.trials.push(trial);
        }
        self
    }

    /// Runs what the command line asks for, as `cargo test` does.
    pub fn main(self) -> ExitCode {
        let mut arguments = Arguments::from_args();
        arguments.test_threads = arguments.test_threads.or(self.threads);
        libtest_mimic::run(&arguments, self.trials).exit_code()
    }
}

fn in_a_world<C, T>(make: &impl Fn(&Surroundings) -> C, ask: impl Fn(C) -> T) -> T {
    sim::run(async { ask(make(&Surroundings::simulated(1))) })
}

/// Runs a check unless something is missing.
fn where_it_can(needs: Option<Need>, run: impl FnOnce() -> Result<(), Failed>) -> Result<Completion, Failed> {
    match needs.map_or(Ok(()), |needs| needs()) {
        Ok(()) => run().map(|()| Completion::Completed),
        Err(missing) if std::env::var_os("CI").is_some() => Err(missing.into()),
        Err(missing) => Ok(Completion::ignored_with(missing)),
    }
}

fn run<C>(
    check: &Check<C>,
    make: &dyn Fn(&Surroundings) -> C,
    campaigns: &Campaigns,
    real: bool,
    sparing: Option<u64>,
) -> Result<(), Failed> {
    let mut settings = Settings::from_env(real)?;
    if let Some(rounds) = sparing {
        settings.sparing = true;
        if std::env::var_os("TESTKIT_ROUNDS").is_none() {
            settings.rounds = settings.rounds.min(rounds);
        }
    }
    check.judge_beside(make, settings, campaigns).map_err(|broken| {
        Failed::from(format!(
            "{broken}\n  proves: {} of docs/semantics.md\n  source: {}\n  means:  {}",
            check.rules.join(", "),
            check.source,
            check.failure
        ))
    })
}
