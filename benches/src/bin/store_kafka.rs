//! Durable appends into the segment store against Kafka on the same disk: rdkafka's producer, `acks=all`, once with `flush.messages=1` and
//! once as Kafka does by itself, which does not sync.

use std::path::{Path, PathBuf};
use std::process::ExitCode;
use std::time::Duration;

use benches::child::{OwnCost, measured};
use benches::kafka::{self, Cluster};
use benches::pairs::{Spread, interleaved, verdict};
use benches::store::{append, made, prepared, runtime};
use benches::{Result, exit, job};
use clap::Parser;
use rdkafka::producer::{BaseProducer, BaseRecord, Producer};

const SIZE: u64 = 1000;

#[derive(Parser)]
struct Arguments {
    /// Where the stores are made.
    #[arg(long)]
    dir: PathBuf,
    /// A broker that runs; without it, one is started.
    #[arg(long)]
    bootstrap: Option<String>,
    /// MiB of events in each run against synced Kafka.
    #[arg(long, default_value_t = 16)]
    synced: u64,
    /// MiB of events in each run against Kafka as it is.
    #[arg(long, default_value_t = 128)]
    unsynced: u64,
    /// How many pairs.
    #[arg(long, default_value_t = benches::pairs::PAIRS)]
    pairs: usize,
}

fn main() -> ExitCode {
    exit(run(&Arguments::parse()))
}

fn run(arguments: &Arguments) -> Result {
    let cluster = Cluster::at(arguments.bootstrap.as_deref())?;
    let dir = arguments.dir.join("store-kafka");
    let mut holds = true;
    for is_synced in [true, false] {
        let mebibytes = if is_synced { arguments.synced } else { arguments.unsynced };
        let events = (mebibytes << 20) / SIZE;
        println!(
            "\nKafka {}, {events} events of {SIZE} bytes",
            if is_synced { "with flush.messages=1" } else { "as it is, unsynced" }
        );
        for (partitions, writers) in [(1, 1), (1, 10), (10, 1), (10, 10), (100, 1), (100, 10)] {
            let mut runs = 0;
            let theirs = || {
                runs += 1;
                let topic =
                    format!("bench-store-{is_synced}-{partitions}-{writers}-{}-{runs}", std::process::id());
                let took = produce(&cluster.bootstrap, &topic, partitions, writers, events, is_synced)?;
                kafka::delete(&cluster.bootstrap, &topic)?;
                Ok(took)
            };
            let ours = || stored(&dir, partitions as u32, writers, events);
            let pairs = interleaved(arguments.pairs, ours, theirs)?;
            let ratio = Spread::of(pairs.iter().map(|(ours, theirs)| theirs.wall / ours.wall).collect());
            let rate = |wall: f64| events as f64 / wall;
            let of = |value: &dyn Fn(&(OwnCost, OwnCost)) -> f64| {
                Spread::of(pairs.iter().map(value).collect()).median
            };
            println!(
                "{partitions:4} partitions, {writers:2} writers | ours {:9.0} events/s | Kafka {:9.0} events/s | {ratio}",
                of(&|(ours, _)| rate(ours.wall)),
                of(&|(_, theirs)| rate(theirs.wall))
            );
            if is_synced {
                holds &= verdict("times Kafka's speed", ratio.median, ratio.median >= 3.0, "at least 3");
            }
        }
    }
    job::empty(&dir)?;
    if holds { Ok(()) } else { Err("a bound does not hold".into()) }
}

fn stored(dir: &Path, segments: u32, writers: u32, events: u64) -> Result<OwnCost> {
    job::empty(dir)?;
    let runtime = runtime()?;
    let (env, store) = runtime.block_on(made(dir, segments, prepared(events * (SIZE + 8))))?;
    let took = measured(|| runtime.block_on(append(&env, &store, writers, SIZE as usize, events)))?;
    runtime.block_on(store.close()).map_err(|e| e.to_string())?;
    Ok(took)
}

fn produce(
    bootstrap: &str,
    topic: &str,
    partitions: i32,
    writers: u32,
    events: u64,
    is_synced: bool,
) -> Result<OwnCost> {
    let more: &[(&str, &str)] = if is_synced { &[("flush.messages", "1")] } else { &[] };
    kafka::create_with(bootstrap, topic, partitions, more)?;
    let producers = (0..writers)
        .map(|_| {
            kafka::client(bootstrap).set("acks", "all").set("delivery.report.only.error", "true").create()
        })
        .collect::<std::result::Result<Vec<BaseProducer>, _>>()
        .map_err(|e| e.to_string())?;
    let each = events / u64::from(writers);
    let took = measured(|| {
        std::thread::scope(|scope| {
            let sending: Vec<_> = producers
                .iter()
                .map(|producer| {
                    scope.spawn(move || {
                        let text = [b'x'; SIZE as usize];
                        for number in 0..each {
                            let partition = (number % partitions as u64) as i32;
                            let record =
                                BaseRecord::<[u8], [u8]>::to(topic).partition(partition).payload(&text);
                            kafka::send(producer, record)?;
                            if number.is_multiple_of(1000) {
                                producer.poll(Duration::ZERO);
                            }
                        }
                        producer.flush(Duration::from_secs(600)).map_err(|e| e.to_string())
                    })
                })
                .collect();
            sending
                .into_iter()
                .try_for_each(|sent| sent.join().map_err(|_| "a writer panicked".to_owned())?)
        })
    })?;
    let there = kafka::offsets(bootstrap, topic, partitions)?;
    if there == each * u64::from(writers) {
        Ok(took)
    } else {
        Err(format!("{there} of {events} records came"))
    }
}
