//! The at-least-once sink, fed by a source that costs nothing, against a bare loop over the same client that sends the same records.

use std::path::Path;
use std::process::ExitCode;
use std::sync::Arc;
use std::time::Duration;

use benches::child::{self, Cost};
use benches::generator::Generator;
use benches::kafka::{self, Cluster, Common};
use benches::pairs::{interleaved, verdict};
use benches::{Result, exit, job, programs};
use bytes::Bytes;
use clap::Parser;
use connector_api::MessageBatch;
use connector_api::message::Span;
use connector_api::source::erase;
use connector_kafka::sink::{KafkaSink, SinkOptions};
use connector_runtime::{Pipeline, StartOptions, WatermarkStrategy};
use rdkafka::producer::{BaseProducer, BaseRecord, Producer};

/// At least this share of the bare loop's speed, with at most this much memory.
const SPEED: f64 = 0.9;
const MEMORY_MIB: f64 = 256.0;
/// Rows of a batch.
const ROWS: u64 = 1000;

#[derive(Parser)]
struct Arguments {
    #[command(flatten)]
    common: Common,
    /// Megabytes (10^6 bytes) of values for each size of record.
    #[arg(long, default_value_t = 200)]
    megabytes: u64,
    /// For the measured children: which loop to run into which topic, records of which size, and how many.
    #[arg(long, hide = true, num_args = 4)]
    child: Vec<String>,
}

fn main() -> ExitCode {
    exit(run(&Arguments::parse()))
}

fn run(arguments: &Arguments) -> Result {
    let cluster = Cluster::at(arguments.common.bootstrap.as_deref())?;
    let bootstrap = &*cluster.bootstrap;
    if let [which, topic, size, records] = arguments.child.as_slice() {
        let number = |text: &String| text.parse::<u64>().map_err(|_| format!("{text} is no number"));
        let (size, records) = (number(size)? as usize, number(records)?);
        return match which.as_str() {
            "ours" => ours(arguments, bootstrap, topic, size, records),
            _ => bare(bootstrap, topic, size, records),
        };
    }
    let program = child::sibling("kafka_sink")?;
    let mut holds = true;
    for size in [100, 1000] {
        let records = arguments.megabytes * 1_000_000 / size / ROWS * ROWS;
        let mut runs = 0;
        let mut measured = |which: &str| -> Result<Cost> {
            runs += 1;
            let topic = format!("bench-sink-{size}-{}-{runs}", std::process::id());
            kafka::create(bootstrap, &topic, arguments.common.partitions)?;
            let dir = arguments.common.dir.to_string_lossy().into_owned();
            let (size, count) = (size.to_string(), records.to_string());
            let words = ["--bootstrap", bootstrap, "--dir", &dir, "--child", which, &topic, &size, &count];
            let cost = child::run(&program, words, Path::new("."))?;
            let there = kafka::offsets(bootstrap, &topic, arguments.common.partitions)?;
            if there != records {
                return Err(format!("{there} of {records} records came"));
            }
            kafka::delete(bootstrap, &topic)?;
            Ok(cost)
        };
        let measured = std::cell::RefCell::new(&mut measured);
        let pairs = interleaved(
            arguments.common.pairs,
            || measured.borrow_mut()("ours"),
            || measured.borrow_mut()("bare"),
        )?;
        println!(
            "{records} records of {size} bytes into {} partitions, at least once",
            arguments.common.partitions
        );
        let summary = programs::report(records * size, &pairs);
        let (speed, peak) = (summary.speed.median, summary.peak.high);
        holds &= verdict("median speed ratio", speed, speed >= SPEED, "at least 0.9");
        holds &= verdict("greatest peak, MiB", peak, peak < MEMORY_MIB, "below 256");
    }
    if holds { Ok(()) } else { Err("a bound does not hold".into()) }
}

/// The sink, with a checkpoint each second.
fn ours(arguments: &Arguments, bootstrap: &str, topic: &str, size: usize, records: u64) -> Result {
    let sink = KafkaSink::new(&SinkOptions::topic(bootstrap, topic)).map_err(|e| e.to_string())?;
    let buffer = Bytes::from(vec![b'x'; size * ROWS as usize]);
    let size = size as u32;
    let spans = (0..ROWS as u32).map(|row| Span::new(row * size, (row + 1) * size));
    let batch = MessageBatch::from_spans(buffer, spans.collect()).map_err(|e| e.to_string())?;
    let source = Generator {
        splits: 1,
        batches: records / ROWS,
        make: Arc::new(move || batch.clone()),
        given: Arc::default(),
    };
    let pipeline = Pipeline::source("source", erase(source))
        .watermarks(WatermarkStrategy::None)
        .sink("sink", Box::new(sink));
    let dir = arguments.common.dir.join("ckpt");
    job::empty(&dir)?;
    let runtime = tokio::runtime::Builder::new_multi_thread()
        .worker_threads(2)
        .enable_all()
        .build()
        .map_err(|e| e.to_string())?;
    runtime.block_on(async {
        let job = job::of(pipeline, 1, Duration::from_secs(1), &dir);
        let mut handle = job.start(StartOptions::default()).await.map_err(|e| e.to_string())?;
        handle.wait().await.map(|_| ()).map_err(|e| e.to_string())
    })
}

/// The client alone, with the properties that the guarantee needs.
fn bare(bootstrap: &str, topic: &str, size: usize, records: u64) -> Result {
    let producer: BaseProducer = kafka::client(bootstrap)
        .set("enable.idempotence", "true")
        .set("delivery.report.only.error", "true")
        .create()
        .map_err(|e| e.to_string())?;
    let text = vec![b'x'; size];
    for number in 0..records {
        kafka::send(&producer, BaseRecord::<[u8], [u8]>::to(topic).payload(&text))?;
        if number.is_multiple_of(ROWS) {
            producer.poll(Duration::ZERO);
        }
    }
    producer.flush(kafka::WAIT).map_err(|e| e.to_string())
}
