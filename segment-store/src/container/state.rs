//! What the log says so far: streams, segments and where their bytes are.

use std::collections::{BTreeMap, HashMap, VecDeque};
use std::sync::Arc;

use serde::{Deserialize, Serialize};
use tokio::sync::Notify;

use super::attributes::Attributes;
use super::extents::{Extent, Extents, Location};
use super::record::{Append, Op, Run, SegmentKey};
use crate::error::{Error, Result};
use crate::id::SegmentName;
use crate::log::FramePlace;
use crate::model::{Lengths, SegmentEffect, Streams};

/// A segment's bytes and attributes.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub(crate) struct Segment {
    pub(crate) name: Arc<SegmentName>,
    /// What lies before it was truncated.
    pub(crate) start: u64,
    /// Its end, with what is not durable yet.
    pub(crate) length: u64,
    pub(crate) is_sealed: bool,
    pub(crate) extents: Extents,
    pub(crate) attributes: Attributes,
    /// What readers may see: its end and whether it is sealed, as far as they are durable.
    #[serde(skip)]
    pub(crate) visible: Visible,
    /// Woken when more is visible; made when somebody waits.
    #[serde(skip)]
    pub(crate) waiters: Option<Arc<Notify>>,
}

/// What readers of a segment may see.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) struct Visible {
    pub(crate) length: u64,
    pub(crate) is_sealed: bool,
}

/// An object that holds bytes of segments.
#[derive(Clone, Copy, Debug, Serialize, Deserialize)]
pub(crate) struct ObjectRecord {
    /// How many bytes it holds.
    pub(crate) length: u64,
}

/// Everything.
#[derive(Clone, Debug, Default, Serialize, Deserialize)]
pub(crate) struct State {
    pub(crate) streams: Streams,
    pub(crate) segments: BTreeMap<SegmentKey, Segment>,
    next_segment: u64,
    pub(crate) objects: BTreeMap<u64, ObjectRecord>,
    pub(crate) frames: Frames,
    /// The opening that wrote last.
    pub(crate) incarnation: u32,
    #[serde(skip)]
    names: HashMap<Arc<SegmentName>, SegmentKey>,
}

/// Where the frames are that hold bytes of segments.
#[derive(Clone, Debug, Default, Serialize, Deserialize)]
pub(crate) struct Frames {
    /// The number of the first one in `places`.
    first: u64,
    places: VecDeque<FramePlace>,
}

impl Frames {
    pub(crate) fn push(&mut self, number: u64, place: FramePlace) {
        if self.places.is_empty() {
            self.first = number;
        }
        self.places.push_back(place);
    }

    pub(crate) fn place(&self, number: u64) -> Option<FramePlace> {
        self.places.get(usize::try_from(number.checked_sub(self.first)?).ok()?).copied()
    }

    /// The numbers of the frames whose places are known.
    pub(crate) fn numbers(&self) -> std::ops::Range<u64> {
        self.first..self.first + self.places.len() as u64
    }

    pub(crate) fn last(&self) -> Option<FramePlace> {
        self.places.back().copied()
    }

    /// Forgets the frames of files before this one.
    pub(crate) fn forget_before(&mut self, file: u64) {
        let count = self.places.partition_point(|place| place.file < file);
        self.places.drain(..count);
        self.first += count as u64;
    }
}

/// The segments that applied records touched, with what is visible of them once those are durable.
pub(crate) type Touched = HashMap<SegmentKey, Visible>;

impl Lengths for State {
    fn length(&self, segment: &SegmentName) -> u64 {
        self.segment(segment).map_or(0, |(_, segment)| segment.length)
    }

    fn start(&self, segment: &SegmentName) -> u64 {
        self.segment(segment).map_or(0, |(_, segment)| segment.start)
    }
}

impl State {
    /// After loading: what is derived from the rest.
    pub(crate) fn index(&mut self) {
        self.names = self.segments.iter().map(|(&key, segment)| (segment.name.clone(), key)).collect();
        for segment in self.segments.values_mut() {
            segment.show();
        }
    }

    pub(crate) fn key(&self, name: &SegmentName) -> Result<SegmentKey> {
        self.names.get(name).copied().ok_or_else(|| Error::NoSegment(name.clone()))
    }

    pub(crate) fn segment(&self, name: &SegmentName) -> Result<(SegmentKey, &Segment)> {
        let key = self.key(name)?;
        let segment = self.segments.get(&key).ok_or_else(|| Error::NoSegment(name.clone()))?;
        Ok((key, segment))
    }

    /// Makes an append that was checked; `location` is where its bytes are.
    pub(crate) fn append(
        &mut self,
        append: &Append,
        length: u64,
        location: Location,
        touched: &mut Touched,
    ) -> Result<(), &'static str> {
        let segment =
            self.segments.get_mut(&append.segment).ok_or("it appends to a segment that is not there")?;
        if segment.length != append.offset {
            return Err("it appends elsewhere than at the end of its segment");
        }
        if length > 0 {
            segment.extents.push(Extent { offset: append.offset, length, location });
        }
        segment.length += length;
        segment.attributes.insert(append.writer, append.event);
        touched.insert(append.segment, segment.end());
        Ok(())
    }

    /// Whether a change may be made.
    pub(crate) fn check(&self, op: &Op) -> Result<()> {
        match op {
            Op::Stream(op) => self.streams.check(op, self),
            Op::Attribute { .. } | Op::Moved { .. } | Op::Opened { .. } => Ok(()),
        }
    }

    /// Whether an attribute has the expected value.
    pub(crate) fn check_attribute(
        &self,
        name: &SegmentName,
        attribute: u128,
        expected: Option<i64>,
    ) -> Result<SegmentKey> {
        let (key, segment) = self.segment(name)?;
        let found = segment.attributes.get(attribute);
        if found != expected {
            let segment = Box::new(name.clone());
            return Err(Error::Attribute { segment, attribute, expected, found });
        }
        if found.is_none() {
            segment.attributes.check_room("the attributes of a segment")?;
        }
        Ok(key)
    }

    /// Makes a change that was checked.
    pub(crate) fn apply(&mut self, op: &Op, touched: &mut Touched) -> Result<()> {
        match op {
            Op::Stream(op) => {
                let mut effects = Vec::new();
                let mut streams = std::mem::take(&mut self.streams);
                let applied = streams.apply(op, &mut effects, self);
                self.streams = streams;
                applied?;
                effects.iter().for_each(|effect| self.effect(effect, touched));
            }
            Op::Attribute { segment, attribute, value } => {
                if let Some(segment) = self.segments.get_mut(segment) {
                    match value {
                        Some(value) => segment.attributes.insert(*attribute, *value),
                        None => segment.attributes.remove(*attribute),
                    }
                }
            }
            Op::Moved { object, length, runs } => self.moved(*object, *length, runs),
            Op::Opened { incarnation, .. } => self.incarnation = *incarnation,
        }
        Ok(())
    }

    fn effect(&mut self, effect: &SegmentEffect, touched: &mut Touched) {
        match effect {
            SegmentEffect::Create(name) => {
                let key = SegmentKey(self.next_segment);
                self.next_segment += 1;
                let name = Arc::new(name.clone());
                self.names.insert(name.clone(), key);
                self.segments.insert(key, Segment::new(name));
            }
            SegmentEffect::Seal(name) => {
                if let Some((key, segment)) = self.segment_mut(name) {
                    segment.is_sealed = true;
                    touched.insert(key, segment.end());
                }
            }
            SegmentEffect::Truncate { segment, offset } => {
                if let Some((_, segment)) = self.segment_mut(segment) {
                    segment.truncate(*offset);
                }
            }
            SegmentEffect::Drop(name) => {
                if let Some((_, segment)) = self.segment_mut(name) {
                    segment.truncate(segment.length);
                }
            }
            SegmentEffect::Delete(name) => {
                self.take(name);
            }
            SegmentEffect::Merge { from, into } => {
                let Some(from) = self.take(from) else { return };
                if let Some((key, into)) = self.segment_mut(into) {
                    into.extents.splice(&from.extents, into.length);
                    into.length += from.length - from.start;
                    touched.insert(key, into.end());
                }
            }
        }
    }

    fn segment_mut(&mut self, name: &SegmentName) -> Option<(SegmentKey, &mut Segment)> {
        let key = *self.names.get(name)?;
        Some((key, self.segments.get_mut(&key)?))
    }

    fn take(&mut self, name: &SegmentName) -> Option<Segment> {
        let segment = self.segments.remove(&self.names.remove(name)?)?;
        // Whoever waits for more of it learns that it is gone.
        segment.wake();
        Some(segment)
    }

    /// A byte of a segment never changes, so wherever those of the runs were, the object holds the same.
    fn moved(&mut self, object: u64, length: u64, runs: &[Run]) {
        let mut moved = 0;
        for run in runs {
            if let Some(segment) = self.segments.get_mut(&run.segment) {
                moved += segment.extents.moved((run.offset, run.offset + run.length), (object, run.at));
            }
        }
        if moved > 0 {
            self.objects.insert(object, ObjectRecord { length });
        }
    }

    /// What was touched is durable: readers may see it.
    pub(crate) fn show(&mut self, touched: &Touched) {
        for (key, visible) in touched {
            if let Some(segment) = self.segments.get_mut(key) {
                segment.visible = *visible;
                segment.wake();
            }
        }
    }

    /// Where all bytes of all segments are.
    pub(crate) fn extents(&self) -> impl Iterator<Item = (SegmentKey, &Extent)> {
        self.segments
            .iter()
            .flat_map(|(&key, segment)| segment.extents.iter().map(move |extent| (key, extent)))
    }

    /// How many bytes of each log file and of each object are in use.
    pub(crate) fn in_use(&self) -> InUse {
        let mut used = InUse::default();
        // What stands side by side in a segment is mostly in one file.
        let mut run = (0, 0);
        for (_, extent) in self.extents() {
            match extent.location {
                Location::Object { id, .. } => *used.objects.entry(id).or_default() += extent.length,
                Location::Frame { number, .. } => {
                    // Those of the frame that is not written yet are in no file.
                    let Some(place) = self.frames.place(number) else { continue };
                    if place.file != run.0 {
                        used.in_file(run);
                        run = (place.file, 0);
                    }
                    run.1 += extent.length;
                }
            }
        }
        used.in_file(run);
        used
    }

    /// Forgets what a snapshot no longer needed: places of frames in files before `file`, as far as none of them is in use, and objects.
    pub(crate) fn forget(&mut self, used: &InUse, file: u64, objects: &[u64]) {
        self.frames.forget_before(used.files.keys().next().copied().unwrap_or(file).min(file));
        self.objects.retain(|id, _| !objects.contains(id));
    }

    /// Forgets where frames and objects are that hold nothing.
    pub(crate) fn prune(&mut self, used: &InUse, file: u64) {
        self.frames.forget_before(used.files.keys().next().copied().unwrap_or(file).min(file));
        self.objects.retain(|id, _| used.objects.contains_key(id));
    }
}

/// How many bytes of each log file and of each object are in use.
#[derive(Clone, Debug, Default)]
pub(crate) struct InUse {
    pub(crate) files: BTreeMap<u64, u64>,
    pub(crate) objects: BTreeMap<u64, u64>,
}

impl InUse {
    fn in_file(&mut self, (file, bytes): (u64, u64)) {
        if bytes > 0 {
            *self.files.entry(file).or_default() += bytes;
        }
    }
}

impl Segment {
    fn new(name: Arc<SegmentName>) -> Self {
        Self {
            name,
            start: 0,
            length: 0,
            is_sealed: false,
            extents: Extents::default(),
            attributes: Attributes::default(),
            visible: Visible::default(),
            waiters: None,
        }
    }

    fn truncate(&mut self, offset: u64) {
        self.start = self.start.max(offset.min(self.length));
        self.extents.truncate(self.start);
    }

    /// What there is to see once all of it is durable.
    pub(crate) fn end(&self) -> Visible {
        Visible { length: self.length, is_sealed: self.is_sealed }
    }

    /// All of it may be seen.
    pub(crate) fn show(&mut self) {
        self.visible = self.end();
    }

    pub(crate) fn wake(&self) {
        if let Some(waiters) = &self.waiters {
            waiters.notify_waiters();
        }
    }
}
