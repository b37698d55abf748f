//! Lines into an object store whose connections are slow: `max_uploads` of them together carry that many times as much, and memory
//! is bounded by the parts in flight.

use std::fs::{self, File};
use std::io::{BufWriter, Write};
use std::path::{Path, PathBuf};
use std::process::ExitCode;

use benches::pairs::{Spread, verdict};
use benches::slow_s3::SlowS3;
use benches::{Result, child, exit, programs};
use clap::Parser;

/// Bytes per second of one connection.
const RATE: u64 = 20 << 20;
const PART: u64 = 8 << 20;
/// At least this share of `max_uploads` times the rate, over a whole run with its start and its end.
const SHARE: f64 = 0.8;
/// What is resident beside the parts in flight: the program, the source's buffers, one part that is filled and one that is handed over.
const BESIDE_MIB: f64 = 64.0;

const PIPELINE: &str = r#"name = "objects"
parallelism = 1
checkpoint = { interval = "1m", dir = "ckpt", retain = 2, timeout = "10m" }

[source]
connector = "file"
path = "in"
format = "lines"

[sink]
connector = "file"
path = "s3://bench/out"
format = "lines"
rolling = { size = "64 MiB" }
upload = { part_size = "8 MiB", max_uploads = UPLOADS }

[sink.store]
endpoint = "ENDPOINT"
region = "us-east-1"
access_key_id = "test"
secret_access_key = "test"
allow_http = true
"#;

#[derive(Parser)]
struct Arguments {
    /// Where the input goes.
    #[arg(long)]
    dir: PathBuf,
    /// How many runs of each.
    #[arg(long, default_value_t = 3)]
    runs: usize,
}

fn main() -> ExitCode {
    exit(run(&Arguments::parse()))
}

fn run(arguments: &Arguments) -> Result {
    let dir = arguments.dir.join("objects");
    let server = SlowS3::start(RATE)?;
    let connect = child::sibling("connect")?;
    println!("lines -> objects, parts of 8 MiB, connections of {} MiB/s", RATE >> 20);
    println!("max_uploads | share of the limit        | peak MiB");
    let mut fine = true;
    let mut verdicts = Vec::new();
    for uploads in [1, 4] {
        let bytes = RATE * uploads * 8;
        input(&dir.join("in"), bytes)?;
        let text = PIPELINE.replace("UPLOADS", &uploads.to_string()).replace("ENDPOINT", &server.endpoint);
        programs::write(&dir.join("pipeline.toml"), text.as_bytes())?;
        let (mut shares, mut peaks) = (Vec::new(), Vec::new());
        for _ in 0..arguments.runs {
            programs::fresh(&dir)?;
            server.clear();
            let cost = child::run(&connect, ["run", "pipeline.toml"], &dir)?;
            if server.visible() != (bytes, 0) {
                return Err(format!(
                    "{:?} bytes and open uploads, wanted {bytes} and none",
                    server.visible()
                ));
            }
            shares.push(bytes as f64 / cost.wall / (RATE * uploads) as f64);
            peaks.push(cost.peak_mib);
        }
        let (share, peak) = (Spread::of(shares), Spread::of(peaks));
        println!("{uploads:11} | {share} | {peak}");
        verdicts.push((
            format!("{uploads} uploads, share of the limit"),
            share.median,
            share.median >= SHARE,
            "at least 0.8".to_owned(),
        ));
        let most = BESIDE_MIB + ((uploads * PART) >> 20) as f64;
        verdicts.push((
            format!("{uploads} uploads, greatest peak in MiB"),
            peak.high,
            peak.high <= most,
            format!("at most {most}"),
        ));
    }
    for (what, value, holds, bound) in verdicts {
        fine &= verdict(&what, value, holds, &bound);
    }
    programs::fresh(&dir)?;
    if fine { Ok(()) } else { Err("a bound does not hold".into()) }
}

/// Makes the input, unless it is there.
fn input(dir: &Path, bytes: u64) -> Result {
    let failed = |e: std::io::Error| format!("{}: {e}", dir.display());
    let path = dir.join("0.txt");
    if fs::metadata(&path).is_ok_and(|m| m.len() == bytes) {
        return Ok(());
    }
    fs::create_dir_all(dir).map_err(failed)?;
    let mut file = BufWriter::with_capacity(1 << 20, File::create(path).map_err(failed)?);
    // 64 bytes and a terminator would not divide a power of two: 63 and one.
    (0..bytes / 64).try_for_each(|number| writeln!(file, "{number:063}")).map_err(failed)?;
    file.flush().map_err(failed)
}
