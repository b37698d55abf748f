//! What a store is made of, whether it is whole, and what of a damaged one can be saved.

use std::collections::BTreeMap;
use std::path::Path;
use std::sync::Arc;

use bytes::Bytes;
use connector_api::env::FileSystem;

use super::extents::{Extent, Extents, Location};
use super::files::{Files, Piece};
use super::record::SegmentKey;
use super::snapshot::Snapshot;
use super::state::{ObjectRecord, State};
use super::{Container, recover};
use crate::error::{Error, Result};
use crate::event;
use crate::log::{self, Position, Scanner, file};
use crate::object;

/// What a store takes on the disk and in memory.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct StoreStats {
    /// Frames that are durable since the store was made.
    pub frames: u64,
    /// Files of the log, spare ones too.
    pub log_files: u64,
    /// Objects that hold bytes of segments.
    pub objects: u64,
    /// Segments, with those of open transactions.
    pub segments: u64,
    /// Bytes of all segments that were not truncated.
    pub bytes: u64,
    /// Those of them that are in objects.
    pub bytes_in_objects: u64,
    /// How often the store was opened for writing.
    pub openings: u64,
}

/// What was found by looking at everything.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Verified {
    /// Frames that were read.
    pub frames: u64,
    /// Objects that were read.
    pub objects: u64,
    /// Segments whose bytes are all there.
    pub segments: u64,
    /// What is broken; nothing when the store is whole.
    pub problems: Vec<String>,
}

/// What was saved.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Salvaged {
    /// Segments in the new store.
    pub segments: u64,
    /// Their bytes.
    pub bytes: u64,
    /// What could not be saved, in words.
    pub lost: Vec<String>,
}

impl Container {
    pub(crate) fn stats(&self) -> Result<StoreStats> {
        let (mut stats, used) = {
            let core = self.core();
            let state = &core.state;
            let bytes = state
                .segments
                .values()
                .map(|segment| segment.visible.length - segment.start.min(segment.visible.length));
            let frames = match &core.follow {
                Some(scanner) => scanner.position().next - 1,
                None => core.durable,
            };
            let stats = StoreStats {
                frames,
                segments: state.segments.len() as u64,
                bytes: bytes.sum(),
                openings: u64::from(state.incarnation),
                ..StoreStats::default()
            };
            (stats, state.in_use())
        };
        let listed = file::list(&*self.env.fs, &log::dir(&self.dir))?;
        stats.log_files = (listed.files.len() + listed.spares.len()) as u64;
        stats.objects = used.objects.len() as u64;
        stats.bytes_in_objects = used.objects.values().sum();
        Ok(stats)
    }
}

/// Reads everything that a store holds and compares it with what the store says of it.
pub(crate) fn verify(fs: &Arc<dyn FileSystem>, dir: &Path, store: u128) -> Result<Verified> {
    let mut found = Verified::default();
    let (state, scanner) = match recover::load(fs, dir, store, None) {
        Ok(loaded) => loaded,
        Err(Error::Io { .. }) if fs.list(&log::dir(dir)).is_err() => {
            found.problems.push(format!("{}: there is no log", log::dir(dir).display()));
            return Ok(found);
        }
        Err(error) => {
            found.problems.push(error.to_string());
            return Ok(found);
        }
    };
    let files = Files::new(fs.clone(), dir, store);
    let used = state.in_use();
    for number in state.frames.numbers() {
        let Some(place) = state.frames.place(number).filter(|place| used.files.contains_key(&place.file))
        else {
            continue;
        };
        match files.frame(number, place) {
            Ok(_) => found.frames += 1,
            Err(error) => found.problems.push(error.to_string()),
        }
    }
    found.frames = found.frames.max(scanner.position().next - state.frames.numbers().start);
    for &id in used.objects.keys() {
        match files.object(id).and_then(|object| object.verify()) {
            Ok(()) => found.objects += 1,
            Err(error) => found.problems.push(error.to_string()),
        }
    }
    for segment in state.segments.values() {
        let mut at = segment.start;
        let mut is_whole = true;
        for extent in segment.extents.iter() {
            let is_there = match extent.location {
                Location::Frame { number, at } => state.frames.place(number).is_some_and(|place| {
                    u64::from(at) + extent.length + log::frame::HEADER as u64 <= u64::from(place.length)
                }),
                Location::Object { id, at } => {
                    files.object(id).is_ok_and(|object| at + extent.length <= object.length())
                }
            };
            if extent.offset != at || !is_there {
                found.problems.push(format!("`{}` misses bytes at offset {at}", segment.name));
                is_whole = false;
                break;
            }
            at += extent.length;
        }
        if is_whole && at != segment.length {
            found.problems.push(format!("`{}` misses bytes at offset {at}", segment.name));
        } else if is_whole {
            found.segments += 1;
        }
    }
    Ok(found)
}

/// Everything up to the first damage of the log, and what of it can be read.
pub(crate) fn salvage(
    fs: &Arc<dyn FileSystem>,
    dir: &Path,
    store: u128,
    to: &Path,
    new: u128,
    object_size: u64,
) -> Result<Salvaged> {
    let mut done = Salvaged::default();
    let (mut state, position) = readable(fs, dir, store, &mut done)?;
    let files = Files::new(fs.clone(), dir, store);
    let target = object::dir(to);
    let mut saved: BTreeMap<SegmentKey, Extents> = BTreeMap::new();
    let mut objects = BTreeMap::new();
    let mut id = 1;
    let mut writer = object::Writer::create(&**fs, &target, id)?;
    for (&key, segment) in &mut state.segments {
        let extents = saved.entry(key).or_default();
        let mut end = segment.start;
        let mut events = Boundary::default();
        for piece in segment.extents.iter().flat_map(pieces) {
            let bytes = match read(&files, &state.frames, &piece) {
                Ok(bytes) => bytes,
                Err(error) => {
                    end -= events.rest();
                    let (name, length) = (&segment.name, segment.length);
                    done.lost.push(format!("`{name}` from offset {end} to {length}: {error}"));
                    *extents = extents.before(end);
                    break;
                }
            };
            if writer.at() >= object_size {
                objects.insert(id, ObjectRecord { length: writer.at() });
                writer.finish()?;
                id += 1;
                writer = object::Writer::create(&**fs, &target, id)?;
            }
            let location = Location::Object { id, at: writer.at() };
            writer.append(&bytes)?;
            events.append(&bytes);
            extents.push(Extent { offset: end, length: piece.length, location });
            end += piece.length;
        }
        segment.length = end;
        done.segments += 1;
        done.bytes += end - segment.start;
    }
    objects.insert(id, ObjectRecord { length: writer.at() });
    writer.finish()?;
    for (key, extents) in saved {
        if let Some(segment) = state.segments.get_mut(&key) {
            segment.extents = extents;
        }
    }
    state.objects = objects;
    state.frames = super::state::Frames::default();
    // The new log begins with the next number.
    let position = Position { file: 0, at: 0, ..position };
    Snapshot { store: new, position, state }.store(&**fs, to)?;
    Ok(done)
}

/// An extent in parts, so that a damaged block takes little else with it.
fn pieces(extent: &Extent) -> impl Iterator<Item = Extent> {
    let mut rest = Some(*extent);
    std::iter::from_fn(move || {
        let left = rest.take()?;
        let size = match left.location {
            Location::Object { at, .. } => object::BLOCK - at % object::BLOCK,
            Location::Frame { .. } => left.length,
        };
        let (first, after) = left.split(size);
        rest = after;
        Some(first)
    })
}

/// Where the last whole event ends, so that whoever goes on writing begins behind one.
#[derive(Default)]
struct Boundary {
    /// What follows on the last whole event.
    rest: Vec<u8>,
    /// The segment holds something else than events.
    is_foreign: bool,
}

impl Boundary {
    fn append(&mut self, bytes: &[u8]) {
        if self.is_foreign {
            return;
        }
        self.rest.extend_from_slice(bytes);
        let mut events = event::parse(&self.rest);
        self.is_foreign = events.by_ref().any(|event| event.is_err());
        let at = events.at();
        self.rest.drain(..at);
    }

    fn rest(&self) -> u64 {
        if self.is_foreign { 0 } else { self.rest.len() as u64 }
    }
}

fn read(files: &Files, frames: &super::state::Frames, extent: &Extent) -> Result<Bytes> {
    let length = extent.length as usize;
    let piece = match extent.location {
        Location::Object { id, at } => Piece::Object { id, at, length },
        Location::Frame { number, at } => Piece::Frame { number, place: frames.place(number), at, length },
    };
    files.read(&[piece])
}

/// The state up to the first damage.
fn readable(
    fs: &Arc<dyn FileSystem>,
    dir: &Path,
    store: u128,
    done: &mut Salvaged,
) -> Result<(State, Position)> {
    let (mut state, position) = match recover::start(fs, dir, store) {
        Ok(start) => start,
        Err(error @ Error::Corrupt { .. }) => {
            done.lost.push(format!("{error}; the log is read from its beginning"));
            (State::default(), recover::BEGINNING)
        }
        Err(error) => return Err(error),
    };
    let mut scanner = Scanner::new(fs.clone(), log::dir(dir), store, position);
    match recover::advance(&mut state, &mut scanner, None) {
        Ok(()) => {}
        Err(error @ Error::Corrupt { .. }) => {
            done.lost.push(format!("what was logged from frame {} on: {error}", scanner.position().next));
        }
        Err(error) => return Err(error),
    }
    Ok((state, scanner.position()))
}
