//! Going back to an older checkpoint: refused by default; with duplicates accepted nothing is missing and nothing is left.

use connector_api::Error;
use connector_runtime::{JobEnd, StartFrom, StartOptions};
use testkit::crash::CrashRecorder;

use crate::support::campaign::{choose, must, seeds};
use crate::support::stored;
use crate::support::world::{Death, Scale, Setup, Until, World, millis, scales};

fn from(path: &std::path::Path, accept_duplicates: bool) -> StartOptions {
    StartOptions { from: StartFrom::Path(path.to_path_buf()), accept_duplicates }
}

/// Refused, with the way out in the message, and without effect.
fn must_refuse(world: &mut World, scale: Scale, path: &std::path::Path) -> Result<(), String> {
    let before = world.fs.files();
    match world.run_from(scale, Until::End, from(path, false), &CrashRecorder::new()) {
        Err(Error::Config { option, reason }) if option == "from" => {
            if !reason.contains("--accept-duplicates") || !reason.contains(path.to_str().unwrap_or_default())
            {
                return Err(format!("the refusal does not say enough: {reason}"));
            }
        }
        other => return Err(format!("going back was not refused: {other:?}")),
    }
    if world.fs.files() != before {
        return Err("a refused start changed files".into());
    }
    world.check()
}

/// A job that ran for a while, was stopped with a savepoint in between or not, and has gone on since.
fn advanced(
    setup: &Setup,
    seed: u64,
    scales: [Scale; 3],
    first: u64,
    then: Option<u64>,
) -> Result<World, String> {
    let setup = Setup { retain: 4, ..setup.clone() };
    let mut world = World::new(&setup, seed);
    let ended = |result: Result<_, Error>| match result {
        Ok(_) | Err(Error::Cancelled(_)) => Ok(()),
        Err(e) => Err(e.to_string()),
    };
    ended(world.run(scales[0], Until::Stop(millis(first))))?;
    let until = then.map_or(Until::End, |then| Until::Abort(millis(then)));
    ended(world.run(scales[1], until))?;
    world.check()?;
    Ok(world)
}

#[test]
fn going_back_is_refused_by_default_and_loses_nothing_when_accepted() {
    let (mut restored, mut savepoints, mut doubled, mut died) = (0, 0, 0, 0);
    for seed in seeds() {
        for (i, setup) in Setup::all().iter().enumerate() {
            let scales = scales((seed as usize + i).is_multiple_of(2));
            for (n, then) in [Some(30), Some(55), Some(90), None].into_iter().enumerate() {
                let first = 25 + 20 * n as u64;
                let make = || must((setup, first, then), seed, advanced(setup, seed, scales, first, then));
                let mut world = make();
                let files = stored::list(&world.fs);
                let latest = stored::latest(&world.fs).map_or(0, |record| record.checkpoint);
                for file in files.iter().filter(|file| file.checkpoint < latest) {
                    must((setup, first, then, file), seed, must_refuse(&mut world, scales[2], &file.path));
                    for dies_after in [None, Some(3), Some(20), Some(60)] {
                        let mut world = make();
                        world.accept_duplicates();
                        let rows = world.rows();
                        if let Some(operations) = dies_after {
                            // Going back stays accepted for the restarts that follow.
                            world.fs.freeze_at(world.fs.operations() + operations);
                        }
                        let options = from(&file.path, true);
                        let result = world.run_from(scales[2], Until::End, options, &CrashRecorder::new());
                        world.fs.freeze_at(u64::MAX);
                        let result = match result {
                            Err(_) if world.fs.is_frozen() => {
                                died += 1;
                                world
                                    .die(Death::all(seed)[(operations_of(dies_after) % 3) as usize])
                                    .and_then(|()| {
                                        // It may have died before anything was decided.
                                        let options = from(&file.path, true);
                                        let goes_on =
                                            stored::latest(&world.fs).is_some_and(|r| r.checkpoint != latest);
                                        let options = if goes_on { StartOptions::default() } else { options };
                                        let again = world.run_from(
                                            scales[1],
                                            Until::End,
                                            options,
                                            &CrashRecorder::new(),
                                        );
                                        again.map(drop).map_err(|e| e.to_string())
                                    })
                            }
                            Err(e) => Err(e.to_string()),
                            Ok(_) => Ok(()),
                        };
                        let result = result.and_then(|()| world.finish(scales[0]));
                        must((setup, first, then, file, dies_after), seed, result);
                        restored += 1;
                        savepoints += u64::from(file.savepoint);
                        doubled += u64::from(world.rows() > rows.max(100));
                    }
                }
            }
        }
    }
    println!(
        "{restored} times gone back ({savepoints} to a savepoint, {died} died meanwhile), {doubled} with duplicates"
    );
    assert!(savepoints > 0 && doubled > 0 && died > 0);
}

fn operations_of(dies_after: Option<u64>) -> u64 {
    dies_after.unwrap_or_default()
}

/// Again and again, at random depth, with deaths: nothing is missing, nothing is left.
#[test]
fn going_back_several_times_loses_nothing() {
    let mut back = 0;
    for seed in seeds() {
        for (i, setup) in Setup::all().iter().enumerate() {
            let scales = scales((seed as usize + i).is_multiple_of(2));
            for round in choose(&(0..200).collect::<Vec<u64>>(), 25) {
                let mut world = World::new(&Setup { retain: 3, ..setup.clone() }, seed + 1_000 * round);
                world.accept_duplicates();
                let mut options = StartOptions::default();
                for step in 0..5 {
                    let after = (round * 31 + step * 17) % 90;
                    let until = if (round + step) % 2 == 0 {
                        Until::Abort(millis(after))
                    } else {
                        Until::Stop(millis(after))
                    };
                    let scale = scales[(step % 3) as usize];
                    let case = (setup, round, step, &options);
                    match world.run_from(scale, until, options.clone(), &CrashRecorder::new()) {
                        Ok(_) | Err(Error::Cancelled(_)) => {}
                        Err(e) => must(case, seed, Err(e.to_string())),
                    }
                    must(case, seed, world.check());
                    let files = stored::list(&world.fs);
                    options = StartOptions::default();
                    if let Some(file) = files.get((round + step) as usize % files.len().max(1)) {
                        options = from(&file.path, true);
                        back += 1;
                    }
                }
                let result = world.run_from(scales[0], Until::End, options.clone(), &CrashRecorder::new());
                let result = result.map_err(|e| e.to_string()).and_then(|report| match report.end {
                    JobEnd::Finished | JobEnd::AlreadyFinished => world.finish(scales[1]),
                    end => Err(format!("{end:?}")),
                });
                must((setup, round, options), seed, result);
            }
        }
    }
    println!("{back} times gone back");
}
