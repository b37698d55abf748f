//! Jobs over a stream that is scaled from one segment to four and to two, under a host in which everything goes wrong now and then.

use std::collections::BTreeMap;
use std::path::Path;

use async_trait::async_trait;
use connector_api::env::Environment;
use connector_api::factory::ByteSize;
use connector_api::sink::Sink;
use connector_api::source::{BoxSource, erase};
use connector_api::{MessageBatch, Result};
use segment_store::client::StoreClient;
use segment_store::{KeyRange, SegmentName, routing};
use testkit::fs::PowerCut;
use testkit::history::{self, History};
use testkit::lockstep::{self, Adversity, Options, Pair, Scale};
use testkit::random::SeededRandom;
use testkit::reference::Ledger;
use testkit::sim;
use testkit::surroundings::{Death, Surroundings};

use crate::source::finished::flaw;
use crate::source::*;
use crate::stream::{DIR, STREAM, append, failed, name, opened, small};

const KEYS: u64 = 8;
const ROWS: usize = 120;
/// After how many rows the stream is scaled, and to how many segments.
const SCALES: [(usize, u32); 3] = [(30, 4), (60, 2), (90, 3)];
const SEEDS: u64 = 60;

struct World {
    is_bounded: bool,
    ledger: Ledger,
    random: SeededRandom,
    next: BTreeMap<u64, u32>,
    written: Vec<String>,
    scaled: usize,
}

impl World {
    fn new(seed: u64, is_bounded: bool) -> Self {
        let (ledger, random) = (Ledger::new(), SeededRandom::new(seed));
        Self { is_bounded, ledger, random, next: BTreeMap::new(), written: Vec::new(), scaled: 0 }
    }

    /// The next row of a random key goes to the segment that is current for it; the stream is scaled when it is time.
    async fn write(&mut self, client: &dyn StoreClient, env: &Environment) -> Result<()> {
        let segments = client.stream(&name()).await.map_err(failed)?.current;
        if let Some((_, to)) = SCALES.get(self.scaled).filter(|(rows, _)| self.written.len() >= *rows) {
            let seal: Vec<_> = segments.iter().map(|(id, _)| *id).collect();
            client.scale(&name(), &seal, &KeyRange::even(*to)).await.map_err(failed)?;
            self.scaled += 1;
            return Ok(());
        }
        let key = self.random.below(KEYS);
        let number = self.next.entry(key).or_default();
        let text = format!("k{key}-{number:05}");
        *number += 1;
        let at = routing::position(&format!("k{key}"));
        let (id, _) = segments.into_iter().find(|(_, range)| range.contains(at)).unwrap();
        append(client, env, SegmentName::new(name(), id), [text.clone()]).await?;
        self.written.push(text);
        Ok(())
    }

    fn is_written(&self) -> bool {
        self.written.len() >= ROWS && self.scaled == SCALES.len()
    }

    /// Each row once, and the rows of each key in their order.
    fn judge(&self) -> std::result::Result<(), String> {
        let visible = self.ledger.visible();
        history::exactly_once("R-2", &self.written, &visible).map_err(|broken| format!("{broken:?}"))?;
        let mut last = BTreeMap::new();
        for row in &visible {
            let (key, number) = row.split_once('-').unwrap();
            if let Some(before) = last.insert(key, number).filter(|before| *before > number) {
                return Err(format!("{row} comes behind {key}-{before}"));
            }
        }
        Ok(())
    }
}

#[async_trait]
impl Pair<MessageBatch> for World {
    fn source(&mut self, _: &Environment) -> Result<BoxSource<MessageBatch>> {
        let options = SourceOptions {
            stop: self.is_bounded.then_some(Stop::Tail),
            read_size: ByteSize(60),
            ..SourceOptions::stream(DIR, STREAM)
        };
        Ok(erase(PravegaSource::new(&options, Path::new("/"))?.kept_as(small())))
    }

    fn sink(&mut self, _: &Environment) -> Result<Box<dyn Sink<MessageBatch>>> {
        Ok(Box::new(self.ledger.sink()))
    }

    async fn meanwhile(&mut self, env: &Environment, _: u64) -> Result<()> {
        if !self.is_bounded && !self.is_written() && self.random.below(3) == 0 {
            let client = opened(env, 1).await?;
            self.write(&*client, env).await?;
        }
        Ok(())
    }

    fn is_enough(&mut self, _: &History) -> bool {
        !self.is_bounded && self.is_written() && self.ledger.len() >= self.written.len()
    }
}

/// Other numbers of readers in each attempt; one writer, in whose output the order shows.
fn readers(options: Options) -> Options {
    Options { scales: vec![Scale(2, 1, 1), Scale(1, 1, 1), Scale(3, 1, 1)], steps: 8_000, ..options }
}

/// Runs a job to its end; says what is wrong with what it left, or how many processes died.
fn run(
    seed: u64,
    is_bounded: bool,
    options: Options,
    deaths: &[(&str, u64)],
) -> std::result::Result<u64, String> {
    sim::run(async {
        let mut around = Surroundings::simulated(seed);
        let mut world = World::new(seed, is_bounded);
        let env = around.env().clone();
        let client = opened(&env, 1).await.unwrap();
        // A process that is to die writes nothing: what it was at would be unsure.
        while (is_bounded || !deaths.is_empty()) && !world.is_written() {
            world.write(&*client, &env).await.unwrap();
        }
        drop((client, env));
        around.die_in_turn(deaths.iter().copied());
        let ran = lockstep::run(&mut world, &mut around, options).await;
        let ran = ran.map_err(|failed| format!("{:?}\n{}", failed.broken, failed.ran.log.tail(40)))?;
        world.judge().map_err(|wrong| format!("{wrong}\n{}", ran.log.tail(40)))?;
        Ok(ran.deaths)
    })
}

fn adverse(seed: u64, death: Death) -> Options {
    let adversity = Adversity { death, ..Adversity::ALL };
    readers(Options { adversity, rule: "R-2", ..Options::adverse(seed) })
}

#[test]
fn every_key_stays_in_order_over_scaling_whatever_goes_wrong() {
    for seed in 0..SEEDS {
        for is_bounded in [false, true] {
            let ran = run(seed, is_bounded, adverse(seed, Death::Crash), &[]);
            assert!(ran.is_ok(), "seed {seed}, bounded {is_bounded}: {}", ran.unwrap_err());
        }
    }
}

#[test]
fn power_cuts_lose_double_and_reorder_nothing() {
    for seed in 0..SEEDS {
        for cut in [PowerCut::SyncedOnly, PowerCut::Seeded(seed)] {
            let ran = run(seed, seed % 2 == 0, adverse(seed, Death::PowerCut(cut)), &[]);
            assert!(ran.is_ok(), "seed {seed}, {cut:?}: {}", ran.unwrap_err());
        }
    }
}

/// The twin: the same jobs, with a source that breaks one rule of the life of a segment.
fn noticed(is_bounded: bool) -> usize {
    (0..SEEDS).filter(|&seed| run(seed, is_bounded, adverse(seed, Death::Crash), &[]).is_err()).count()
}

#[test]
fn a_source_that_goes_on_before_the_checkpoint_is_complete_is_noticed() {
    flaw::EAGER.set(true);
    let (unbounded, bounded) = (noticed(false), noticed(true));
    flaw::EAGER.set(false);
    assert!(unbounded > 0 && bounded > 0, "{unbounded} and {bounded} of {SEEDS}");
}

#[test]
fn a_source_that_forgets_what_was_reported_before_a_checkpoint_is_noticed() {
    flaw::FORGETFUL.set(true);
    let found = noticed(false);
    flaw::FORGETFUL.set(false);
    assert!(found > 0, "none of {SEEDS}");
}

#[test]
fn a_death_at_any_crash_point_loses_doubles_and_reorders_nothing() {
    let points = CRASH_POINTS.iter().chain(connector_base::reader::CRASH_POINTS);
    for &point in points {
        let mut deaths = 0;
        for k in 1..=3 {
            for death in [Death::Crash, Death::PowerCut(PowerCut::SyncedOnly)] {
                // A second death while the first is recovered from.
                for turns in [&[(point, k)][..], &[(point, k), (point, 1)]] {
                    let ran = run(k, false, readers(Options::dying(k, death)), turns);
                    match ran {
                        Ok(died) => deaths += died,
                        Err(wrong) => panic!("{point} {k}, {death:?}: {wrong}"),
                    }
                }
            }
        }
        assert!(deaths > 0, "{point} is never reached");
    }
}
