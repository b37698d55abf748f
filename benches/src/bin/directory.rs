//! What a watched directory costs the enumerator: listing, assignment, steady-state snapshot and restore, at 10,000 files and
//! at 100,000.

use std::future::poll_fn;
use std::path::{Path, PathBuf};
use std::process::ExitCode;
use std::task::Poll;
use std::time::Duration;

use benches::pairs::{PAIRS, Spread, verdict};
use benches::{Result, exit, job, now};
use clap::Parser;
use connector_api::Stored;
use connector_api::factory::Span;
use connector_api::id::{AttemptId, CheckpointId, ReaderId, RunId};
use connector_api::source::{EnumeratorCommand, EnumeratorContext, EnumeratorSetup, Source, SplitEnumerator};
use connector_file::source::{FileEnumeratorState, FileSource, FileSplit, SourceOptions};

const FEW: u64 = 10_000;
const MANY: u64 = 100_000;
/// Files per directory.
const FAN: u64 = 1_000;
const STEADY: Duration = Duration::from_millis(50);
const READER: ReaderId = ReaderId(0);

#[derive(Parser)]
struct Arguments {
    /// Where the files are made.
    #[arg(long)]
    dir: PathBuf,
    /// How many rounds of few, then many.
    #[arg(long, default_value_t = PAIRS)]
    rounds: usize,
}

/// Seconds for all files.
#[derive(Clone, Copy)]
struct Seconds {
    listing: f64,
    assignment: f64,
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
    let dir = arguments.dir.join("directory");
    job::empty(&dir)?;
    let (few_dir, many_dir) = (dir.join("few"), dir.join("many"));
    fill(&few_dir, FEW)?;
    fill(&many_dir, MANY)?;
    println!("microseconds per file at {FEW} and at {MANY} files, and their ratio");
    println!("round | listing | assignment | snapshot, nothing pending | restore");
    let mut ratios = [const { Vec::new() }; 4];
    let mut steady = Vec::new();
    for round in 0..=arguments.rounds {
        let few = runtime.block_on(measure(&few_dir, FEW))?.parts().map(|all| all / FEW as f64);
        let many = runtime.block_on(measure(&many_dir, MANY))?.parts().map(|all| all / MANY as f64);
        // The first round warms up.
        if round == 0 {
            continue;
        }
        print!("{round:5}");
        for ((few, many), ratios) in few.into_iter().zip(many).zip(&mut ratios) {
            print!(" | {:7.3} {:7.3} {:5.2}", few * 1e6, many * 1e6, many / few);
            ratios.push(many / few);
        }
        println!();
        steady.push(many[2] * MANY as f64);
    }
    let [listing, assignment, _, restore] = ratios.map(Spread::of);
    let steady = Spread::of(steady);
    println!("steady-state snapshot of {MANY} files, encoded, ms: {}", steady.scaled(1e3));
    let bound = STEADY.as_secs_f64();
    let holds = [
        verdict("listing, median ratio", listing.median, listing.median <= 1.5, "at most 1.5"),
        verdict("assignment, median ratio", assignment.median, assignment.median <= 1.5, "at most 1.5"),
        verdict("restore, median ratio", restore.median, restore.median <= 1.5, "at most 1.5"),
        verdict("steady-state snapshot, seconds", steady.median, steady.median < bound, "below 0.05"),
    ];
    if holds.iter().all(|h| *h) { Ok(()) } else { Err("a bound does not hold".into()) }
}

impl Seconds {
    fn parts(self) -> [f64; 4] {
        [self.listing, self.assignment, self.snapshot, self.restore]
    }
}

/// Makes this many small files.
fn fill(dir: &Path, files: u64) -> Result {
    for file in 0..files {
        let below = dir.join(format!("{:04}", file / FAN));
        if file % FAN == 0 {
            std::fs::create_dir_all(&below).map_err(|e| format!("{}: {e}", below.display()))?;
        }
        let path = below.join(format!("part-of-the-input-{file:08}.log"));
        // The program stands for the producer of the files.
        #[allow(clippy::disallowed_methods)]
        std::fs::write(&path, b"a line\n").map_err(|e| format!("{}: {e}", path.display()))?;
    }
    Ok(())
}

/// An enumerator and what it sees.
struct Seat {
    enumerator: <FileSource as Source>::Enumerator,
    context: EnumeratorContext<FileSplit>,
}

impl Seat {
    fn new(dir: &Path, restored: Option<FileEnumeratorState>) -> Result<Self> {
        let mut options = SourceOptions::lines(dir);
        options.discovery_interval = Some(Span(Duration::from_secs(3600)));
        let source: FileSource = FileSource::new(&options, Path::new("/")).map_err(|e| e.to_string())?;
        let setup = EnumeratorSetup {
            env: connector_runtime::local::environment(),
            parallelism: 1,
            attempt: AttemptId { run: RunId(1), number: 1 },
        };
        let enumerator = source.enumerator(setup, restored).map_err(|e| e.to_string())?;
        let mut context = EnumeratorContext::new(1);
        context.reader_added(READER);
        Ok(Self { enumerator, context })
    }

    fn tell(&mut self, command: EnumeratorCommand<FileSplit>) -> Result {
        self.enumerator.handle(command, &mut self.context).map_err(|e| e.to_string())
    }
}

async fn measure(dir: &Path, files: u64) -> Result<Seconds> {
    let mut seat = Seat::new(dir, None)?;
    let begun = now();
    seat.tell(EnumeratorCommand::Start)?;
    poll_fn(|cx| match seat.enumerator.poll(cx, &mut seat.context) {
        Err(error) => Poll::Ready(Err(error.to_string())),
        Ok(()) if seat.context.unassigned() == Some(files) => Poll::Ready(Ok(())),
        Ok(()) => Poll::Pending,
    })
    .await?;
    let listing = begun.elapsed().as_secs_f64();

    let begun = now();
    for _ in 0..files {
        seat.tell(EnumeratorCommand::SplitRequest(READER))?;
    }
    let assigned = seat.context.take_actions().len() as u64;
    let assignment = begun.elapsed().as_secs_f64();
    if assigned != files {
        return Err(format!("{assigned} of {files} splits were assigned"));
    }

    // The first one may have something to build.
    seat.enumerator.snapshot(CheckpointId(1)).map_err(|e| e.to_string())?;
    let begun = now();
    let state = seat.enumerator.snapshot(CheckpointId(2)).and_then(|state| state.to_bytes());
    let snapshot = begun.elapsed().as_secs_f64();
    let state = state.map_err(|e| e.to_string())?;

    let begun = now();
    let restored = FileEnumeratorState::from_bytes(&state).map_err(|e| e.to_string())?;
    if restored.seen.len() as u64 != files {
        return Err(format!("{} of {files} paths are remembered", restored.seen.len()));
    }
    drop(Seat::new(dir, Some(restored))?);
    Ok(Seconds { listing, assignment, snapshot, restore: begun.elapsed().as_secs_f64() })
}
