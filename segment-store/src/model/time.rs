//! Watermarks: how far the time of events has come, said by those who write them.

use std::collections::{BTreeMap, VecDeque};

use serde::{Deserialize, Serialize};

use super::op::Lengths;
use super::stream::Stream;
use crate::cut::StreamCut;
use crate::error::{Error, Result};
use crate::id::WriterId;

/// The most watermarks that are kept of a stream; a further one takes the place of the oldest.
pub const MAX_MARKS: usize = 1_000;
/// The most writers of a stream that note times.
pub const MAX_TIME_WRITERS: usize = 10_000;

/// A watermark: every event behind the cut has a time of at least `millis`, as far as the writers kept what they said.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Mark {
    /// The time, in the measure of the writers.
    pub millis: i64,
    /// The position.
    pub cut: StreamCut,
}

/// What writers said of time.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub(super) struct Times {
    /// Of each writer the last time, and where it was then.
    writers: BTreeMap<WriterId, (i64, StreamCut)>,
    /// Oldest first; times and cuts rise.
    marks: VecDeque<Mark>,
    /// No mark lies before this: it is at the newest one and at what writers that are forgotten wrote, or behind. They may have written
    /// events of any time before their last cut.
    floor: StreamCut,
}

impl Stream {
    /// The watermarks that are kept, oldest first. Their times rise, and their cuts don't go back.
    ///
    /// A mark has the least time that any writer noted last, and lies behind all of their cuts and the mark before it. Those before the
    /// head are kept only as far as is needed to tell the time at the head.
    pub fn marks(&self) -> &VecDeque<Mark> {
        &self.times.marks
    }

    /// The writers that note times, with the last one that each did.
    pub fn time_writers(&self) -> impl Iterator<Item = (WriterId, i64)> {
        self.times.writers.iter().map(|(&writer, &(millis, _))| (writer, millis))
    }

    pub(super) fn plan_note_time(
        &self,
        writer: WriterId,
        millis: i64,
        cut: &StreamCut,
        lengths: &dyn Lengths,
    ) -> Result<()> {
        let writers = &self.times.writers;
        match writers.get(&writer) {
            Some(&(last, _)) if millis < last => {
                let reason = format!("writer {writer} noted {last} before; {millis} would go back");
                return Err(Error::invalid("a time", reason));
            }
            None if writers.len() >= MAX_TIME_WRITERS => {
                let given = writers.len() as u64 + 1;
                let what = "writers of a stream that note times";
                return Err(Error::Limit { what, given, limit: MAX_TIME_WRITERS as u64 });
            }
            _ => {}
        }
        self.check_segments(cut)?;
        self.check_ends(cut, lengths)
    }

    pub(super) fn note_time(&mut self, writer: WriterId, millis: i64, cut: &StreamCut) {
        self.times.writers.insert(writer, (millis, cut.clone()));
        self.add_mark();
    }

    pub(super) fn forget_writer(&mut self, writer: WriterId) {
        if let Some((_, cut)) = self.times.writers.remove(&writer) {
            self.times.floor = self.upper_bound([&self.times.floor, &cut]);
            self.add_mark();
        }
    }

    fn add_mark(&mut self) {
        let Some(millis) = self.times.writers.values().map(|&(millis, _)| millis).min() else { return };
        if self.times.marks.back().is_some_and(|newest| newest.millis >= millis) {
            return;
        }
        let written = self.times.writers.values().map(|(_, cut)| cut);
        let cut = self.upper_bound(written.chain([&self.times.floor]));
        self.times.floor = cut.clone();
        self.times.marks.push_back(Mark { millis, cut });
        if self.times.marks.len() > MAX_MARKS {
            self.times.marks.pop_front();
        }
    }

    /// Of the marks at the head or before it, the newest tells the time there.
    pub(super) fn forget_marks_before_head(&mut self) {
        while self.times.marks.get(1).is_some_and(|second| self.is_at_or_behind(&self.head, &second.cut)) {
            self.times.marks.pop_front();
        }
    }
}
