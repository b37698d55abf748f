//! The whole: jobs of all shapes that die at random, under all judges.

use std::time::Duration;

use super::job::HostContext;
use super::judge;
use super::play::{Play, Ran, Terms, nth};
use super::script::{Dealing, Script, Shape};
use super::world::Then;
use crate::broken::Verdict;
use crate::capability::Capability;
use crate::check::Check;
use crate::fs::PowerCut;
use crate::lab::Lab;
use crate::random::SeededRandom;
use crate::surroundings::Death;

pub(super) fn checks<C: HostContext>() -> Vec<Check<C>> {
    vec![Check {
        name: "host::whole::every_rule_holds_whatever_goes_wrong",
        rules: &["H-2", "H-4", "H-11", "H-20", "H-21", "H-22", "H-24", "H-40", "H-44", "H-48"],
        source: "all of the above, in schedules that nobody thought of",
        failure: "rows are lost or doubled after failures, power cuts and rescales",
        needs: &[],
        run: adverse,
    }]
}

fn script(random: &SeededRandom) -> Script {
    let dealing = match random.below(3) {
        0 => Dealing::OnRequest,
        1 => Dealing::AtOnce,
        _ => Dealing::Every(Duration::from_millis(1 + random.below(9))),
    };
    Script {
        sends: random.chance(50),
        answers_in_poll: random.chance(50),
        batch: 1 + random.below(9),
        retries: (random.below(6) as u32, Duration::from_millis(random.below(60))),
        slow_flushes: (random.below(4) as u32, Duration::from_millis(random.below(20))),
        shape: if random.chance(50) { Shape::Staged } else { Shape::Plain },
        ..Script::of(random.below(9) as u32, random.below(80))
    }
    .dealing(dealing)
}

fn terms(random: &SeededRandom, restarts: bool) -> Terms {
    Terms {
        readers: 1 + random.below(3) as u32,
        writers: 1 + random.below(3) as u32,
        committers: 1 + random.below(2) as u32,
        restarts: if restarts { random.below(4) as u32 } else { 0 },
        interval: Duration::from_millis(10 + random.below(30)),
        ..Terms::default()
    }
}

fn adverse<C: HostContext>(lab: &Lab<C>) -> Verdict {
    lab.each_seed(async |subject| {
        let random = SeededRandom::new(subject.seed.wrapping_mul(977));
        let restarts = subject.context.capabilities().has(Capability::Restarts);
        let mut play = Play::new(subject, script(&random))?;
        for _ in 0..1 + random.below(4) {
            let process = play.world.process();
            let then = if restarts && random.chance(30) { Then::Fail } else { Then::Die };
            let k = 1 + random.below(400) as u32;
            play.world.trap(nth(k, move |entry| entry.process == process), then);
            match play.run(&terms(&random, restarts)).await {
                Ran::Hung => return Err(play.tell("H-1", "the job hangs")),
                Ran::Died | Ran::Ended(_) => {}
            }
            let how = match random.below(3) {
                0 => Death::Crash,
                1 => Death::PowerCut(PowerCut::SyncedOnly),
                _ => Death::PowerCut(PowerCut::Seeded(random.below(1 << 32))),
            };
            play.next_process(how)?;
        }
        play.finish("H-28", &terms(&random, restarts)).await?;
        let journal = play.world.journal();
        let judges: [fn(&[super::journal::Entry]) -> Verdict; 10] = [
            judge::actions_arrive_in_order,
            judge::barriers_divide_assignments,
            judge::barriers_divide_rows,
            judge::writers_are_called_in_order,
            judge::completion_follows_all_snapshots,
            judge::commits_are_oldest_first,
            judge::stages_end_behind_their_last_item,
            judge::attempts_are_fresh,
            judge::restores_are_in_order,
            judge::writer_states_are_dealt_once,
        ];
        judges.iter().try_for_each(|judge| judge(&journal))?;
        play.exactly_once("H-28")
    })
}
