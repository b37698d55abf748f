//! The checks notice what they are there for: a disk or a transform that breaks one rule is rejected.

use testkit::fs::PowerCut;

use crate::support::twin::Twin;
use crate::support::world::{Death, Setup, Until, World, scales};

/// A small campaign with one twin: undisturbed, then deaths at writes. The first thing that was wrong.
fn campaign(twin: Twin, setups: &[Setup], stride: usize) -> Result<u64, String> {
    let mut runs = 0;
    for setup in setups {
        let new = || World::with_twin(setup, 1, twin);
        let mut world = new();
        world.finish(scales(false)[0])?;
        for k in (1..=world.fs.operations()).step_by(stride) {
            for death in
                [Death::Crash, Death::PowerCut(PowerCut::SyncedOnly), Death::PowerCut(PowerCut::Seeded(k))]
            {
                let mut world = new();
                world.fs.freeze_at(k);
                let _ = world.run(scales(false)[0], Until::End);
                world.die(death)?;
                world.finish(scales(false)[1])?;
                runs += 1;
            }
        }
    }
    Ok(runs)
}

#[test]
fn every_twin_is_rejected_and_the_sound_one_is_not() {
    let setups = Setup::all();
    for twin in Twin::BROKEN {
        match campaign(twin, &setups, 5) {
            Err(why) => println!("{twin:?}: {why}"),
            Ok(runs) => panic!("{twin:?} was accepted {runs} times"),
        }
    }
    let runs = campaign(Twin::Sound, &setups, 29).unwrap();
    println!("sound: {runs} runs");
}
