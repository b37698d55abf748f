//! `connect` and the broker killed at random moments, on the way into a topic and from topic to topic: each row once, for a
//! reader in another language.
//!
//! `KAFKA_ROUNDS` says how many processes are killed, `KAFKA_SEED` from which seed; `cargo xtask soak kill-kafka` sets both.

use std::fs::File;
use std::process::{Child, Stdio};
use std::time::{Duration, Instant};

use libtest_mimic::{Failed, Trial};
use serde_json::Value;
use testkit::brokers::{Broker, Kafka, KafkaClient, trial};

use super::java;
use super::support::{Place, files};

/// What a test run without `KAFKA_ROUNDS` does.
const ROUNDS: u64 = 4;
/// In each n-th round the broker is killed besides.
const BROKER_EVERY: u64 = 4;
/// A job that was killed so often is let run to its end.
const ROUNDS_PER_JOB: u64 = 8;
/// How many rows a job has for each round of a leg, and for its last run: about what it writes in the time of a round.
const ROWS_PER_ROUND: u64 = 150_000;
/// A round ends after a time between these: `connect` in the form of the tests takes some hundred milliseconds to its first checkpoint.
const MILLIS: (u64, u64) = (300, 1_800);
/// What the last run of a job may take.
const PATIENCE: Duration = Duration::from_secs(300);
/// How many writers the rounds run with, in turn.
const PARALLELISM: [u64; 3] = [1, 3, 2];

const INTO: &str = r#"name = "into"
checkpoint = { interval = "100ms", dir = "ckpt-into" }
restart = { strategy = "fixed_delay", attempts = 100000, delay = "200ms" }

[source]
connector = "file"
path = "in"
format = "lines"

[sink]
connector = "kafka"
bootstrap_servers = "BROKER"
topic = "lines-JOB"
delivery_guarantee = "exactly-once"
transactional_id_prefix = "into-JOB"
transaction_timeout = "10m"
"#;

const ACROSS: &str = r#"name = "across"
checkpoint = { interval = "100ms", dir = "ckpt-across" }
restart = { strategy = "fixed_delay", attempts = 100000, delay = "200ms" }

[source]
connector = "kafka"
bootstrap_servers = "BROKER"
topics = ["lines-JOB"]
start = "earliest"
stop = "latest"

[sink]
connector = "kafka"
bootstrap_servers = "BROKER"
topic = "copies-JOB"
delivery_guarantee = "exactly-once"
transactional_id_prefix = "across-JOB"
transaction_timeout = "10m"
"#;

pub(crate) fn test() -> Trial {
    trial("rows_are_there_once_whenever_connect_or_the_broker_is_killed", Kafka::new(), || {
        let number = |name: &str| std::env::var(name).ok().map(|text| text.parse::<u64>()).transpose();
        let (rounds, seed) = (number("KAFKA_ROUNDS")?.unwrap_or(ROUNDS), number("KAFKA_SEED")?.unwrap_or(1));
        let again = format!("cargo xtask soak kill-kafka --rounds {rounds} --seed {seed}");
        match Soak::start(seed)?.run(rounds) {
            Ok(summary) => {
                eprintln!("{again}\n{summary}");
                Ok(())
            }
            Err(failed) => Err(format!("{}\nagain: {again}", failed.message().unwrap_or("failed")).into()),
        }
    })
}

/// Fails with these words unless it holds.
fn ensure(holds: bool, why: impl FnOnce() -> String) -> Result<(), Failed> {
    if holds { Ok(()) } else { Err(why().into()) }
}

#[derive(Default)]
struct Counts {
    rounds: u64,
    kills: u64,
    rows: u64,
    broker_kills: u64,
    /// Rounds in which a checkpoint was completed.
    progressed: u64,
    jobs: u64,
}

struct Soak {
    broker: Broker,
    random: u64,
    counts: Counts,
}

impl Soak {
    fn start(seed: u64) -> Result<Self, Failed> {
        let broker = Broker::start(Kafka::new())?;
        // Never 0, and not alike for seeds that are.
        let random = (seed ^ 88_172_645_463_325_252).max(1);
        Ok(Self { broker, random, counts: Counts::default() })
    }

    fn between(&mut self, least: u64, most: u64) -> u64 {
        self.random ^= self.random << 13;
        self.random ^= self.random >> 7;
        self.random ^= self.random << 17;
        least + self.random % (most - least)
    }

    fn pause(&mut self, least: u64, most: u64) {
        std::thread::sleep(Duration::from_millis(self.between(least, most)));
    }

    fn run(mut self, rounds: u64) -> Result<String, Failed> {
        while self.counts.kills < rounds {
            // Both legs of a job are to be met.
            let share = (rounds - self.counts.kills).div_ceil(2).min(ROUNDS_PER_JOB);
            let place = Place::new();
            let rows = ROWS_PER_ROUND * (share + 1);
            let lines: String = (0..rows).map(|n| format!("line {n}\n")).collect();
            let half = lines[..lines.len() / 2].rfind('\n').map_or(0, |at| at + 1);
            place.write("in/a.txt", &lines[..half]);
            place.write("in/b.txt", &lines[half..]);
            let mut expected: Vec<String> = lines.lines().map(str::to_owned).collect();
            expected.sort_unstable();
            for (name, topic, pipeline) in [("into", "lines", INTO), ("across", "copies", ACROSS)] {
                let job = self.counts.jobs;
                let topic = format!("{topic}-{job}");
                KafkaClient::connect(self.broker.address())?.create_topic(&topic, 3)?;
                let address = self.broker.address().to_string();
                let text = pipeline.replace("BROKER", &address).replace("JOB", &job.to_string());
                place.write(&format!("{name}.toml"), &text);
                self.leg(&place, name, share.min(rounds - self.counts.kills))?;
                self.judge(&place, &format!("{name}-{job}"), &topic, &expected)?;
            }
            self.counts.jobs += 1;
            self.counts.rows += 2 * rows;
        }
        let Counts { rounds, kills, rows, broker_kills, progressed, jobs } = self.counts;
        ensure(progressed * 3 >= rounds, || {
            format!("only {progressed} of {rounds} rounds completed a checkpoint: this showed little")
        })?;
        Ok(format!(
            "{kills} kills of connect and {broker_kills} of the broker in {jobs} jobs of two legs; {progressed} of {rounds} rounds \
             with a new checkpoint; each of {rows} rows once, no transaction open"
        ))
    }

    /// A job that is killed some times, then runs to its end.
    fn leg(&mut self, place: &Place, name: &str, rounds: u64) -> Result<(), Failed> {
        for round in 0..rounds {
            let before = checkpoint(place, name);
            let mut run = start(place, name, PARALLELISM[round as usize % PARALLELISM.len()])?;
            self.pause(MILLIS.0, MILLIS.1);
            self.counts.rounds += 1;
            if self.counts.rounds.is_multiple_of(BROKER_EVERY) {
                self.broker.kill()?;
                self.counts.broker_kills += 1;
                self.pause(0, 1_000);
                // Every other time the job outlives the outage.
                if self.between(0, 2) == 0 {
                    self.broker.restart()?;
                    self.pause(0, 2_000);
                }
            }
            let ended = run.try_wait()?;
            run.kill()?;
            run.wait()?;
            if self.broker.pid().is_none() {
                self.broker.restart()?;
            }
            self.counts.progressed += u64::from(checkpoint(place, name) > before);
            match ended {
                None => self.counts.kills += 1,
                Some(status) if status.success() => return Ok(()),
                Some(status) => return Err(said(place, name, &format!("ended by itself: {status}"))),
            }
        }
        let (mut run, started) = (start(place, name, 2)?, Instant::now());
        loop {
            match run.try_wait()? {
                Some(status) if status.success() => return Ok(()),
                Some(status) => return Err(said(place, name, &format!("the last run ended with {status}"))),
                None if started.elapsed() < PATIENCE => std::thread::sleep(Duration::from_millis(10)),
                None => {
                    run.kill()?;
                    run.wait()?;
                    return Err(said(place, name, "the last run did not end"));
                }
            }
        }
    }

    /// What a Java consumer of committed records sees, and what transactions are left.
    fn judge(&self, place: &Place, prefix: &str, topic: &str, expected: &[String]) -> Result<(), Failed> {
        let address = self.broker.address().to_string();
        let pid = self.broker.pid().ok_or("the broker is no process")?;
        let values = java::committed_values(pid, &address, topic)?;
        let twice = values.windows(2).filter(|pair| pair[0] == pair[1]).count();
        ensure(values == expected, || {
            format!("{topic}: {} values in place of {}, {twice} twice", values.len(), expected.len())
        })?;
        let list =
            ["kafka", "transactions", "list", "--bootstrap-servers", &address, "--prefix", prefix, "--json"];
        let listed: Value = serde_json::from_str(&place.connect(&list).assert_done().stdout)?;
        let all = listed["transactions"].as_array().ok_or("no list")?;
        ensure(!all.is_empty() && all.iter().all(|one| one["open"] == false), || format!("{topic}: {listed}"))
    }
}

/// What it says goes to a file: nobody empties a pipe here.
fn start(place: &Place, name: &str, parallelism: u64) -> Result<Child, Failed> {
    let parallelism = format!("parallelism={parallelism}");
    let mut command = place.command(&["run", &format!("{name}.toml"), "--set", &parallelism]);
    let log = File::create(place.path(&format!("{name}.log")))?;
    Ok(command.stdout(Stdio::null()).stderr(log).spawn()?)
}

/// The newest checkpoint on disk.
fn checkpoint(place: &Place, name: &str) -> u64 {
    let number = |file: &std::path::PathBuf| {
        file.file_name()?.to_str()?.strip_prefix("chk-")?.strip_suffix(".ckpt")?.parse().ok()
    };
    files(&place.path(&format!("ckpt-{name}"))).iter().filter_map(number).max().unwrap_or(0)
}

/// A failure with the end of the log.
fn said(place: &Place, name: &str, what: &str) -> Failed {
    let log = std::fs::read_to_string(place.path(&format!("{name}.log"))).unwrap_or_default();
    let lines: Vec<_> = log.lines().collect();
    format!("{name}: {what}\n{}", lines[lines.len().saturating_sub(12)..].join("\n")).into()
}
