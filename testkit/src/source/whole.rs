//! Checks of enumerator and readers together, under the deterministic host.

use std::time::Duration;

use super::support::{Event as World, ROWS, Scene, run_scene, run_whole};
use crate::broken::{Broken, Verdict};
use crate::capability::Capability;
use crate::check::Check;
use crate::context::SourceContext;
use crate::history;
use crate::lab::Lab;
use crate::lockstep::{Adversity, Options, Scale, with_log};
use crate::surroundings::Death;

const LOST: &str = "rows are lost or doubled";

/// A check of one kind of adversity by itself.
macro_rules! adversity {
    ($name:literal, $rules:expr, $source:literal, $with:expr) => {
        Check {
            name: concat!("source::whole::", $name),
            rules: $rules,
            source: $source,
            failure: LOST,
            needs: &[],
            run: |lab| under(lab, $with),
        }
    };
}

pub(super) fn checks<C: SourceContext>() -> Vec<Check<C>> {
    let none = [
        Check {
            name: "source::whole::rows_arrive_exactly_once_when_nothing_goes_wrong",
            rules: &["R-1", "R-5", "R-6", "E-7"],
            source: "FLIP-27; flink-connector-test-utils testMultipleSplits",
            failure: "rows are lost or doubled in a run in which nothing goes wrong, or it never ends",
            needs: &[],
            run: calm,
        },
        Check {
            name: "source::whole::rows_arrive_exactly_once_whatever_goes_wrong",
            rules: &["E-2", "E-4", "E-8", "R-2", "R-3", "R-4", "R-10"],
            source: "FLIP-27; FLINK-38453, FLINK-20290, FLINK-17268",
            failure: "rows are lost or doubled after a failure, a restart or a rescale",
            needs: &[],
            run: |lab| each(lab, Options::adverse),
        },
    ];
    let alone = [
        adversity!(
            "a_failure_in_the_middle_of_a_batch_loses_nothing",
            &["R-2"],
            "Flink emits a batch row by row, with checkpoints between the rows",
            Adversity { parts: 90, failures: 3, ..Adversity::NONE }
        ),
        adversity!(
            "lost_notices_lose_nothing",
            &["R-10"],
            "Flink's notifyCheckpointComplete is best effort",
            Adversity { lost_notices: 60, failures: 2, ..Adversity::NONE }
        ),
        adversity!(
            "aborted_checkpoints_lose_nothing",
            &["R-10", "R-4"],
            "FLIP-27",
            Adversity { aborts: 50, ..Adversity::NONE }
        ),
        adversity!(
            "an_enumerator_that_outlives_its_readers_loses_nothing",
            &["E-4", "E-6"],
            "FLINK-20290, FLINK-21817",
            Adversity { failures: 4, ..Adversity::NONE }
        ),
        adversity!(
            "a_process_that_dies_loses_nothing",
            &["E-2", "R-3"],
            "FLIP-27",
            Adversity { deaths: 4, ..Adversity::NONE }
        ),
        adversity!(
            "a_savepoint_and_another_parallelism_lose_nothing",
            &["E-8", "R-3"],
            "flink-connector-test-utils testScaleUp, testScaleDown",
            Adversity { savepoints: 2, ..Adversity::NONE }
        ),
    ];
    let situations = [
        Check {
            name: "source::whole::more_readers_than_splits_come_to_an_end",
            rules: &["E-7", "R-6"],
            source: "flink-connector-test-utils testIdleReader",
            failure: "the job never ends",
            needs: &[Capability::Bounded],
            run: many_readers,
        },
        Check {
            name: "source::whole::rows_and_splits_that_appear_while_it_runs_arrive_once",
            rules: &["E-2", "R-2", "R-7"],
            source: "FLIP-27; FLINK-29757, FLINK-6006",
            failure: "new data is lost or doubled when a failure is near",
            needs: &[Capability::Unbounded, Capability::Discovery],
            run: growing,
        },
        Check {
            name: "source::whole::a_system_that_breaks_and_heals_loses_nothing",
            rules: &["R-2", "R-11", "E-2"],
            source: "FLIP-27",
            failure: "an outage of the system loses or doubles rows",
            needs: &[Capability::Breaks],
            run: broken,
        },
        Check {
            name: "source::whole::watermarks_hold_whatever_goes_wrong",
            rules: &["R-13"],
            source: "FLIP-27; FLINK-26018",
            failure: "rows count as late that are not",
            needs: &[Capability::Watermarks],
            run: watermarks,
        },
        Check {
            name: "source::whole::nothing_is_left_behind",
            rules: &["R-12"],
            source: "FLINK-40660, FLINK-36585",
            failure: "tasks or files pile up from attempt to attempt",
            needs: &[],
            run: nothing_left,
        },
    ];
    [&none[..], &alone[..], &situations[..]].concat()
}

fn calm<C: SourceContext>(lab: &Lab<C>) -> Verdict {
    lab.each_seed(async |subject| {
        let ran = run_whole(subject, "R-5", Options::calm(subject.seed)).await?;
        with_log(history::order(&ran.history), &ran)
    })
}

fn each<C: SourceContext>(lab: &Lab<C>, options: impl Fn(u64) -> Options) -> Verdict {
    lab.each_seed(async |subject| {
        let ran = run_whole(subject, "R-2", options(subject.seed)).await?;
        with_log(history::order(&ran.history), &ran)
    })
}

fn under<C: SourceContext>(lab: &Lab<C>, adversity: Adversity) -> Verdict {
    each(lab, |seed| Options { adversity, ..Options::adverse(seed) })
}

fn many_readers<C: SourceContext>(lab: &Lab<C>) -> Verdict {
    each(lab, |seed| {
        let adversity = Adversity { failures: 1, ..Adversity::NONE };
        Options { scales: vec![Scale(17, 2, 1)], adversity, ..Options::calm(seed) }
    })
}

fn growing<C: SourceContext>(lab: &Lab<C>) -> Verdict {
    lab.each_seed(async |subject| {
        let mut scene = Scene::default();
        // Half of the splits are there at first; then the others come, and all of them grow.
        for round in 0..3 {
            for split in 0..subject.context.splits() {
                let at = 60 * round + 10 * u64::from(split);
                let late = u64::from(split >= subject.context.splits() / 2 && round == 0) * 40;
                let rows = ROWS / 3 * round..ROWS / 3 * (round + 1);
                scene.events.push((at + late, World::Append(split, rows)));
            }
        }
        let options = Options { rule: "E-2", ..Options::adverse(subject.seed) };
        let ran = run_scene(subject, scene, options).await?;
        with_log(history::order(&ran.history), &ran)
    })
}

fn broken<C: SourceContext>(lab: &Lab<C>) -> Verdict {
    lab.each_seed(async |subject| {
        let mut scene = Scene::default();
        for split in 0..subject.context.splits() {
            scene.events.push((0, World::Append(split, 0..ROWS)));
        }
        // An outage near the beginning and one in the middle, each at another step for each seed.
        let at = 5 + subject.seed % 40;
        for (break_at, heal_at) in [(at, at + 30), (at + 60, at + 75)] {
            scene.events.extend([(break_at, World::Break), (heal_at, World::Heal)]);
        }
        let ran = run_scene(subject, scene, Options { rule: "R-2", ..Options::calm(subject.seed) }).await?;
        with_log(history::order(&ran.history), &ran)
    })
}

fn watermarks<C: SourceContext>(lab: &Lab<C>) -> Verdict {
    lab.each_seed(async |subject| {
        let ran = run_whole(subject, "R-2", Options::adverse(subject.seed)).await?;
        with_log(history::watermarks(&ran.history), &ran)
    })
}

fn nothing_left<C: SourceContext>(lab: &Lab<C>) -> Verdict {
    lab.each_seed(async |subject| {
        let adversity = Adversity { failures: 3, death: Death::Crash, ..Adversity::NONE };
        let ran = run_whole(subject, "R-5", Options { adversity, ..Options::adverse(subject.seed) }).await?;
        let meter = subject.around.meter().clone();
        let clock = subject.env().clock;
        for _ in 0..500 {
            if meter.tasks().is_empty() && meter.open_files() == 0 {
                return Ok(());
            }
            clock.sleep(Duration::from_millis(10)).await;
        }
        let left = format!("tasks {:?}, {} open files", meter.tasks(), meter.open_files());
        with_log(Err(Broken::new("R-12", format!("after the end there are {left}"))), &ran)
    })
}
