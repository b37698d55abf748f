//! What the runtime costs per row: source -> runtime -> blackhole, against a bounded channel that moves the same batches from
//! one task to another.

use std::path::{Path, PathBuf};
use std::process::ExitCode;
use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::Duration;

use benches::blackhole::Blackhole;
use benches::generator::{Generator, Make};
use benches::pairs::{PAIRS, Spread, interleaved, verdict};
use benches::{Result, alloc, child, exit, job, now};
use bytes::Bytes;
use clap::Parser;
use connector_api::message::Span;
use connector_api::{MessageBatch, RowBatch};
use connector_runtime::StartOptions;
use tokio::runtime::Runtime;
use tokio::sync::mpsc;

#[global_allocator]
static ALLOCATOR: alloc::Counting = alloc::Counting;

const ROWS: usize = 1_000;
const ROW_BYTES: usize = 100;
/// Enough that neither side of the channel waits for the other at every batch.
const CHANNEL: usize = 64;

#[derive(Parser)]
struct Arguments {
    /// Where checkpoints go.
    #[arg(long)]
    dir: PathBuf,
    /// How many column-shaped batches a run moves.
    #[arg(long, default_value_t = 2_000_000)]
    columns: u64,
    /// How many row-shaped batches a run moves.
    #[arg(long, default_value_t = 20_000)]
    rows: u64,
    /// How many pairs.
    #[arg(long, default_value_t = PAIRS)]
    pairs: usize,
}

/// What users who think in rows write.
#[derive(Clone)]
struct Row {
    _key: u64,
    _payload: Bytes,
}

#[derive(Clone, Copy)]
struct Cost {
    wall: f64,
    cpu: f64,
    allocations: f64,
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
    let bench = Bench { runtime, dir: arguments.dir.join("framework"), pairs: arguments.pairs };

    let buffer = Bytes::from(vec![b'x'; ROWS * ROW_BYTES]);
    let span = |i: usize| Span::new((i * ROW_BYTES) as u32, ((i + 1) * ROW_BYTES) as u32);
    let columns =
        MessageBatch::from_spans(buffer.clone(), (0..ROWS).map(span).collect()).map_err(|e| e.to_string())?;
    let make_rows = move || -> Vec<Row> {
        let row =
            |i: usize| Row { _key: i as u64, _payload: buffer.slice(i * ROW_BYTES..(i + 1) * ROW_BYTES) };
        (0..ROWS).map(row).collect()
    };

    // Cloning a batch of columns is a handful of counters: nearly all that is measured is the hand-over.
    let column = bench.measure("column-shaped", arguments.columns, Arc::new(move || columns.clone()))?;
    let row = bench.measure("row-shaped, made and dropped", arguments.rows, Arc::new(make_rows))?;
    println!();
    let holds = [
        verdict(
            "column-shaped, runtime / channel, median",
            column.ratio.median,
            column.ratio.median <= 2.0,
            "at most 2",
        ),
        verdict("row-shaped, ns per record, median", row.nanos.median, row.nanos.median < 60.0, "below 60"),
        verdict(
            "allocations per record, column-shaped",
            column.allocations,
            column.allocations < 0.02,
            "below 0.02",
        ),
        verdict("allocations per record, row-shaped", row.allocations, row.allocations < 0.02, "below 0.02"),
    ];
    if holds.iter().all(|h| *h) { Ok(()) } else { Err("a bound does not hold".into()) }
}

struct Bench {
    runtime: Runtime,
    dir: PathBuf,
    pairs: usize,
}

struct Found {
    ratio: Spread,
    nanos: Spread,
    allocations: f64,
}

impl Bench {
    fn measure<B: RowBatch>(&self, name: &str, batches: u64, make: Make<B>) -> Result<Found> {
        let ours = || cost(|| self.runtime.block_on(through_runtime(&self.dir, batches, Arc::clone(&make))));
        let theirs = || cost(|| self.runtime.block_on(through_channel(batches, Arc::clone(&make))));
        let pairs = interleaved(self.pairs, ours, theirs)?;
        let records = (batches * ROWS as u64) as f64;
        let of = |value: &dyn Fn(&(Cost, Cost)) -> f64| Spread::of(pairs.iter().map(value).collect());
        let nanos = of(&|(ours, _)| ours.wall * 1e9 / records);
        let ratio = of(&|(ours, theirs)| ours.wall / theirs.wall);
        let allocations = of(&|(ours, _)| ours.allocations / records);
        println!(
            "\n{name}: {batches} batches of {ROWS} rows of {ROW_BYTES} bytes; median (least - greatest) of {} pairs",
            self.pairs
        );
        println!(
            "  ns per record, wall   runtime {nanos}   channel {}",
            of(&|(_, theirs)| theirs.wall * 1e9 / records)
        );
        println!(
            "  ns per record, cpu    runtime {}   channel {}",
            of(&|(ours, _)| ours.cpu * 1e9 / records),
            of(&|(_, theirs)| theirs.cpu * 1e9 / records)
        );
        println!("  wall, runtime / channel {ratio}");
        println!("  allocations per batch, runtime {}", allocations.scaled(ROWS as f64));
        Ok(Found { ratio, nanos, allocations: allocations.high })
    }
}

fn cost(work: impl FnOnce() -> Result) -> Result<Cost> {
    let (cpu, allocations, started) = (child::own_cpu()?, alloc::count(), now());
    work()?;
    let wall = started.elapsed().as_secs_f64();
    Ok(Cost { wall, cpu: child::own_cpu()? - cpu, allocations: (alloc::count() - allocations) as f64 })
}

async fn through_runtime<B: RowBatch>(dir: &Path, batches: u64, make: Make<B>) -> Result {
    job::empty(dir)?;
    let sink = Blackhole::default();
    let source = Generator { splits: 1, batches, make, given: Arc::default() };
    let job = job::job(source, &sink, 1, Duration::from_secs(1), dir);
    let mut handle = job.start(StartOptions::default()).await.map_err(|e| e.to_string())?;
    handle.wait().await.map_err(|e| e.to_string())?;
    whole(sink.rows.load(Ordering::Relaxed), batches)
}

async fn through_channel<B: RowBatch>(batches: u64, make: Make<B>) -> Result {
    let (sender, mut receiver) = mpsc::channel(CHANNEL);
    let producer = tokio::spawn(async move {
        for _ in 0..batches {
            if sender.send(make()).await.is_err() {
                break;
            }
        }
    });
    let consumer = tokio::spawn(async move {
        let mut rows = 0;
        while let Some(batch) = receiver.recv().await {
            rows += batch.rows() as u64;
        }
        rows
    });
    producer.await.map_err(|e| e.to_string())?;
    whole(consumer.await.map_err(|e| e.to_string())?, batches)
}

fn whole(rows: u64, batches: u64) -> Result {
    let expected = batches * ROWS as u64;
    if rows == expected { Ok(()) } else { Err(format!("{rows} of {expected} rows arrived")) }
}
