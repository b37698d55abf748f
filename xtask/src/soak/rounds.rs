//! The rounds of a soak.

use std::cell::Cell;
use std::process::ExitStatus;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::time::Duration;

use rustix::process::{Pid, Signal, kill_process};

use super::columns::ColumnScanner;
use super::input::Shape;
use super::pipeline::{Pipeline, Run, Target};
use super::random::Random;
use super::scan::{Scan, Scanner};
use super::{Arguments, input};
use crate::{Result, python, shell};

/// How many writers the rounds run with, in turn.
const PARALLELISM: [u32; 3] = [1, 3, 2];
/// What the last round, which runs to the end, and a stop with a savepoint may take.
const PATIENCE: Duration = Duration::from_secs(600);

/// One round in so many must make new output visible, or the kills met hardly a commit.
const LEAST: u32 = 3;

/// What the scanner shares with the rounds.
#[derive(Default)]
struct Watch {
    stop: AtomicBool,
    failed: AtomicBool,
    bytes: AtomicU64,
    scans: AtomicU64,
}

impl Watch {
    /// Waits until all that is visible now was seen: by a scan that began after this.
    fn settle(&self) {
        let (begun, started) = (self.scans.load(Ordering::Acquire), shell::now());
        let is_settled =
            || self.scans.load(Ordering::Acquire) >= begun + 2 || self.failed.load(Ordering::Acquire);
        while !is_settled() && started.elapsed() < PATIENCE {
            shell::sleep(Duration::from_millis(1));
        }
    }
}

/// What ends a round.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum EndedBy {
    Kill,
    Signals,
}

/// What the rounds write.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Output {
    Lines,
    Parquet,
    /// Parquet into a server of ours that speaks S3.
    S3,
}

impl Output {
    /// A round ends after a time between these: long enough that most rounds see commits.
    fn millis(self) -> (u64, u64) {
        match self {
            Self::Lines => (20, 400),
            Self::Parquet => (50, 800),
            Self::S3 => (300, 2_000),
        }
    }
}

pub(super) fn run(arguments: &Arguments, by: EndedBy, output: Output) -> Result {
    let seed = arguments.seed.unwrap_or_else(Random::seed);
    let name = arguments.title().trim_start_matches("cargo xtask soak ");
    let again = format!("{} --rounds {} --seed {seed}", arguments.title(), arguments.rounds);
    println!("{again}");
    let connect = match output {
        Output::Lines => shell::build_release(&["connector-cli"], &[])?.join("connect"),
        Output::Parquet | Output::S3 => shell::build_connect()?,
    };
    let dir = shell::target_dir()?.join("soak").join(format!("{name}-{seed}"));
    if dir.exists() {
        std::fs::remove_dir_all(&dir).map_err(|e| format!("{}: {e}", dir.display()))?;
    }
    std::fs::create_dir_all(&dir).map_err(|e| format!("{}: {e}", dir.display()))?;
    let bytes = arguments.bytes();
    let shape = if output == Output::Lines { Shape::Text } else { Shape::Json };
    let lines = input::write(&dir.join("in"), shape, seed, bytes)?;
    println!("input: {lines} lines, {} MiB", bytes >> 20);

    let mut server = None;
    let (target, mut scanner): (_, Box<dyn Scan>) = match output {
        Output::Lines => (Target::Lines, Box::new(Scanner::new(dir.join("out"), seed, lines))),
        Output::Parquet => {
            let place = dir.join("out").display().to_string();
            let scanner = ColumnScanner::start(&python::programs()?, lines, bytes, &place, None)?;
            (Target::Parquet, Box::new(scanner))
        }
        Output::S3 => {
            let programs = python::programs()?;
            let endpoint = server.insert(python::S3::start()?).endpoint.clone();
            let url = format!("s3://{}/out", python::S3::BUCKET);
            let scanner = ColumnScanner::start(&programs, lines, bytes, &url, Some(&endpoint))?;
            (Target::Bucket { url, endpoint }, Box::new(scanner))
        }
    };
    let pipeline = Pipeline::new(dir, connect, &target)?;
    let result = watched(arguments, by, output, seed, &pipeline, &mut *scanner, bytes);
    drop(server);
    match result {
        Ok(summary) => {
            println!(
                "{summary}\nseed {seed}: every line exactly once in each scan and at the end, no hidden file left"
            );
            std::fs::remove_dir_all(&pipeline.dir).map_err(|e| format!("{}: {e}", pipeline.dir.display()))
        }
        Err(why) => Err(format!("{why}\nkept for a look: {}\nagain: {again}", pipeline.dir.display())),
    }
}

/// Runs the rounds while a thread scans.
fn watched(
    arguments: &Arguments,
    by: EndedBy,
    output: Output,
    seed: u64,
    pipeline: &Pipeline,
    scanner: &mut dyn Scan,
    bytes: u64,
) -> Result<String> {
    let watch = Watch::default();
    let (rounds, scanned) = std::thread::scope(|scope| {
        let scanning = scope.spawn(|| {
            while !watch.stop.load(Ordering::Acquire) {
                let scanned = scanner.scan();
                watch.bytes.store(scanner.bytes(), Ordering::Release);
                if scanned.is_err() {
                    watch.failed.store(true, Ordering::Release);
                    return scanned;
                }
                watch.scans.fetch_add(1, Ordering::AcqRel);
                shell::sleep(Duration::from_millis(1));
            }
            Ok(())
        });
        let rounds = rounds(arguments, by, output, seed, pipeline, bytes, &watch);
        watch.stop.store(true, Ordering::Release);
        (rounds, scanning.join().unwrap_or_else(|_| Err("the scanner panicked".into())))
    });
    // What is wrong with the output matters more than how the round that showed it ended.
    scanned?;
    let counts = rounds?;
    scanner.finish()?;
    Ok(format!(
        "{} rounds ended by {}, {} with new output visible; {} scans",
        counts.ended,
        match by {
            EndedBy::Kill => "SIGKILL",
            EndedBy::Signals => "SIGINT or SIGTERM",
        },
        counts.progressed,
        scanner.scans()
    ))
}

#[derive(Default)]
struct Counts {
    ended: u32,
    progressed: u32,
}

fn rounds(
    arguments: &Arguments,
    by: EndedBy,
    output: Output,
    seed: u64,
    pipeline: &Pipeline,
    bytes: u64,
    watch: &Watch,
) -> Result<Counts> {
    // Not the numbers that the input was made from.
    let mut random = Random::new(!seed);
    let mut counts = Counts::default();
    let (least, most) = output.millis();
    for round in 0..arguments.rounds {
        let before = watch.bytes.load(Ordering::Acquire);
        let limit = Duration::from_millis(random.between(least, most));
        // The input must outlast the rounds: one that gets on fast is ended before its time is up.
        // What is visible lags behind what was read, so the shares leave half of the input for that.
        let share = bytes / 2 / u64::from(arguments.rounds + 1) * u64::from(round + 1);
        let parallelism = PARALLELISM[round as usize % PARALLELISM.len()];
        let mut run = pipeline.start(round, parallelism)?;
        // Over a server few rounds of any length see commits: each second one is ended soon after its first.
        let (published, first) = (pipeline.published(), Cell::new(None));
        let early = until(&mut run, watch, |elapsed| {
            if output == Output::S3 && round % 2 == 1 {
                if first.get().is_none() && pipeline.published() > published {
                    first.set(Some(elapsed));
                }
                return first.get().is_some_and(|first| elapsed >= first + limit / 8) || elapsed >= PATIENCE;
            }
            elapsed >= limit || watch.bytes.load(Ordering::Acquire) >= share
        })?;
        match early {
            Some(status) if !status.success() => {
                return Err(format!("round {round}: connect ended by itself with {status}:\n{}", run.tail()));
            }
            // On a fast machine fewer rounds than asked for fit into the input; whether they were enough is seen below.
            Some(_) => {
                println!("the input ended in round {round}: --mib-per-round makes it larger");
                break;
            }
            None => {}
        }
        match by {
            EndedBy::Kill => {
                run.child.kill().and_then(|()| run.child.wait()).map_err(|e| format!("kill: {e}"))?;
                counts.ended += 1;
            }
            EndedBy::Signals => {
                let signal = if random.next().is_multiple_of(2) { Signal::INT } else { Signal::TERM };
                if stop(&mut run, signal, watch).map_err(|e| format!("round {round}, {signal:?}: {e}"))? {
                    counts.ended += 1;
                }
            }
        }
        watch.settle();
        if watch.failed.load(Ordering::Acquire) {
            return Err(format!("the output was found wrong in or before round {round}"));
        }
        counts.progressed += u32::from(watch.bytes.load(Ordering::Acquire) > before);
    }
    let parallelism = PARALLELISM[arguments.rounds as usize % PARALLELISM.len()];
    let mut run = pipeline.start(arguments.rounds, parallelism)?;
    let status = until(&mut run, watch, |elapsed| elapsed > PATIENCE)?;
    finished(&mut run, status)?;
    if counts.ended == 0 && arguments.rounds > 0 {
        return Err("no round was ended from outside: this soak showed nothing".into());
    }
    if arguments.rounds > 0 && counts.progressed < (arguments.rounds / LEAST).max(1) {
        let Counts { ended, progressed } = counts;
        return Err(format!(
            "new output was visible in {progressed} of {ended} rounds only: too few commits"
        ));
    }
    Ok(counts)
}

/// Waits until `connect` ends by itself (then says how), it is `time`, or the scanner found something.
fn until(run: &mut Run, watch: &Watch, time: impl Fn(Duration) -> bool) -> Result<Option<ExitStatus>> {
    let started = shell::now();
    loop {
        if let Some(status) = run.child.try_wait().map_err(|e| format!("wait: {e}"))? {
            return Ok(Some(status));
        }
        if time(started.elapsed()) || watch.failed.load(Ordering::Acquire) {
            return Ok(None);
        }
        shell::sleep(Duration::from_millis(1));
    }
}

/// Signals and expects a stop with a savepoint. Says whether it was one: a signal that comes before `connect` listens
/// just kills, as for any program.
fn stop(run: &mut Run, signal: Signal, watch: &Watch) -> Result<bool> {
    let pid = i32::try_from(run.child.id()).ok().and_then(Pid::from_raw).ok_or("no process id")?;
    kill_process(pid, signal).map_err(|e| format!("kill: {e}"))?;
    let Some(status) = until(run, watch, |elapsed| elapsed > PATIENCE)? else {
        run.child.kill().and_then(|()| run.child.wait()).map_err(|e| format!("kill: {e}"))?;
        return Err("connect did not stop".into());
    };
    if status.code().is_none() {
        return Ok(false);
    }
    if !status.success() {
        return Err(format!("connect ended with {status}:\n{}", run.tail()));
    }
    let report = run.report()?;
    let savepoint = report.get("savepoint").and_then(serde_json::Value::as_str);
    let stopped = report.get("stopped").and_then(serde_json::Value::as_bool) == Some(true);
    match savepoint {
        Some(_) if stopped => Ok(true),
        None if report.get("end").and_then(serde_json::Value::as_str) == Some("finished") => {
            Err("the input ended first: give --mib-per-round a larger number".into())
        }
        _ => Err(format!("the report names no savepoint: {report}")),
    }
}

fn finished(run: &mut Run, status: Option<ExitStatus>) -> Result {
    match status {
        Some(status) if status.success() => Ok(()),
        Some(status) => Err(format!("the last round ended with {status}:\n{}", run.tail())),
        None => {
            run.child.kill().and_then(|()| run.child.wait()).map_err(|e| format!("kill: {e}"))?;
            Err("the last round did not end".into())
        }
    }
}
