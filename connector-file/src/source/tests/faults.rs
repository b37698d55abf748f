//! The source on simulated files: faults, and crashes at any moment.

use std::path::Path;

use connector_api::Stored;
use connector_api::factory::ByteSize;
use connector_api::id::{CheckpointId, ReaderId};
use connector_api::source::{ReaderCommand, SourceReader, SplitEnumerator};
use testkit::fs::{Fault, OpKind, Rule, SimFs};
use testkit::random::SeededRandom;
use testkit::sim;

use super::host::*;
use crate::source::*;

fn source(split_size: u64) -> FileSource {
    let options = SourceOptions { split_size: ByteSize(split_size), ..SourceOptions::lines("in") };
    FileSource::new(&options, Path::new("/")).unwrap()
}

fn files(count: usize) -> (SimFs, Vec<String>) {
    let fs = SimFs::new();
    let mut records = Vec::new();
    for file in 0..count {
        let lines: Vec<String> = (0..40 + file * 7).map(|i| format!("{file}-{i}")).collect();
        fs.put(format!("/in/d{}/{file}", file % 2), (lines.join("\n") + "\n").as_bytes()).unwrap();
        records.extend(lines);
    }
    records.sort();
    (fs, records)
}

#[test]
fn a_fault_names_the_split_and_the_file() {
    let cases = [
        (OpKind::Read, Fault::Eio, "split d1/1:0: read /in/d1/1: ", true),
        (OpKind::Open, Fault::Denied, "split d1/1:0: open /in/d1/1: ", false),
        (OpKind::Metadata, Fault::Eio, "read metadata of /in/d1/1: ", true),
    ];
    for (kind, fault, expected, retryable) in cases {
        let (fs, _) = files(3);
        fs.inject(Rule::on(kind, fault).path_containing("/in/d1/1"));
        let error = sim::run(async {
            Host::within(sim::environment(&fs, 1), &source(1 << 20), 2, None).rest().await.unwrap_err()
        });
        assert!(error.to_string().starts_with(expected), "{error}");
        assert_eq!(error.is_retryable(), retryable, "{error}");
    }
}

#[test]
fn a_directory_that_cannot_be_listed_is_named_and_not_passed_over() {
    let (fs, _) = files(3);
    fs.inject(Rule::on(OpKind::List, Fault::Denied).path_containing("/in/d1"));
    let error = sim::run(async {
        Host::within(sim::environment(&fs, 1), &source(1 << 20), 2, None).rest().await.unwrap_err()
    });
    assert!(error.to_string().starts_with("list /in/d1: "), "{error}");
}

/// What a checkpoint would hold.
struct Checkpoint {
    enumerator: FileEnumeratorState,
    splits: Vec<FileSplit>,
    emitted: usize,
}

#[test]
fn crashes_at_any_moment_with_rescaling_read_every_record_once() {
    let mut all_crashes = 0;
    for seed in 0..150 {
        let (fs, expected) = files(5);
        let random = SeededRandom::new(seed);
        let mut emitted: Vec<String> = Vec::new();
        let mut last: Option<Checkpoint> = None;
        let mut crashes = 0;
        while !sim::run(attempt(&fs, seed * 100 + crashes, &random, &mut emitted, &mut last)) {
            crashes += 1;
            // What was emitted after the checkpoint is not visible.
            emitted.truncate(last.as_ref().map_or(0, |checkpoint| checkpoint.emitted));
        }
        emitted.sort();
        assert_eq!(emitted, expected, "seed {seed}, {crashes} crashes");
        all_crashes += crashes;
    }
    assert!(all_crashes > 300, "only {all_crashes} crashes: the campaign proves little");
}

/// Runs from the last checkpoint to a crash (false) or to the end (true).
async fn attempt(
    fs: &SimFs,
    seed: u64,
    random: &SeededRandom,
    emitted: &mut Vec<String>,
    last: &mut Option<Checkpoint>,
) -> bool {
    let parallelism = 1 + random.below(3) as u32;
    // Pieces that cut lines, of another size after each restart.
    let source = source(20 + random.below(60));
    let state = last.as_ref().map(|checkpoint| checkpoint.enumerator.clone());
    let mut host = Host::within(sim::environment(fs, seed), &source, parallelism, state);
    for (i, split) in last.iter().flat_map(|checkpoint| &checkpoint.splits).enumerate() {
        let split = FileSplit::from_bytes(&split.to_bytes().unwrap()).unwrap();
        let reader = host.readers.get_mut(&ReaderId(i as u32 % parallelism)).unwrap();
        reader.handle(ReaderCommand::AddSplits(vec![split])).unwrap();
    }
    let mut checkpoint = CheckpointId(1);
    let lives_for = if seed % 100 > 30 { u64::MAX } else { random.below(15) };
    let mut events = 0;
    loop {
        if events >= lives_for {
            return false;
        }
        events += 1;
        let next = host.next().await.unwrap();
        let Some((reader, batch)) = next else { return true };
        let mut texts = texts(&batch);
        if random.below(4) == 0 {
            // A checkpoint in the middle of the batch: its rest is emitted after it.
            let rest = texts.split_off(texts.len() - random.below(texts.len() as u64 + 1) as usize);
            emitted.append(&mut texts);
            let unemitted = rest.len();
            texts = rest;
            let mut splits = Vec::new();
            for (id, other) in &mut host.readers {
                splits.extend(other.snapshot(checkpoint, if *id == reader { unemitted } else { 0 }).unwrap());
            }
            let enumerator = host.enumerator.snapshot(checkpoint).unwrap();
            *last = Some(Checkpoint { enumerator, splits, emitted: emitted.len() });
            for other in host.readers.values_mut() {
                other.handle(ReaderCommand::CheckpointComplete(checkpoint)).unwrap();
            }
            checkpoint.0 += 1;
        }
        emitted.append(&mut texts);
    }
}
