//! Stops at random moments with a savepoint each, and other parallelism at each start.

use connector_api::Stored;
use connector_file::sink::WriterState;
use connector_runtime::{JobEnd, StartFrom, StartOptions};
use testkit::crash::CrashRecorder;
use testkit::random::SeededRandom;

use crate::support::campaign::{choose, must, seeds};
use crate::support::stored;
use crate::support::world::{Scale, Setup, Until, World, millis};

/// A savepoint leaves no part open, and all that was read is visible when the job has stopped, but for what is to be merged.
fn check_stop(world: &World) -> Result<(), String> {
    let record = stored::latest(&world.fs).ok_or("a stopped job has no savepoint")?;
    if !record.savepoint {
        return Err(format!("the newest is checkpoint {}, not the savepoint", record.checkpoint));
    }
    let open: Vec<_> =
        record.writers.iter().map(|bytes| WriterState::from_bytes(bytes).map(|s| s.staged)).collect();
    if !open.is_empty() {
        return Err(format!("the savepoint leaves parts open: {open:?}"));
    }
    let (closed, _) = stored::written(&world.fs, &record);
    let visible = world.visible();
    let waits = record.stages.values().any(|states| !states.is_empty()) || !record.committer.is_empty();
    if !visible.is_subset(&closed)
        || (!waits && visible != closed)
        || (world.setup.compaction.is_none() && visible != closed)
    {
        return Err(format!(
            "{} lines are visible, {} were read before the stop",
            visible.len(),
            closed.len()
        ));
    }
    Ok(())
}

fn scale(random: &SeededRandom) -> Scale {
    let one = || 1 + random.below(3) as u32;
    Scale(one(), one(), one())
}

#[test]
fn a_job_stopped_at_random_moments_and_rescaled_is_exactly_once() {
    let (mut stops, mut back) = (0, 0);
    for seed in seeds() {
        for setup in Setup::all() {
            for round in choose(&(0..400).collect::<Vec<u64>>(), 40) {
                let case = (&setup, round);
                let seed = seed + 1_000 * round;
                let random = SeededRandom::new(seed);
                let mut world = World::new(&setup, seed);
                let mut savepoints = Vec::new();
                for start in 0..50 {
                    let until = if start == 49 { Until::End } else { Until::Stop(millis(random.below(80))) };
                    let report =
                        must(case, seed, world.run(scale(&random), until).map_err(|e| e.to_string()));
                    must(case, seed, world.check());
                    match report.end {
                        JobEnd::Stopped { savepoint } => {
                            must((case, &savepoint), seed, check_stop(&world));
                            savepoints.push(savepoint);
                            stops += 1;
                        }
                        _ => break,
                    }
                }
                must(case, seed, world.finish(scale(&random)));
                // Savepoints are never removed, and each can be gone back to.
                assert!(savepoints.iter().all(|path| world.fs.content(path).is_ok()), "{savepoints:?}");
                let Some(path) = savepoints.get(random.below(savepoints.len().max(1) as u64) as usize) else {
                    continue;
                };
                world.accept_duplicates();
                let from = StartOptions { from: StartFrom::Path(path.clone()), accept_duplicates: true };
                let result = world.run_from(scale(&random), Until::End, from, &CrashRecorder::new());
                let result = result.map_err(|e| e.to_string()).and_then(|_| world.finish(scale(&random)));
                must((case, path), seed, result);
                back += 1;
            }
        }
    }
    println!("{stops} stops with a savepoint, {back} times gone back to one");
    assert!(stops > 100, "{stops}");
}
