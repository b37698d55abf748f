//! The process dies at every crash point that a job comes by; and again while it recovers.

use std::collections::BTreeSet;

use testkit::crash::CrashRecorder;

use crate::support::campaign::{choose, must, seeds};
use crate::support::world::{Death, Scale, Setup, Until, World, millis, scales};

const READER: &[&str] = connector_base::reader::CRASH_POINTS;
/// Those of the runtime.
const CHECKPOINTS: &[&str] = &[
    "checkpoint/before-store",
    "checkpoint/after-store",
    "checkpoint/after-high-water",
    "checkpoint/after-retire",
    "checkpoint/before-notice",
];

/// What is hit by a job that nothing disturbs.
fn hits(setup: &Setup, seed: u64, scale: Scale) -> Vec<(&'static str, u64)> {
    let recorder = CrashRecorder::new();
    let mut world = World::new(setup, seed);
    let report = must(
        "undisturbed",
        seed,
        world.run_recorded(scale, Until::End, &recorder).map_err(|e| e.to_string()),
    );
    assert!(report.checkpoints > 4, "several checkpoints: {report:?}");
    must("undisturbed", seed, world.check_end());
    recorder.every_hit()
}

/// A world whose job has died at the `k`th hit of a point.
fn dead_at(
    setup: &Setup,
    seed: u64,
    scale: Scale,
    point: (&'static str, u64),
    death: Death,
) -> Result<World, String> {
    let armed = CrashRecorder::new();
    let mut world = World::new(setup, seed);
    armed.kill_at(point.0, point.1, &world.fs);
    // It may not have noticed its death.
    let _ = world.run_recorded(scale, Until::End, &armed);
    if !armed.has_fired() {
        return Err("the crash point was not hit this time: the simulation is not deterministic".into());
    }
    world.die(death)?;
    Ok(world)
}

/// Recovers with other parallelism, is disturbed once more in an orderly way, and ends with a third parallelism.
fn recover(world: &mut World, scales: [Scale; 3], way: u64) -> Result<(), String> {
    let until = match way % 3 {
        0 => Until::End,
        1 => Until::Stop(millis(way % 60)),
        _ => Until::Abort(millis(way % 60)),
    };
    match world.run(scales[1], until) {
        Err(connector_api::Error::Cancelled(_)) if matches!(until, Until::Abort(_)) => {}
        Err(e) => return Err(format!("the restart failed: {e}")),
        Ok(_) => {}
    }
    world.check()?;
    world.finish(scales[2])
}

#[test]
fn a_job_that_dies_at_any_crash_point_goes_on_exactly_once() {
    let (mut points, mut runs) = (BTreeSet::new(), 0);
    for seed in seeds() {
        for (i, setup) in Setup::all().iter().enumerate() {
            let scales = scales((seed as usize + i).is_multiple_of(2));
            let hits = hits(setup, seed, scales[0]);
            for (n, point) in hits.into_iter().enumerate() {
                for death in Death::all(seed ^ n as u64) {
                    let result = dead_at(setup, seed, scales[0], point, death)
                        .and_then(|mut world| recover(&mut world, scales, n as u64));
                    must((setup, scales, point, death, n), seed, result);
                    runs += 1;
                }
                points.insert(point.0);
            }
        }
    }
    println!("{} crash points, {runs} deaths", points.len());
    println!("{points:?}");
}

#[test]
fn a_job_that_dies_again_while_it_recovers_goes_on_exactly_once() {
    let (mut pairs, mut runs) = (BTreeSet::new(), 0);
    for seed in seeds() {
        for (i, setup) in Setup::all().iter().enumerate() {
            let scales = scales((seed as usize + i).is_multiple_of(2));
            let first: Vec<_> =
                hits(setup, seed, scales[0]).into_iter().filter(|(_, k)| *k == 1 || *k == 4).collect();
            let mut cases = Vec::new();
            for point in first {
                for death in &Death::all(seed)[..2] {
                    let mut world =
                        must((setup, point), seed, dead_at(setup, seed, scales[0], point, *death));
                    let recorder = CrashRecorder::new();
                    let result =
                        world.run_recorded(scales[1], Until::End, &recorder).map_err(|e| e.to_string());
                    must((setup, point, death), seed, result);
                    let again = recorder.every_hit().into_iter().filter(|(_, k)| *k == 1);
                    cases.extend(again.map(|again| (point, *death, again)));
                }
            }
            for (n, (point, death, again)) in choose(&cases, 300).into_iter().enumerate() {
                let result = dead_at(setup, seed, scales[0], point, death).and_then(|mut world| {
                    let armed = CrashRecorder::new();
                    armed.kill_at(again.0, again.1, &world.fs);
                    let _ = world.run_recorded(scales[1], Until::End, &armed);
                    if !armed.has_fired() {
                        return Err("the second crash point was not hit this time".into());
                    }
                    world.die(Death::all(seed ^ n as u64)[n % 3])?;
                    world.finish(scales[2])
                });
                must((setup, scales, point, death, again, n), seed, result);
                pairs.insert((point.0, again.0));
                runs += 1;
            }
        }
    }
    println!("{} pairs of crash points, {runs} double deaths", pairs.len());
    let hit: BTreeSet<&str> = pairs.iter().flat_map(|(first, second)| [*first, *second]).collect();
    let known =
        [connector_file::sink::CRASH_POINTS, connector_file::source::CRASH_POINTS, READER, CHECKPOINTS];
    // These jobs have no buckets, write to no object store, and leave what they read where it is.
    let mut known = known.concat();
    known.retain(|point| {
        let elsewhere = ["file-bucket", "file-upload", "file-disposal"];
        let of_objects = ["-complete", "-copy", "-abort"];
        !elsewhere.iter().any(|begin| point.starts_with(begin))
            && !of_objects.iter().any(|end| point.ends_with(end))
    });
    let never: Vec<_> = known.iter().filter(|point| !hit.contains(*point)).collect();
    assert!(never.is_empty(), "nothing died at {never:?}");
    assert_eq!(hit.len(), known.len(), "a crash point is not in its list: {hit:?}");
}
