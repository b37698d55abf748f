//! The disk fails: once, for good, and by being full.

use std::collections::BTreeSet;
use std::io::ErrorKind;
use std::path::PathBuf;

use connector_api::Error;
use connector_runtime::{JobEnd, JobReport, StartOptions};
use testkit::crash::CrashRecorder;
use testkit::fs::{Fault, OpKind, Rule};

use crate::support::campaign::{choose, must, seeds};
use crate::support::watch::OUT;
use crate::support::world::{CKPT, Death, Setup, Until, World, millis, scales};

const FORGOTTEN: Fault = Fault::SyncLoss { forget: true };
const NOT_DURABLE: Fault = Fault::SyncLoss { forget: false };

/// Which operations fail how, and where.
const FAULTS: [(OpKind, &[Fault], &[&str]); 14] = [
    (OpKind::Open, &[Fault::Eio], &["/in", OUT, CKPT]),
    (OpKind::Create, &[Fault::Eio, Fault::NoSpace], &[OUT, CKPT]),
    (OpKind::Metadata, &[Fault::Eio], &["/in", OUT, CKPT]),
    (OpKind::List, &[Fault::Eio], &["/in", OUT, CKPT]),
    (OpKind::CreateDir, &[Fault::Eio, Fault::NoSpace], &[OUT, CKPT]),
    (OpKind::Rename, &[Fault::Eio, Fault::NoSpace], &[OUT, CKPT]),
    (OpKind::Remove, &[Fault::Eio], &[OUT, CKPT]),
    (OpKind::SyncDir, &[Fault::Eio], &[OUT, CKPT]),
    (OpKind::Lock, &[Fault::Eio], &[OUT, CKPT]),
    (OpKind::Read, &[Fault::Eio], &["/in", OUT, CKPT]),
    (OpKind::Write, &[Fault::Eio, Fault::NoSpace, Fault::Short { bytes: 5 }, Fault::Torn], &[OUT, CKPT]),
    (OpKind::Copy, &[Fault::Eio, Fault::NoSpace, Fault::Short { bytes: 5 }, Fault::Torn], &[OUT]),
    (OpKind::SetLen, &[Fault::Eio], &[OUT]),
    (OpKind::Sync, &[Fault::Eio, Fault::NoSpace, NOT_DURABLE, FORGOTTEN], &[OUT, CKPT]),
];

type Case = (OpKind, Fault, &'static str, u64);

fn cases(nths: &[u64]) -> Vec<Case> {
    let mut cases = Vec::new();
    for (kind, faults, places) in FAULTS {
        for fault in faults {
            for place in places {
                cases.extend(nths.iter().map(|nth| (kind, *fault, *place, *nth)));
            }
        }
    }
    cases
}

fn rule((kind, fault, place, nth): Case) -> Rule {
    Rule::on(kind, fault).path_where(move |path| path.starts_with(place)).nth(nth)
}

/// The error must name a file in the place that fails, and what was tried.
fn names(error: &Error, place: &str) -> Result<(), String> {
    match error {
        Error::Io { operation, path, .. } if path.starts_with(place) && !operation.is_empty() => Ok(()),
        other => Err(format!("{place} fails, and the error is {other:?}: {other}")),
    }
}

/// Runs to the end. A fault outside the restart strategy (at the start) must be named; the next start goes on.
fn run_through(world: &mut World, case: Case) -> Result<u64, String> {
    for start in 0..3 {
        match world.run(scales(false)[start % 3], Until::End) {
            Ok(report) => {
                world.check_end()?;
                return Ok(report.restarts + start as u64);
            }
            Err(error) => names(&error, case.2)?,
        }
        world.check()?;
    }
    Err("one fault failed three starts".into())
}

#[test]
fn a_single_fault_anywhere_is_survived_by_a_restart() {
    let (mut runs, mut struck) = (0, 0);
    for seed in seeds() {
        for (i, setup) in Setup::all().into_iter().enumerate() {
            let setup = Setup { restarts: 5, ..setup };
            let all = cases(&[1, 2, 3, 5, 8, 13, 21, 34, 55]);
            for case in choose(&all[i..], 90) {
                let mut world = World::new(&setup, seed);
                world.fs.inject(rule(case));
                struck += must((&setup, case), seed, run_through(&mut world, case)).min(1);
                runs += 1;
            }
        }
    }
    println!("{runs} single faults, {struck} led to a restart");
    assert!(struck * 4 > runs, "the faults strike: {struck} of {runs}");
}

/// A fault leaves things half done, and the process that could have mended them dies, or the power is cut: what a failed
/// sync left undurable is gone then, and nothing may have counted on it.
#[test]
fn a_fault_and_then_a_death_lose_and_double_nothing() {
    let (mut runs, mut in_time) = (0, 0);
    for seed in seeds() {
        for (i, setup) in Setup::all().into_iter().enumerate() {
            let setup = Setup { restarts: 5, ..setup };
            let all = cases(&[2, 3, 5, 7, 11, 16, 23, 31]);
            for (n, case @ (kind, fault, place, nth)) in choose(&all[i..], 110).into_iter().enumerate() {
                let mut world = World::new(&setup, seed);
                world.fs.inject(rule(case));
                let after = 40 + (seed * 7_919 + 37 * n as u64) % 400;
                world.fs.freeze_at(after);
                in_time += u64::from(world.run(scales(false)[n % 3], Until::End).is_err());
                let death = Death::all(seed ^ nth)[n % 3];
                let result = world.die(death).and_then(|()| world.finish(scales(true)[1]));
                must((&setup, kind, fault, place, nth, after, death), seed, result);
                runs += 1;
            }
        }
    }
    println!("{runs} faults with a death, {in_time} of them before the end");
}

/// A fault that stays ends the job after its restarts, by name; only a commit is tried for as long as the job runs.
#[test]
fn a_fault_that_stays_is_named_and_loses_nothing() {
    let (mut runs, mut named) = (0, 0);
    for seed in seeds() {
        for (i, setup) in Setup::all().into_iter().enumerate() {
            let setup = Setup { restarts: 2, ..setup };
            let all = cases(&[1, 4, 11, 30]);
            for case @ (kind, fault, place, nth) in choose(&all[i % 4..], 45) {
                let mut world = World::new(&setup, seed);
                world.fs.inject(rule(case).from_nth(nth));
                let result = match world.run(scales(false)[0], Until::Abort(millis(30_000))) {
                    Ok(_) => world.check_end(),
                    // It goes on trying to commit.
                    Err(Error::Cancelled(what)) if what == "the job" => world.check(),
                    Err(error) => {
                        named += 1;
                        names(&error, place).and_then(|()| world.check())
                    }
                };
                world.fs.clear_faults();
                let result = result.and_then(|()| world.finish(scales(true)[1]));
                must((&setup, kind, fault, place, nth), seed, result);
                runs += 1;
            }
        }
    }
    println!("{runs} lasting faults, {named} named by the end of the job");
    assert!(named * 3 > runs, "the faults strike: {named} of {runs}");
}

/// A failing directory holds up what becomes visible, not the stop.
#[test]
fn a_job_whose_commits_fail_can_be_stopped_and_goes_on_later() {
    for setup in Setup::all() {
        let mut world = World::new(&setup, 1);
        world.fs.inject(Rule::on(OpKind::Rename, Fault::Eio).path_containing(OUT));
        let report =
            must(&setup, 1, world.run(scales(false)[0], Until::Stop(millis(120))).map_err(|e| e.to_string()));
        assert!(matches!(report.end, JobEnd::Stopped { .. }), "{setup:?}: {report:?}");
        assert!(report.pending > 0 && world.visible().is_empty(), "{setup:?}: {report:?}");
        world.fs.clear_faults();
        must(&setup, 1, world.finish(scales(true)[1]));
    }
}

/// A world whose disk has `room` bytes left from the `k`th hit of a point on; says whether it came to that.
fn filled(
    world: &mut World,
    point: &str,
    k: u64,
    room: u64,
    freed: bool,
) -> (bool, Result<JobReport, Error>) {
    let recorder = CrashRecorder::new();
    let (fs, full) = (world.fs.clone(), world.fs.clone());
    recorder.arm(point, k, move || full.set_capacity(Some(full.used() + room)));
    let result = world.run_with(scales(false)[0], StartOptions::default(), &recorder, async |env, _| {
        if freed {
            env.clock.sleep(millis(2_000)).await;
            fs.set_capacity(None);
        }
    });
    world.fs.set_capacity(None);
    (recorder.has_fired(), result)
}

#[test]
fn a_full_disk_is_named_and_the_run_goes_on_once_there_is_space() {
    let points = ["file-writer/before-write", "file-compactor/before-merge", "checkpoint/before-store"];
    let (mut full, mut went_on, mut places) = (0, 0, BTreeSet::<PathBuf>::new());
    for seed in seeds() {
        for setup in Setup::all() {
            for point in points {
                for (k, room) in (1..9).flat_map(|k| [0, 9, 40].map(|room| (k, room))) {
                    let case = (&setup, point, k, room);
                    // Without restarts the job ends with the error, which names the file; a later start goes on.
                    let mut world = World::new(&setup, seed);
                    let (fired, result) = filled(&mut world, point, k, room, false);
                    if !fired {
                        continue;
                    }
                    if let Err(error) = result {
                        full += 1;
                        let Error::Io { path, source, .. } = &error else { panic!("{case:?}: {error:?}") };
                        assert_eq!(source.kind(), ErrorKind::StorageFull, "{case:?}: {error}");
                        assert!(error.to_string().contains(path.to_str().unwrap()), "{error}");
                        places.insert(path.clone());
                    }
                    must(case, seed, world.check().and_then(|()| world.finish(scales(false)[1])));

                    // With restarts the same run goes on.
                    let mut world = World::new(&Setup { restarts: 1_000, ..setup.clone() }, seed);
                    let (_, result) = filled(&mut world, point, k, room, true);
                    went_on += must(case, seed, result.map_err(|e| e.to_string())).restarts.min(1);
                    must(case, seed, world.finish(scales(true)[1]));
                }
            }
        }
    }
    let count = |of: fn(&str) -> bool| places.iter().filter(|path| of(&path.display().to_string())).count();
    let counts = [
        count(|path| path.ends_with(".inprogress")),
        count(|path| path.ends_with(".compacting")),
        count(|path| path.starts_with(CKPT)),
    ];
    println!(
        "{full} full disks, {went_on} runs went on; parts, merges and checkpoint files named: {counts:?}"
    );
    assert!(
        counts.iter().all(|count| *count > 0),
        "full while writing, merging and checkpointing: {places:?}"
    );
    assert!(went_on > 20, "{went_on}");
}
