//! The power is cut at every operation that changes the disk.

use testkit::fs::PowerCut;

use crate::support::campaign::{must, seeds};
use crate::support::world::{Death, Setup, Until, World, scales};

#[test]
fn a_power_cut_at_any_write_loses_and_doubles_nothing() {
    let (mut runs, mut writes) = (0, 0);
    for seed in seeds() {
        for (i, setup) in Setup::all().iter().enumerate() {
            let scales = scales(!(seed as usize + i).is_multiple_of(2));
            let mut world = World::new(setup, seed);
            must(setup, seed, world.run(scales[0], Until::End).map_err(|e| e.to_string()));
            let operations = world.fs.operations();
            writes += operations;
            for k in 1..=operations {
                for how in [PowerCut::SyncedOnly, PowerCut::Seeded(seed ^ k), PowerCut::Seeded(!(seed ^ k))] {
                    let mut world = World::new(setup, seed);
                    world.fs.freeze_at(k);
                    let _ = world.run(scales[0], Until::End);
                    let result = world.die(Death::PowerCut(how)).and_then(|()| world.finish(scales[1]));
                    must((setup, scales, k, how), seed, result);
                    runs += 1;
                }
            }
        }
    }
    println!("{writes} writes, {runs} power cuts");
}

/// The same while it recovers: what restores, sweeps and cuts may be cut short, too.
#[test]
fn a_power_cut_at_any_write_of_a_recovery_loses_and_doubles_nothing() {
    let mut runs = 0;
    for seed in seeds() {
        for (i, setup) in Setup::all().iter().enumerate() {
            let scales = scales((seed as usize + i).is_multiple_of(2));
            let mut world = World::new(setup, seed);
            must(setup, seed, world.run(scales[0], Until::End).map_err(|e| e.to_string()));
            let middle = world.fs.operations() / 2;
            let dead = || {
                let mut world = World::new(setup, seed);
                world.fs.freeze_at(middle);
                let _ = world.run(scales[0], Until::End);
                world.die(Death::Crash).map(|()| world)
            };
            let mut world = must(setup, seed, dead());
            must(setup, seed, world.run(scales[1], Until::End).map_err(|e| e.to_string()));
            for k in 1..=world.fs.operations() {
                for how in [PowerCut::SyncedOnly, PowerCut::Seeded(seed ^ k)] {
                    let result = dead().and_then(|mut world| {
                        world.fs.freeze_at(k);
                        let _ = world.run(scales[1], Until::End);
                        world.die(Death::PowerCut(how))?;
                        world.finish(scales[2])
                    });
                    must((setup, scales, k, how), seed, result);
                    runs += 1;
                }
            }
        }
    }
    println!("{runs} power cuts while recovering");
}
