//! Every decoder of stored bytes, on damaged ones: no panic, and no more memory than the bytes are worth.
//!
//! `CORPUS=<directory>` writes the undamaged ones there, for the fuzz targets.

#![allow(clippy::disallowed_methods, reason = "tests write files")]
#![allow(clippy::unwrap_used, clippy::expect_used, reason = "a test ends where it fails")]
#![allow(unreachable_pub, reason = "nothing here is public")]

mod support;

#[path = "support/allocations.rs"]
mod allocations;

use connector_api::env::Random;
use segment_store::fuzzing;
use support::events::{fill, logs, made, paths};
use testkit::fs::SimFs;
use testkit::random::SeededRandom;
use testkit::sim;

#[global_allocator]
static COUNTING: allocations::Counting = allocations::Counting;

const ROUNDS: u64 = 20_000;

/// What a small store left: logs without their headers, snapshots without their envelopes, objects.
fn seeds(end: &str) -> Vec<Vec<u8>> {
    sim::run(async {
        let mut seeds = Vec::new();
        for seed in 0..3 {
            let fs = SimFs::new();
            let store = made(&fs).await;
            fill(&store, 0, [2, 10, 80][seed]).await;
            if seed != 1 {
                store.upkeep().await.unwrap();
                store.snapshot().await.unwrap();
            }
            for path in if end == ".log" { logs(&fs) } else { paths(&fs, end) } {
                let bytes = fs.content(&path).unwrap();
                let used = bytes.iter().rposition(|&byte| byte != 0).map_or(0, |last| last + 1);
                seeds.push(match end {
                    ".log" => bytes[4096..used.max(4096)].to_vec(),
                    ".snapshot" => bytes[4 + 1 + 22 + 10..].to_vec(),
                    _ => bytes,
                });
            }
        }
        if let Ok(dir) = std::env::var("CORPUS") {
            let dir = std::path::Path::new(&dir).join(&end[1..]);
            std::fs::create_dir_all(&dir).unwrap();
            for (n, seed) in seeds.iter().enumerate() {
                for deep in 0..2 {
                    std::fs::write(dir.join(format!("{n}-{deep}")), [&[deep][..], seed].concat()).unwrap();
                }
            }
        }
        assert!(!seeds.is_empty());
        seeds
    })
}

/// Some bytes changed, cut, doubled, moved, or others altogether.
fn damaged(seeds: &[Vec<u8>], random: &SeededRandom) -> Vec<u8> {
    let pick = |length: usize| random.below(length as u64 + 1) as usize;
    if random.chance(3) {
        return (0..pick(300)).map(|_| random.next_u64() as u8).collect();
    }
    let mut bytes = seeds[pick(seeds.len() - 1)].clone();
    // Most of what is decoded is at the beginning or the end.
    if bytes.len() > 2000 && random.chance(80) {
        let from = if random.chance(50) { 0 } else { pick(bytes.len() - 1) };
        bytes = bytes[from..(from + pick(2000)).min(bytes.len())].to_vec();
    }
    for _ in 0..1 + random.below(4) {
        let at = pick(bytes.len());
        let rest = bytes.len() - at;
        match random.below(7) {
            0 => bytes.truncate(at),
            1 => bytes.iter_mut().skip(at).take(1).for_each(|byte| *byte ^= 1 << random.below(8)),
            2 => bytes.iter_mut().skip(at).take(1 + pick(8)).for_each(|byte| *byte = 0xff),
            3 => bytes.iter_mut().skip(at).take(1 + pick(8)).for_each(|byte| *byte = random.next_u64() as u8),
            4 => {
                let piece = bytes[at..at + pick(rest.min(64))].to_vec();
                let to = pick(bytes.len());
                bytes.splice(to..to, piece);
            }
            5 => drop(bytes.drain(at..at + pick(rest.min(64)))),
            _ => {
                // A length that promises much.
                let huge = [0xff, 0xff, 0xff, 0xff, 0x0f];
                let end = (at + huge.len()).min(bytes.len());
                bytes[at..end].copy_from_slice(&huge[..end - at]);
            }
        }
    }
    bytes
}

/// Says in how many rounds something was taken, of the deep ones and of the others.
fn run(end: &str, decode: impl Fn(&[u8], bool) -> bool) -> [u64; 2] {
    let seeds = seeds(end);
    let mut taken = [0; 2];
    for seed in &seeds {
        assert!(end != ".obj" || decode(seed, false), "a whole one is taken");
        assert!(decode(seed, true), "a whole one is taken");
    }
    let random = SeededRandom::new(7);
    for round in 0..ROUNDS {
        let (bytes, deep) = (damaged(&seeds, &random), round % 4 != 0);
        let is_taken = allocations::bounded(bytes.len() + 4096, || decode(&bytes, deep));
        taken[usize::from(deep)] += u64::from(is_taken);
    }
    println!("{end}: {taken:?} of {ROUNDS} rounds were taken");
    taken
}

#[test]
fn any_log_is_read_or_refused() {
    let taken = run(".log", |bytes, deep| fuzzing::frames(bytes, deep) > 0);
    assert!(taken[1] > 100);
}

#[test]
fn any_log_whose_checksums_are_right_is_replayed_or_refused() {
    let seeds = seeds(".log");
    let random = SeededRandom::new(11);
    let taken = (0..ROUNDS).filter(|_| fuzzing::replay(&damaged(&seeds, &random), true) > 3).count();
    assert!(taken > 100, "{taken}");
}

#[test]
fn any_snapshot_is_read_or_refused() {
    let taken = run(".snapshot", fuzzing::snapshot);
    assert!(taken[1] > 100 && taken[0] == 0);
}

#[test]
fn any_object_is_read_or_refused() {
    let taken = run(".obj", fuzzing::object);
    assert!(taken[1] > 100);
}
