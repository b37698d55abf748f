//! JSON lines to Parquet through `connect run`, against a bare program over the same two libraries.

use std::fs::{self, File};
use std::io::{BufWriter, Write};
use std::path::{Path, PathBuf};
use std::process::ExitCode;

use benches::pairs::{PAIRS, interleaved, verdict};
use benches::{Result, child, exit, programs};
use clap::Parser;
use parquet::file::reader::{FileReader, SerializedFileReader};

const FILES: u64 = 8;
/// At least this share of the bare program's speed.
const SPEED: f64 = 0.8;

const PIPELINE: &str = r#"name = "json-parquet"
parallelism = 2
checkpoint = { interval = "10s", dir = "ckpt", retain = 2, timeout = "10m" }

[source]
connector = "file"
path = "in"
format = "json"

[convert]
schema = { id = "int64", user = "string", amount = "float64", paid = "boolean", note = "string" }

[sink]
connector = "file"
path = "out"
format = "parquet"
parquet = { compression = "snappy" }
"#;

#[derive(Parser)]
struct Arguments {
    /// Where input and output go; a file system with what the real use has.
    #[arg(long)]
    dir: PathBuf,
    /// Megabytes (10^6 bytes) of input.
    #[arg(long, default_value_t = 500)]
    megabytes: u64,
    /// How many pairs.
    #[arg(long, default_value_t = PAIRS)]
    pairs: usize,
}

fn main() -> ExitCode {
    exit(run(&Arguments::parse()))
}

fn run(arguments: &Arguments) -> Result {
    let dir = arguments.dir.join("json-parquet");
    let bytes = arguments.megabytes * 1_000_000;
    let rows = input(&dir.join("in"), bytes)?;
    programs::write(&dir.join("pipeline.toml"), PIPELINE.as_bytes())?;
    let (connect, bare) = (child::sibling("connect")?, child::sibling("bare_json_parquet")?);
    let ours = || {
        programs::fresh(&dir)?;
        let cost = child::run(&connect, ["run", "pipeline.toml"], &dir)?;
        complete(&dir.join("out"), rows)?;
        Ok(cost)
    };
    let theirs = || {
        programs::fresh(&dir)?;
        let cost = child::run(&bare, ["in", "out", "2"], &dir)?;
        complete(&dir.join("out"), rows)?;
        Ok(cost)
    };
    let pairs = interleaved(arguments.pairs, ours, theirs)?;
    programs::fresh(&dir)?;
    println!("JSON lines -> Parquet, {} MB, {rows} rows of 5 columns, parallelism 2", bytes / 1_000_000);
    let speed = programs::report(bytes, &pairs).speed.median;
    if verdict("median speed ratio", speed, speed >= SPEED, "at least 0.8") {
        Ok(())
    } else {
        Err("a bound does not hold".into())
    }
}

/// Makes the input, unless it is there from an earlier run; says how many rows it has.
fn input(dir: &Path, bytes: u64) -> Result<u64> {
    let failed = |e: std::io::Error| format!("{}: {e}", dir.display());
    let count = dir.with_file_name(format!("rows-{bytes}"));
    if let Some(rows) = fs::read_to_string(&count).ok().and_then(|text| text.parse().ok()) {
        return Ok(rows);
    }
    let _ = fs::remove_dir_all(dir);
    fs::create_dir_all(dir).map_err(failed)?;
    let mut rows = 0u64;
    for index in 0..FILES {
        let path = dir.join(format!("{index}.jsonl"));
        let mut file = BufWriter::with_capacity(1 << 20, File::create(path).map_err(failed)?);
        let mut written = 0;
        while written < bytes / FILES {
            // Numbers that spread, so that neither dictionaries nor deltas make the work vanish.
            let mixed = rows.wrapping_mul(0x9e37_79b9_7f4a_7c15) >> 20;
            let line = format!(
                r#"{{"id":{rows},"user":"user-{}","amount":{}.{:02},"paid":{},"note":"note {mixed:044x}"}}"#,
                mixed % 100_000,
                mixed % 9_973,
                mixed % 100,
                mixed.is_multiple_of(3)
            );
            writeln!(file, "{line}").map_err(failed)?;
            written += line.len() as u64 + 1;
            rows += 1;
        }
        file.flush().map_err(failed)?;
    }
    programs::write(&count, rows.to_string().as_bytes())?;
    Ok(rows)
}

/// All rows are there, under visible names.
fn complete(dir: &Path, rows: u64) -> Result {
    let failed = |e: std::io::Error| format!("{}: {e}", dir.display());
    let mut found = 0;
    for entry in fs::read_dir(dir).map_err(failed)? {
        let path = entry.map_err(failed)?.path();
        if path.file_name().is_some_and(|name| name.to_string_lossy().starts_with('.')) {
            return Err(format!("{} was left", path.display()));
        }
        let file = File::open(&path).map_err(failed)?;
        let reader = SerializedFileReader::new(file).map_err(|e| format!("{}: {e}", path.display()))?;
        found += u64::try_from(reader.metadata().file_metadata().num_rows()).unwrap_or_default();
    }
    if found == rows { Ok(()) } else { Err(format!("{found} of {rows} rows came out")) }
}
