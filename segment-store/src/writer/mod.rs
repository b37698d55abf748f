//! Writing events to a stream by their routing keys, each exactly once.

mod lane;

use std::collections::VecDeque;
use std::sync::Arc;
use std::time::Duration;

use connector_api::env::Environment;

use crate::client::{StoreClient, Written};
use crate::container::{Ack, Appended};
use crate::error::{Error, Result};
use crate::id::{SegmentId, SegmentName, StreamName, TransactionId, WriterId};
use crate::key_range::KeyRange;
use crate::pool::Pool;
use lane::{Block, Lane, Placed};

/// How an event writer works. Sizes in bytes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct WriterOptions {
    /// About how much is appended to a segment at once, unless one event is larger: 256 KiB.
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
/// How much is collected beyond what is worth an append while the store has no room: 1 MiB.
const COLLECTED: usize = 1 << 20;
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
    /// Where appending goes on.
    next_lane: usize,
    /// What was stored before this writer was opened.
    written: Vec<Written>,
    /// Appended and not known to be durable, in order.
    sent: VecDeque<Sent>,
    /// An append failed, and what the store holds of those behind it is not known.
    is_lost: bool,
    /// Bytes that are not acknowledged.
    outstanding: usize,
    /// Those of them that are not appended either.
    unsent: usize,
    last: Option<i64>,
    pool: Pool,
}

/// How far appending came.
enum Sending {
    Done,
    /// The lanes are not those that they were.
    Rerouted,
    NoRoom,
}

/// What was appended.
#[derive(Debug)]
struct Sent {
    /// To which lane. Those stay what they are as long as anything is sent.
    lane: usize,
    block: Block,
    ack: Ack,
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

    /// A writer into a transaction that nobody wrote into yet. `current` is what was current when it was begun: those segments it has parts in.
    pub fn in_transaction(
        client: Arc<dyn StoreClient>,
        env: Environment,
        stream: StreamName,
        transaction: TransactionId,
        current: Vec<(SegmentId, KeyRange)>,
        options: WriterOptions,
    ) -> Self {
        let writer = WriterId(u128::from(env.random.next_u64()) << 64 | u128::from(env.random.next_u64()));
        let mut this = Self::new(client, env, stream, writer, Some(transaction), options);
        this.enter(current);
        this
    }

    fn new(
        client: Arc<dyn StoreClient>,
        env: Environment,
        stream: StreamName,
        writer: WriterId,
        transaction: Option<TransactionId>,
        options: WriterOptions,
    ) -> Self {
        let pool = client.pool();
        Self {
            client,
            env,
            stream,
            writer,
            transaction,
            options,
            lanes: Vec::new(),
            next_lane: 0,
            written: Vec::new(),
            sent: VecDeque::new(),
            is_lost: false,
            outstanding: 0,
            unsent: 0,
            last: None,
            pool,
        }
    }

    fn name(&self, segment: SegmentId) -> SegmentName {
        let name = SegmentName::new(self.stream.clone(), segment);
        match self.transaction {
            Some(id) => name.within(id),
            None => name,
        }
    }

    /// The transaction that it writes into, if it does.
    pub fn transaction(&self) -> Option<TransactionId> {
        self.transaction
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
        let size = self.size();
        let Some(lane) = self.lane(position).and_then(|lane| self.lanes.get_mut(lane)) else {
            return Err(Error::invalid("a position", format!("{position} is not within [0, 1)")));
        };
        if number < 0 || lane.last().is_some_and(|last| number <= last) {
            let reason = format!("{number} does not follow on the numbers before");
            return Err(Error::invalid("the number of an event", reason));
        }
        let placed = Placed { number, position };
        let length = lane.push(placed, event, size, &self.pool)?;
        (self.outstanding, self.unsent) = (self.outstanding + length, self.unsent + length);
        self.last = self.last.max(Some(number));
        Ok(true)
    }

    /// The lane that a position belongs to.
    fn lane(&self, position: f64) -> Option<usize> {
        let is_in = |lane: &usize| self.lanes.get(*lane).is_some_and(|lane| lane.range.contains(position));
        // Where ranges are of one size, that is it.
        let guess = (position * self.lanes.len() as f64) as usize;
        if is_in(&guess) {
            return Some(guess);
        }
        Some(self.lanes.partition_point(|lane| lane.range.high <= position)).filter(is_in)
    }

    /// Appends what was pushed, where it is worth it, and waits while too much is outstanding.
    ///
    /// # Errors
    ///
    /// The store's: the events are kept, and [`flush`](Self::flush) goes on with all of them.
    pub async fn ready(&mut self) -> Result<()> {
        if self.unsent >= self.batch() {
            // Waking whoever waits takes longer than coming back later.
            let waits = self.unsent >= self.batch() + COLLECTED;
            self.send_lanes(waits).await?;
        }
        while self.outstanding > self.options.outstanding {
            if self.sent.is_empty() {
                self.send_all().await?;
            }
            self.acked().await?;
        }
        self.take_acks().await
    }

    /// How much is appended together: a block, and more where it is spread over many segments.
    fn batch(&self) -> usize {
        self.options.block.max(self.lanes.len() * SPREAD).min(self.options.outstanding)
    }

    /// How large a block gets at most, unless one event is larger: more than one segment's part of what is appended together, since those differ.
    fn size(&self) -> usize {
        (2 * self.batch() / self.lanes.len().max(1)).next_power_of_two().min(self.options.block)
    }

    /// Whether nothing waits for an acknowledgement; what was written and not sent yet does not count.
    pub fn is_settled(&self) -> bool {
        self.sent.is_empty()
    }

    /// Appends what was written so far, without waiting until it is durable.
    ///
    /// # Errors
    ///
    /// The store's; calling again goes on.
    pub async fn send_all(&mut self) -> Result<()> {
        self.send_lanes(true).await
    }

    /// Appends what was written so far, or else as much of it as there is room for.
    async fn send_lanes(&mut self, waits: bool) -> Result<()> {
        // It goes on where there was no room, so that no lane waits longer than the others.
        let mut left = self.lanes.len();
        while left > 0 {
            if self.is_lost {
                self.reconnect().await?;
                left = self.lanes.len();
            }
            if self.next_lane >= self.lanes.len() {
                self.next_lane = 0;
            }
            match self.send(self.next_lane, waits).await? {
                Sending::Done => (left, self.next_lane) = (left - 1, self.next_lane + 1),
                Sending::Rerouted => left = self.lanes.len(),
                Sending::NoRoom => break,
            }
        }
        Ok(())
    }

    /// Waits until something is acknowledged; does nothing when nothing is outstanding. May be dropped and called again.
    ///
    /// # Errors
    ///
    /// The store's; calling again goes on.
    pub async fn acked(&mut self) -> Result<()> {
        let Some(first) = self.sent.front() else { return Ok(()) };
        let outcome = first.ack.durable().await;
        self.settle(outcome).await?;
        self.take_acks().await
    }

    /// Takes note of what was acknowledged by now.
    async fn take_acks(&mut self) -> Result<()> {
        while let Some(outcome) = self.sent.front().and_then(|next| next.ack.outcome()) {
            self.settle(outcome).await?;
        }
        Ok(())
    }

    /// The oldest append has this outcome.
    async fn settle(&mut self, outcome: Result<u64>) -> Result<()> {
        match outcome {
            Ok(_) => {
                if let Some(Sent { lane, block, .. }) = self.sent.pop_front() {
                    self.outstanding -= block.bytes.bytes().len();
                    if let Some(lane) = self.lanes.get_mut(lane) {
                        lane.acknowledged(&block);
                    }
                }
                Ok(())
            }
            Err(Error::Unavailable { .. }) => self.reconnect().await,
            Err(error) => {
                self.give_back();
                Err(error)
            }
        }
    }

    /// Waits until everything that was written is durable.
    ///
    /// # Errors
    ///
    /// The store's; calling again goes on.
    pub async fn flush(&mut self) -> Result<()> {
        while self.outstanding > 0 {
            self.send_all().await?;
            while !self.sent.is_empty() {
                self.acked().await?;
            }
        }
        Ok(())
    }

    /// Appends what was written to a lane.
    async fn send(&mut self, at: usize, waits: bool) -> Result<Sending> {
        loop {
            let Some(lane) = self.lanes.get_mut(at) else { return Ok(Sending::Done) };
            if lane.full.is_empty() {
                lane.close(self.options.block, &self.pool);
            }
            let Some(block) = lane.full.front() else { return Ok(Sending::Done) };
            let number = block.last;
            let append = Appended {
                writer: self.writer,
                event: number,
                previous: lane.previous,
                events: block.events as u32,
                at: None,
                bytes: block.bytes.clone(),
            };
            let appended = match self.client.try_append(&lane.name, &append) {
                Ok(None) if !waits => return Ok(Sending::NoRoom),
                Ok(None) => self.client.append(&lane.name, append).await,
                Ok(Some(ack)) => Ok(ack),
                Err(error) => Err(error),
            };
            let ack = match appended {
                Ok(ack) => ack,
                Err(Error::Sealed(_)) if self.transaction.is_none() => {
                    self.reroute().await?;
                    return Ok(Sending::Rerouted);
                }
                // An append before this one failed, and its answer has not been looked at yet.
                Err(Error::Unavailable { .. }) => {
                    self.reconnect().await?;
                    return Ok(Sending::Rerouted);
                }
                Err(error) => return Err(error),
            };
            // Dropped before this, it is appended again, and that is a repetition.
            lane.previous = Some(number);
            if let Some(block) = lane.full.pop_front() {
                self.unsent -= block.bytes.bytes().len();
                self.sent.push_back(Sent { lane: at, block, ack });
            }
        }
    }

    /// Learns the current segments; those that are lanes already stay as they are.
    async fn route(&mut self) -> Result<()> {
        let info = self.client.stream(&self.stream).await?;
        if info.is_sealed {
            return Err(Error::StreamSealed(self.stream.clone()));
        }
        self.enter(info.current);
        Ok(())
    }

    fn enter(&mut self, current: Vec<(SegmentId, KeyRange)>) {
        let mut old = std::mem::take(&mut self.lanes);
        for (segment, range) in current {
            let kept = old.iter().position(|lane| lane.segment == segment).map(|at| old.swap_remove(at));
            let before = self.written.iter().find(|written| written.segment == segment);
            let previous = before.map(|written| written.event);
            let name = self.name(segment);
            self.lanes.push(kept.unwrap_or_else(|| Lane::new(segment, name, range, previous)));
        }
        self.lanes.sort_by(|a, b| a.range.low.total_cmp(&b.range.low));
        // What those held that are no more.
        let mut left: Vec<(Placed, _)> = old.iter_mut().flat_map(Lane::take).collect();
        left.sort_by_key(|(event, _)| event.number);
        for (event, bytes) in left {
            if let Some(lane) = self.lane(event.position).and_then(|lane| self.lanes.get_mut(lane)) {
                lane.put_back(event, &bytes);
            }
        }
        self.count();
    }

    /// Counts anew what is where.
    fn count(&mut self) {
        self.unsent = self.lanes.iter().map(Lane::unsent).sum();
        let sent = self.sent.iter().map(|sent| sent.block.bytes.bytes().len()).sum::<usize>();
        self.outstanding = self.unsent + sent;
    }

    /// A segment was sealed: what was appended to it before is stored; the rest goes to its successors.
    async fn reroute(&mut self) -> Result<()> {
        while !self.sent.is_empty() {
            self.acked().await?;
        }
        self.route().await
    }

    /// Takes what was appended as unwritten, until the store says what it holds of it.
    fn give_back(&mut self) {
        self.is_lost = true;
        while let Some(sent) = self.sent.pop_back() {
            if let Some(lane) = self.lanes.get_mut(sent.lane) {
                lane.full.push_front(sent.block);
            }
        }
        self.count();
    }

    /// The store could not write: finds out what it holds, and takes the rest as unwritten.
    async fn reconnect(&mut self) -> Result<()> {
        let until = self.env.clock.monotonic() + self.options.patience;
        self.give_back();
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
            let last = self.client.last_event(&self.lanes[lane].name, self.writer).await?;
            let lane = &mut self.lanes[lane];
            let unwritten: Vec<_> = lane.take().collect();
            for (event, bytes) in unwritten {
                // An append is stored whole or not at all, in order.
                if Some(event.number) > last {
                    lane.put_back(event, &bytes);
                }
            }
            lane.previous = last;
        }
        self.count();
        if self.transaction.is_none() {
            self.route().await?;
        }
        self.is_lost = false;
        Ok(())
    }
}
