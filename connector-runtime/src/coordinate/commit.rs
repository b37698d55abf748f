//! What waits to be committed, what became of it, and when to try again.

use std::collections::BTreeMap;
use std::time::Duration;

use bytes::Bytes;
use connector_api::Error;
use connector_api::id::CheckpointId;
use connector_api::sink::{CommitRequest, Outcome};

use crate::config::OnLost;

/// How long a committable waits for its next try when the committer does not say: 100 ms, doubled up to 10 s.
const RETRY_FIRST: Duration = Duration::from_millis(100);
const RETRY_MOST: Duration = Duration::from_secs(10);

#[derive(Clone, Debug)]
struct Entry {
    committable: Bytes,
    retries: u32,
    due: Duration,
}

/// The committables of one committer, by the checkpoint that they belong to.
///
/// Only those of completed checkpoints are committed, oldest checkpoint first, the next only when the one before is done.
#[derive(Debug, Default)]
pub struct CommitLedger {
    entries: BTreeMap<CheckpointId, Vec<Entry>>,
    completed: Option<CheckpointId>,
    given: Option<(CheckpointId, Vec<usize>)>,
}

/// What became of a batch.
#[derive(Debug, Default)]
pub struct Settlement {
    /// Visible now: on to the post-commit stages.
    pub committed: Vec<(CheckpointId, Bytes)>,
    /// How many of those had been committed before.
    pub already: u64,
    /// How many wait for another try, with the reasons.
    pub retried: Vec<Error>,
    /// Lost and skipped, with the reasons.
    pub skipped: Vec<String>,
    /// What ends the job.
    pub fatal: Option<Error>,
}

impl CommitLedger {
    /// Adds a committable that reached the committer before the barrier of this checkpoint.
    pub fn add(&mut self, checkpoint: CheckpointId, committable: Bytes, retries: u32) {
        self.entries.entry(checkpoint).or_default().push(Entry { committable, retries, due: Duration::ZERO });
    }

    /// The checkpoint, and with it every earlier one, is complete.
    pub fn complete(&mut self, checkpoint: CheckpointId) {
        self.completed = self.completed.max(Some(checkpoint));
    }

    /// How many are not committed.
    pub fn len(&self) -> usize {
        self.entries.values().map(Vec::len).sum()
    }

    /// Whether all are committed.
    pub fn is_empty(&self) -> bool {
        self.entries.is_empty()
    }

    /// All that are not committed: what a checkpoint stores.
    pub fn pending(&self) -> impl Iterator<Item = (CheckpointId, u32, &Bytes)> {
        self.entries.iter().flat_map(|(id, all)| all.iter().map(|e| (*id, e.retries, &e.committable)))
    }

    /// When the next try is due, if one is.
    pub fn due_at(&self) -> Option<Duration> {
        self.oldest_completed().and_then(|(_, entries)| entries.iter().map(|e| e.due).min())
    }

    fn oldest_completed(&self) -> Option<(CheckpointId, &Vec<Entry>)> {
        let (id, entries) = self.entries.first_key_value()?;
        (Some(*id) <= self.completed).then_some((*id, entries))
    }

    /// The next batch to commit: all of the oldest completed checkpoint that are due. Empty when there is nothing to do.
    /// [`settle`](Self::settle) must follow before the next call.
    pub fn take_due(&mut self, now: Duration) -> Vec<CommitRequest<Bytes>> {
        let Some((checkpoint, entries)) = self.oldest_completed() else { return Vec::new() };
        let due: Vec<usize> = (0..entries.len()).filter(|&i| entries[i].due <= now).collect();
        let requests = due.iter().map(|&i| CommitRequest {
            committable: entries[i].committable.clone(),
            checkpoint,
            retries: entries[i].retries,
        });
        let requests: Vec<_> = requests.collect();
        self.given = (!due.is_empty()).then_some((checkpoint, due));
        requests
    }

    /// Takes the outcomes of the batch that [`take_due`](Self::take_due) gave, in its order. What was lost stays in the
    /// ledger unless losses are skipped; what is fatal stays.
    pub fn settle(&mut self, outcomes: Vec<Outcome<Bytes>>, on_lost: OnLost, now: Duration) -> Settlement {
        let mut settlement = Settlement::default();
        let Some((checkpoint, given)) = self.given.take() else { return settlement };
        let Some(entries) = self.entries.get_mut(&checkpoint) else { return settlement };
        if outcomes.len() != given.len() {
            let reason = format!("{} outcomes for {} committables", outcomes.len(), given.len());
            settlement.fatal = Some(Error::contract("committer", reason));
            return settlement;
        }
        let mut done = vec![false; entries.len()];
        for (index, outcome) in given.into_iter().zip(outcomes) {
            let entry = &mut entries[index];
            match outcome {
                Outcome::Committed => {
                    settlement.committed.push((checkpoint, entry.committable.clone()));
                    done[index] = true;
                }
                Outcome::AlreadyCommitted { .. } => {
                    settlement.committed.push((checkpoint, entry.committable.clone()));
                    settlement.already += 1;
                    done[index] = true;
                }
                Outcome::Retry { updated, after, why } => {
                    let backoff = RETRY_FIRST.saturating_mul(1 << entry.retries.min(16)).min(RETRY_MOST);
                    entry.due = now.saturating_add(after.unwrap_or(backoff));
                    entry.retries = entry.retries.saturating_add(1);
                    if let Some(updated) = updated {
                        entry.committable = updated;
                    }
                    settlement.retried.push(why);
                }
                Outcome::Lost { reason } if on_lost == OnLost::Skip => {
                    settlement.skipped.push(format!("{reason} (checkpoint {checkpoint})"));
                    done[index] = true;
                }
                Outcome::Lost { reason } => {
                    let error = Error::Lost(format!("{reason} (checkpoint {checkpoint})"));
                    settlement.fatal.get_or_insert(error);
                }
                Outcome::Fatal(error) => {
                    settlement.fatal.get_or_insert(error);
                }
            }
        }
        let mut done = done.into_iter();
        entries.retain(|_| !done.next().unwrap_or(false));
        if entries.is_empty() {
            self.entries.remove(&checkpoint);
        }
        settlement
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn ledger(of: &[(u64, &'static str)]) -> CommitLedger {
        let mut ledger = CommitLedger::default();
        for (id, name) in of {
            ledger.add(CheckpointId(*id), Bytes::from_static(name.as_bytes()), 0);
        }
        ledger
    }

    fn names(requests: &[CommitRequest<Bytes>]) -> Vec<&str> {
        requests.iter().map(|r| std::str::from_utf8(&r.committable).unwrap()).collect()
    }

    fn retry() -> Outcome<Bytes> {
        Outcome::Retry { updated: None, after: None, why: Error::Cancelled("x".into()) }
    }

    #[test]
    fn only_completed_checkpoints_are_committed_oldest_first() {
        let mut l = ledger(&[(3, "c"), (1, "a"), (2, "b")]);
        assert!(l.take_due(Duration::ZERO).is_empty());
        l.complete(CheckpointId(2));
        for expected in ["a", "b"] {
            assert_eq!(names(&l.take_due(Duration::ZERO)), [expected]);
            let settled = l.settle(vec![Outcome::Committed], OnLost::Fail, Duration::ZERO);
            assert_eq!(settled.committed.len(), 1);
        }
        assert!(l.take_due(Duration::ZERO).is_empty());
        assert_eq!(l.len(), 1);
    }

    #[test]
    fn a_retry_waits_and_holds_the_later_checkpoints_of_this_committer() {
        let mut l = ledger(&[(1, "a"), (1, "b"), (2, "c")]);
        l.complete(CheckpointId(2));
        l.take_due(Duration::ZERO);
        let settled = l.settle(vec![retry(), Outcome::Committed], OnLost::Fail, Duration::ZERO);
        assert_eq!((settled.retried.len(), settled.committed.len()), (1, 1));
        assert!(l.take_due(Duration::ZERO).is_empty());
        assert_eq!(l.due_at(), Some(RETRY_FIRST));
        let again = l.take_due(RETRY_FIRST);
        assert_eq!((names(&again), again[0].retries), (vec!["a"], 1));
    }

    #[test]
    fn a_loss_ends_the_job_and_stays_in_the_state() {
        let mut l = ledger(&[(1, "a"), (1, "b")]);
        l.complete(CheckpointId(1));
        l.take_due(Duration::ZERO);
        let lost = Outcome::Lost { reason: "file x is gone".into() };
        let settled = l.settle(vec![lost, Outcome::Committed], OnLost::Fail, Duration::ZERO);
        assert!(settled.fatal.is_some_and(|e| e.to_string().contains("file x is gone")));
        assert_eq!(settled.committed.len(), 1, "the others are settled all the same");
        assert_eq!(l.pending().map(|(_, _, c)| c.clone()).collect::<Vec<_>>(), [Bytes::from_static(b"a")]);
    }

    #[test]
    fn a_skipped_loss_is_counted_and_removed() {
        let mut l = ledger(&[(1, "a")]);
        l.complete(CheckpointId(1));
        l.take_due(Duration::ZERO);
        let settled = l.settle(vec![Outcome::Lost { reason: "x".into() }], OnLost::Skip, Duration::ZERO);
        assert!(settled.fatal.is_none() && settled.skipped.len() == 1 && l.is_empty());
    }

    #[test]
    fn a_missing_outcome_is_an_error_and_loses_nothing() {
        let mut l = ledger(&[(1, "a"), (1, "b")]);
        l.complete(CheckpointId(1));
        l.take_due(Duration::ZERO);
        let settled = l.settle(vec![Outcome::Committed], OnLost::Fail, Duration::ZERO);
        assert!(settled.fatal.is_some());
        assert_eq!(l.len(), 2);
    }

    #[test]
    fn a_changed_committable_is_what_is_stored_and_tried_again() {
        let mut l = ledger(&[(1, "a")]);
        l.complete(CheckpointId(1));
        l.take_due(Duration::ZERO);
        let updated = Some(Bytes::from_static(b"a2"));
        let why = Error::Cancelled("x".into());
        let outcome = Outcome::Retry { updated, after: Some(Duration::from_secs(1)), why };
        l.settle(vec![outcome], OnLost::Fail, Duration::ZERO);
        assert_eq!(names(&l.take_due(Duration::from_secs(1))), ["a2"]);
    }

    #[test]
    fn a_ledger_is_empty_when_all_are_committed() {
        let mut l = ledger(&[(1, "a")]);
        assert!(!l.is_empty());
        l.complete(CheckpointId(1));
        l.take_due(Duration::ZERO);
        l.settle(vec![Outcome::Committed], OnLost::Fail, Duration::ZERO);
        assert!(l.is_empty() && l.due_at().is_none());
    }

    #[test]
    fn retries_wait_twice_as_long_each_time_up_to_a_bound() {
        let mut l = ledger(&[(1, "a")]);
        l.complete(CheckpointId(1));
        let mut waits = Vec::new();
        let mut now = Duration::from_secs(60);
        for _ in 0..20 {
            assert_eq!(l.take_due(now).len(), 1);
            l.settle(vec![retry()], OnLost::Fail, now);
            let due = l.due_at().unwrap();
            waits.push((due - now).as_millis());
            now = due;
        }
        assert_eq!(waits[..8], [100, 200, 400, 800, 1_600, 3_200, 6_400, 10_000]);
        assert_eq!(waits[8..], [10_000; 12]);
    }

    #[test]
    fn what_had_been_committed_before_goes_on_and_is_counted() {
        let mut l = ledger(&[(1, "a"), (1, "b"), (1, "c")]);
        l.complete(CheckpointId(1));
        l.take_due(Duration::ZERO);
        let already = || Outcome::AlreadyCommitted { proof: connector_api::sink::Proof::Published };
        let outcomes = vec![already(), Outcome::Committed, already()];
        let settled = l.settle(outcomes, OnLost::Fail, Duration::ZERO);
        assert_eq!((settled.committed.len(), settled.already, l.len()), (3, 2, 0));
    }
}
