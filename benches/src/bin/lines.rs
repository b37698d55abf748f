//! Lines to lines through `connect run`, against a bare program that writes and concatenates the same bytes.

use std::fs::{self, File};
use std::io::{BufWriter, Write};
use std::path::{Path, PathBuf};
use std::process::ExitCode;

use benches::child::{self, Cost};
use benches::pairs::{PAIRS, interleaved, verdict};
use benches::{Result, exit, programs};
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
    programs::write(&dir.join("lines.toml"), PIPELINE.as_bytes())?;
    let connect = child::sibling("connect")?;
    let bare = child::sibling("bare_lines")?;
    let ours = || {
        programs::fresh(&dir)?;
        let cost = child::run(&connect, ["run", "lines.toml"], &dir)?;
        complete(&dir.join("out"), bytes)?;
        Ok(cost)
    };
    let theirs = || {
        programs::fresh(&dir)?;
        let numbers = [PART, TARGET, THREADS].map(|n| n.to_string());
        let words = ["in", "out"].into_iter().chain(numbers.iter().map(String::as_str));
        let cost = child::run(&bare, words, &dir)?;
        complete(&dir.join("out"), bytes)?;
        Ok(cost)
    };
    let pairs = interleaved(arguments.pairs, ours, theirs)?;
    programs::fresh(&dir)?;
    report(bytes, &pairs)
}

fn report(bytes: u64, pairs: &[(Cost, Cost)]) -> Result {
    println!("lines -> lines, {} MB in lines of {LINE} bytes, parallelism {THREADS}", bytes / 1_000_000);
    let summary = programs::report(bytes, pairs);
    let fast =
        verdict("median speed ratio", summary.speed.median, summary.speed.median >= SPEED, "at least 0.7");
    let small = verdict("greatest peak, MiB", summary.peak.high, summary.peak.high < MEMORY_MIB, "below 200");
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
