//! Appends: checked, placed, acknowledged.

use std::sync::Arc;

use futures::channel::oneshot;

use super::extents::Location;
use super::record::{APPEND_HEADER, Append};
use super::{Container, Core, Outcome, Status};
use crate::error::{Error, Result};
use crate::id::{SegmentName, WriterId};
use crate::summed::Summed;

/// What is being appended.
#[derive(Clone, Debug)]
pub struct Appended {
    /// Who appends.
    pub writer: WriterId,
    /// The writer's number of the last event in `bytes`. One that is not above the writer's last event in the segment is a
    /// repetition, and is acknowledged without being stored again.
    pub event: i64,
    /// The writer's last event in the segment before these, as the writer knows it; none when it has none there. When the store knows
    /// otherwise, the writer missed that an append before this one failed, and this one is refused ([`Error::Unavailable`]): stored, it would
    /// make the failed one look like a repetition.
    pub previous: Option<i64>,
    /// How many events `bytes` holds.
    pub events: u32,
    /// Where the segment must end, if that is a condition.
    pub at: Option<u64>,
    /// Events with their headers.
    pub bytes: Summed,
}

/// An append that has its place and is not durable yet.
#[derive(Debug)]
pub struct Ack {
    /// None when what it rests on was durable already.
    outcome: Option<Outcome>,
    /// Where the segment ends behind it.
    end: u64,
    /// Whether it was stored before, under the same or a later event number.
    is_repeated: bool,
}

impl Ack {
    /// Waits until the append is durable; says where the segment ends behind it. May be dropped and asked again.
    ///
    /// # Errors
    ///
    /// [`Error::Unavailable`]: it may or may not be stored.
    pub async fn durable(&self) -> Result<u64> {
        if let Some(outcome) = &self.outcome {
            outcome.wait().await?;
        }
        Ok(self.end)
    }

    /// What [`durable`](Self::durable) says, if that is known by now.
    pub fn outcome(&self) -> Option<Result<u64>> {
        let outcome = self.outcome.as_ref().map_or(Some(&Ok(())), Outcome::told);
        outcome.map(|outcome| outcome.clone().map(|()| self.end))
    }

    /// Whether it is a repetition of what the segment holds already.
    pub fn is_repeated(&self) -> bool {
        self.is_repeated
    }
}

impl Container {
    /// Appends to a segment, if there is room and the store is open.
    pub(crate) fn try_append(
        self: &Arc<Self>,
        segment: &SegmentName,
        append: &Appended,
    ) -> Result<Option<Ack>> {
        match self.place(segment, append, false)? {
            Place::Given(ack) => Ok(Some(ack)),
            Place::Later(_) => Ok(None),
        }
    }

    /// Appends to a segment. Returns when the append has its place; appends that were given their places one after the other become durable
    /// in that order. Waits while there is no room.
    pub(crate) async fn append(self: &Arc<Self>, segment: &SegmentName, append: Appended) -> Result<Ack> {
        loop {
            match self.place(segment, &append, true)? {
                Place::Given(ack) => return Ok(ack),
                // The sender is dropped, whatever has come of it: that is seen above.
                Place::Later(Some(room)) => drop(room.await),
                Place::Later(None) => self.ready().await?,
            }
        }
    }

    fn place(self: &Arc<Self>, segment: &SegmentName, append: &Appended, waits: bool) -> Result<Place> {
        let (length, limit) = (append.bytes.bytes().len(), self.options.max_append());
        if length > limit {
            return Err(Error::Limit { what: "an append", given: length as u64, limit: limit as u64 });
        }
        let mut core = self.core();
        match core.status {
            Status::Open if core.has_room(length, self.options.max_frame()) => {
                let ack = core.append(segment, append)?;
                self.start_commit_of(core);
                Ok(Place::Given(ack))
            }
            Status::Open if waits => {
                let (sender, room) = oneshot::channel();
                core.open.room.push(sender);
                Ok(Place::Later(Some(room)))
            }
            Status::ReadOnly => Err(core.failure()),
            _ => Ok(Place::Later(None)),
        }
    }
}

/// The place of an append in the open frame.
enum Place {
    Given(Ack),
    /// There is none now. Told when there is room, if that is what is waited for; else the store is not open.
    Later(Option<oneshot::Receiver<()>>),
}

impl Core {
    fn has_room(&self, length: usize, frame_size: usize) -> bool {
        self.open.buffer.is_empty() || self.open.buffer.len() + APPEND_HEADER + length <= frame_size
    }

    fn append(&mut self, name: &SegmentName, append: &Appended) -> Result<Ack> {
        let bytes = append.bytes.bytes();
        let (key, segment) = self.state.segment(name)?;
        let last = segment.attributes.get(append.writer.0);
        let (length, sealed) = (segment.length, segment.is_sealed);
        if last.is_some_and(|last| append.event <= last) {
            return Ok(Ack { outcome: self.settled(), end: length, is_repeated: true });
        }
        if sealed {
            return Err(Error::Sealed(name.clone()));
        }
        if last != append.previous {
            let (writer, previous) = (append.writer, append.previous);
            let reason = format!(
                "the last event of {writer} in `{name}` is {last:?}, not {previous:?}: one behind it failed"
            );
            return Err(Error::Unavailable { reason });
        }
        if let Some(expected) = append.at.filter(|&expected| expected != length) {
            return Err(Error::Condition { segment: name.clone(), expected, length });
        }
        if last.is_none() {
            segment.attributes.check_room("the writers of a segment")?;
        }
        let record = Append {
            segment: key,
            offset: length,
            writer: append.writer.0,
            event: append.event,
            events: append.events,
        };
        let at = (self.open.buffer.len() + APPEND_HEADER) as u32;
        let location = Location::Frame { number: self.next, at };
        self.state
            .append(&record, bytes.len() as u64, location, &mut self.open.touched)
            .map_err(|why| Error::invalid("an append", why))?;
        self.open.buffer.record(|out| record.write(out, bytes.len() as u32), &append.bytes);
        let outcome = Some(self.open.outcome.clone());
        Ok(Ack { outcome, end: length + bytes.len() as u64, is_repeated: false })
    }
}
