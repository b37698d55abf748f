//! What a split costs in a checkpoint and in a restore, at 1,000 splits and at 100,000.
//!
//! Both have a cost that no split causes (tasks, fsyncs): it is measured with one split and subtracted.

use std::path::{Path, PathBuf};
use std::process::ExitCode;
use std::sync::Arc;
use std::time::Duration;

use benches::blackhole::Blackhole;
use benches::generator::{Generator, Given};
use benches::pairs::{PAIRS, Spread, verdict};
use benches::{Result, exit, job, now};
use clap::Parser;
use connector_runtime::{Job, JobHandle, StartOptions};

const FEW: u64 = 1_000;
const MANY: u64 = 100_000;
/// How much work each round does, in splits: more repetitions where there are few splits.
const BUDGET: u64 = 1_000_000;
const INTERVAL: Duration = Duration::from_millis(1);

#[derive(Parser)]
struct Arguments {
    /// Where checkpoints go. A directory in memory takes the noise of the disk away.
    #[arg(long)]
    dir: PathBuf,
    /// How many rounds of few, then many.
    #[arg(long, default_value_t = PAIRS)]
    rounds: usize,
}

/// Median seconds.
#[derive(Clone, Copy)]
struct Seconds {
    snapshot: f64,
    restore: f64,
}

fn main() -> ExitCode {
    exit(run(&Arguments::parse()))
}

fn run(arguments: &Arguments) -> Result {
    let runtime = tokio::runtime::Builder::new_multi_thread()
        .worker_threads(2)
        .enable_all()
        .build()
        .map_err(|e| format!("tokio: {e}"))?;
    let dir = arguments.dir.join("splits");
    println!("splits in one reader; microseconds, median of each round");
    println!(
        "round | snapshot: 1 split  per split at {FEW}  at {MANY}  ratio | restore: 1 split  at {FEW}  at {MANY}  ratio"
    );
    let mut ratios = (Vec::new(), Vec::new());
    for round in 0..=arguments.rounds {
        let fixed = runtime.block_on(measure(&dir, 1))?;
        let few = runtime.block_on(measure(&dir, FEW))?.per_split(fixed, FEW);
        let many = runtime.block_on(measure(&dir, MANY))?.per_split(fixed, MANY);
        // The first round warms up.
        if round == 0 {
            continue;
        }
        let (snapshot, restore) = (many.snapshot / few.snapshot, many.restore / few.restore);
        println!(
            "{round:5} | {:17.1} {:20.3} {:10.3} {snapshot:6.2} | {:16.1} {:8.3} {:10.3} {restore:6.2}",
            fixed.snapshot * 1e6,
            few.snapshot * 1e6,
            many.snapshot * 1e6,
            fixed.restore * 1e6,
            few.restore * 1e6,
            many.restore * 1e6,
        );
        ratios.0.push(snapshot);
        ratios.1.push(restore);
    }
    let (snapshot, restore) = (Spread::of(ratios.0), Spread::of(ratios.1));
    println!("snapshot, cost per split, many / few: {snapshot}");
    println!("restore,  cost per split, many / few: {restore}");
    let holds = [
        verdict("snapshot, median ratio", snapshot.median, snapshot.median <= 1.5, "at most 1.5"),
        verdict("restore, median ratio", restore.median, restore.median <= 1.5, "at most 1.5"),
    ];
    if holds.iter().all(|h| *h) { Ok(()) } else { Err("a bound does not hold".into()) }
}

impl Seconds {
    fn per_split(self, fixed: Self, splits: u64) -> Self {
        let each = |all: f64, fixed: f64| (all - fixed).max(0.0) / splits as f64;
        Self { snapshot: each(self.snapshot, fixed.snapshot), restore: each(self.restore, fixed.restore) }
    }
}

fn new_job(dir: &Path, splits: u64, interval: Duration) -> (Job, Arc<Given>) {
    let given = Arc::<Given>::default();
    let source = Generator { splits, batches: 0, make: Arc::new(Vec::<u8>::new), given: Arc::clone(&given) };
    (job::job(source, &Blackhole::default(), 1, interval, dir), given)
}

async fn measure(dir: &Path, splits: u64) -> Result<Seconds> {
    job::empty(dir)?;
    let times = (BUDGET / splits).clamp(10, 101);
    let (job, given) = new_job(dir, splits, INTERVAL);
    let mut handle = job.start(StartOptions::default()).await.map_err(|e| e.to_string())?;
    arrived(&handle, &given, splits).await?;
    let snapshot = snapshots(&handle, times).await?;
    handle.abort();
    // An aborted job says that it was cancelled.
    let _ = handle.wait().await;

    let mut restores = Vec::new();
    for _ in 0..times {
        // No checkpoint of its own disturbs it.
        let (job, given) = new_job(dir, splits, Duration::from_secs(3600));
        let started = now();
        let mut handle = job.start(StartOptions::default()).await.map_err(|e| e.to_string())?;
        arrived(&handle, &given, splits).await?;
        restores.push(started.elapsed().as_secs_f64());
        handle.abort();
        let _ = handle.wait().await;
    }
    Ok(Seconds { snapshot, restore: Spread::of(restores).median })
}

/// Waits until the readers have all splits.
async fn arrived(handle: &JobHandle, given: &Given, splits: u64) -> Result {
    let arrived = tokio::time::timeout(Duration::from_secs(60), given.reaches(splits)).await;
    arrived.map_err(|_| format!("not all of {splits} splits arrived: {:?}", handle.progress()))
}

/// The median duration of this many checkpoints, each with all splits in its state.
async fn snapshots(handle: &JobHandle, times: u64) -> Result<f64> {
    let started = now();
    // The one that was under way when the splits arrived may not hold them.
    let mut last = handle.progress().checkpoints + 1;
    let mut durations = Vec::new();
    while (durations.len() as u64) < times {
        if started.elapsed() > Duration::from_secs(120) {
            return Err(format!("no checkpoints: {:?}", handle.progress()));
        }
        let progress = handle.progress();
        if let Some(checkpoint) = progress.last_checkpoint.filter(|_| progress.checkpoints > last) {
            last = progress.checkpoints;
            durations.push(checkpoint.duration.as_secs_f64());
        }
        tokio::time::sleep(Duration::from_micros(200)).await;
    }
    Ok(Spread::of(durations).median)
}
