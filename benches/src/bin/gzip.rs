//! Lines out of gzip, source -> runtime -> blackhole, against the decoder alone.

use std::fs::{self, File};
use std::io::{BufWriter, Read, Write};
use std::path::{Path, PathBuf};
use std::process::ExitCode;
use std::sync::atomic::Ordering;
use std::time::Duration;

use benches::blackhole::Blackhole;
use benches::child::{OwnCost, measured};
use benches::pairs::{PAIRS, Spread, interleaved, verdict};
use benches::{Result, exit, job};
use clap::Parser;
use connector_api::MessageBatch;
use connector_api::source::erase;
use connector_file::source::{FileSource, SourceOptions};
use connector_runtime::{Pipeline, StartOptions, WatermarkStrategy};
use flate2::read::MultiGzDecoder;
use flate2::write::GzEncoder;

/// At least this share of the decoder's speed: it is one thread on both sides, and what follows it runs on another.
const SPEED: f64 = 0.9;

#[derive(Parser)]
struct Arguments {
    /// Where the input goes.
    #[arg(long)]
    dir: PathBuf,
    /// Megabytes (10^6 bytes) of input before compression.
    #[arg(long, default_value_t = 1000)]
    megabytes: u64,
    /// How many pairs.
    #[arg(long, default_value_t = PAIRS)]
    pairs: usize,
}

fn main() -> ExitCode {
    exit(run(&Arguments::parse()))
}

fn run(arguments: &Arguments) -> Result {
    let dir = arguments.dir.join("gzip");
    fs::create_dir_all(&dir).map_err(|e| format!("{}: {e}", dir.display()))?;
    let bytes = arguments.megabytes * 1_000_000;
    let path = dir.join(format!("{}.txt.gz", arguments.megabytes));
    let lines = input(&path, bytes)?;
    let runtime = tokio::runtime::Builder::new_multi_thread()
        .worker_threads(2)
        .enable_all()
        .build()
        .map_err(|e| format!("tokio: {e}"))?;
    let ours = || measured(|| runtime.block_on(source(&path, lines, &dir.join("ckpt"))));
    let theirs = || measured(|| bare(&path, bytes));
    let pairs = interleaved(arguments.pairs, ours, theirs)?;
    let of = |value: fn(&(OwnCost, OwnCost)) -> f64| Spread::of(pairs.iter().map(value).collect());
    let speed = of(|(ours, theirs)| theirs.wall / ours.wall);
    println!("lines out of gzip, {} MB, {lines} lines, one file", arguments.megabytes);
    println!("speed ratio (decoder wall / source wall): {speed}");
    println!("cpu ratio (source cpu / decoder cpu):     {}", of(|(ours, theirs)| ours.cpu / theirs.cpu));
    println!(
        "source MB/s:                              {}",
        of(|(ours, _)| 1.0 / ours.wall).scaled(bytes as f64 / 1e6)
    );
    if verdict("median speed ratio", speed.median, speed.median >= SPEED, "at least 0.9") {
        Ok(())
    } else {
        Err("a bound does not hold".into())
    }
}

async fn source(path: &Path, lines: u64, checkpoints: &Path) -> Result {
    job::empty(checkpoints)?;
    let sink = Blackhole::default();
    let source = FileSource::<MessageBatch>::new(&SourceOptions::lines(path), Path::new("/"));
    let pipeline = Pipeline::source("source", erase(source.map_err(|e| e.to_string())?))
        .watermarks(WatermarkStrategy::None)
        .sink("sink", Box::new(sink.clone()));
    let job = job::of(pipeline, 1, Duration::from_secs(1), checkpoints);
    let mut running = job.start(StartOptions::default()).await.map_err(|e| e.to_string())?;
    running.wait().await.map_err(|e| e.to_string())?;
    let seen = sink.rows.load(Ordering::Relaxed);
    if seen == lines { Ok(()) } else { Err(format!("{seen} of {lines} lines came out")) }
}

fn bare(path: &Path, bytes: u64) -> Result {
    let failed = |e: std::io::Error| format!("{}: {e}", path.display());
    let mut decoder =
        MultiGzDecoder::new(std::io::BufReader::with_capacity(256 << 10, File::open(path).map_err(failed)?));
    let (mut buffer, mut seen) = (vec![0; 256 << 10], 0);
    loop {
        match decoder.read(&mut buffer).map_err(failed)? {
            0 => break,
            n => seen += n as u64,
        }
    }
    if seen >= bytes { Ok(()) } else { Err(format!("{seen} of {bytes} bytes came out")) }
}

/// Makes the input, unless it is there; says how many lines it has.
fn input(path: &Path, bytes: u64) -> Result<u64> {
    let failed = |e: std::io::Error| format!("{}: {e}", path.display());
    let line = |number: u64| {
        format!(
            "{number:010} {:032x} some words that come again\n",
            u128::from(number).wrapping_mul(0x9e37_79b9_7f4a_7c15_f39c_c060_5ced_c835)
        )
    };
    let lines = bytes.div_ceil(line(0).len() as u64);
    if path.exists() {
        return Ok(lines);
    }
    let part = path.with_extension("part");
    let file = BufWriter::with_capacity(1 << 20, File::create(&part).map_err(failed)?);
    let mut encoder = GzEncoder::new(file, flate2::Compression::fast());
    (0..lines).try_for_each(|number| encoder.write_all(line(number).as_bytes())).map_err(failed)?;
    encoder.finish().and_then(|mut file| file.flush()).map_err(failed)?;
    rename(&part, path).map_err(failed)?;
    Ok(lines)
}

/// This program measures; no simulation runs it.
#[allow(clippy::disallowed_methods)]
fn rename(from: &Path, to: &Path) -> std::io::Result<()> {
    fs::rename(from, to)
}
