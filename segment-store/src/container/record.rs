//! Records: what a frame's payload holds.
//!
//! ```text
//! append: 1 u8 | segment u64 | offset u64 | writer u128 | event i64 | events u32 | length u32 | bytes
//! change: 2 u8 | length u32 | an `Op` by postcard
//! ```
//!
//! Little endian. The number of kinds and the order of `Op`'s variants are frozen: what was written stays readable.

use serde::{Deserialize, Serialize};

use crate::model::StreamOp;

const APPEND: u8 = 1;
const CHANGE: u8 = 2;
/// What stands before an append's bytes.
pub(crate) const APPEND_HEADER: usize = 1 + 8 + 8 + 16 + 8 + 4 + 4;

/// A segment within a store, whatever its name: counted, never used twice.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
pub(crate) struct SegmentKey(pub(crate) u64);

/// Bytes behind the end of a segment.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Append {
    pub(crate) segment: SegmentKey,
    pub(crate) offset: u64,
    pub(crate) writer: u128,
    /// The writer's number of the last of the events.
    pub(crate) event: i64,
    pub(crate) events: u32,
}

/// A change of everything but the bytes of a segment.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub(crate) enum Op {
    Stream(StreamOp),
    /// Sets an attribute of a segment, or takes it away.
    Attribute {
        segment: SegmentKey,
        attribute: u128,
        value: Option<i64>,
    },
    /// Bytes were moved into an object.
    Moved {
        object: u64,
        length: u64,
        runs: Vec<Run>,
    },
    /// The store was opened: what was never acknowledged before is settled now.
    Opened {
        incarnation: u32,
        at: i64,
    },
}

/// Consecutive bytes of a segment in an object.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct Run {
    pub(crate) segment: SegmentKey,
    pub(crate) offset: u64,
    pub(crate) length: u64,
    /// Where in the object they begin.
    pub(crate) at: u64,
}

/// A record as it is read back.
#[derive(Debug, PartialEq)]
pub(crate) enum Record<'a> {
    /// With the bytes, and where in the payload they begin.
    Append(Append, &'a [u8], usize),
    Change(Op),
}

impl Append {
    /// Writes the record up to its bytes, of which there are `length`.
    pub(crate) fn write(&self, out: &mut Vec<u8>, length: u32) {
        out.push(APPEND);
        out.extend_from_slice(&self.segment.0.to_le_bytes());
        out.extend_from_slice(&self.offset.to_le_bytes());
        out.extend_from_slice(&self.writer.to_le_bytes());
        out.extend_from_slice(&self.event.to_le_bytes());
        out.extend_from_slice(&self.events.to_le_bytes());
        out.extend_from_slice(&length.to_le_bytes());
    }

    fn read(bytes: &[u8]) -> Option<(Self, usize)> {
        let (header, rest) = bytes.split_at_checked(APPEND_HEADER - 1)?;
        let mut at = 0;
        let mut take = |n: usize| {
            let mut value = [0; 16];
            value[..n].copy_from_slice(&header[at..at + n]);
            at += n;
            u128::from_le_bytes(value)
        };
        let append = Self {
            segment: SegmentKey(take(8) as u64),
            offset: take(8) as u64,
            writer: take(16),
            event: take(8) as u64 as i64,
            events: take(4) as u32,
        };
        let length = take(4) as usize;
        (length <= rest.len()).then_some((append, length))
    }
}

impl Op {
    pub(crate) fn write(encoded: &[u8], out: &mut Vec<u8>) {
        out.push(CHANGE);
        out.extend_from_slice(&(encoded.len() as u32).to_le_bytes());
        out.extend_from_slice(encoded);
    }
}

/// The records of a payload, in order; an error text for what is none.
pub(crate) fn records(payload: &[u8]) -> impl Iterator<Item = Result<Record<'_>, &'static str>> {
    let mut at = 0;
    let mut is_over = false;
    std::iter::from_fn(move || {
        if is_over || at == payload.len() {
            return None;
        }
        let record = read(payload, &mut at);
        is_over = record.is_err();
        Some(record)
    })
}

fn read<'a>(payload: &'a [u8], at: &mut usize) -> Result<Record<'a>, &'static str> {
    let kind = payload[*at];
    let rest = &payload[*at + 1..];
    match kind {
        APPEND => {
            let (append, length) = Append::read(rest).ok_or("an append is cut off")?;
            let start = *at + APPEND_HEADER;
            *at = start + length;
            Ok(Record::Append(append, &payload[start..*at], start))
        }
        CHANGE => {
            let (length, rest) = rest.split_at_checked(4).ok_or("a change is cut off")?;
            let length = u32::from_le_bytes([length[0], length[1], length[2], length[3]]) as usize;
            let encoded = rest.get(..length).ok_or("a change is cut off")?;
            *at += 5 + length;
            match postcard::take_from_bytes(encoded) {
                Ok((op, [])) => Ok(Record::Change(op)),
                _ => Err("a change is none that this build knows"),
            }
        }
        _ => Err("a record is of no kind that this build knows"),
    }
}
