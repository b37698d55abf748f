//! The order in which the host calls a sink, and what it does with outcomes.
#![allow(missing_docs, clippy::unwrap_used)]

mod probe;

use std::time::Duration;

use connector_api::Error;
use connector_runtime::{OnLost, RestartStrategy};
use mailbox_host::End;
use probe::{Answer, Probe};

#[test]
fn a_commit_that_waits_for_its_retry_holds_no_barrier() {
    let probe = Probe::new(Answer::RetryUntil(Duration::from_millis(200)));
    assert_eq!(probe.run().unwrap(), End::Finished);
    probe.check_rows();
    let log = probe.log();
    let committed = log.iter().position(|line| line.starts_with("committed")).unwrap();
    let barriers = log[..committed].iter().filter(|line| *line == "flush").count();
    assert!(barriers > 3, "{barriers} barriers while the first commit waited");
}

#[test]
fn committables_are_committed_oldest_checkpoint_first() {
    let probe = Probe::new(Answer::RetryUntil(Duration::from_millis(200)));
    probe.run().unwrap();
    let checkpoints = probe.numbers("committed ");
    assert!(checkpoints.len() > 3 && checkpoints.is_sorted(), "{checkpoints:?}");
}

#[test]
fn a_loss_ends_the_job_past_every_restart_strategy() {
    let mut probe = Probe::new(Answer::Lost);
    probe.restart = RestartStrategy::FixedDelay { attempts: 9, delay: Duration::ZERO };
    assert!(matches!(probe.run(), Err(Error::Lost(_))));
    assert_eq!(probe.log().iter().filter(|line| *line == "open").count(), 1);
}

#[test]
fn a_loss_that_the_user_skips_does_not_end_the_job() {
    let mut probe = Probe::new(Answer::Lost);
    probe.on_lost = OnLost::Skip;
    assert_eq!(probe.run().unwrap(), End::Finished);
    assert!(probe.rows().is_empty());
}

/// A savepoint is asked for in the middle of a batch. Its barrier comes between two parts, the rest of the batch is read again.
#[test]
fn rows_of_a_batch_that_are_not_written_yet_are_behind_the_position() {
    for at in [1, 3, 10, 12] {
        let mut probe = Probe::new(Answer::RetryUntil(Duration::MAX));
        probe.stop_at = Some(at);
        assert!(matches!(probe.run().unwrap(), End::Stopped { savepoint: Some(_) }));
        let written = probe.log().iter().filter(|line| *line == "write").count();
        assert!(written < at + 2, "{written} rows were written, the stop was asked for at row {at}");
        probe.stop_at = None;
        probe.answer = Answer::Commit;
        assert_eq!(probe.run().unwrap(), End::Finished);
        probe.check_rows();
    }
}

#[test]
fn restored_commits_come_first_then_the_stages_are_told_then_comes_input() {
    let mut probe = Probe::new(Answer::RetryUntil(Duration::MAX));
    probe.stop_at = Some(20);
    probe.run().unwrap();
    assert!(probe.rows().is_empty(), "nothing was committed");
    probe.stop_at = None;
    probe.answer = Answer::Commit;
    let before = probe.log().len();
    assert_eq!(probe.run().unwrap(), End::Finished);
    let log = probe.log();
    let first = |what: &str| log[before..].iter().position(|line| line.starts_with(what)).unwrap();
    let order = [first("open"), first("committed"), first("told"), first("after"), first("write")];
    assert!(order.is_sorted(), "{order:?} in {:?}", &log[before..]);
    probe.check_rows();
}

#[test]
fn the_last_stage_is_at_its_end_when_nothing_more_can_be_committed() {
    let probe = Probe::new(Answer::RetryUntil(Duration::from_millis(200)));
    probe.run().unwrap();
    let log = probe.log();
    let end = log.iter().position(|line| line == "end of input").unwrap();
    assert!(log[end..].iter().all(|line| !line.starts_with("after")), "{log:?}");
    assert!(log[..end].iter().any(|line| line.starts_with("after")));
}
