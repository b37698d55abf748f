//! The deterministic host over sound connectors: every row exactly once, and the same seed twice is the same run.
#![allow(missing_docs, clippy::unwrap_used)]

use std::sync::Arc;

use async_trait::async_trait;
use bytes::Bytes;
use connector_api::Result;
use connector_api::env::Environment;
use connector_api::sink::{CommitRequest, DynCommitter, Outcome, Sink, SinkPlan, partition_by};
use connector_api::source::{BoxSource, erase};
use testkit::history;
use testkit::lab::Settings;
use testkit::lockstep::{self, Options, Pair, Ran};
use testkit::reference::{Ledger, Numbers};
use testkit::surroundings::Surroundings;
use testkit::{TestRow, sim};

struct InMemory {
    numbers: Numbers,
    ledger: Ledger,
}

#[async_trait]
impl Pair<Vec<String>> for InMemory {
    fn source(&mut self, _: &Environment) -> Result<BoxSource<Vec<String>>> {
        Ok(erase(self.numbers.source()))
    }

    fn sink(&mut self, _: &Environment) -> Result<Box<dyn Sink<Vec<String>>>> {
        Ok(Box::new(self.ledger.sink()))
    }

    async fn visible(&mut self, _: &Environment) -> Result<Option<Vec<String>>> {
        Ok(Some(self.ledger.visible()))
    }
}

fn expected() -> Vec<String> {
    (0..4).flat_map(|split| TestRow::range(split, 0..50)).map(|row| row.text).collect()
}

fn run(seed: u64) -> (Ran, Ledger) {
    let numbers = Numbers::new();
    (0..4).for_each(|split| numbers.append(split, &TestRow::range(split, 0..50)));
    let mut pair = InMemory { numbers, ledger: Ledger::new() };
    let ran = sim::run(async {
        let mut around = Surroundings::simulated(seed);
        lockstep::run(&mut pair, &mut around, Options::adverse(seed)).await
    });
    let ran = ran.unwrap_or_else(|failed| panic!("{}\n{}", failed.broken, failed.ran.log));
    (ran, pair.ledger)
}

#[test]
fn whatever_goes_wrong_every_row_is_visible_exactly_once() {
    let (mut deaths, mut attempts) = (0, 0);
    let settings = Settings::from_env(false).unwrap();
    // The default is a suite's; here a run takes two milliseconds.
    for seed in settings.seed..settings.seed + settings.rounds.max(200) {
        let (ran, ledger) = run(seed);
        let judged = history::exactly_once("x", &expected(), &ledger.visible())
            .and_then(|()| history::order(&ran.history))
            .and_then(|()| history::visibility(&ran.history))
            .and_then(|()| history::watermarks(&ran.history));
        judged.unwrap_or_else(|broken| panic!("seed {seed}: {broken}\n{}", ran.log));
        deaths += ran.deaths;
        attempts += ran.history.events().iter().filter(|e| matches!(e, history::Event::Began { .. })).count();
    }
    assert!(deaths > 100 && attempts > 400, "the schedule is too kind: {deaths} deaths, {attempts} attempts");
}

#[test]
fn the_same_seed_writes_the_same_log_byte_for_byte() {
    for seed in 0..20 {
        let (first, second) = (run(seed).0, run(seed).0);
        assert_eq!(first.log.to_string(), second.log.to_string(), "seed {seed}");
        assert_eq!(first.history.to_string(), second.history.to_string(), "seed {seed}");
    }
    assert_ne!(run(1).0.log.to_string(), run(2).0.log.to_string());
}

/// Never gives an outcome.
struct Never;

#[async_trait]
impl DynCommitter for Never {
    async fn commit(&mut self, _: Vec<CommitRequest<Bytes>>) -> Vec<Outcome<Bytes>> {
        std::future::pending().await
    }
}

struct NeverCommits(Ledger);

impl Sink<Vec<String>> for NeverCommits {
    fn plan(&self) -> Result<SinkPlan<Vec<String>>> {
        let mut plan = self.0.sink().plan()?;
        plan.committer = Some(Arc::new(|_| Box::pin(async { Ok(Box::new(Never) as Box<dyn DynCommitter>) })));
        Ok(plan)
    }
}

struct Waiting(InMemory);

#[async_trait]
impl Pair<Vec<String>> for Waiting {
    fn source(&mut self, env: &Environment) -> Result<BoxSource<Vec<String>>> {
        self.0.source(env)
    }

    fn sink(&mut self, _: &Environment) -> Result<Box<dyn Sink<Vec<String>>>> {
        Ok(Box::new(NeverCommits(self.0.ledger.clone())))
    }
}

#[test]
fn a_call_that_waits_for_ever_is_named_and_hangs_no_test() {
    let numbers = Numbers::new();
    numbers.append(0, &TestRow::range(0, 0..50));
    let mut pair = Waiting(InMemory { numbers, ledger: Ledger::new() });
    let ran = sim::run(async {
        let mut around = Surroundings::simulated(1);
        lockstep::run(&mut pair, &mut around, Options::calm(1)).await
    });
    let broken = ran.unwrap_err().broken;
    assert_eq!(broken.rule, "F-5", "{broken}");
    assert!(broken.what.contains("Committer::commit"), "{broken}");
}

/// Deals rows to writers by the split that their text names.
struct Keyed(Ledger);

fn key(row: &str) -> u32 {
    TestRow::parse(row).map_or(0, |(split, _)| split)
}

impl Sink<Vec<String>> for Keyed {
    fn plan(&self) -> Result<SinkPlan<Vec<String>>> {
        let mut plan = self.0.sink().plan()?;
        plan.partitioner = Some(partition_by(|row: &String| u64::from(key(row))));
        Ok(plan)
    }
}

struct KeyedPair(InMemory);

#[async_trait]
impl Pair<Vec<String>> for KeyedPair {
    fn source(&mut self, env: &Environment) -> Result<BoxSource<Vec<String>>> {
        self.0.source(env)
    }

    fn sink(&mut self, _: &Environment) -> Result<Box<dyn Sink<Vec<String>>>> {
        Ok(Box::new(Keyed(self.0.ledger.clone())))
    }
}

#[test]
fn rows_of_a_key_reach_one_writer_in_order_whatever_goes_wrong() {
    for seed in 0..50 {
        let numbers = Numbers::new();
        (0..4).for_each(|split| numbers.append(split, &TestRow::range(split, 0..50)));
        let mut pair = KeyedPair(InMemory { numbers, ledger: Ledger::new() });
        let ran = sim::run(async {
            let mut around = Surroundings::simulated(seed);
            lockstep::run(&mut pair, &mut around, Options::adverse(seed)).await
        });
        let ran = ran.unwrap_or_else(|failed| panic!("{}\n{}", failed.broken, failed.ran.log));
        let judged = history::exactly_once("x", &expected(), &pair.0.ledger.visible())
            .and_then(|()| history::order_per_key(&ran.history, |row| key(row).to_string()));
        judged.unwrap_or_else(|broken| panic!("seed {seed}: {broken}\n{}", ran.log));
    }
}
