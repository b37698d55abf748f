//! What a start refuses, and how compaction is switched off.

use std::path::{Path, PathBuf};

use connector_api::Error;
use connector_api::env::FileSystem;
use connector_file::sink::Compaction;
use connector_runtime::{JobEnd, StartFrom, StartOptions};
use testkit::crash::CrashRecorder;

use crate::support::campaign::{must, seeds};
use crate::support::stored;
use crate::support::world::{CKPT, Setup, Until, World, millis, scales};

/// Leaves compaction out, or drains it.
fn with(world: &mut World, compaction: Option<Compaction>) {
    world.setup.compaction = compaction;
}

#[test]
fn compaction_is_left_out_only_after_it_is_drained() {
    let (mut refused, mut drained) = (0, 0);
    for seed in seeds() {
        for on_checkpoint in [true, false] {
            let setup = Setup::new(on_checkpoint, true);
            for (n, after) in (20..200).step_by(9).enumerate() {
                let until = [Until::Stop(millis(after)), Until::Abort(millis(after))][n % 2];
                let case = (&setup, until);
                let mut world = World::new(&setup, seed);
                match world.run(scales(false)[0], until) {
                    Ok(_) | Err(Error::Cancelled(_)) => {}
                    Err(e) => must(case, seed, Err(e.to_string())),
                }
                let Some(record) = stored::latest(&world.fs) else { continue };
                let has_state = record.stages.values().any(|states| !states.is_empty());
                with(&mut world, None);
                match world.run(scales(true)[1], Until::Stop(millis(10))) {
                    Err(Error::State { kind, reason }) if has_state => {
                        refused += 1;
                        assert!(kind.contains("file-compact"), "{kind}");
                        assert!(reason.contains("sink.compaction = \"drain\""), "{reason}");
                    }
                    Ok(_) if !has_state => {}
                    other => must(case, seed, Err(format!("state: {has_state}, {other:?}"))),
                }
                must(case, seed, world.check());
                with(&mut world, Some(Compaction::Drain));
                let stopped = world.run(scales(true)[1], Until::Stop(millis(after % 50)));
                must(case, seed, stopped.map_err(|e| e.to_string()));
                let record = stored::latest(&world.fs).unwrap();
                assert!(
                    record.stages.values().all(Vec::is_empty),
                    "{case:?}: a stop leaves something to drain"
                );
                drained += u64::from(has_state);
                // Left out, or once more on: both go.
                with(&mut world, if n % 3 == 0 { setup.compaction.clone() } else { None });
                must(case, seed, world.finish(scales(false)[2]));
            }
        }
    }
    println!("{refused} refused, {drained} drained");
    assert!(refused > 5 && drained > 5, "{refused}, {drained}");
}

#[test]
fn a_drained_job_that_ends_is_finished() {
    for after in (20..160).step_by(20) {
        let mut world = World::new(&Setup::new(true, true), 1);
        let _ = world.run(scales(false)[0], Until::Abort(millis(after)));
        with(&mut world, Some(Compaction::Drain));
        must(after, 1, world.finish(scales(true)[1]));
        with(&mut world, None);
        must(after, 1, world.finish(scales(true)[2]));
    }
}

/// A job stopped midway, and its newest savepoint.
fn stopped(seed: u64) -> (World, PathBuf) {
    let mut world = World::new(&Setup::new(true, true), seed);
    match world.run(scales(false)[0], Until::Stop(millis(80))).unwrap().end {
        JobEnd::Stopped { savepoint } => (world, savepoint),
        end => panic!("{end:?}"),
    }
}

/// The start is refused with this text in the message, and changes nothing that is visible.
fn refused(world: &mut World, options: StartOptions, parts: &[&str]) {
    let before = world.visible();
    let error = world.run_from(scales(true)[1], Until::End, options, &CrashRecorder::new()).unwrap_err();
    let message = error.to_string();
    assert!(parts.iter().all(|part| message.contains(part)), "{parts:?} in: {message}");
    assert_eq!(world.visible(), before);
}

#[test]
fn a_damaged_checkpoint_is_refused_by_name_and_never_skipped() {
    let damages: [fn(&mut Vec<u8>); 4] = [
        |bytes| *bytes.last_mut().unwrap() ^= 1,
        |bytes| bytes.truncate(bytes.len() / 2),
        Vec::clear,
        |bytes| bytes.push(0),
    ];
    for damage in damages {
        for name in ["", "run", "high-water"] {
            let (mut world, savepoint) = stopped(1);
            let path = if name.is_empty() { savepoint } else { Path::new(CKPT).join(name) };
            let sound = world.fs.content(&path).unwrap();
            let mut bytes = sound.clone();
            damage(&mut bytes);
            world.fs.put(&path, &bytes).unwrap();
            refused(&mut world, StartOptions::default(), &[path.to_str().unwrap()]);
            // Mended, it goes on.
            world.fs.put(&path, &sound).unwrap();
            must((name, path), 1, world.finish(scales(false)[2]));
        }
    }
}

#[test]
fn a_foreign_checkpoint_is_refused() {
    let (mut world, _) = stopped(1);
    let (other, savepoint) = stopped(2);
    world.fs.put("/elsewhere/sav-9.ckpt", &other.fs.content(&savepoint).unwrap()).unwrap();
    let from = StartFrom::Path(PathBuf::from("/elsewhere/sav-9.ckpt"));
    let options = StartOptions { from, accept_duplicates: true };
    refused(&mut world, options, &["/elsewhere/sav-9.ckpt", "is foreign"]);
    must("foreign", 1, world.finish(scales(false)[2]));
}

#[test]
fn a_missing_checkpoint_is_named() {
    let (mut world, savepoint) = stopped(1);
    let path = savepoint.with_file_name("sav-99.ckpt");
    let options = StartOptions { from: StartFrom::Path(path.clone()), accept_duplicates: false };
    refused(&mut world, options, &[path.to_str().unwrap()]);
    must("missing", 1, world.finish(scales(false)[2]));
}

#[test]
fn a_locked_directory_is_refused_with_the_holder() {
    let (mut world, _) = stopped(1);
    let lock = world.fs.lock(&Path::new(CKPT).join("lock")).unwrap();
    lock.set_content(b"4711\n").unwrap();
    refused(&mut world, StartOptions::default(), &[CKPT, "process 4711"]);
    drop(lock);
    must("locked", 1, world.finish(scales(false)[2]));
}
