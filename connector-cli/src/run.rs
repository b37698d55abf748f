//! `connect run`: a pipeline from its start to its end, and the report of it.

use std::path::{Path, PathBuf};
use std::time::Duration;

use connector_api::Error;
use connector_api::env::Environment;
use connector_runtime::{JobHandle, JobReport, Progress, StartFrom, StartOptions};

use crate::args::{LogFormat, RunArgs};
use crate::check::reach;
use crate::failure::{DONE, Failure};
use crate::host;
use crate::load::Loaded;
use crate::logs::{self, Screen};
use crate::metrics::Totals;
use crate::progress::Display;
use crate::report::Report;
use crate::signals::Signals;
use crate::{crash, metrics, registry};

/// How long an aborted job may take before the process leaves it behind.
const ABORT_PATIENCE: Duration = Duration::from_secs(5);

/// Runs a pipeline, prints its report, and answers the exit code.
pub(crate) async fn run(args: &RunArgs) -> u8 {
    let mut run = Run {
        env: Environment { crash: crash::points(), ..connector_runtime::local::environment() },
        totals: Totals::default(),
        job: args.file.display().to_string(),
        last: Progress::default(),
    };
    let start = run.env.clock.monotonic();
    match run.go(args).await {
        Ok(job) => {
            Report::ended(job, &run.totals).print(&run.job, args.report);
            DONE
        }
        Err(failure) => {
            let elapsed = run.env.clock.monotonic().saturating_sub(start);
            Report::failed(&run.last, &run.totals, elapsed, &failure).print_failure(&run.job, args.report);
            complain(args, &failure);
            failure.exit_code()
        }
    }
}

/// What is known of a run, also when it fails.
struct Run {
    env: Environment,
    totals: Totals,
    /// The job's name; until that is known, the file.
    job: String,
    last: Progress,
}

impl Run {
    async fn go(&mut self, args: &RunArgs) -> Result<JobReport, Failure> {
        // From here on no signal ends the process by itself.
        let mut signals = Signals::install().map_err(|e| Failure::Surroundings(format!("signals: {e}")))?;
        let screen = logs::start(args.log_format)?;
        let (totals, exported) = metrics::install(args.metrics.is_some())?;
        self.totals = totals;
        let registries = registry::registries();
        let loaded = Loaded::read(&args.file, &args.settings, &registries)?;
        self.job.clone_from(&loaded.config.name);
        let options = StartOptions {
            from: start_from(&args.from, &self.env)?,
            accept_duplicates: args.accept_duplicates,
        };
        let mut asked = false;
        let reaching = reach(&loaded, &registries, &self.env);
        let flow = patiently(reaching, &mut signals, &mut asked).await??;
        if let (Some(address), Some(exported)) = (&args.metrics, exported) {
            let listener = metrics::bind(address).await?;
            let at = listener.local_addr().map_or(address.clone(), |at| at.to_string());
            tracing::info!("metrics at http://{at}/metrics");
            tokio::spawn(metrics::serve(listener, exported));
        }

        let starting = host::start(&loaded, &registries, flow, options, self.env.clone());
        let running =
            patiently(starting, &mut signals, &mut asked).await?.map_err(|e| refused(&loaded, e))?;
        self.drive(running, asked, &mut signals, &screen).await.map_err(|failure| match failure {
            Failure::Job(error) => loaded.explain(error),
            other => other,
        })
    }

    /// Shows progress and listens for signals until the job ends.
    async fn drive(
        &mut self,
        mut running: JobHandle,
        mut asked: bool,
        signals: &mut Signals,
        screen: &Screen,
    ) -> Result<JobReport, Failure> {
        if asked {
            running.stop_with_savepoint();
        }
        let mut display = Display::new(&self.env, &self.totals, screen);
        let mut ticks = tokio::time::interval(display.tick());
        ticks.set_missed_tick_behavior(tokio::time::MissedTickBehavior::Delay);
        // The first tick is at once, when there is nothing to show.
        ticks.tick().await;
        let ended = loop {
            tokio::select! {
                ended = running.wait() => break ended.map_err(Failure::Job),
                signal = signals.next() => {
                    if asked {
                        tracing::warn!("{signal} again: giving up without a savepoint");
                        let giving_up = async {
                            running.abort();
                            // Its answer is known: it was cancelled.
                            let _ = running.wait().await;
                        };
                        if tokio::time::timeout(ABORT_PATIENCE, giving_up).await.is_err() {
                            tracing::warn!("the job did not end within {ABORT_PATIENCE:?}; leaving it behind");
                        }
                        break Err(Failure::Aborted);
                    }
                    tracing::info!("{signal}: stopping with a savepoint; once more gives up without one");
                    asked = true;
                    running.stop_with_savepoint();
                }
                _ = ticks.tick() => display.show(&running.progress()),
            }
        };
        self.last = running.progress();
        display.finish();
        ended
    }
}

/// Awaits what comes before the job runs. A first signal is remembered for then; a second gives up.
async fn patiently<T>(
    before: impl Future<Output = T>,
    signals: &mut Signals,
    asked: &mut bool,
) -> Result<T, Failure> {
    let mut before = std::pin::pin!(before);
    loop {
        tokio::select! {
            done = &mut before => return Ok(done),
            signal = signals.next() => {
                if *asked {
                    return Err(Failure::Aborted);
                }
                tracing::info!("{signal}: stopping with a savepoint as soon as the job is restored");
                *asked = true;
            }
        }
    }
}

/// Why a start was refused.
fn refused(loaded: &Loaded, error: Error) -> Failure {
    match &error {
        // An option of the command line, not of the file.
        Error::Config { option, reason } if option == "from" => {
            Failure::Configuration(format!("--from: {reason}"))
        }
        // Another process has the directory: nothing is wrong with the configuration, and later it works.
        Error::Config { option, reason } if option == "checkpoint.dir" => Failure::Surroundings(format!(
            "{}: option `{option}`: {reason}",
            loaded.document.place_of(option)
        )),
        _ => loaded.explain(error),
    }
}

/// Says why on standard error: once, and as a log line where those are JSON.
fn complain(args: &RunArgs, failure: &Failure) {
    let logged = args.log_format == LogFormat::Json && tracing::enabled!(tracing::Level::ERROR);
    if logged {
        tracing::error!(exit_code = failure.exit_code(), "{failure}");
    } else {
        eprintln!("error: {failure}");
    }
}

/// What `--from` means.
fn start_from(from: &Path, env: &Environment) -> Result<StartFrom, Failure> {
    if from == Path::new("latest") {
        return Ok(StartFrom::Latest);
    }
    if from == Path::new("none") {
        return Ok(StartFrom::Nothing);
    }
    let wrong = |e: std::io::Error| {
        let from = from.display();
        let allowed = "allowed: `latest`, `none`, or the path of a checkpoint or savepoint";
        Failure::Configuration(format!("--from {from}: {e}; {allowed}"))
    };
    let path: PathBuf = std::path::absolute(from).map_err(wrong)?;
    env.fs.metadata(&path).map_err(wrong)?;
    Ok(StartFrom::Path(path))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn what_to_start_from_is_a_word_or_an_existing_path() {
        let env = connector_runtime::local::environment();
        assert_eq!(start_from(Path::new("latest"), &env).unwrap(), StartFrom::Latest);
        assert_eq!(start_from(Path::new("none"), &env).unwrap(), StartFrom::Nothing);
        assert!(
            matches!(start_from(Path::new("Cargo.toml"), &env).unwrap(), StartFrom::Path(p) if p.is_absolute())
        );
        let refused = start_from(Path::new("newest"), &env).unwrap_err();
        assert_eq!(refused.exit_code(), crate::failure::BAD_CONFIGURATION);
        assert!(refused.to_string().contains("--from newest") && refused.to_string().contains("`latest`"));
    }
}
