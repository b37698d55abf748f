//! Random operations against a model, with processes that die and disks that fail at any moment.
//!
//! `SEED=17` runs one seed, `ROUNDS=10000` so many from there on.

#![allow(clippy::unwrap_used, clippy::expect_used, reason = "a test ends where it fails")]
#![allow(unreachable_pub, reason = "nothing here is public")]

mod support;

use std::panic::{AssertUnwindSafe, catch_unwind};

use support::lives::{self, Stats};
use support::lying::Lie;

fn number(name: &str) -> Option<u64> {
    std::env::var(name).ok()?.parse().ok()
}

/// Runs a seed; also a panic is a failure that names its seed.
fn run(seed: u64, lie: Option<Lie>) -> Result<Stats, String> {
    catch_unwind(AssertUnwindSafe(|| lives::run(seed, lie)))
        .unwrap_or_else(|_| Err(format!("SEED={seed}: a panic")))
}

#[test]
fn whoever_opens_a_store_finds_a_prefix_of_what_each_client_asked_for_with_all_that_was_acknowledged() {
    let first = number("SEED");
    let rounds = number("ROUNDS").unwrap_or(if first.is_some() { 1 } else { 300 });
    let mut all = Stats::default();
    for seed in first.unwrap_or(0)..first.unwrap_or(0) + rounds {
        match run(seed, None) {
            Ok(stats) => {
                all.acknowledged += stats.acknowledged;
                all.settled += stats.settled;
                all.deaths += stats.deaths;
                all.deaths_while_opening += stats.deaths_while_opening;
                all.objects += stats.objects;
                all.snapshots += stats.snapshots;
            }
            Err(what) => panic!("{what}"),
        }
    }
    println!("{rounds} rounds: {all:?}");
    if rounds >= 100 {
        assert!(
            all.acknowledged > 20 * rounds && all.deaths > rounds && all.deaths_while_opening > rounds / 10
        );
        assert!(all.objects > rounds / 10 && all.snapshots > rounds / 2, "{all:?}");
    }
}

fn is_noticed(lie: Lie) {
    std::panic::set_hook(Box::new(|_| {}));
    let noticed = (0..200).find(|&seed| run(seed, Some(lie)).is_err());
    assert!(noticed.is_some(), "nobody noticed {lie:?}");
}

#[test]
fn a_disk_whose_syncs_do_nothing_is_noticed() {
    is_noticed(Lie::NoSync);
}

#[test]
fn a_disk_that_forgets_names_is_noticed() {
    is_noticed(Lie::NoSyncDir);
}

#[test]
fn a_disk_that_loses_the_ends_of_writes_is_noticed() {
    is_noticed(Lie::LostEnd);
}

#[test]
fn a_disk_that_flips_bits_is_noticed() {
    is_noticed(Lie::Flipped);
}

#[test]
fn a_disk_whose_renames_are_not_atomic_is_noticed() {
    is_noticed(Lie::SlowRename);
}

#[test]
fn a_disk_that_writes_to_other_places_is_noticed() {
    is_noticed(Lie::Misplaced);
}
