//! Which segments are being read, and which of them are known to be read to their ends.

use std::collections::BTreeMap;

use connector_api::id::{CheckpointId, ReaderId};
use segment_store::SegmentId;

/// What the tests break, to see that they notice.
#[cfg(test)]
pub(super) mod flaw {
    use std::cell::Cell;

    thread_local! {
        /// A report counts at once.
        pub(in super::super) static EAGER: Cell<bool> = const { Cell::new(false) };
        /// A checkpoint does not hold what was reported before it.
        pub(in super::super) static FORGETFUL: Cell<bool> = const { Cell::new(false) };
    }
}

/// Said by a reader.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct Report {
    by: ReaderId,
    /// The first checkpoint that was begun since.
    held_by: Option<CheckpointId>,
}

/// See the life of a segment at [`PravegaEnumerator`](super::PravegaEnumerator).
#[derive(Debug, Default)]
pub(super) struct Reading(BTreeMap<SegmentId, Option<Report>>);

impl Reading {
    /// These may be read.
    pub(super) fn of(segments: impl IntoIterator<Item = SegmentId>) -> Self {
        Self(segments.into_iter().map(|segment| (segment, None)).collect())
    }

    /// It may be read, from now on or once more.
    pub(super) fn begin(&mut self, segment: SegmentId) {
        self.0.insert(segment, None);
    }

    pub(super) fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    /// A reader read it to its end. May be said again. False for one that was settled before.
    pub(super) fn reported(&mut self, by: ReaderId, segment: SegmentId) -> bool {
        if let Some(report) = self.0.get_mut(&segment) {
            #[cfg(not(test))]
            let held_by = None;
            #[cfg(test)]
            let held_by = flaw::EAGER.get().then_some(CheckpointId(0));
            report.get_or_insert(Report { by, held_by });
            return true;
        }
        false
    }

    /// What it said and no completed checkpoint holds is void: the checkpoint that is restored may hold the segment unfinished.
    pub(super) fn reader_is_gone(&mut self, reader: ReaderId) {
        for report in self.0.values_mut().filter(|report| report.is_some_and(|report| report.by == reader)) {
            *report = None;
        }
    }

    /// What is stored in the checkpoint: the segments that are not at their ends in it, and those that are.
    pub(super) fn snapshot(&mut self, checkpoint: CheckpointId) -> (Vec<SegmentId>, Vec<SegmentId>) {
        let (mut reading, mut finished) = (Vec::new(), Vec::new());
        for (&segment, report) in &mut self.0 {
            match report {
                Some(report) => {
                    report.held_by.get_or_insert(checkpoint);
                    #[cfg(test)]
                    if flaw::FORGETFUL.get() {
                        continue;
                    }
                    finished.push(segment);
                }
                None => reading.push(segment),
            }
        }
        (reading, finished)
    }

    /// Takes out what is certainly read, with who said so: the checkpoint and all before it are complete.
    pub(super) fn completed(&mut self, checkpoint: CheckpointId) -> BTreeMap<SegmentId, ReaderId> {
        let certain = |(&id, report): (&SegmentId, &Option<Report>)| {
            let report = report.filter(|r| r.held_by.is_some_and(|by| by <= checkpoint))?;
            Some((id, report.by))
        };
        let certain: BTreeMap<_, _> = self.0.iter().filter_map(certain).collect();
        self.0.retain(|id, _| !certain.contains_key(id));
        certain
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const S: SegmentId = SegmentId::new(0, 0);
    const R: ReaderId = ReaderId(0);

    fn at(id: u64) -> CheckpointId {
        CheckpointId(id)
    }

    #[test]
    fn a_report_counts_with_the_first_checkpoint_that_was_begun_after_it() {
        let mut reading = Reading::of([S]);
        reading.snapshot(at(1));
        reading.reported(R, S);
        assert!(reading.completed(at(1)).is_empty(), "checkpoint 1 may hold it unfinished");
        assert_eq!(reading.snapshot(at(2)), (vec![], vec![S]));
        reading.snapshot(at(3));
        assert_eq!(reading.completed(at(2)), [(S, R)].into());
        assert!(!reading.reported(R, S));
        assert_eq!(reading.snapshot(at(4)), (vec![], vec![]), "it is settled");
    }

    #[test]
    fn a_later_checkpoint_stands_for_one_whose_notice_is_missing() {
        let mut reading = Reading::of([S]);
        reading.reported(R, S);
        reading.snapshot(at(1));
        assert_eq!(reading.completed(at(5)), [(S, R)].into());
    }

    #[test]
    fn what_a_reader_said_goes_with_it() {
        let mut reading = Reading::of([S]);
        reading.reported(R, S);
        reading.snapshot(at(1));
        reading.reader_is_gone(ReaderId(1));
        assert_eq!(reading.snapshot(at(2)).1, [S]);
        reading.reader_is_gone(R);
        assert!(reading.completed(at(2)).is_empty());
        assert_eq!(reading.snapshot(at(3)), (vec![S], vec![]));
    }
}
