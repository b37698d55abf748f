//! Kafka into a blackhole, against a bare loop over the same client that reads the same partitions.
//!
//! Wants a broker that runs: `kafka_source --bootstrap HOST:PORT --dir DIR`. Without one, nothing is measured.

use std::path::{Path, PathBuf};
use std::process::ExitCode;
use std::sync::atomic::Ordering;
use std::time::Duration;

use benches::blackhole::Blackhole;
use benches::child::{self, Cost};
use benches::pairs::{PAIRS, interleaved, verdict};
use benches::{Result, exit, job, programs};
use clap::Parser;
use connector_api::source::erase;
use connector_kafka::source::{KafkaSource, Offsets, SourceOptions};
use connector_runtime::{Pipeline, StartOptions, WatermarkStrategy};
use rdkafka::consumer::{BaseConsumer, Consumer};
use rdkafka::producer::{BaseProducer, BaseRecord, Producer};
use rdkafka::{ClientConfig, Offset, TopicPartitionList};

/// At least this share of the bare loop's speed, with at most this much memory.
const SPEED: f64 = 0.9;
const MEMORY_MIB: f64 = 256.0;
const WAIT: Duration = Duration::from_secs(60);

#[derive(Parser)]
struct Arguments {
    /// The broker.
    #[arg(long)]
    bootstrap: String,
    /// Where checkpoints go.
    #[arg(long)]
    dir: PathBuf,
    /// Megabytes (10^6 bytes) of values for each size of record.
    #[arg(long, default_value_t = 500)]
    megabytes: u64,
    /// Partitions of each topic.
    #[arg(long, default_value_t = 4)]
    partitions: i32,
    /// How many pairs.
    #[arg(long, default_value_t = PAIRS)]
    pairs: usize,
    /// For the measured children: which loop to run over which topic, until this many records came.
    #[arg(long, hide = true, num_args = 3)]
    child: Vec<String>,
}

fn main() -> ExitCode {
    exit(run(&Arguments::parse()))
}

fn run(arguments: &Arguments) -> Result {
    if let [which, topic, records] = arguments.child.as_slice() {
        let records = records.parse().map_err(|_| format!("{records} is no number"))?;
        return match which.as_str() {
            "ours" => ours(arguments, topic, records),
            _ => bare(arguments, topic, records),
        };
    }
    let mut holds = true;
    for size in [100, 1000] {
        let records = arguments.megabytes * 1_000_000 / size;
        let topic = format!("bench-{size}-{records}-{}", arguments.partitions);
        fill(arguments, &topic, size as usize, records)?;
        let program = child::sibling("kafka_source")?;
        let measured = |which: &str| -> Result<Cost> {
            let dir = arguments.dir.to_string_lossy().into_owned();
            let (records, partitions) = (records.to_string(), arguments.partitions.to_string());
            let words = ["--bootstrap", &arguments.bootstrap, "--dir", &dir, "--partitions", &partitions];
            let words = words.into_iter().chain(["--child", which, &topic, &records]);
            child::run(&program, words, Path::new("."))
        };
        let pairs = interleaved(arguments.pairs, || measured("ours"), || measured("bare"))?;
        println!("{records} records of {size} bytes in {} partitions", arguments.partitions);
        let summary = programs::report(records * size, &pairs);
        let speed = summary.speed.median;
        holds &= verdict("median speed ratio", speed, speed >= SPEED, "at least 0.9");
        holds &=
            verdict("greatest peak, MiB", summary.peak.high, summary.peak.high < MEMORY_MIB, "below 256");
    }
    if holds { Ok(()) } else { Err("a bound does not hold".into()) }
}

fn client(arguments: &Arguments) -> ClientConfig {
    let mut client = ClientConfig::new();
    client.set("bootstrap.servers", &arguments.bootstrap);
    client
}

/// Makes the input, unless it is there from an earlier run.
fn fill(arguments: &Arguments, topic: &str, size: usize, records: u64) -> Result {
    let asking: BaseConsumer = client(arguments).create().map_err(|e| e.to_string())?;
    let there = (0..arguments.partitions)
        .map(|partition| asking.fetch_watermarks(topic, partition, WAIT).map_or(0, |(_, high)| high))
        .sum::<i64>();
    if there == i64::try_from(records).unwrap_or(i64::MAX) {
        return Ok(());
    }
    if there > 0 {
        return Err(format!("{topic} holds {there} records, not {records}: remove it"));
    }
    let runtime =
        tokio::runtime::Builder::new_current_thread().enable_all().build().map_err(|e| e.to_string())?;
    runtime.block_on(async {
        use rdkafka::admin::{AdminClient, AdminOptions, NewTopic, TopicReplication};
        let admin: AdminClient<_> = client(arguments).create().map_err(|e| e.to_string())?;
        let new = NewTopic::new(topic, arguments.partitions, TopicReplication::Fixed(1));
        admin.create_topics([&new], &AdminOptions::new()).await.map_err(|e| e.to_string())
    })?;
    let producer: BaseProducer = client(arguments)
        .set("linger.ms", "20")
        .set("batch.size", "500000")
        .create()
        .map_err(|e| e.to_string())?;
    let text = "x".repeat(size);
    for number in 0..records {
        let partition = (number % arguments.partitions as u64) as i32;
        let mut record = BaseRecord::<[u8], str>::to(topic).partition(partition).payload(&text);
        while let Err((_, back)) = producer.send(record) {
            producer.poll(Duration::from_millis(10));
            record = back;
        }
    }
    producer.flush(WAIT).map_err(|e| e.to_string())
}

/// The source into a blackhole, with a checkpoint each second.
fn ours(arguments: &Arguments, topic: &str, records: u64) -> Result {
    let options =
        SourceOptions { stop: Some(Offsets::Latest), ..SourceOptions::topics(&arguments.bootstrap, [topic]) };
    let source = KafkaSource::new(&options).map_err(|e| e.to_string())?;
    let dir = arguments.dir.join("ckpt");
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
fn bare(arguments: &Arguments, topic: &str, records: u64) -> Result {
    let consumer: BaseConsumer = client(arguments)
        .set("group.id", "bench")
        .set("isolation.level", "read_committed")
        .set("enable.auto.commit", "false")
        .set("fetch.queue.backoff.ms", "5")
        .create()
        .map_err(|e| e.to_string())?;
    let mut list = TopicPartitionList::new();
    for partition in 0..arguments.partitions {
        list.add_partition_offset(topic, partition, Offset::Beginning).map_err(|e| e.to_string())?;
    }
    consumer.assign(&list).map_err(|e| e.to_string())?;
    let (mut seen, mut bytes) = (0, 0);
    while seen < records {
        let message = consumer.poll(WAIT).ok_or("nothing comes")?.map_err(|e| e.to_string())?;
        bytes += message.payload_len();
        seen += 1;
    }
    eprintln!("{bytes} bytes");
    Ok(())
}
