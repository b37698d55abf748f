//! Power cuts and faults at every single operation.

use std::cell::Cell;
use std::collections::BTreeSet;

use testkit::fs::{Fault, OpKind, PowerCut, Rule, SimFs};

use super::*;

/// What a process was told before it died.
#[derive(Default)]
struct Told {
    /// The newest number that `store` was called with, and that it was successful with.
    tried: Cell<u64>,
    stored: Cell<u64>,
    /// The same of the high-water mark.
    mark_tried: Cell<u64>,
    marked: Cell<u64>,
    attempts: Cell<u64>,
}

/// A process: goes on from what is there, makes some checkpoints.
fn live(fs: &SimFs, told: &Told) -> Result<()> {
    let mut store = open(fs)?;
    match store.latest()? {
        Some(record) => {
            assert!(!store.check_going_back(&record, false)?);
            store.begin_run(RunStart::Restored { record: &record, random: 3 })?;
        }
        None => store.begin_run(RunStart::Fresh { random: 3 })?,
    }
    told.attempts.set(store.next_attempt()?.number);
    let first = store.next_checkpoint().0;
    for n in first..first + 4 {
        let is_savepoint = n == first + 1;
        let record = if is_savepoint { savepoint(&store, n) } else { record(&store, n) };
        told.tried.set(n);
        store.store(&record)?;
        told.stored.set(n);
        told.mark_tried.set(n);
        store.set_high_water(CheckpointId(n))?;
        told.marked.set(n);
        store.retire_older()?;
    }
    Ok(())
}

/// What must hold for whoever comes next.
fn check(fs: &SimFs, told: &Told, what: &str) {
    let mut store = open(fs).unwrap_or_else(|e| panic!("{what}: {e}"));
    let latest = store.latest().unwrap_or_else(|e| panic!("{what}: {e}"));
    let latest_number = latest.as_ref().map_or(0, |record| record.checkpoint);
    assert!(
        (told.stored.get()..=told.tried.get()).contains(&latest_number),
        "{what}: {latest_number} is the latest, {} was complete, {} tried",
        told.stored.get(),
        told.tried.get()
    );
    let mark = store.high_water().map_or(0, |mark| mark.0);
    assert!((told.marked.get()..=told.mark_tried.get()).contains(&mark), "{what}: mark {mark}");
    assert!(mark <= latest_number, "{what}: a checkpoint whose commits may have begun is there");
    store.retained().unwrap_or_else(|e| panic!("{what}: {e}"));
    match &latest {
        Some(record) => {
            assert_eq!(record.writers[0][0], record.checkpoint as u8, "{what}: whole");
            assert!(!store.check_going_back(record, false).unwrap(), "{what}");
            store.begin_run(RunStart::Restored { record, random: 4 }).unwrap();
        }
        None => store.begin_run(RunStart::Fresh { random: 4 }).unwrap(),
    }
    let attempt = store.next_attempt().unwrap();
    assert!(
        attempt.run.0 != 3 || attempt.number > told.attempts.get(),
        "{what}: an attempt's number came twice"
    );
    assert!(store.next_checkpoint().0 > told.tried.get(), "{what}: a checkpoint's number came twice");
}

/// The first process's operations, and those of one that goes on from it.
fn operations(prepare: impl Fn() -> SimFs) -> u64 {
    let fs = prepare();
    live(&fs, &Told::default()).unwrap();
    fs.operations()
}

fn nothing() -> SimFs {
    SimFs::new()
}

fn something() -> SimFs {
    let fs = SimFs::new();
    live(&fs, &Told::default()).unwrap();
    // All that `live` left is durable but the removals.
    fs.power_cut(PowerCut::SyncedOnly)
}

fn told_before(fs: &SimFs) -> Told {
    let told = Told::default();
    let store = open(fs).unwrap();
    if let Ok(Some(latest)) = store.latest() {
        for number in [&told.tried, &told.stored, &told.mark_tried, &told.marked] {
            number.set(latest.checkpoint);
        }
    }
    told
}

#[test]
fn a_power_cut_at_any_operation_leaves_the_old_or_the_new_state() {
    for prepare in [nothing, something] {
        for k in 1..=operations(prepare) {
            let fs = prepare();
            let told = told_before(&fs);
            fs.freeze_at(fs.operations() + k);
            assert!(live(&fs, &told).is_err() || fs.operations() < k);
            check(&fs.power_cut(PowerCut::SyncedOnly), &told, &format!("power cut at {k}"));
            for seed in 0..12 {
                check(
                    &fs.power_cut(PowerCut::Seeded(seed)),
                    &told,
                    &format!("power cut at {k}, seed {seed}"),
                );
            }
            check(&fs.process_crash(), &told, &format!("crash at {k}"));
        }
    }
}

#[test]
fn a_fault_at_any_operation_leaves_the_old_or_the_new_state_and_the_process_may_go_on() {
    let faults = [
        Fault::Eio,
        Fault::NoSpace,
        Fault::Short { bytes: 10 },
        Fault::Torn,
        Fault::SyncLoss { forget: false },
        Fault::SyncLoss { forget: true },
    ];
    let kinds =
        [OpKind::Create, OpKind::Write, OpKind::Sync, OpKind::Rename, OpKind::SyncDir, OpKind::Remove];
    let mut struck = BTreeSet::new();
    for fault in faults {
        for kind in kinds {
            for nth in 1..=40 {
                let fs = something();
                let told = told_before(&fs);
                fs.inject(Rule::on(kind, fault).nth(nth));
                if live(&fs, &told).is_ok() {
                    break;
                }
                struck.insert(kind);
                let what = format!("{fault:?} at {kind:?} {nth}");
                check(&fs.power_cut(PowerCut::SyncedOnly), &told, &what);
                check(&fs.power_cut(PowerCut::Seeded(nth)), &told, &what);
                check(&fs.process_crash(), &told, &what);
                // The next one goes on, with the page cache as the fault left it.
                let fs = fs.process_crash();
                let after = told_before_failure(&told);
                live(&fs, &after).unwrap_or_else(|e| panic!("{what}: {e}"));
                check(&fs.power_cut(PowerCut::SyncedOnly), &after, &what);
            }
        }
    }
    assert_eq!(struck.len(), kinds.len(), "{struck:?}");
}

fn told_before_failure(told: &Told) -> Told {
    Told { attempts: Cell::new(told.attempts.get()), ..Told::default() }
}

#[test]
fn a_full_disk_fails_a_checkpoint_and_leaves_room_when_it_does() {
    let fs = SimFs::new();
    let mut store = begun(&fs);
    let first = record(&store, 1);
    complete(&mut store, &first).unwrap();
    let used = fs.used();
    fs.set_capacity(Some(used + 50));
    let error = store.store(&record(&store, 2)).unwrap_err();
    assert!(error.is_retryable() && error.to_string().contains("chk-2"), "{error}");
    assert_eq!(fs.used(), used, "the unfinished file is removed at once");
    assert_eq!(store.latest().unwrap().unwrap(), first);
    fs.set_capacity(None);
    let third = record(&store, 3);
    complete(&mut store, &third).unwrap();
    assert_eq!(store.latest().unwrap().unwrap(), third);
}

#[test]
fn numbers_are_not_used_again_after_checkpoints_that_never_completed() {
    let fs = SimFs::new();
    let mut store = begun(&fs);
    // Checkpoints 1 to 40 complete, 41 to 70 do not.
    for n in 1..=40 {
        let record = record(&store, n);
        complete(&mut store, &record).unwrap();
    }
    let mut store = open(&fs.power_cut(PowerCut::SyncedOnly)).unwrap();
    let latest = store.latest().unwrap().unwrap();
    store.begin_run(RunStart::Restored { record: &latest, random: 0 }).unwrap();
    store.next_attempt().unwrap();
    assert!(store.next_checkpoint().0 > 70, "{}", store.next_checkpoint());
    let before = store.next_checkpoint();
    store.next_attempt().unwrap();
    assert!(store.next_checkpoint().0 > before.0 + 30, "a restart within the process");
}
