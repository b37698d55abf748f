//! Appends to segments: events in batches, one batch of a segment after the other.
//!
//! Rows of a key lie in one buffer or in appends that were given their places before it, so they are stored in order. When a segment turns out
//! to be sealed, what was not stored goes to its successors before anything later does.

use std::collections::{BTreeMap, VecDeque};
use std::sync::Arc;

use bytes::Bytes;
use connector_api::{Error, Result};
use segment_store::client::StoreClient;
use segment_store::{
    Ack, Appended, KeyRange, SegmentId, SegmentName, StreamName, TransactionId, WriterId, event,
};

use crate::error::failed;

/// How many bytes may be unacknowledged or unsent.
const OUTSTANDING: usize = 16 << 20;

/// Events for a segment, with the positions of their keys.
#[derive(Debug, Default)]
struct Buffer {
    bytes: Vec<u8>,
    /// Where each event ends, and its key's position.
    events: Vec<(usize, f64)>,
}

/// The ways into a stream, or into a transaction of it.
#[derive(Debug)]
pub(super) struct Lanes {
    client: Arc<dyn StoreClient>,
    stream: StreamName,
    transaction: Option<TransactionId>,
    writer: WriterId,
    /// The writer's number of its last event.
    last: i64,
    /// And its last one in each segment.
    appended: BTreeMap<SegmentId, i64>,
    segments: Vec<(SegmentId, KeyRange)>,
    buffers: BTreeMap<SegmentId, Buffer>,
    /// Appends that have their places, oldest first, with their bytes.
    placed: VecDeque<(usize, SegmentId, Ack)>,
    outstanding: usize,
    /// About how much is appended at once.
    batch: usize,
}

impl Lanes {
    pub(super) fn new(
        client: Arc<dyn StoreClient>,
        stream: StreamName,
        transaction: Option<TransactionId>,
        writer: WriterId,
        segments: Vec<(SegmentId, KeyRange)>,
        batch: usize,
    ) -> Self {
        Self {
            client,
            stream,
            transaction,
            writer,
            last: -1,
            appended: BTreeMap::new(),
            segments,
            buffers: BTreeMap::new(),
            placed: VecDeque::new(),
            outstanding: 0,
            batch,
        }
    }

    pub(super) fn transaction(&self) -> Option<TransactionId> {
        self.transaction
    }

    /// Takes an event; sends what is due.
    pub(super) async fn push(&mut self, position: f64, value: &[u8]) -> Result<()> {
        let segment = self.segment_of(position)?;
        let buffer = self.buffers.entry(segment).or_default();
        let before = buffer.bytes.len();
        event::push(&mut buffer.bytes, value).map_err(failed("write to", &self.stream))?;
        buffer.events.push((buffer.bytes.len(), position));
        self.outstanding += buffer.bytes.len() - before;
        if buffer.bytes.len() >= self.batch {
            self.send(segment).await?;
        }
        self.make_room().await
    }

    fn segment_of(&self, position: f64) -> Result<SegmentId> {
        let found = self.segments.iter().find(|(_, range)| range.contains(position));
        found.map(|(id, _)| *id).ok_or_else(|| {
            Error::contract("store", format!("no segment of {} holds the position {position}", self.stream))
        })
    }

    /// Sends all that is buffered.
    pub(super) async fn send_all(&mut self) -> Result<()> {
        // What a sealed segment held comes into other buffers.
        while let Some((&segment, _)) = self.buffers.first_key_value() {
            self.send(segment).await?;
        }
        Ok(())
    }

    /// Sends all that is buffered, and waits until all is durable.
    pub(super) async fn flush(&mut self) -> Result<()> {
        self.send_all().await?;
        while self.acknowledge().await? {}
        Ok(())
    }

    async fn make_room(&mut self) -> Result<()> {
        if self.outstanding > OUTSTANDING {
            self.send_all().await?;
        }
        while self.outstanding > OUTSTANDING && self.acknowledge().await? {}
        Ok(())
    }

    /// Waits for the oldest append; says whether there was one.
    async fn acknowledge(&mut self) -> Result<bool> {
        let Some((bytes, segment, ack)) = self.placed.pop_front() else { return Ok(false) };
        ack.durable().await.map_err(failed("write to", self.name(segment)))?;
        self.outstanding = self.outstanding.saturating_sub(bytes);
        Ok(true)
    }

    fn name(&self, segment: SegmentId) -> SegmentName {
        let name = SegmentName::new(self.stream.clone(), segment);
        match self.transaction {
            Some(transaction) => name.within(transaction),
            None => name,
        }
    }

    async fn send(&mut self, segment: SegmentId) -> Result<()> {
        let Some(Buffer { bytes, events }) = self.buffers.remove(&segment) else { return Ok(()) };
        let (bytes, count) = (Bytes::from(bytes), events.len() as u32);
        let event = self.last + i64::from(count);
        let append = Appended {
            writer: self.writer,
            event,
            previous: self.appended.get(&segment).copied(),
            events: count,
            at: None,
            bytes: bytes.clone(),
        };
        let name = self.name(segment);
        match self.client.append(&name, append).await {
            Ok(ack) => {
                self.last = event;
                self.appended.insert(segment, event);
                self.placed.push_back((bytes.len(), segment, ack));
                Ok(())
            }
            Err(segment_store::Error::Sealed(_)) if self.transaction.is_none() => {
                self.reroute(segment, Buffer { bytes: bytes.to_vec(), events }).await
            }
            Err(error) => Err(failed("write to", name)(error)),
        }
    }

    /// The segment is sealed: the stream was scaled. What it was to get, and what is buffered for others that are not current any more, goes
    /// to the segments that are.
    async fn reroute(&mut self, sealed: SegmentId, unsent: Buffer) -> Result<()> {
        let info = self.client.stream(&self.stream).await.map_err(failed("ask for", &self.stream))?;
        if info.is_sealed {
            let error = segment_store::Error::StreamSealed(self.stream.clone());
            return Err(failed("write to", &self.stream)(error));
        }
        tracing::info!(stream = %self.stream, %sealed, segments = info.current.len(), "the stream was scaled");
        self.segments = info.current;
        let is_current = |id: &SegmentId| self.segments.iter().any(|(current, _)| current == id);
        let (current, mut stale): (BTreeMap<_, _>, BTreeMap<_, _>) =
            std::mem::take(&mut self.buffers).into_iter().partition(|(id, _)| is_current(id));
        self.buffers = current;
        // Each key is in one of them; the order among them is free.
        stale.insert(sealed, unsent);
        for Buffer { bytes, events } in stale.into_values() {
            let mut start = 0;
            for (end, position) in events {
                let to = self.segment_of(position)?;
                let buffer = self.buffers.entry(to).or_default();
                buffer.bytes.extend_from_slice(&bytes[start..end]);
                buffer.events.push((buffer.bytes.len(), position));
                start = end;
            }
        }
        Ok(())
    }
}
