//! Rules of the checkpoint coordinator that hold for every sequence of inputs, each by the shortest one that shows it.

use std::time::Duration;

use connector_api::id::CheckpointId;
use connector_api::sink::{Checkpoint, Prepare};

use crate::coordinate::checkpoint::{CheckpointCoordinator, Input, Output, TaskId, Trigger};

const SECOND: Duration = Duration::from_secs(1);
const SOURCE: TaskId = TaskId::Source(0);
const COMMITTER: TaskId = TaskId::Committer(0);

fn coordinator() -> CheckpointCoordinator {
    CheckpointCoordinator::new([SOURCE, COMMITTER], CheckpointId(1), SECOND, 5 * SECOND, Duration::ZERO)
}

fn ack(task: TaskId, id: u64, ended: bool, pending: u64) -> Input {
    Input::Ack { task, checkpoint: CheckpointId(id), ended, pending }
}

fn triggered(out: &[Output]) -> Option<Trigger> {
    out.iter().find_map(|o| if let Output::Trigger(t) = o { Some(*t) } else { None })
}

#[test]
fn tasks_are_named_as_a_person_reads_them() {
    let names =
        [SOURCE, TaskId::Writer(1), TaskId::Stage(2, 3), TaskId::Committer(4)].map(|task| task.to_string());
    assert_eq!(names, ["source 0", "writer 1", "stage 2 instance 3", "committer 4"]);
}

#[test]
fn what_is_stored_counts_once_for_the_checkpoint_that_is_being_stored() {
    let mut c = coordinator();
    c.handle(Input::Tick, SECOND);
    assert_eq!(c.handle(Input::Stored(CheckpointId(1)), SECOND), [], "acknowledgements are missing");
    c.handle(ack(SOURCE, 1, false, 0), SECOND);
    c.handle(ack(COMMITTER, 1, false, 0), SECOND);
    assert_eq!(c.handle(Input::Stored(CheckpointId(2)), SECOND), [], "another one is being stored");
    assert_eq!(c.handle(Input::Stored(CheckpointId(1)), SECOND), [Output::Complete(CheckpointId(1))]);
    assert_eq!(c.handle(Input::Stored(CheckpointId(1)), SECOND), []);
}

#[test]
fn a_running_job_with_nothing_pending_goes_on() {
    let mut c = coordinator();
    c.handle(Input::Tick, SECOND);
    c.handle(ack(SOURCE, 1, true, 0), SECOND);
    let store = c.handle(ack(COMMITTER, 1, false, 0), SECOND);
    assert!(matches!(store[..], [Output::Store { finished: false, .. }]));
    assert_eq!(c.handle(Input::Stored(CheckpointId(1)), SECOND), [Output::Complete(CheckpointId(1))]);
    assert_eq!(c.wake_at(), Some(2 * SECOND));
}

#[test]
fn what_is_pending_at_any_task_keeps_the_job_from_its_end() {
    let mut c = coordinator();
    c.handle(Input::Ended(COMMITTER), SECOND);
    c.handle(Input::Ended(SOURCE), SECOND);
    c.handle(ack(COMMITTER, 1, true, 3), SECOND);
    let store = c.handle(ack(SOURCE, 1, true, 0), SECOND);
    assert!(matches!(store[..], [Output::Store { finished: false, .. }]));
}

#[test]
fn a_tick_before_the_time_out_aborts_nothing() {
    let mut c = coordinator();
    c.handle(Input::Tick, SECOND);
    assert_eq!(c.wake_at(), Some(6 * SECOND));
    assert_eq!(c.handle(Input::Tick, 5 * SECOND), []);
    assert_eq!(c.in_flight().map(|f| f.id.0), Some(1));
    assert_eq!(c.handle(Input::Tick, 6 * SECOND), [Output::Abort(CheckpointId(1))]);
    assert_eq!(
        c.handle(Input::Tick, 7 * SECOND - Duration::from_millis(1)),
        [],
        "a pause of one interval follows"
    );
}

#[test]
fn a_job_that_is_over_needs_no_tick_and_hears_nothing() {
    let mut c = CheckpointCoordinator::new([SOURCE], CheckpointId(1), SECOND, 5 * SECOND, Duration::ZERO);
    c.handle(Input::Ended(SOURCE), SECOND);
    c.handle(ack(SOURCE, 1, true, 0), SECOND);
    let out = c.handle(Input::Stored(CheckpointId(1)), SECOND);
    assert_eq!(out, [Output::Complete(CheckpointId(1)), Output::Finished]);
    assert_eq!((c.wake_at(), c.handle(Input::Stop, 9 * SECOND)), (None, vec![]));
}

#[test]
fn while_a_savepoint_waits_for_its_commits_no_tick_is_needed() {
    let mut c = coordinator();
    c.handle(Input::Stop, SECOND);
    c.handle(ack(SOURCE, 1, false, 0), SECOND);
    c.handle(ack(COMMITTER, 1, false, 3), SECOND);
    c.handle(Input::Stored(CheckpointId(1)), SECOND);
    assert_eq!(c.wake_at(), None);
    assert_eq!(c.handle(Input::Stop, 9 * SECOND), [], "it is being stopped already");
    let of_another = Input::Noticed { task: COMMITTER, checkpoint: CheckpointId(7) };
    assert_eq!(c.handle(of_another, 9 * SECOND), []);
    let by_another = Input::Noticed { task: SOURCE, checkpoint: CheckpointId(1) };
    assert_eq!(c.handle(by_another, 9 * SECOND), []);
}

#[test]
fn what_was_settled_before_a_stop_does_not_end_it() {
    let mut c = coordinator();
    c.handle(Input::Tick, SECOND);
    c.handle(ack(SOURCE, 1, false, 0), SECOND);
    c.handle(ack(COMMITTER, 1, false, 0), SECOND);
    c.handle(Input::Stored(CheckpointId(1)), SECOND);
    c.handle(Input::Noticed { task: COMMITTER, checkpoint: CheckpointId(1) }, SECOND);
    let out = c.handle(Input::Stop, SECOND);
    assert!(matches!(out[..], [Output::Trigger(Trigger { stop: true, .. })]), "{out:?}");
    assert_eq!(c.handle(Input::Tick, 2 * SECOND), []);
}

#[test]
fn a_savepoint_of_a_job_at_its_end_waits_for_nothing() {
    let mut c = coordinator();
    c.handle(Input::Tick, SECOND);
    c.handle(Input::Stop, SECOND);
    c.handle(Input::Ended(SOURCE), SECOND);
    c.handle(Input::Ended(COMMITTER), SECOND);
    let abort = c.handle(Input::Tick, 6 * SECOND);
    assert_eq!(abort[0], Output::Abort(CheckpointId(1)));
    let out = c.handle(Input::Tick, 7 * SECOND);
    let trigger = triggered(&abort).or(triggered(&out)).unwrap();
    assert_eq!((trigger.stop, trigger.prepare), (true, Prepare::Running));
}

#[test]
fn final_checkpoints_follow_at_once_while_the_pending_ones_become_fewer() {
    let mut c = coordinator();
    let now = SECOND / 10;
    c.handle(Input::Ended(SOURCE), now);
    c.handle(Input::Ended(COMMITTER), now);
    for (id, pending) in [(1, 3), (2, 2), (3, 1)] {
        c.handle(ack(SOURCE, id, true, 0), now);
        c.handle(ack(COMMITTER, id, true, pending), now);
        c.handle(Input::Stored(CheckpointId(id)), now);
        let out = c.handle(Input::Noticed { task: COMMITTER, checkpoint: CheckpointId(id) }, now);
        assert_eq!(triggered(&out).map(|t| t.checkpoint.id.0), Some(id + 1));
    }
}

#[test]
fn final_checkpoints_follow_at_once_while_more_tasks_see_the_end_and_wait_when_none_does() {
    let mut c = coordinator();
    c.handle(Input::Tick, SECOND);
    c.handle(Input::Ended(SOURCE), SECOND);
    for (id, committer_ended, next) in [(1, false, Some(2)), (2, true, Some(3)), (3, true, None)] {
        // The same number is pending each time.
        c.handle(ack(SOURCE, id, false, 0), SECOND);
        c.handle(ack(COMMITTER, id, committer_ended, 1), SECOND);
        c.handle(Input::Stored(CheckpointId(id)), SECOND);
        let out = c.handle(Input::Noticed { task: COMMITTER, checkpoint: CheckpointId(id) }, SECOND);
        assert_eq!(triggered(&out).map(|t| t.checkpoint.id.0), next);
    }
}

#[test]
fn a_checkpoint_is_complete_when_all_acknowledged_and_it_is_stored() {
    let mut c = coordinator();
    assert_eq!(c.handle(Input::Tick, SECOND / 2), []);
    assert_eq!(triggered(&c.handle(Input::Tick, SECOND)).map(|t| t.checkpoint.id.0), Some(1));
    assert_eq!(c.handle(ack(SOURCE, 1, false, 0), SECOND), []);
    let checkpoint = Checkpoint { id: CheckpointId(1), savepoint: false };
    let store = c.handle(ack(COMMITTER, 1, false, 1), SECOND);
    assert_eq!(store, [Output::Store { checkpoint, finished: false }]);
    assert_eq!(c.handle(Input::Stored(CheckpointId(1)), SECOND), [Output::Complete(CheckpointId(1))]);
}

#[test]
fn an_acknowledgement_counts_once_and_never_for_another_checkpoint() {
    let mut c = coordinator();
    c.handle(Input::Tick, SECOND);
    c.handle(ack(SOURCE, 1, false, 0), SECOND);
    assert_eq!(c.handle(ack(SOURCE, 1, false, 0), SECOND), []);
    assert_eq!(c.handle(ack(COMMITTER, 7, false, 0), SECOND), []);
    assert_eq!(c.in_flight().map(|f| f.id.0), Some(1));
}

#[test]
fn a_checkpoint_that_times_out_is_aborted_and_its_late_acknowledgements_are_void() {
    let mut c = coordinator();
    c.handle(Input::Tick, SECOND);
    c.handle(ack(SOURCE, 1, false, 0), SECOND);
    assert_eq!(c.handle(Input::Tick, 6 * SECOND), [Output::Abort(CheckpointId(1))]);
    assert_eq!(triggered(&c.handle(Input::Tick, 7 * SECOND)).map(|t| t.checkpoint.id.0), Some(2));
    assert_eq!(c.handle(ack(COMMITTER, 1, false, 0), 7 * SECOND), []);
}

#[test]
fn a_checkpoint_that_is_being_stored_does_not_time_out() {
    let mut c = coordinator();
    c.handle(Input::Tick, SECOND);
    c.handle(ack(SOURCE, 1, false, 0), SECOND);
    c.handle(ack(COMMITTER, 1, false, 0), SECOND);
    assert_eq!(c.handle(Input::Tick, 60 * SECOND), []);
    assert_eq!(c.wake_at(), None);
}

#[test]
fn at_the_end_checkpoints_follow_until_nothing_is_pending() {
    let mut c = coordinator();
    let first = triggered(&c.handle(Input::Ended(SOURCE), SECOND / 10)).unwrap();
    assert_eq!(first.prepare, Prepare::Final);
    let now = SECOND / 10;
    c.handle(ack(SOURCE, 1, true, 0), now);
    c.handle(ack(COMMITTER, 1, true, 2), now);
    let out = c.handle(Input::Stored(CheckpointId(1)), now);
    assert_eq!(out, [Output::Complete(CheckpointId(1))], "the next one waits for the commits");
    let noticed = Input::Noticed { task: COMMITTER, checkpoint: CheckpointId(1) };
    assert!(triggered(&c.handle(noticed, now)).is_some());
    c.handle(ack(SOURCE, 2, true, 0), now);
    let store = c.handle(ack(COMMITTER, 2, true, 0), now);
    assert!(matches!(store[..], [Output::Store { finished: true, .. }]));
    let out = c.handle(Input::Stored(CheckpointId(2)), now);
    assert_eq!(out, [Output::Complete(CheckpointId(2)), Output::Finished]);
    assert_eq!(c.wake_at(), None);
}

#[test]
fn while_only_a_retry_is_left_final_checkpoints_keep_the_interval() {
    let mut c = coordinator();
    let now = SECOND / 10;
    c.handle(Input::Ended(SOURCE), now);
    for id in 1..=2 {
        c.handle(ack(SOURCE, id, true, 0), now);
        c.handle(ack(COMMITTER, id, true, 1), now);
        c.handle(Input::Stored(CheckpointId(id)), now);
        c.handle(Input::Noticed { task: COMMITTER, checkpoint: CheckpointId(id) }, now);
    }
    assert_eq!(c.in_flight(), None);
    assert_eq!(c.wake_at(), Some(now + SECOND));
}

#[test]
fn a_checkpoint_that_began_before_the_end_does_not_finish_the_job() {
    let mut c = coordinator();
    c.handle(Input::Tick, SECOND);
    c.handle(ack(SOURCE, 1, false, 0), SECOND);
    c.handle(Input::Ended(SOURCE), SECOND);
    let store = c.handle(ack(COMMITTER, 1, true, 0), SECOND);
    assert!(matches!(store[..], [Output::Store { finished: false, .. }]));
}

#[test]
fn a_stop_makes_a_savepoint_and_ends_after_its_commits() {
    let mut c = coordinator();
    let trigger = triggered(&c.handle(Input::Stop, SECOND / 4)).unwrap();
    assert!(trigger.stop && trigger.checkpoint.savepoint);
    c.handle(ack(SOURCE, 1, false, 0), SECOND);
    c.handle(ack(COMMITTER, 1, false, 3), SECOND);
    assert_eq!(c.handle(Input::Stored(CheckpointId(1)), SECOND), [Output::Complete(CheckpointId(1))]);
    assert_eq!(c.handle(Input::Tick, 9 * SECOND), [], "no checkpoint follows a stop");
    let noticed = Input::Noticed { task: COMMITTER, checkpoint: CheckpointId(1) };
    assert_eq!(c.handle(noticed, 9 * SECOND), [Output::Stopped(CheckpointId(1))]);
}

#[test]
fn a_stop_during_a_checkpoint_waits_for_it() {
    let mut c = coordinator();
    c.handle(Input::Tick, SECOND);
    assert_eq!(c.handle(Input::Stop, SECOND), []);
    c.handle(ack(SOURCE, 1, false, 0), SECOND);
    c.handle(ack(COMMITTER, 1, false, 0), SECOND);
    let out = c.handle(Input::Stored(CheckpointId(1)), SECOND);
    assert!(triggered(&out).is_some_and(|t| t.stop && t.checkpoint.id.0 == 2));
}

#[test]
fn a_savepoint_that_times_out_is_tried_again() {
    let mut c = coordinator();
    c.handle(Input::Stop, Duration::ZERO);
    let out = c.handle(Input::Tick, 6 * SECOND);
    assert_eq!(out[0], Output::Abort(CheckpointId(1)));
    assert!(triggered(&out).is_some_and(|t| t.stop && t.checkpoint.id.0 == 2));
}
