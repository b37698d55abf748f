//! Small Parquet files into one: the sink's compactor, driven through the stages of its plan, against a loop that reads and writes
//! with the same library.

use std::collections::BTreeSet;
use std::ffi::OsString;
use std::fs::{self, File};
use std::path::{Path, PathBuf};
use std::process::ExitCode;
use std::sync::Arc;

use arrow_array::{ArrayRef, BooleanArray, Float64Array, Int64Array, RecordBatch, StringArray};
use benches::child::{OwnCost, measured};
use benches::pairs::{PAIRS, Spread, interleaved, verdict};
use benches::{Result, exit, job};
use bytes::Bytes;
use clap::Parser;
use connector_api::Batch;
use connector_api::id::{AttemptId, CheckpointId, RunId};
use connector_api::sink::{Flush, Output, Prepare, Sink, SinkPlan, WriterContext};
use connector_file::format::Format;
use connector_file::sink::{Compaction, FileSink, Merge, SinkOptions};
use connector_formats::ArrowBatch;
use connector_runtime::local;
use parquet::arrow::ArrowWriter;
use parquet::arrow::arrow_reader::ParquetRecordBatchReaderBuilder;
use parquet::basic::{Compression, ZstdLevel};
use parquet::file::properties::WriterProperties;

/// At least this share of the bare loop's speed.
const SPEED: f64 = 0.8;
const FILES: usize = 32;
const ROWS: usize = 8192;
const AT: CheckpointId = CheckpointId(1);

#[derive(Parser)]
struct Arguments {
    /// Where the files go; a file system with what the real use has.
    #[arg(long)]
    dir: PathBuf,
    /// Batches of 8,192 rows in each of the 32 files.
    #[arg(long, default_value_t = 8)]
    batches: usize,
    /// How many pairs.
    #[arg(long, default_value_t = PAIRS)]
    pairs: usize,
}

fn main() -> ExitCode {
    exit(run(&Arguments::parse()))
}

fn run(arguments: &Arguments) -> Result {
    let dir = arguments.dir.join("merge-parquet");
    job::empty(&dir)?;
    let runtime = tokio::runtime::Builder::new_multi_thread()
        .worker_threads(2)
        .enable_all()
        .build()
        .map_err(|e| format!("tokio: {e}"))?;
    let sink = sink(&dir)?;
    let requests = runtime.block_on(stage(&sink, arguments.batches))?;
    let inputs = names(&dir)?;
    let rows = FILES * ROWS * arguments.batches;
    let bytes: u64 = inputs.iter().map(|name| size(&dir.join(name))).sum::<Result<u64>>()?;
    let ours = || {
        let cost = measured(|| runtime.block_on(merge(&sink, &requests)))?;
        remove_new(&dir, &inputs, rows)?;
        Ok(cost)
    };
    let theirs = || {
        let cost = measured(|| bare(&dir, &inputs, &dir.join("bare.parquet")))?;
        remove_new(&dir, &inputs, rows)?;
        Ok(cost)
    };
    let pairs = interleaved(arguments.pairs, ours, theirs)?;
    job::empty(&dir)?;
    let of = |value: fn(&(OwnCost, OwnCost)) -> f64| Spread::of(pairs.iter().map(value).collect());
    let speed = of(|(ours, theirs)| theirs.wall / ours.wall);
    println!(
        "{FILES} Parquet files of {} KiB into one, {rows} rows of 5 columns",
        (bytes >> 10) / FILES as u64
    );
    println!("speed ratio (loop wall / compactor wall): {speed}");
    println!("cpu ratio (compactor cpu / loop cpu):     {}", of(|(ours, theirs)| ours.cpu / theirs.cpu));
    println!(
        "compactor, MB/s of input:                 {}",
        of(|(ours, _)| 1.0 / ours.wall).scaled(bytes as f64 / 1e6)
    );
    if verdict("median speed ratio", speed.median, speed.median >= SPEED, "at least 0.8") {
        Ok(())
    } else {
        Err("a bound does not hold".into())
    }
}

fn sink(dir: &Path) -> Result<FileSink<ArrowBatch>> {
    let merge = Merge { checkpoints: 1, size: None, keep_size: None, rate: None };
    let options = SinkOptions {
        format: Format::Parquet,
        compaction: Some(Compaction::Merge(merge)),
        ..SinkOptions::lines(dir)
    };
    FileSink::new(&options, Path::new("/")).map_err(told)
}

fn plan(sink: &FileSink<ArrowBatch>) -> Result<(SinkPlan<ArrowBatch>, WriterContext)> {
    let attempt = AttemptId { run: RunId(1), number: 1 };
    let context = WriterContext::first(local::environment(), attempt);
    Ok((sink.plan().map_err(told)?, context))
}

/// Writes the small files, and gives what the coordinator then asks the compactors for.
async fn stage(sink: &FileSink<ArrowBatch>, batches: usize) -> Result<Vec<Bytes>> {
    let (plan, context) = plan(sink)?;
    let mut writer = (plan.writer)(context.clone(), Vec::new()).await.map_err(told)?;
    let [coordinator, _] = &*plan.pre_commit else {
        return Err(format!("{} stages, wanted coordinator and compactor", plan.pre_commit.len()));
    };
    let mut coordinator = (coordinator.open)(context, Vec::new()).await.map_err(told)?;
    let mut requests = Output::new();
    for file in 0..FILES {
        for batch in 0..batches {
            writer.write(Batch::new(rows(file * batches + batch)?)).await.map_err(told)?;
        }
        writer.flush(Flush::Checkpoint).await.map_err(told)?;
        for staged in writer.prepare_commit().await.map_err(told)? {
            coordinator.process(staged, AT, &mut requests).await.map_err(told)?;
        }
    }
    coordinator.prepare(Prepare::Final, &mut requests).await.map_err(told)?;
    coordinator.end_of_input(&mut requests).await.map_err(told)?;
    writer.close().await.map_err(told)?;
    Ok(requests.take())
}

async fn merge(sink: &FileSink<ArrowBatch>, requests: &[Bytes]) -> Result {
    let (plan, context) = plan(sink)?;
    let Some(compactor) = plan.pre_commit.last() else { return Err("no compactor".into()) };
    let mut compactor = (compactor.open)(context, Vec::new()).await.map_err(told)?;
    let mut merged = Output::new();
    for request in requests {
        compactor.process(request.clone(), AT, &mut merged).await.map_err(told)?;
    }
    compactor.checkpoint_complete(AT, &mut merged).await.map_err(told)?;
    compactor.prepare(Prepare::Final, &mut merged).await.map_err(told)?;
    compactor.close().await.map_err(told)
}

/// Reads and writes: the whole loop.
fn bare(dir: &Path, inputs: &BTreeSet<OsString>, output: &Path) -> Result {
    let named = |e: &dyn std::fmt::Display| format!("{}: {e}", output.display());
    let mut writer = None;
    for name in inputs {
        let file = File::open(dir.join(name)).map_err(|e| named(&e))?;
        let reader = ParquetRecordBatchReaderBuilder::try_new(file).map_err(|e| named(&e))?;
        let schema = reader.schema().clone();
        let writer = match &mut writer {
            Some(writer) => writer,
            none => {
                let properties =
                    WriterProperties::builder().set_compression(Compression::ZSTD(ZstdLevel::default()));
                let file = File::create(output).map_err(|e| named(&e))?;
                let made = ArrowWriter::try_new(file, schema, Some(properties.build()));
                none.insert(made.map_err(|e| named(&e))?)
            }
        };
        for batch in reader.with_batch_size(ROWS).build().map_err(|e| named(&e))? {
            writer.write(&batch.map_err(|e| named(&e))?).map_err(|e| named(&e))?;
        }
    }
    let Some(writer) = writer else { return Err("no input".into()) };
    writer.into_inner().map_err(|e| named(&e))?.sync_data().map_err(|e| named(&e))
}

/// Removes what is there beside the inputs, which must be one file with all the rows.
fn remove_new(dir: &Path, inputs: &BTreeSet<OsString>, rows: usize) -> Result {
    let mut found = 0;
    let new: Vec<_> = names(dir)?.into_iter().filter(|name| !inputs.contains(name)).collect();
    for name in &new {
        let path = dir.join(name);
        let failed = |e: &dyn std::fmt::Display| format!("{}: {e}", path.display());
        let file = File::open(&path).map_err(|e| failed(&e))?;
        let reader = ParquetRecordBatchReaderBuilder::try_new(file).map_err(|e| failed(&e))?;
        found += usize::try_from(reader.metadata().file_metadata().num_rows()).unwrap_or_default();
        fs::remove_file(&path).map_err(|e| failed(&e))?;
    }
    if found == rows && new.len() == 1 { Ok(()) } else { Err(format!("{found} of {rows} rows, in {new:?}")) }
}

fn rows(number: usize) -> Result<ArrowBatch> {
    let ids = || (number * ROWS..(number + 1) * ROWS).map(|id| id as u64);
    // Numbers that spread, so that neither dictionaries nor deltas make the work vanish.
    let mixed = || ids().map(|id| id.wrapping_mul(0x9e37_79b9_7f4a_7c15) >> 20);
    let columns: [(&str, ArrayRef); 5] = [
        ("id", Arc::new(ids().map(u64::cast_signed).collect::<Int64Array>())),
        ("user", Arc::new(mixed().map(|n| Some(format!("user-{}", n % 100_000))).collect::<StringArray>())),
        ("amount", Arc::new(mixed().map(|n| (n % 997_300) as f64 / 100.0).collect::<Float64Array>())),
        ("paid", Arc::new(mixed().map(|n| Some(n % 3 == 0)).collect::<BooleanArray>())),
        ("note", Arc::new(mixed().map(|n| Some(format!("note {n:044x}"))).collect::<StringArray>())),
    ];
    Ok(RecordBatch::try_from_iter(columns).map_err(|e| e.to_string())?.into())
}

fn names(dir: &Path) -> Result<BTreeSet<OsString>> {
    let failed = |e: std::io::Error| format!("{}: {e}", dir.display());
    fs::read_dir(dir).map_err(failed)?.map(|entry| Ok(entry.map_err(failed)?.file_name())).collect()
}

fn size(path: &Path) -> Result<u64> {
    fs::metadata(path).map(|m| m.len()).map_err(|e| format!("{}: {e}", path.display()))
}

fn told(error: connector_api::Error) -> String {
    error.to_string()
}
