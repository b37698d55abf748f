//! Lines to lines through `connect run`, against a bare program that writes and concatenates the same bytes.

use std::fs::{self, File};
use std::io::{BufWriter, Write};
use std::path::{Path, PathBuf};
use std::process::{Command, ExitCode};

use benches::child::{self, Cost};
use benches::pairs::{PAIRS, Spread, interleaved, verdict};
use benches::{Result, exit};
use clap::Parser;

const LINE: usize = 100;
const FILES: u64 = 8;
const THREADS: u64 = 2;
const PART: u64 = 8 << 20;
const TARGET: u64 = 64 << 20;
/// At least this share of the bare program's speed, with at most this much memory.
const SPEED: f64 = 0.7;
const MEMORY_MIB: f64 = 200.0;

const PIPELINE: &str = r#"name = "lines"
parallelism = 2
checkpoint = { interval = "1s", dir = "ckpt", retain = 2, timeout = "10m" }

[source]
connector = "file"
path = "in"
format = "lines"

[sink]
connector = "file"
path = "out"
format = "lines"
rolling = { size = "8 MiB", on_checkpoint = true }
compaction = { checkpoints = 2, size = "64 MiB" }
"#;

#[derive(Parser)]
struct Arguments {
    /// Where input and output go; a file system with what the real use has.
    #[arg(long)]
    dir: PathBuf,
    /// Megabytes (10^6 bytes) of input.
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
    let dir = arguments.dir.join("lines");
    let bytes = arguments.megabytes * 1_000_000 / (LINE as u64 * FILES) * LINE as u64 * FILES;
    input(&dir.join("in"), bytes)?;
    write(&dir.join("lines.toml"), PIPELINE.as_bytes())?;
    let connect = child::sibling("connect")?;
    let bare = child::sibling("bare_lines")?;
    let ours = || {
        fresh(&dir)?;
        let cost = child::run(&connect, ["run", "lines.toml"], &dir)?;
        complete(&dir.join("out"), bytes)?;
        Ok(cost)
    };
    let theirs = || {
        fresh(&dir)?;
        let numbers = [PART, TARGET, THREADS].map(|n| n.to_string());
        let words = ["in", "out"].into_iter().chain(numbers.iter().map(String::as_str));
        let cost = child::run(&bare, words, &dir)?;
        complete(&dir.join("out"), bytes)?;
        Ok(cost)
    };
    let pairs = interleaved(arguments.pairs, ours, theirs)?;
    fresh(&dir)?;
    report(bytes, &pairs)
}

fn report(bytes: u64, pairs: &[(Cost, Cost)]) -> Result {
    println!("lines -> lines, {} MB in lines of {LINE} bytes, parallelism {THREADS}", bytes / 1_000_000);
    println!("pair | connect: wall s  cpu s  peak MiB | bare: wall s  cpu s  peak MiB | speed ratio");
    for (index, (ours, theirs)) in pairs.iter().enumerate() {
        println!(
            "{:4} | {:15.2} {:6.2} {:9.1} | {:12.2} {:6.2} {:9.1} | {:11.3}",
            index + 1,
            ours.wall,
            ours.cpu,
            ours.peak_mib,
            theirs.wall,
            theirs.cpu,
            theirs.peak_mib,
            theirs.wall / ours.wall
        );
    }
    let of = |value: fn(&(Cost, Cost)) -> f64| Spread::of(pairs.iter().map(value).collect());
    let speed = of(|(ours, theirs)| theirs.wall / ours.wall);
    let peak = of(|(ours, _)| ours.peak_mib);
    println!("speed ratio (bare wall / connect wall): {speed}");
    println!("cpu ratio (connect cpu / bare cpu):     {}", of(|(ours, theirs)| ours.cpu / theirs.cpu));
    println!(
        "connect MB/s:                           {}",
        of(|(ours, _)| 1.0 / ours.wall).scaled(bytes as f64 / 1e6)
    );
    let fast = verdict("median speed ratio", speed.median, speed.median >= SPEED, "at least 0.7");
    let small = verdict("greatest peak, MiB", peak.high, peak.high < MEMORY_MIB, "below 200");
    if fast && small { Ok(()) } else { Err("a bound does not hold".into()) }
}

/// Makes the input, unless it is there from an earlier run.
fn input(dir: &Path, bytes: u64) -> Result {
    let failed = |e: std::io::Error| format!("{}: {e}", dir.display());
    let each = bytes / FILES;
    let path = |index: u64| dir.join(format!("{index}.txt"));
    if (0..FILES).all(|i| fs::metadata(path(i)).is_ok_and(|m| m.len() == each)) {
        return Ok(());
    }
    let _ = fs::remove_dir_all(dir);
    fs::create_dir_all(dir).map_err(failed)?;
    let mut number = 0u64;
    for index in 0..FILES {
        let mut file = BufWriter::with_capacity(1 << 20, File::create(path(index)).map_err(failed)?);
        for _ in 0..each / LINE as u64 {
            // 99 bytes and a terminator.
            writeln!(file, "{number:019} {:x<79}", "").map_err(failed)?;
            number += 1;
        }
        file.flush().map_err(failed)?;
    }
    Ok(())
}

/// Nothing left of the run before, on the disk or on its way there.
fn fresh(dir: &Path) -> Result {
    for name in ["out", "ckpt"] {
        let path = dir.join(name);
        if path.exists() {
            fs::remove_dir_all(&path).map_err(|e| format!("{}: {e}", path.display()))?;
        }
    }
    let status = Command::new("sync").status().map_err(|e| format!("sync: {e}"))?;
    if status.success() { Ok(()) } else { Err(format!("sync: {status}")) }
}

/// All bytes are there, under visible names.
fn complete(dir: &Path, bytes: u64) -> Result {
    let failed = |e: std::io::Error| format!("{}: {e}", dir.display());
    let mut found = 0;
    for entry in fs::read_dir(dir).map_err(failed)? {
        let entry = entry.map_err(failed)?;
        if entry.file_name().to_string_lossy().starts_with('.') {
            return Err(format!("{} was left", entry.path().display()));
        }
        found += entry.metadata().map_err(failed)?.len();
    }
    if found == bytes { Ok(()) } else { Err(format!("{found} of {bytes} bytes came out")) }
}

#[allow(clippy::disallowed_methods)]
fn write(path: &Path, content: &[u8]) -> Result {
    fs::write(path, content).map_err(|e| format!("{}: {e}", path.display()))
}
