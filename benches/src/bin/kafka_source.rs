//! Kafka into a blackhole, against a bare loop over the same client that reads the same partitions.
//!
//! On a broker of its own, unless it is given the address of another.

use std::path::Path;
use std::process::ExitCode;
use std::sync::atomic::Ordering;
use std::time::Duration;

use benches::blackhole::Blackhole;
use benches::child::{self, Cost};
use benches::kafka::{self, Cluster, Common};
use benches::pairs::{interleaved, verdict};
use benches::{Result, exit, job, programs};
use clap::Parser;
use connector_api::source::erase;
use connector_kafka::source::{KafkaSource, Offsets, SourceOptions};
use connector_runtime::{Pipeline, StartOptions, WatermarkStrategy};
use rdkafka::error::KafkaError;

/// At least this share of the bare loop's speed, with at most this much memory.
const SPEED: f64 = 0.9;
const MEMORY_MIB: f64 = 256.0;

#[derive(Parser)]
struct Arguments {
    #[command(flatten)]
    common: Common,
    /// Megabytes (10^6 bytes) of values for each size of record.
    #[arg(long, default_value_t = 500)]
    megabytes: u64,
    /// For the measured children: which loop to run over which topic, until this many records came.
    #[arg(long, hide = true, num_args = 3)]
    child: Vec<String>,
}

fn main() -> ExitCode {
    exit(run(&Arguments::parse()))
}

fn run(arguments: &Arguments) -> Result {
    let cluster = Cluster::at(arguments.common.bootstrap.as_deref())?;
    let bootstrap = &*cluster.bootstrap;
    if let [which, topic, records] = arguments.child.as_slice() {
        let records = records.parse().map_err(|_| format!("{records} is no number"))?;
        return match which.as_str() {
            "ours" => ours(arguments, bootstrap, topic, records),
            _ => bare(arguments, bootstrap, topic, records),
        };
    }
    let mut holds = true;
    for size in [100, 1000] {
        let records = arguments.megabytes * 1_000_000 / size;
        let topic = format!("bench-{size}-{records}-{}", arguments.common.partitions);
        kafka::fill(bootstrap, &topic, arguments.common.partitions, size as usize, records)?;
        let program = child::sibling("kafka_source")?;
        let measured = |which: &str| -> Result<Cost> {
            let dir = arguments.common.dir.to_string_lossy().into_owned();
            let (records, partitions) = (records.to_string(), arguments.common.partitions.to_string());
            let words = ["--bootstrap", bootstrap, "--dir", &dir, "--partitions", &partitions];
            let words = words.into_iter().chain(["--child", which, &topic, &records]);
            child::run(&program, words, Path::new("."))
        };
        let pairs = interleaved(arguments.common.pairs, || measured("ours"), || measured("bare"))?;
        println!("{records} records of {size} bytes in {} partitions", arguments.common.partitions);
        let summary = programs::report(records * size, &pairs);
        let speed = summary.speed.median;
        holds &= verdict("median speed ratio", speed, speed >= SPEED, "at least 0.9");
        holds &=
            verdict("greatest peak, MiB", summary.peak.high, summary.peak.high < MEMORY_MIB, "below 256");
    }
    if holds { Ok(()) } else { Err("a bound does not hold".into()) }
}

/// The source into a blackhole, with a checkpoint each second.
fn ours(arguments: &Arguments, bootstrap: &str, topic: &str, records: u64) -> Result {
    let options = SourceOptions { stop: Some(Offsets::Latest), ..SourceOptions::topics(bootstrap, [topic]) };
    let source = KafkaSource::new(&options).map_err(|e| e.to_string())?;
    let dir = arguments.common.dir.join("ckpt");
    job::empty(&dir)?;
    let sink = Blackhole::default();
    let pipeline = Pipeline::source("source", erase(source))
        .watermarks(WatermarkStrategy::None)
        .sink("sink", Box::new(sink.clone()));
    let runtime = tokio::runtime::Builder::new_multi_thread()
        .worker_threads(2)
        .enable_all()
        .build()
        .map_err(|e| e.to_string())?;
    runtime.block_on(async {
        let job = job::of(pipeline, 1, Duration::from_secs(1), &dir);
        let mut handle = job.start(StartOptions::default()).await.map_err(|e| e.to_string())?;
        handle.wait().await.map(|_| ()).map_err(|e| e.to_string())
    })?;
    let rows = sink.rows.load(Ordering::Relaxed);
    if rows == records { Ok(()) } else { Err(format!("{rows} of {records} rows came")) }
}

/// The client alone.
fn bare(arguments: &Arguments, bootstrap: &str, topic: &str, records: u64) -> Result {
    let consumer = kafka::reader(bootstrap, topic, arguments.common.partitions)?;
    let (mut seen, mut bytes) = (0, 0);
    while seen < records {
        match consumer.poll(kafka::WAIT).ok_or("nothing comes")? {
            Ok(message) => {
                bytes += message.payload_len();
                seen += 1;
            }
            Err(KafkaError::PartitionEOF(_)) => {}
            Err(error) => return Err(error.to_string()),
        }
    }
    eprintln!("{bytes} bytes");
    Ok(())
}
