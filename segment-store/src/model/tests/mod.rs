//! Rules of the state machine that more than one of its parts take part in.

mod encoding;
mod random;
mod scaling;
mod scopes;
mod time;
mod transactions;
mod truncation;
mod world;

use world::World;

use super::*;
use crate::cut::StreamCut;
use crate::id::{SegmentId, TransactionId, WriterId};
use crate::key_range::KeyRange;

fn name(text: &str) -> StreamName {
    text.parse().unwrap()
}

/// The stream of most tests.
fn a() -> StreamName {
    name("s/a")
}

fn cut(text: &str) -> StreamCut {
    text.parse().unwrap()
}

/// Segment `number` of an epoch.
fn id(epoch: u32, number: u32) -> SegmentId {
    SegmentId::new(epoch, number)
}

fn create(stream: &StreamName, segments: u32) -> StreamOp {
    StreamOp::CreateStream { stream: stream.clone(), segments, nonce: 7, at: 0 }
}

fn seal(stream: &StreamName) -> StreamOp {
    StreamOp::SealStream { stream: stream.clone(), at: 9 }
}

fn scale(sealed: &[SegmentId], ranges: &[(f64, f64)]) -> StreamOp {
    let ranges = ranges.iter().map(|&(low, high)| KeyRange { low, high }).collect();
    StreamOp::Scale { stream: a(), seal: sealed.to_vec(), ranges, at: 5 }
}

fn truncate(at: &str) -> StreamOp {
    StreamOp::Truncate { stream: a(), cut: cut(at) }
}

fn begin() -> StreamOp {
    StreamOp::Begin { stream: a(), lease_millis: 1_000, label: "l".to_owned(), at: 3 }
}

fn commit(id: TransactionId) -> StreamOp {
    StreamOp::Commit { stream: a(), id, at: 6 }
}

fn abort(id: TransactionId) -> StreamOp {
    StreamOp::Abort { stream: a(), id, at: 6 }
}

fn note(writer: u128, millis: i64, at: &str) -> StreamOp {
    StreamOp::NoteTime { stream: a(), writer: WriterId(writer), millis, cut: cut(at) }
}

/// A world with the scope `s` and in it the stream `a` of so many segments.
fn with_stream(segments: u32) -> World {
    let mut world = World::default();
    world.run(&StreamOp::CreateScope { scope: "s".into() }).unwrap();
    world.run(&create(&a(), segments)).unwrap();
    world
}
