//! Lines from files to files through the host: every line once, whatever dies when.
#![allow(missing_docs, clippy::unwrap_used)]

mod world;

use std::time::Duration;

use connector_api::env::Random;
use connector_runtime::RestartStrategy;
use mailbox_host::{End, StopFlag};
use testkit::fs::{Fault, OpKind, PowerCut, Rule};
use testkit::random::SeededRandom;
use world::{Scale, World};

const SCALES: [Scale; 4] = [Scale(1, 1, 1), Scale(3, 2, 2), Scale(2, 3, 1), Scale(1, 2, 3)];

#[test]
fn every_line_is_visible_once_at_the_end() {
    for compacted in [false, true] {
        for (seed, scale) in (1..).zip(SCALES) {
            let mut world = World::new(seed, compacted);
            assert_eq!(world.run(scale).unwrap(), End::Finished, "{scale:?}");
            world.check_end().unwrap();
            assert_eq!(world.run(scale).unwrap(), End::AlreadyFinished);
            world.check_end().unwrap();
        }
    }
}

/// Dies again and again, mostly after so few writes that an attempt does not get far, and goes on with other numbers of
/// readers, writers and committers each time.
#[test]
fn a_host_that_dies_at_any_moment_goes_on_where_it_was() {
    let (mut deaths, mut restored) = (0, 0);
    for compacted in [false, true] {
        for seed in 0..50 {
            let coins = SeededRandom::new(seed);
            let mut world = World::new(seed, compacted);
            for life in 0.. {
                let scale = SCALES[coins.below(4) as usize];
                if life < 8 {
                    world.fs.freeze_at(1 + coins.below(120));
                }
                let end = world.run(scale);
                world.check().unwrap_or_else(|why| panic!("seed {seed}, life {life}: {why}"));
                if end.is_ok() && !world.fs.is_frozen() {
                    break;
                }
                deaths += 1;
                restored += u64::from(world.has_checkpoint());
                world.die(match coins.below(3) {
                    0 => Some(PowerCut::SyncedOnly),
                    1 => Some(PowerCut::Seeded(coins.next_u64())),
                    _ => None,
                });
            }
            world.check_end().unwrap_or_else(|why| panic!("seed {seed}, compacted {compacted}: {why}"));
        }
    }
    assert!(deaths > 200 && restored > 100, "{deaths} deaths, {restored} with a checkpoint to go on from");
}

/// The enumerator lives on, and gets back the splits that no checkpoint holds.
#[test]
fn a_failed_attempt_is_followed_by_the_next_within_the_run() {
    let mut failed = 0;
    for seed in 0..30_u64 {
        let mut world = World::new(seed, seed.is_multiple_of(2));
        world.restart = RestartStrategy::FixedDelay { attempts: 3, delay: Duration::from_millis(20) };
        // One reading or writing of the connectors fails; the checkpoint directory is left alone.
        let kind = if seed.is_multiple_of(3) { OpKind::Read } else { OpKind::Sync };
        let rule = Rule::on(kind, Fault::Eio).path_where(|path| !path.starts_with("/checkpoints"));
        world.fs.inject(rule.nth(1 + seed % 7));
        assert_eq!(world.run(SCALES[seed as usize % 4]).unwrap(), End::Finished, "seed {seed}");
        world.check_end().unwrap_or_else(|why| panic!("seed {seed}: {why}"));
        failed += u64::from(world.attempts() > 1);
    }
    assert!(failed > 20, "only {failed} runs had a second attempt");
}

#[test]
fn a_savepoint_holds_everything_and_the_job_goes_on_from_it() {
    for seed in 0..10_u64 {
        let mut world = World::new(seed, seed.is_multiple_of(2));
        let stop = StopFlag::new();
        let after = Duration::from_millis(10 + 3 * seed);
        let end = world.run_stopped(SCALES[1], &stop, after).unwrap();
        let End::Stopped { savepoint: Some(path) } = end else { panic!("{end:?}") };
        assert!(world.fs.content(&path).is_ok());
        world.check().unwrap();
        world.die(None);
        assert_eq!(world.run(SCALES[2]).unwrap(), End::Finished);
        world.check_end().unwrap();
        assert!(world.fs.content(&path).is_ok(), "a savepoint is never cleaned up");
    }
}
