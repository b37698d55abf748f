//! After a restore without new input, exactly what was written before the restored checkpoint is visible.

use connector_api::Error;
use testkit::crash::CrashRecorder;
use testkit::fs::{Fault, OpKind, Rule};

use crate::support::campaign::{choose, must, seeds};
use crate::support::input;
use crate::support::stored;
use crate::support::world::{Death, Setup, Until, World, scales};

/// What the last checkpoint says, against what a restore from it makes visible while no file of the input can be opened.
fn compare(world: &mut World) -> Result<bool, String> {
    let Some(record) = stored::latest(&world.fs) else { return Ok(false) };
    let (closed, open) = stored::written(&world.fs, &record);
    if closed.len() + open.len() == input::COUNT {
        // Nothing is left to read, so the job would end well, and close its parts.
        return Ok(false);
    }
    world.fs.inject(Rule::on(OpKind::Open, Fault::Eio).path_containing(input::IN));
    let scale = scales(false)[1];
    match world.run(scale, Until::End) {
        Err(Error::Io { path, .. }) if path.starts_with(input::IN) => {}
        other => return Err(format!("the input could not be read, and the job says {other:?}")),
    }
    world.fs.clear_faults();
    let visible = world.visible();
    if visible != closed {
        let missing: Vec<_> = closed.difference(&visible).collect();
        let early: Vec<_> = visible.difference(&closed).collect();
        return Err(format!(
            "after checkpoint {}: missing {missing:?}, too early {early:?}",
            record.checkpoint
        ));
    }
    Ok(true)
}

#[test]
fn a_restore_alone_makes_everything_up_to_its_checkpoint_visible() {
    let (mut compared, mut with_new) = (0, 0);
    for seed in seeds() {
        for (i, on_checkpoint) in [true, false].into_iter().enumerate() {
            let setup = Setup::new(on_checkpoint, false);
            let scales = scales((seed as usize + i).is_multiple_of(2));
            let recorder = CrashRecorder::new();
            let mut world = World::new(&setup, seed);
            must(
                &setup,
                seed,
                world.run_recorded(scales[0], Until::End, &recorder).map_err(|e| e.to_string()),
            );
            for point in choose(&recorder.every_hit(), 70) {
                for death in &Death::all(seed)[..2] {
                    let mut world = World::new(&setup, seed);
                    let armed = CrashRecorder::new();
                    armed.kill_at(point.0, point.1, &world.fs);
                    let _ = world.run_recorded(scales[0], Until::End, &armed);
                    let result = world.die(*death).and_then(|()| {
                        let before = world.visible();
                        let was_compared = compare(&mut world)?;
                        compared += u64::from(was_compared);
                        with_new += u64::from(was_compared && world.visible() != before);
                        world.finish(scales[2])
                    });
                    must((&setup, point, death), seed, result);
                }
            }
        }
    }
    println!("{compared} restores compared, {with_new} of them made lines visible");
    assert!(with_new > 10, "the restores had something to commit: {with_new} of {compared}");
}
