//! Topic to topic exactly once through `connect run`, against a bare loop that reads and produces in transactions of a second.

use std::path::Path;
use std::process::ExitCode;
use std::time::Duration;

use benches::child::{self, Cost};
use benches::kafka::{self, Cluster, Common};
use benches::pairs::{interleaved, verdict};
use benches::{Result, exit, now, programs};
use clap::Parser;
use rdkafka::Message;
use rdkafka::consumer::{BaseConsumer, Consumer};
use rdkafka::error::KafkaError;
use rdkafka::producer::{BaseProducer, BaseRecord, Producer};

/// At least this share of the bare loop's speed, with at most this much memory.
const SPEED: f64 = 0.85;
const MEMORY_MIB: f64 = 256.0;
const SIZE: u64 = 100;
const EACH: Duration = Duration::from_secs(1);

const PIPELINE: &str = r#"name = "copy"
parallelism = 1
checkpoint = { interval = "1s", dir = "ckpt", retain = 2, timeout = "10m" }

[source]
connector = "kafka"
bootstrap_servers = "BOOTSTRAP"
topics = ["FROM"]
stop = "latest"

[sink]
connector = "kafka"
bootstrap_servers = "BOOTSTRAP"
topic = "TO"
delivery_guarantee = "exactly-once"
transactional_id_prefix = "TO"
"#;

#[derive(Parser)]
struct Arguments {
    #[command(flatten)]
    common: Common,
    /// Records of 100 bytes.
    #[arg(long, default_value_t = 3_000_000)]
    records: u64,
    /// For the measured child: from which topic into which.
    #[arg(long, hide = true, num_args = 2)]
    child: Vec<String>,
}

fn main() -> ExitCode {
    exit(run(&Arguments::parse()))
}

fn run(arguments: &Arguments) -> Result {
    let cluster = Cluster::at(arguments.common.bootstrap.as_deref())?;
    let bootstrap = &*cluster.bootstrap;
    if let [from, to] = arguments.child.as_slice() {
        return bare(arguments, bootstrap, from, to);
    }
    let dir = arguments.common.dir.join("kafka-copy");
    let from = format!("bench-copy-{}-{}", arguments.records, arguments.common.partitions);
    kafka::fill(bootstrap, &from, arguments.common.partitions, SIZE as usize, arguments.records)?;
    let (connect, own) = (child::sibling("connect")?, child::sibling("kafka_copy")?);
    let runs = std::cell::Cell::new(0);
    let measured = |ours: bool| -> Result<Cost> {
        runs.set(runs.get() + 1);
        let to = format!("bench-copied-{}-{}", std::process::id(), runs.get());
        kafka::create(bootstrap, &to, arguments.common.partitions)?;
        std::fs::create_dir_all(&dir).map_err(|e| format!("{}: {e}", dir.display()))?;
        programs::fresh(&dir)?;
        let cost = if ours {
            let pipeline = PIPELINE.replace("BOOTSTRAP", bootstrap).replace("FROM", &from).replace("TO", &to);
            programs::write(&dir.join("copy.toml"), pipeline.as_bytes())?;
            child::run(&connect, ["run", "copy.toml"], &dir)?
        } else {
            let partitions = arguments.common.partitions.to_string();
            let words = ["--bootstrap", bootstrap, "--dir", ".", "--partitions", &partitions];
            child::run(&own, words.into_iter().chain(["--child", &from, &to]), Path::new("."))?
        };
        let there = kafka::committed(bootstrap, &to, arguments.common.partitions)?;
        if there != arguments.records {
            return Err(format!("{there} of {} records came", arguments.records));
        }
        kafka::delete(bootstrap, &to)?;
        Ok(cost)
    };
    let pairs = interleaved(arguments.common.pairs, || measured(true), || measured(false))?;
    println!(
        "{} records of {SIZE} bytes, {} partitions, exactly once",
        arguments.records, arguments.common.partitions
    );
    let summary = programs::report(arguments.records * SIZE, &pairs);
    let (speed, cpu, peak) = (summary.speed.median, summary.cpu.median, summary.peak.high);
    let holds = [
        verdict("median speed ratio", speed, speed >= SPEED, "at least 0.85"),
        verdict("median ratio of processor time", cpu, cpu <= 1.0 / SPEED, "at most 1 / 0.85"),
        verdict("greatest peak, MiB", peak, peak < MEMORY_MIB, "below 256"),
    ];
    if holds.iter().all(|holds| *holds) { Ok(()) } else { Err("a bound does not hold".into()) }
}

/// Reads and produces; each second a transaction ends, with the offsets it came to.
fn bare(arguments: &Arguments, bootstrap: &str, from: &str, to: &str) -> Result {
    let text = |error: KafkaError| error.to_string();
    let consumer: BaseConsumer = kafka::reader(bootstrap, from, arguments.common.partitions)?;
    let producer: BaseProducer = kafka::client(bootstrap)
        .set("transactional.id", to)
        .set("delivery.report.only.error", "true")
        .create()
        .map_err(text)?;
    producer.init_transactions(kafka::WAIT).map_err(text)?;
    producer.begin_transaction().map_err(text)?;
    let (mut begun, mut left, mut since) = (now(), arguments.common.partitions, 0);
    while left > 0 {
        match consumer.poll(kafka::WAIT).ok_or("nothing comes")? {
            Ok(message) => {
                let mut record =
                    BaseRecord::<[u8], [u8]>::to(to).payload(message.payload().unwrap_or_default());
                record.key = message.key();
                kafka::send(&producer, record)?;
            }
            Err(KafkaError::PartitionEOF(_)) => left -= 1,
            Err(error) => return Err(text(error)),
        }
        since += 1;
        if left == 0 || (since >= 1000 && begun.elapsed() >= EACH) {
            producer.flush(kafka::WAIT).map_err(text)?;
            let offsets = consumer.position().map_err(text)?;
            let group = consumer.group_metadata().ok_or("the consumer has no group")?;
            producer.send_offsets_to_transaction(&offsets, &group, kafka::WAIT).map_err(text)?;
            producer.commit_transaction(kafka::WAIT).map_err(text)?;
            if left > 0 {
                producer.begin_transaction().map_err(text)?;
            }
            (begun, since) = (now(), 0);
        } else if since % 1000 == 0 {
            producer.poll(Duration::ZERO);
        }
    }
    Ok(())
}
