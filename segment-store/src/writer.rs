//! Writing events to a stream by their routing keys, each exactly once.

use std::collections::VecDeque;
use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use connector_api::env::Environment;
use futures::StreamExt;
use futures::future::BoxFuture;
use futures::stream::FuturesUnordered;

use crate::client::{StoreClient, Written};
use crate::container::{Ack, Appended};
use crate::error::{Error, Result};
use crate::event;
use crate::id::{SegmentId, SegmentName, StreamName, TransactionId, WriterId};
use crate::key_range::KeyRange;

/// How an event writer works. Sizes in bytes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct WriterOptions {
    /// About how much is appended to a segment at once: 256 KiB.
    pub block: usize,
    /// How much may wait for its acknowledgement before writing waits: 16 MiB.
    pub outstanding: usize,
    /// For how long a store that can't write is tried again: 30 s.
    pub patience: Duration,
}

impl Default for WriterOptions {
    fn default() -> Self {
        Self { block: 256 << 10, outstanding: 16 << 20, patience: Duration::from_secs(30) }
    }
}

/// How much each of many segments is worth an append of its own.
const SPREAD: usize = 16 * 1024;
/// How soon a store that can't write is asked again.
const PAUSE: Duration = Duration::from_millis(50);

/// Writes numbered events.
///
/// # Exactly once
///
/// The writer's id and the events' numbers, which rise, are stored with the events. A writer of the same id that is given the same events
/// with the same numbers once more, after a crash or in another process, stores those alone that are missing, whatever became of the segments
/// meanwhile. Two writers of one id at a time are not supported.
///
/// # Order
///
/// Events of one routing key are read in the order in which they were written, also where the stream is scaled meanwhile.
#[derive(Debug)]
pub struct EventWriter {
    client: Arc<dyn StoreClient>,
    env: Environment,
    stream: StreamName,
    writer: WriterId,
    transaction: Option<TransactionId>,
    options: WriterOptions,
    lanes: Vec<Lane>,
    /// What was stored before this writer was opened.
    written: Vec<Written>,
    acks: FuturesUnordered<BoxFuture<'static, (SegmentId, Result<u64>)>>,
    /// Bytes that are not acknowledged.
    outstanding: usize,
    /// Those of them that are not appended either.
    unsent: usize,
    last: Option<i64>,
}

/// A current segment.
#[derive(Debug)]
struct Lane {
    segment: SegmentId,
    range: KeyRange,
    open: Block,
    /// As much of it as is appended at once ends here.
    full: VecDeque<Closed>,
    /// Appended and not durable yet, in order.
    sent: VecDeque<Closed>,
    /// The last event that was appended.
    previous: Option<i64>,
}

/// Events that are to be appended at once.
#[derive(Debug, Default)]
struct Block {
    bytes: Vec<u8>,
    events: Vec<Placed>,
}

/// Events that are appended at once: nothing is added any more.
#[derive(Debug)]
struct Closed {
    bytes: Bytes,
    events: Vec<Placed>,
}

/// An event in a block, whose bytes say where it ends.
#[derive(Clone, Copy, Debug)]
struct Placed {
    number: i64,
    position: f64,
}

impl Lane {
    fn new(segment: SegmentId, range: KeyRange, previous: Option<i64>) -> Self {
        let (open, full, sent) = (Block::default(), VecDeque::new(), VecDeque::new());
        Self { segment, range, open, full, sent, previous }
    }

    /// The number of the first event that is not known to be durable.
    fn first(&self) -> Option<i64> {
        let sent = self.sent.front().map(|sent| &sent.events);
        let events = sent.or(self.full.front().map(|block| &block.events)).unwrap_or(&self.open.events);
        events.first().map(|event| event.number)
    }

    /// The number of the last event that was written and is not known to be durable.
    fn last(&self) -> Option<i64> {
        let of = |events: &Vec<Placed>| events.last().map(|event| event.number);
        let waiting = of(&self.open.events).or_else(|| self.full.back().and_then(|block| of(&block.events)));
        waiting.or_else(|| self.sent.back().and_then(|sent| of(&sent.events)))
    }

    /// All events that are not known to be durable, in order, with their bytes.
    fn take(&mut self) -> impl Iterator<Item = (Placed, Bytes)> {
        let open = std::mem::take(&mut self.open).close();
        let closed = std::mem::take(&mut self.sent).into_iter().chain(std::mem::take(&mut self.full));
        closed.chain([open]).flat_map(Closed::each)
    }
}

impl Block {
    fn close(self) -> Closed {
        Closed { bytes: self.bytes.into(), events: self.events }
    }
}

impl Closed {
    /// Each event with its bytes, header included.
    fn each(self) -> impl Iterator<Item = (Placed, Bytes)> {
        let Self { bytes, events } = self;
        let mut parsed = event::parse(&bytes);
        // They were framed here.
        let ranges: Vec<_> = parsed.by_ref().map_while(Result::ok).collect();
        events
            .into_iter()
            .zip(ranges)
            .map(move |(event, range)| (event, bytes.slice(range.start - event::HEADER..range.end)))
    }
}

impl EventWriter {
    /// A writer to the current segments of a stream.
    ///
    /// # Errors
    ///
    /// The store's.
    pub async fn open(
        client: Arc<dyn StoreClient>,
        env: Environment,
        stream: StreamName,
        writer: WriterId,
        options: WriterOptions,
    ) -> Result<Self> {
        let mut this = Self::new(client, env, stream, writer, None, options);
        this.written = this.client.written(&this.stream, writer).await?;
        this.last = this.written.iter().map(|written| written.event).max();
        this.route().await?;
        Ok(this)
    }

    /// A writer into a transaction that was just begun.
    ///
    /// # Errors
    ///
    /// The store's.
    pub async fn in_transaction(
        client: Arc<dyn StoreClient>,
        env: Environment,
        stream: StreamName,
        transaction: TransactionId,
        options: WriterOptions,
    ) -> Result<Self> {
        let writer = WriterId(u128::from(env.random.next_u64()) << 64 | u128::from(env.random.next_u64()));
        let mut this = Self::new(client, env, stream, writer, Some(transaction), options);
        this.route().await?;
        Ok(this)
    }

    fn new(
        client: Arc<dyn StoreClient>,
        env: Environment,
        stream: StreamName,
        writer: WriterId,
        transaction: Option<TransactionId>,
        options: WriterOptions,
    ) -> Self {
        Self {
            client,
            env,
            stream,
            writer,
            transaction,
            options,
            lanes: Vec::new(),
            written: Vec::new(),
            acks: FuturesUnordered::new(),
            outstanding: 0,
            unsent: 0,
            last: None,
        }
    }

    fn name(&self, segment: SegmentId) -> SegmentName {
        let name = SegmentName::new(self.stream.clone(), segment);
        match self.transaction {
            Some(id) => name.within(id),
            None => name,
        }
    }

    /// The number of the last event that was written, now or before this writer was opened.
    pub fn last_number(&self) -> Option<i64> {
        self.last
    }

    /// All events up to this number that were given to [`write`](Self::write) are durable.
    pub fn acknowledged(&self) -> Option<i64> {
        match self.lanes.iter().filter_map(Lane::first).min() {
            Some(first) => Some(first - 1),
            None => self.last,
        }
    }

    /// Writes an event: [`push`](Self::push), then [`ready`](Self::ready).
    ///
    /// # Errors
    ///
    /// Those of the two.
    pub async fn write(&mut self, number: i64, position: f64, event: &[u8]) -> Result<bool> {
        let is_new = self.push(number, position, event)?;
        if self.unsent >= self.batch() {
            self.ready().await?;
        }
        Ok(is_new)
    }

    /// Takes an event for the segment that the position of its routing key belongs to. Says whether it is new: an event that the stream
    /// holds already, by its number, is not stored again. Whoever pushes many calls [`ready`](Self::ready) after each batch.
    ///
    /// # Errors
    ///
    /// [`Error::Limit`] for an event that is too large, [`Error::Invalid`] for a number that is not above the one before: then
    /// the event was not taken.
    pub fn push(&mut self, number: i64, position: f64, event: &[u8]) -> Result<bool> {
        let holds = |written: &Written| written.range.contains(position) && number <= written.event;
        if self.written.iter().any(holds) {
            return Ok(false);
        }
        let lane = match &mut self.lanes[..] {
            [only] => Some(only),
            lanes => {
                let at = lanes.partition_point(|lane| lane.range.high <= position);
                lanes.get_mut(at)
            }
        };
        let Some(lane) = lane.filter(|lane| lane.range.contains(position)) else {
            return Err(Error::invalid("a position", format!("{position} is not within [0, 1)")));
        };
        if number < 0 || lane.last().max(lane.previous).is_some_and(|last| number <= last) {
            let reason = format!("{number} does not follow on the numbers before");
            return Err(Error::invalid("the number of an event", reason));
        }
        let length = lane.open.bytes.len();
        event::push(&mut lane.open.bytes, event)?;
        lane.open.events.push(Placed { number, position });
        let length = lane.open.bytes.len() - length;
        (self.outstanding, self.unsent) = (self.outstanding + length, self.unsent + length);
        self.last = self.last.max(Some(number));
        if lane.open.bytes.len() >= self.options.block {
            lane.close(self.options.block);
        }
        Ok(true)
    }

    /// Appends what was pushed, where it is worth it, and waits while too much is outstanding.
    ///
    /// # Errors
    ///
    /// The store's: the events are kept, and [`flush`](Self::flush) goes on with all of them.
    pub async fn ready(&mut self) -> Result<()> {
        if self.unsent >= self.batch() {
            self.send_all().await?;
        }
        while self.outstanding > self.options.outstanding {
            self.send_all().await?;
            self.acked().await?;
        }
        Ok(())
    }

    /// How much is appended together: a block, and more where it is spread over many segments.
    fn batch(&self) -> usize {
        self.options.block.max(self.lanes.len() * SPREAD).min(self.options.outstanding)
    }

    /// Whether nothing waits for an acknowledgement; what was written and not sent yet does not count.
    pub fn is_settled(&self) -> bool {
        self.acks.is_empty()
    }

    /// Appends what was written so far, without waiting until it is durable.
    ///
    /// # Errors
    ///
    /// The store's; calling again goes on.
    pub async fn send_all(&mut self) -> Result<()> {
        let lanes: Vec<_> = self.lanes.iter().map(|lane| lane.segment).collect();
        for segment in lanes {
            self.send(segment).await?;
        }
        Ok(())
    }

    /// Waits until something is acknowledged; does nothing when nothing is outstanding. May be dropped and called again.
    ///
    /// # Errors
    ///
    /// The store's; calling again goes on.
    pub async fn acked(&mut self) -> Result<()> {
        match self.acks.next().await {
            None => Ok(()),
            Some((segment, Ok(_))) => {
                self.settle(segment);
                Ok(())
            }
            Some((_, Err(Error::Unavailable { .. }))) => self.reconnect().await,
            Some((_, Err(error))) => Err(error),
        }
    }

    /// Waits until everything that was written is durable.
    ///
    /// # Errors
    ///
    /// The store's; calling again goes on.
    pub async fn flush(&mut self) -> Result<()> {
        loop {
            self.send_all().await?;
            if self.acks.is_empty() {
                // What a failure left unsent is sent now.
                if self.outstanding == 0 {
                    return Ok(());
                }
                self.reconnect().await?;
            }
            while !self.acks.is_empty() {
                self.acked().await?;
            }
        }
    }

    /// The oldest block of a segment is durable.
    fn settle(&mut self, segment: SegmentId) {
        let lane = self.lanes.iter_mut().find(|lane| lane.segment == segment);
        if let Some(block) = lane.and_then(|lane| lane.sent.pop_front()) {
            self.outstanding -= block.bytes.len();
        }
    }

    async fn send(&mut self, segment: SegmentId) -> Result<()> {
        let name = self.name(segment);
        loop {
            let Some(lane) = self.lanes.iter_mut().find(|lane| lane.segment == segment) else {
                return Ok(());
            };
            lane.close(self.options.block);
            let Some(block) = lane.full.front() else { return Ok(()) };
            let Some(number) = block.events.last().map(|event| event.number) else { return Ok(()) };
            let append = Appended {
                writer: self.writer,
                event: number,
                previous: lane.previous,
                events: block.events.len() as u32,
                at: None,
                bytes: block.bytes.clone(),
            };
            let ack = match self.client.append(&name, append).await {
                Ok(ack) => ack,
                Err(Error::Sealed(_)) if self.transaction.is_none() => return self.reroute().await,
                // An append before this one failed, and its answer has not been looked at yet.
                Err(Error::Unavailable { .. }) => return self.reconnect().await,
                Err(error) => return Err(error),
            };
            // Dropped before this, it is appended again, and that is a repetition.
            if let Some(block) = lane.full.pop_front() {
                self.unsent -= block.bytes.len();
                lane.sent.push_back(block);
            }
            lane.previous = Some(number);
            self.acks.push(Box::pin(acknowledged(segment, ack)));
        }
    }

    /// Learns the current segments; those that are lanes already stay as they are.
    async fn route(&mut self) -> Result<()> {
        let info = self.client.stream(&self.stream).await?;
        if info.is_sealed {
            return Err(Error::StreamSealed(self.stream.clone()));
        }
        let mut old = std::mem::take(&mut self.lanes);
        for (segment, range) in info.current {
            let kept = old.iter().position(|lane| lane.segment == segment).map(|at| old.swap_remove(at));
            let before = self.written.iter().find(|written| written.segment == segment);
            let previous = before.map(|written| written.event);
            self.lanes.push(kept.unwrap_or_else(|| Lane::new(segment, range, previous)));
        }
        self.lanes.sort_by(|a, b| a.range.low.total_cmp(&b.range.low));
        // What those held that are no more.
        let mut left: Vec<(Placed, Bytes)> = old.iter_mut().flat_map(Lane::take).collect();
        left.sort_by_key(|(event, _)| event.number);
        for (event, bytes) in left {
            let lane = self.lanes.partition_point(|lane| lane.range.high <= event.position);
            if let Some(lane) = self.lanes.get_mut(lane) {
                lane.open.bytes.extend_from_slice(&bytes);
                lane.open.events.push(event);
            }
        }
        self.count();
        Ok(())
    }

    /// Counts anew what is where.
    fn count(&mut self) {
        let of = |lane: &Lane| {
            lane.full.iter().map(|block| block.bytes.len()).sum::<usize>() + lane.open.bytes.len()
        };
        self.unsent = self.lanes.iter().map(of).sum();
        let sent = self.lanes.iter().flat_map(|lane| &lane.sent).map(|sent| sent.bytes.len()).sum::<usize>();
        self.outstanding = self.unsent + sent;
    }

    /// A segment was sealed: what was appended to it before is stored; the rest goes to its successors.
    async fn reroute(&mut self) -> Result<()> {
        while let Some((segment, ack)) = self.acks.next().await {
            match ack {
                Ok(_) => self.settle(segment),
                Err(Error::Unavailable { .. }) => return Box::pin(self.reconnect()).await,
                Err(error) => return Err(error),
            }
        }
        self.route().await
    }

    /// The store could not write: finds out what it holds, and takes the rest as unwritten.
    async fn reconnect(&mut self) -> Result<()> {
        let until = self.env.clock.monotonic() + self.options.patience;
        self.acks.clear();
        loop {
            match self.resume().await {
                Err(Error::Unavailable { reason }) if self.env.clock.monotonic() < until => {
                    tracing::warn!(stream = %self.stream, reason, "the store can't write; trying again");
                    self.env.clock.sleep(PAUSE).await;
                }
                done => return done,
            }
        }
    }

    async fn resume(&mut self) -> Result<()> {
        for lane in 0..self.lanes.len() {
            let name = self.name(self.lanes[lane].segment);
            let last = self.client.last_event(&name, self.writer).await?;
            let lane = &mut self.lanes[lane];
            let mut open = Block::default();
            for (event, bytes) in lane.take() {
                // An append is stored whole or not at all, in order.
                if Some(event.number) > last {
                    open.bytes.extend_from_slice(&bytes);
                    open.events.push(event);
                }
            }
            lane.open = open;
            lane.previous = last;
        }
        self.count();
        if self.transaction.is_none() { self.route().await } else { Ok(()) }
    }
}

impl Lane {
    /// Closes the open block, in pieces of about `size`.
    fn close(&mut self, size: usize) {
        let capacity = self.open.bytes.len().min(size + size / 8);
        let next =
            Block { bytes: Vec::with_capacity(capacity), events: Vec::with_capacity(self.open.events.len()) };
        let open = std::mem::replace(&mut self.open, next);
        if open.bytes.len() <= size.saturating_mul(2) {
            if !open.events.is_empty() {
                self.full.push_back(open.close());
            }
            return;
        }
        // What a failure put together is more than one append may bring.
        let mut block = Block::default();
        for (event, bytes) in open.close().each() {
            block.bytes.extend_from_slice(&bytes);
            block.events.push(event);
            if block.bytes.len() >= size {
                self.full.push_back(std::mem::take(&mut block).close());
            }
        }
        if !block.events.is_empty() {
            self.full.push_back(block.close());
        }
    }
}

async fn acknowledged(segment: SegmentId, ack: Ack) -> (SegmentId, Result<u64>) {
    (segment, ack.durable().await)
}
