//! Reading a stream in order of every key.

use std::collections::{BTreeMap, BTreeSet};
use std::ops::Range;
use std::sync::Arc;
use std::time::Duration;

use bytes::{Bytes, BytesMut};
use futures::StreamExt;
use futures::future::BoxFuture;
use futures::stream::FuturesUnordered;

use crate::client::StoreClient;
use crate::container::Read;
use crate::cut::StreamCut;
use crate::error::Result;
use crate::event;
use crate::id::{SegmentId, SegmentName, StreamName};

/// How much is read at once: 1 MiB.
pub const READ_SIZE: usize = 1 << 20;
/// How long a read waits at the end of a segment before it is asked again.
const PATIENCE: Duration = Duration::from_secs(60);

/// Events of one segment that follow on each other.
#[derive(Clone, Debug)]
pub struct Events {
    /// The segment.
    pub segment: SegmentId,
    /// Where the first one begins in it, with its header.
    pub offset: u64,
    /// Where reading goes on behind the last one.
    pub next: u64,
    /// What the ranges point into.
    pub bytes: Bytes,
    /// The events, without their headers.
    pub events: Vec<Range<usize>>,
}

impl Events {
    /// The events, in order.
    pub fn iter(&self) -> impl Iterator<Item = &[u8]> {
        self.events.iter().map(|range| &self.bytes[range.clone()])
    }
}

/// Reads all events between two cuts, or behind one.
///
/// All segments that can be read are read side by side, each read ahead by one read. A segment's successors are begun when all segments that they follow on
/// are read to their ends, so the events of one key come in the order in which they were written.
#[derive(Debug)]
pub struct StreamReader {
    client: Arc<dyn StoreClient>,
    stream: StreamName,
    end: Option<StreamCut>,
    patience: Duration,
    cursors: BTreeMap<SegmentId, Cursor>,
    reads: FuturesUnordered<BoxFuture<'static, (SegmentId, Result<Read>)>>,
    finished: BTreeSet<SegmentId>,
    /// The segments that there were at the start, and the newest epoch then: what else there was lies before the start.
    at_start: BTreeSet<SegmentId>,
    epoch_at_start: u32,
}

/// Where a segment is read.
#[derive(Debug)]
struct Cursor {
    /// Where the bytes in `rest` begin.
    offset: u64,
    /// An event that is not whole yet.
    rest: Bytes,
    end: Option<u64>,
}

impl StreamReader {
    /// Reads from `start` to `end`, or for ever.
    ///
    /// # Errors
    ///
    /// The store's, for a cut that is none above all.
    pub async fn open(
        client: Arc<dyn StoreClient>,
        stream: StreamName,
        start: &StreamCut,
        end: Option<StreamCut>,
    ) -> Result<Self> {
        // Also says whether the cuts are any.
        client.segments_between(&stream, start, end.as_ref()).await?;
        let parts = client.segments_between(&stream, start, None).await?;
        let at_start: BTreeSet<_> = parts.iter().map(|part| part.id).collect();
        let epoch_at_start = at_start.iter().map(|id| id.epoch()).max().unwrap_or(0);
        let mut this = Self {
            client,
            stream,
            end,
            patience: PATIENCE,
            cursors: BTreeMap::new(),
            reads: FuturesUnordered::new(),
            finished: BTreeSet::new(),
            at_start,
            epoch_at_start,
        };
        for (segment, offset) in start.iter() {
            this.begin(segment, offset);
        }
        Ok(this)
    }

    fn begin(&mut self, segment: SegmentId, offset: u64) {
        let end = self.end.as_ref().and_then(|end| end.offset(segment));
        self.cursors.insert(segment, Cursor { offset, rest: Bytes::new(), end });
        self.ask(segment);
    }

    fn ask(&mut self, segment: SegmentId) {
        let Some(cursor) = self.cursors.get(&segment) else { return };
        let at = cursor.offset + cursor.rest.len() as u64;
        let left = cursor.end.map_or(u64::MAX, |end| end.saturating_sub(at));
        let needed = event::parse(&cursor.rest).needed().unwrap_or(0).saturating_sub(cursor.rest.len());
        let size = usize::try_from(left).unwrap_or(usize::MAX).min(READ_SIZE.max(needed));
        let (client, patience) = (self.client.clone(), self.patience);
        let name = SegmentName::new(self.stream.clone(), segment);
        self.reads.push(Box::pin(async move {
            if size == 0 {
                return (segment, Ok(Read { bytes: Bytes::new(), is_end: true }));
            }
            let read = client.read(&name, at, size, patience).await;
            (segment, read)
        }));
    }

    /// The next events; none at the end. Waits for more where there is no end. May be dropped and called again.
    ///
    /// # Errors
    ///
    /// The store's; [`Error::Truncated`](crate::Error::Truncated) above all.
    pub async fn next(&mut self) -> Result<Option<Events>> {
        loop {
            let Some((segment, read)) = self.reads.next().await else { return Ok(None) };
            let read = match read {
                Ok(read) => read,
                Err(error) => {
                    // Asked again, it is read again.
                    self.ask(segment);
                    return Err(error);
                }
            };
            let Some(cursor) = self.cursors.get_mut(&segment) else { continue };
            if read.bytes.is_empty() {
                if read.is_end {
                    self.finish(segment).await?;
                } else {
                    self.ask(segment);
                }
                continue;
            }
            let bytes = if cursor.rest.is_empty() { read.bytes } else { joined(&cursor.rest, &read.bytes) };
            let mut parsed = event::parse(&bytes);
            let events = parsed.by_ref().collect::<Result<Vec<_>>>()?;
            let offset = cursor.offset;
            let next = offset + parsed.at() as u64;
            (cursor.offset, cursor.rest) = (next, bytes.slice(parsed.at()..));
            self.ask(segment);
            if !events.is_empty() {
                return Ok(Some(Events { segment, offset, next, bytes, events }));
            }
        }
    }

    async fn finish(&mut self, segment: SegmentId) -> Result<()> {
        let Some(cursor) = self.cursors.get(&segment) else { return Ok(()) };
        if cursor.end.is_some() {
            // What follows lies behind the end.
            self.cursors.remove(&segment);
            return Ok(());
        }
        let after = match self.client.successors(&self.stream, segment).await {
            Ok(after) => after,
            Err(error) => {
                self.ask(segment);
                return Err(error);
            }
        };
        self.cursors.remove(&segment);
        self.finished.insert(segment);
        for successor in after {
            let is_known = self.cursors.contains_key(&successor.id) || self.finished.contains(&successor.id);
            if !is_known && successor.predecessors.iter().all(|&id| self.is_done(id)) {
                self.begin(successor.id, 0);
            }
        }
        Ok(())
    }

    /// Whether a segment is read to its end, or lies before the start.
    fn is_done(&self, segment: SegmentId) -> bool {
        let was_before = segment.epoch() <= self.epoch_at_start && !self.at_start.contains(&segment);
        self.finished.contains(&segment) || was_before
    }
}

fn joined(first: &[u8], second: &[u8]) -> Bytes {
    let mut bytes = BytesMut::with_capacity(first.len() + second.len());
    bytes.extend_from_slice(first);
    bytes.extend_from_slice(second);
    bytes.freeze()
}

/// How many bytes, with the headers of their events, lie between two cuts; up to the tail without the second.
///
/// # Errors
///
/// The store's.
pub async fn unread(
    client: &dyn StoreClient,
    stream: &StreamName,
    from: &StreamCut,
    to: Option<&StreamCut>,
) -> Result<u64> {
    let mut bytes = 0;
    for part in client.segments_between(stream, from, to).await? {
        let info = client.segment(&SegmentName::new(stream.clone(), part.id)).await?;
        bytes += part.end.unwrap_or(info.length).saturating_sub(part.start.max(info.start));
    }
    Ok(bytes)
}
