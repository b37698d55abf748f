//! A stream.

use std::collections::{BTreeMap, BTreeSet};

use serde::{Deserialize, Serialize};

use super::change::StreamChange;
use super::epochs::{Epoch, SegmentRecord, first_segments};
use super::op::{Lengths, SegmentEffect, StreamOp};
use super::time::Times;
use super::transactions::Transactions;
use crate::cut::StreamCut;
use crate::error::{Error, Result};
use crate::id::{SegmentId, SegmentName, StreamName};

/// A stream: its epochs and segments, its head, its transactions and its watermarks.
///
/// Positions in it are [`StreamCut`]s. Methods that take cuts and are not [`check_cut`](Self::check_cut) expect checked ones, and pass over
/// segments that are not known.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Stream {
    name: StreamName,
    created_at: i64,
    sealed: bool,
    pub(super) epochs: Vec<Epoch>,
    pub(super) segments: BTreeMap<SegmentId, SegmentRecord>,
    /// Those that were not dropped.
    pub(super) with_data: BTreeSet<SegmentId>,
    pub(super) next_number: u32,
    pub(super) head: StreamCut,
    pub(super) transactions: Transactions,
    pub(super) times: Times,
}

impl Stream {
    pub(super) fn create(name: StreamName, segments: u32, nonce: u64, at: i64) -> Result<Self> {
        let first = first_segments(segments)?;
        let mut stream = Self {
            name,
            created_at: at,
            sealed: false,
            epochs: vec![Epoch { number: 0, at, segments: first.keys().copied().collect() }],
            segments: BTreeMap::new(),
            with_data: BTreeSet::new(),
            next_number: 0,
            head: first.keys().map(|&id| (id, 0)).collect(),
            transactions: Transactions::new(nonce),
            times: Times::default(),
        };
        for (id, range) in first {
            stream.add_segment(id, range, at);
        }
        Ok(stream)
    }

    /// Its name.
    pub fn name(&self) -> &StreamName {
        &self.name
    }

    /// Whether it was ended: it takes nothing any more.
    pub fn is_sealed(&self) -> bool {
        self.sealed
    }

    /// When it was made, in milliseconds since 1970.
    pub fn created_at(&self) -> i64 {
        self.created_at
    }

    pub(super) fn segment_name(&self, id: SegmentId) -> SegmentName {
        SegmentName::new(self.name.clone(), id)
    }

    pub(super) fn check_not_sealed(&self) -> Result<()> {
        if self.sealed { Err(Error::StreamSealed(self.name.clone())) } else { Ok(()) }
    }

    /// Plans an operation on this stream.
    pub(super) fn plan<'a>(&self, op: &'a StreamOp, lengths: &dyn Lengths) -> Result<StreamChange<'a>> {
        match op {
            StreamOp::SealStream { at, .. } => {
                self.check_not_sealed()?;
                Ok(StreamChange::Seal { at: *at })
            }
            StreamOp::Truncate { cut, .. } => Ok(StreamChange::Truncate(self.plan_truncate(cut, lengths)?)),
            StreamOp::Scale { seal, ranges, at, .. } => {
                Ok(StreamChange::Scale { step: self.plan_scale(seal, ranges)?, at: *at })
            }
            StreamOp::Begin { lease_millis, label, at, .. } => {
                let id = self.plan_begin(*lease_millis, label)?;
                Ok(StreamChange::Begin { id, lease_millis: *lease_millis, label, at: *at })
            }
            StreamOp::Commit { id, at, .. } => {
                Ok(StreamChange::Commit { id: *id, merging: self.plan_commit(*id)?, at: *at })
            }
            StreamOp::Abort { id, .. } => {
                self.open_transaction(*id)?;
                Ok(StreamChange::Abort(*id))
            }
            StreamOp::NoteTime { writer, millis, cut, .. } => {
                self.plan_note_time(*writer, *millis, cut, lengths)?;
                Ok(StreamChange::NoteTime { writer: *writer, millis: *millis, cut })
            }
            StreamOp::ForgetWriter { writer, .. } => Ok(StreamChange::ForgetWriter(*writer)),
            StreamOp::CreateScope { .. }
            | StreamOp::DeleteScope { .. }
            | StreamOp::CreateStream { .. }
            | StreamOp::DeleteStream { .. } => {
                Err(Error::invalid("an operation", "it is none on a stream that is there"))
            }
        }
    }

    pub(super) fn make(&mut self, change: StreamChange<'_>, effects: &mut Vec<SegmentEffect>) {
        match change {
            StreamChange::Seal { at } => self.seal(at, effects),
            StreamChange::Truncate(truncation) => self.truncate(truncation, effects),
            StreamChange::Scale { step, at } => self.step(step, at, effects),
            StreamChange::Begin { id, lease_millis, label, at } => {
                self.begin(id, lease_millis, label, at, effects);
            }
            StreamChange::Commit { id, merging, at } => self.commit(id, merging, at, effects),
            StreamChange::Abort(id) => self.abort(id, effects),
            StreamChange::NoteTime { writer, millis, cut } => self.note_time(writer, millis, cut),
            StreamChange::ForgetWriter(writer) => self.forget_writer(writer),
        }
    }

    fn seal(&mut self, at: i64, effects: &mut Vec<SegmentEffect>) {
        let open: Vec<_> = self.open_transactions().map(|(id, _)| id).collect();
        for id in open {
            self.abort(id, effects);
        }
        for id in self.current_segments().to_vec() {
            if let Some(record) = self.segments.get_mut(&id) {
                record.sealed_at = Some(at);
            }
            effects.push(SegmentEffect::Seal(self.segment_name(id)));
        }
        self.sealed = true;
    }

    /// What follows for the segments when the stream is removed. One of the system's may still have open transactions.
    pub(super) fn delete_all(&self, effects: &mut Vec<SegmentEffect>) {
        for (id, transaction) in self.open_transactions() {
            effects.extend(self.segments_of(id, transaction).map(SegmentEffect::Delete));
        }
        effects.extend(self.segments.keys().map(|&id| SegmentEffect::Delete(self.segment_name(id))));
    }
}
