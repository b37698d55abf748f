//! Checks of the whole sink under the deterministic host.

use super::hand::{lingering, visible};
use super::support::{SinkPair, judge_run, nothing_is_held, numbers, run_whole};
use super::weather::Weather;
use crate::broken::{Broken, Verdict};
use crate::capability::Capability;
use crate::check::Check;
use crate::context::SinkContext;
use crate::ensure;
use crate::fs::PowerCut;
use crate::history::at_least_once;
use crate::lab::{Lab, Subject};
use crate::lockstep::{self, Adversity, Options, Scale, with_log};
use crate::reference::Numbers;
use crate::surroundings::Death;

pub(super) fn checks<C: SinkContext>() -> Vec<Check<C>> {
    vec![
        Check {
            name: "sink::whole::rows_are_visible_exactly_once_when_nothing_goes_wrong",
            rules: &["W-1", "W-4", "C-3"],
            source: "SinkV2 (FLIP-191); flink-connector-test-utils testBasicSink",
            failure: "rows are lost, doubled or visible too early in a run in which nothing goes wrong",
            needs: &[Capability::Committer],
            run: calm,
        },
        Check {
            name: "sink::whole::rows_are_visible_exactly_once_whatever_goes_wrong",
            rules: &["W-1", "W-4", "W-5", "W-6", "W-8", "W-9", "C-1", "C-2", "O-3", "O-4"],
            source: "SinkV2 (FLIP-191); FLINK-29627, FLINK-29509, FLINK-37747",
            failure: "rows are lost or doubled after a failure, a restart or a rescale",
            needs: &[Capability::Committer],
            run: adverse,
        },
        Check {
            name: "sink::whole::no_row_is_lost_whatever_goes_wrong",
            rules: &["W-1", "W-6", "W-7"],
            source: "AsyncSinkBase (FLIP-171): at least once by flush",
            failure: "rows are lost after a failure, a restart or a rescale",
            needs: &[],
            run: adverse,
        },
        Check {
            name: "sink::whole::rows_outlive_aborted_checkpoints",
            rules: &["W-8"],
            source: "SinkV2: subsumed checkpoints",
            failure: "rows are lost or doubled when checkpoints time out",
            needs: &[],
            run: aborts,
        },
        Check {
            name: "sink::whole::rows_outlive_missed_notices",
            rules: &["O-4", "C-2"],
            source: "CheckpointListener: notifications may be lost",
            failure: "rows are lost, doubled or never visible when a notice does not arrive",
            needs: &[],
            run: lost_notices,
        },
        Check {
            name: "sink::whole::rows_outlive_failed_attempts",
            rules: &["W-5", "W-9", "C-2"],
            source: "FLINK-37612",
            failure: "rows are lost or doubled when an attempt fails within a process that lives on",
            needs: &[],
            run: failures,
        },
        Check {
            name: "sink::whole::rows_outlive_killed_processes",
            rules: &["W-1", "C-1", "C-2"],
            source: "FLINK-30068",
            failure: "rows are lost or doubled when the process is killed",
            needs: &[],
            run: deaths,
        },
        Check {
            name: "sink::whole::rows_outlive_power_cuts",
            rules: &["W-1", "C-3"],
            source: "ALICE (Pillai et al., OSDI 2014)",
            failure: "rows are lost or doubled when the machine loses its power",
            needs: &[Capability::Files],
            run: power_cuts,
        },
        Check {
            name: "sink::whole::rows_outlive_savepoints_and_rescales",
            rules: &["W-2", "W-3", "W-6"],
            source: "FLINK-29509, FLINK-37747",
            failure: "rows are lost or doubled when a job is stopped and started with another parallelism",
            needs: &[],
            run: savepoints,
        },
        Check {
            name: "sink::whole::rows_outlive_outages_of_the_system",
            rules: &["W-1", "C-6"],
            source: "FLINK-36455; FLINK-35749",
            failure: "an outage of the system loses or doubles rows, or ends the job although it would pass",
            needs: &[Capability::Breaks],
            run: outages,
        },
        Check {
            name: "sink::whole::a_job_goes_back_to_an_older_checkpoint_without_loss",
            rules: &["C-5"],
            source: "FLINK-40626; design: going back is never silent",
            failure: "the user accepts duplicates to go back to an older checkpoint, and rows are lost, or the job does not start",
            needs: &[],
            run: goes_back,
        },
        Check {
            name: "sink::whole::an_empty_input_ends",
            rules: &["W-3", "O-5"],
            source: "field: sinks that wait for a first row at the end; SinkV2 summaries of nothing",
            failure: "a job without rows never ends, or publishes something",
            needs: &[],
            run: empty_input,
        },
        Check {
            name: "sink::whole::nothing_is_staged_when_the_job_has_ended",
            rules: &["X-1", "O-5"],
            source: "FLINK-10963: temporary objects leak",
            failure: "hidden files or open transactions are left behind for ever",
            needs: &[Capability::Committer, Capability::Sweep],
            run: nothing_staged,
        },
        Check {
            name: "sink::whole::nothing_is_held_when_the_job_has_ended",
            rules: &["W-10"],
            source: "FLINK-36441: producers leak",
            failure: "each job leaves tasks, files or connections behind in a process that lives on",
            needs: &[],
            run: nothing_held,
        },
    ]
}

fn calm<C: SinkContext>(lab: &Lab<C>) -> Verdict {
    lab.each_seed(async |subject| run_whole(subject, "W-1", Options::calm(subject.seed)).await.map(drop))
}

fn adverse<C: SinkContext>(lab: &Lab<C>) -> Verdict {
    lab.each_seed(async |subject| run_whole(subject, "W-1", Options::adverse(subject.seed)).await.map(drop))
}

/// One kind of adversity, alone; the parallelism stays.
fn only<C: SinkContext>(lab: &Lab<C>, rule: &'static str, adversity: Adversity) -> Verdict {
    lab.each_seed(async |subject| {
        let options = Options { adversity, ..Options::calm(subject.seed) };
        run_whole(subject, rule, options).await.map(drop)
    })
}

fn aborts<C: SinkContext>(lab: &Lab<C>) -> Verdict {
    only(lab, "W-8", Adversity { aborts: 60, ..Adversity::NONE })
}

fn lost_notices<C: SinkContext>(lab: &Lab<C>) -> Verdict {
    only(lab, "O-4", Adversity { lost_notices: 60, ..Adversity::NONE })
}

fn failures<C: SinkContext>(lab: &Lab<C>) -> Verdict {
    only(lab, "W-9", Adversity { failures: 4, ..Adversity::NONE })
}

fn deaths<C: SinkContext>(lab: &Lab<C>) -> Verdict {
    only(lab, "C-1", Adversity { deaths: 4, ..Adversity::NONE })
}

fn power_cuts<C: SinkContext>(lab: &Lab<C>) -> Verdict {
    lab.each_seed(async |subject| {
        let how = if subject.seed % 2 == 0 { PowerCut::SyncedOnly } else { PowerCut::Seeded(subject.seed) };
        let adversity = Adversity { death: Death::PowerCut(how), ..Adversity::ALL };
        run_whole(subject, "C-3", Options { adversity, ..Options::adverse(subject.seed) }).await.map(drop)
    })
}

fn savepoints<C: SinkContext>(lab: &Lab<C>) -> Verdict {
    lab.each_seed(async |subject| {
        let scales = vec![Scale(2, 2, 1), Scale(3, 4, 2), Scale(1, 1, 1), Scale(2, 3, 3)];
        let adversity = Adversity { savepoints: 3, failures: 2, ..Adversity::NONE };
        let options = Options { scales, adversity, ..Options::calm(subject.seed) };
        run_whole(subject, "W-6", options).await.map(drop)
    })
}

fn outages<C: SinkContext>(lab: &Lab<C>) -> Verdict {
    lab.each_seed(async |subject| {
        let (numbers, expected) = numbers();
        let fs = subject.around.fs().cloned();
        let mut pair = Weather::new(&mut subject.context, numbers, fs, subject.seed);
        let options = Options { rule: "C-6", ..Options::calm(subject.seed) };
        let ran = lockstep::run(&mut pair, &mut subject.around, options).await?;
        // It may have broken when nothing of it was needed any more.
        super::support::heal_system(subject).await?;
        judge_run("C-6", subject, &expected, &ran).await
    })
}

fn goes_back<C: SinkContext>(lab: &Lab<C>) -> Verdict {
    lab.each_seed(async |subject| {
        let (numbers, expected) = numbers();
        let mut pair = SinkPair { context: &mut subject.context, numbers: numbers.clone() };
        let options = Options { rule: "C-5", ..Options::adverse(subject.seed) };
        let first = lockstep::run(&mut pair, &mut subject.around, options.clone()).await?;
        subject.around.die(Death::Crash);
        let mut retained = first.checkpoints;
        // The last of the list is where the job starts; the others are retained.
        let count = retained.len().max(1);
        retained.rotate_left((subject.seed as usize + 1) % count);
        let adversity = Adversity::NONE;
        let options = Options { adversity, ..options };
        let mut pair = SinkPair { context: &mut subject.context, numbers };
        let again = lockstep::run_from(&mut pair, &mut subject.around, options, retained).await?;
        let seen = visible(subject).await?;
        with_log(at_least_once("C-5", &expected, &seen), &again)
    })
}

fn empty_input<C: SinkContext>(lab: &Lab<C>) -> Verdict {
    lab.each_seed(async |subject| {
        let mut pair = SinkPair { context: &mut subject.context, numbers: Numbers::new() };
        let options = Options { rule: "W-3", ..Options::adverse(subject.seed) };
        let ran = lockstep::run(&mut pair, &mut subject.around, options).await?;
        judge_run("W-3", subject, &[], &ran).await
    })
}

async fn run_adverse<C: SinkContext>(subject: &mut Subject<C>) -> Result<(), Broken> {
    let (numbers, _) = numbers();
    let mut pair = SinkPair { context: &mut subject.context, numbers };
    let options = Options { rule: "W-10", ..Options::adverse(subject.seed) };
    lockstep::run(&mut pair, &mut subject.around, options).await?;
    Ok(())
}

fn nothing_staged<C: SinkContext>(lab: &Lab<C>) -> Verdict {
    lab.each_seed(async |subject| {
        run_adverse(subject).await?;
        let left = lingering(subject).await?;
        ensure!("X-1", left.is_empty(), "the job has ended, and {left:?} is left");
        Ok(())
    })
}

fn nothing_held<C: SinkContext>(lab: &Lab<C>) -> Verdict {
    lab.each_seed(async |subject| {
        run_adverse(subject).await?;
        nothing_is_held("W-10", subject).await
    })
}
