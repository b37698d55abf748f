//! The client of a reader: one consumer for all of its partitions, told what to do in one order.
//!
//! Calls of the client's library block, and those about one partition must not overtake each other. So they are operations in a
//! queue that at most one blocking job works off; several of one kind become one call, which keeps thousands of partitions
//! cheap. Rows don't pass through here: each split polls the queue of its own partition.

mod callbacks;

use std::collections::{HashMap, HashSet, VecDeque};
use std::sync::atomic::{AtomicBool, AtomicI64, AtomicU64, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use connector_api::env::{Environment, TaskHandle};
use connector_api::{Error, Result};
use futures::channel::oneshot;
use futures::future::BoxFuture;
use rdkafka::consumer::base_consumer::BaseConsumer;
use rdkafka::consumer::{CommitMode, Consumer};
use rdkafka::error::{KafkaError, KafkaResult, RDKafkaErrorCode};
use rdkafka::metadata::Metadata;
use rdkafka::{Offset, TopicPartitionList};
use tokio::sync::Notify;

use callbacks::{Ears, pump};

use super::config::SourceConfig;
use super::context::{Context, Listener};
use super::error::{SourceError, is_gone};
use super::offsets::TopicPartition;
use super::unsafe_queue::PartitionQueue;
use crate::security::Tokens;

/// Crash point: a checkpoint is complete, its offsets are not committed to the group.
pub(super) const BEFORE_COMMIT: &str = "kafka-source/before-group-commit";

type Consuming = BaseConsumer<Context>;

/// What the client knows of a split that is read, beside its rows.
#[derive(Debug)]
pub(super) struct Place {
    pub(super) at: TopicPartition,
    /// The next offset to read.
    pub(super) next: AtomicI64,
    /// Whether everything that can be read was read when last looked.
    pub(super) is_at_end: AtomicBool,
    /// There is something in the queue.
    pub(super) ready: Notify,
}

pub(super) enum Op {
    /// These splits are about to come: whatever was said of them before is void.
    Adding(Vec<TopicPartition>),
    Assign(Assign),
    Unassign(Arc<Place>, Option<PartitionQueue>),
    Pause(TopicPartition, bool),
    Watermarks(TopicPartition, oneshot::Sender<Result<(i64, i64)>>),
    Exists(TopicPartition, oneshot::Sender<Result<bool>>),
    Commit(Offsets),
    Close(oneshot::Sender<()>),
}

/// A partition that is to be read from an offset on.
pub(super) struct Assign {
    place: Arc<Place>,
    offset: Offset,
    reply: oneshot::Sender<Result<Assigned>>,
}

/// A partition that is read. Dropping it gives the partition up, also when nobody took it out of the answer.
pub(super) struct Assigned {
    shared: Arc<Shared>,
    place: Arc<Place>,
    /// Always there until it is dropped.
    queue: Option<PartitionQueue>,
}

impl Assigned {
    /// What is to be polled, if it was not dropped.
    pub(super) fn queue(&mut self) -> Option<&mut PartitionQueue> {
        self.queue.as_mut()
    }
}

impl Drop for Assigned {
    fn drop(&mut self) {
        self.shared.push(Op::Unassign(Arc::clone(&self.place), self.queue.take()));
    }
}

/// The next offset of each partition.
type Offsets = Vec<(TopicPartition, i64)>;

/// Commits to the group.
#[derive(Default)]
struct Commits {
    is_running: bool,
    next: Option<Offsets>,
}

#[derive(Default)]
struct Ops {
    queue: VecDeque<Op>,
    is_running: bool,
}

/// What the blocking job alone uses.
#[derive(Default)]
struct Work {
    consumer: Option<Arc<Consuming>>,
    pump: Option<Box<dyn TaskHandle>>,
    paused: HashSet<TopicPartition>,
    /// Partitions that were added anew and wait until their former reader has given them up: it was told, and may be a moment
    /// late.
    waiting: Vec<Assign>,
}

/// What is shared by the splits, the blocking job and the callbacks.
pub(super) struct Shared {
    config: Arc<SourceConfig>,
    env: Environment,
    subtask: String,
    ops: Mutex<Ops>,
    work: Mutex<Work>,
    commits: Mutex<Commits>,
    places: Mutex<HashMap<TopicPartition, Arc<Place>>>,
    /// Partitions that are read or about to be.
    expected: AtomicU64,
    /// Why nothing will ever come.
    broken: Mutex<Option<Broken>>,
}

#[derive(Clone, Debug)]
enum Broken {
    Refused(String),
    Stray,
}

fn locked<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

/// The client. Dropping it gives everything up, in the background.
pub(super) struct Client(Arc<Shared>);

impl Client {
    pub(super) fn new(config: Arc<SourceConfig>, env: Environment, subtask: u32) -> Self {
        Self(Arc::new(Shared {
            config,
            env,
            subtask: subtask.to_string(),
            ops: Mutex::default(),
            work: Mutex::default(),
            commits: Mutex::default(),
            places: Mutex::default(),
            expected: AtomicU64::new(0),
            broken: Mutex::default(),
        }))
    }

    pub(super) fn shared(&self) -> Arc<Shared> {
        Arc::clone(&self.0)
    }
}

impl Drop for Client {
    fn drop(&mut self) {
        let (done, _) = oneshot::channel();
        self.0.push(Op::Close(done));
    }
}

impl Shared {
    /// Ends after a time.
    pub(super) fn sleep(&self, time: Duration) -> BoxFuture<'static, ()> {
        self.env.clock.sleep(time)
    }

    /// The bytes that a batch may hold, so that all partitions together stay within their half of the budget.
    pub(super) fn batch_bytes(&self) -> usize {
        let share = self.config.budget / 4 / self.expected.load(Ordering::Relaxed).max(1);
        usize::try_from(share).unwrap_or(usize::MAX).clamp(16 << 10, 512 << 10)
    }

    /// Does this behind everything that was pushed before.
    pub(super) fn push(self: &Arc<Self>, op: Op) {
        let mut ops = locked(&self.ops);
        ops.queue.push_back(op);
        if !std::mem::replace(&mut ops.is_running, true) {
            let this = Arc::clone(self);
            self.env.spawner.spawn_blocking(Box::new(move || this.work_off()));
        }
    }

    /// Asks, and waits for the answer.
    pub(super) async fn ask<T>(
        self: &Arc<Self>,
        op: impl FnOnce(oneshot::Sender<Result<T>>) -> Op,
    ) -> Result<T> {
        let (reply, answer) = oneshot::channel();
        self.push(op(reply));
        answer.await.unwrap_or_else(|_| Err(Error::Cancelled("an operation of the Kafka client".into())))
    }

    /// An error that no split caused and that ends all of them.
    pub(super) fn check(&self, at: &TopicPartition) -> Result<()> {
        let Some(broken) = locked(&self.broken).clone() else { return Ok(()) };
        let error = match broken {
            Broken::Refused(why) => SourceError::Refused(why),
            Broken::Stray => SourceError::Stray,
        };
        Err(Error::connector("read", at.to_string(), None, error))
    }

    fn breaks(&self, how: Broken) {
        locked(&self.broken).get_or_insert(how);
        for place in locked(&self.places).values() {
            place.ready.notify_one();
        }
    }

    fn work_off(self: Arc<Self>) {
        let mut work = locked(&self.work);
        loop {
            let ops = {
                let mut ops = locked(&self.ops);
                if ops.queue.is_empty() {
                    ops.is_running = false;
                    return;
                }
                std::mem::take(&mut ops.queue)
            };
            let mut ops = ops.into_iter().peekable();
            while let Some(op) = ops.next() {
                match op {
                    Op::Adding(all) => all.iter().for_each(|at| {
                        work.paused.remove(at);
                    }),
                    Op::Assign(first) => {
                        let mut all = vec![first];
                        while let Some(Op::Assign(_)) = ops.peek() {
                            if let Some(Op::Assign(next)) = ops.next() {
                                all.push(next);
                            }
                        }
                        self.assign(&mut work, all);
                    }
                    Op::Unassign(place, queue) => {
                        drop(queue);
                        let mut all = vec![place];
                        while let Some(Op::Unassign(..)) = ops.peek() {
                            if let Some(Op::Unassign(place, queue)) = ops.next() {
                                drop(queue);
                                all.push(place);
                            }
                        }
                        self.unassign(&work, &all);
                        let waiting = std::mem::take(&mut work.waiting);
                        if !waiting.is_empty() {
                            self.assign(&mut work, waiting);
                        }
                    }
                    Op::Pause(at, is_paused) => self.pause(&mut work, at, is_paused),
                    Op::Watermarks(at, reply) => {
                        let ask = |consumer: &Arc<Consuming>| {
                            consumer.fetch_watermarks(&at.topic, at.partition, self.config.request_timeout)
                        };
                        let _ = reply.send(self.call(&work, "ask for the ends of", &at, ask));
                    }
                    Op::Exists(at, reply) => {
                        let ask = |consumer: &Arc<Consuming>| {
                            consumer.fetch_metadata(Some(&at.topic), self.config.request_timeout)
                        };
                        let answer = self.call(&work, "ask for", &at, ask);
                        let _ = reply.send(answer.map(|metadata| exists(&metadata, &at)));
                    }
                    Op::Commit(offsets) => self.commit(&work, offsets),
                    Op::Close(done) => {
                        close(&mut work);
                        let _ = done.send(());
                    }
                }
            }
        }
    }

    fn call<T>(
        &self,
        work: &Work,
        what: &'static str,
        at: &TopicPartition,
        call: impl FnOnce(&Arc<Consuming>) -> KafkaResult<T>,
    ) -> Result<T> {
        let consumer = work.consumer.as_ref().ok_or_else(|| Error::Cancelled(what.into()))?;
        call(consumer).map_err(|e| Error::connector(what, at.to_string(), None, SourceError::client(e)))
    }

    fn assign(self: &Arc<Self>, work: &mut Work, all: Vec<Assign>) {
        let mut now = Vec::with_capacity(all.len());
        {
            let places = locked(&self.places);
            let mut taken = HashSet::new();
            for assign in all {
                if assign.reply.is_canceled() {
                    // The split was removed before it was opened.
                    self.expected.fetch_sub(1, Ordering::Relaxed);
                } else if places.contains_key(&assign.place.at) || !taken.insert(assign.place.at.clone()) {
                    work.waiting.push(assign);
                } else {
                    now.push(assign);
                }
            }
        }
        if now.is_empty() {
            return;
        }
        match self.queues(work, &now) {
            Ok(queues) => {
                for (assign, queue) in now.into_iter().zip(queues) {
                    let Assign { place, reply, .. } = assign;
                    locked(&self.places).insert(place.at.clone(), Arc::clone(&place));
                    // Dropped at once when the split was removed meanwhile.
                    let _ = reply.send(Ok(Assigned { shared: Arc::clone(self), place, queue: Some(queue) }));
                }
            }
            Err(error) => {
                for Assign { place, reply, .. } in now {
                    let error = SourceError::client(error.clone());
                    let _ = reply.send(Err(Error::connector("open", place.at.to_string(), None, error)));
                }
            }
        }
    }

    /// Assigns them by one call, each with a queue of its own.
    fn queues(self: &Arc<Self>, work: &mut Work, all: &[Assign]) -> KafkaResult<Vec<PartitionQueue>> {
        let consumer = self.consumer(work)?;
        let mut list = TopicPartitionList::with_capacity(all.len());
        let mut paused = TopicPartitionList::new();
        let mut queues = Vec::with_capacity(all.len());
        for Assign { place, offset, .. } in all {
            let at = &place.at;
            list.add_partition_offset(&at.topic, at.partition, *offset)?;
            if work.paused.contains(at) {
                paused.add_partition(&at.topic, at.partition);
            }
            // Before it is assigned: nothing of it ever reaches the common queue.
            let queue = PartitionQueue::split(&consumer, place);
            queues.push(queue.ok_or_else(|| KafkaError::Subscription(format!("no queue for {at}")))?);
        }
        consumer.incremental_assign(&list)?;
        if paused.count() > 0 {
            consumer.pause(&paused)?;
        }
        Ok(queues)
    }

    fn unassign(&self, work: &Work, all: &[Arc<Place>]) {
        self.expected.fetch_sub(all.len() as u64, Ordering::Relaxed);
        let mut list = TopicPartitionList::with_capacity(all.len());
        for place in all {
            list.add_partition(&place.at.topic, place.at.partition);
            locked(&self.places).remove(&place.at);
        }
        if let Some(consumer) = &work.consumer
            && let Err(error) = consumer.incremental_unassign(&list)
        {
            tracing::warn!(%error, "giving partitions up failed");
        }
    }

    fn pause(&self, work: &mut Work, at: TopicPartition, is_paused: bool) {
        let mut list = TopicPartitionList::new();
        list.add_partition(&at.topic, at.partition);
        let is_read = locked(&self.places).contains_key(&at);
        if is_paused {
            work.paused.insert(at);
        } else {
            work.paused.remove(&at);
        }
        let Some(consumer) = work.consumer.as_ref().filter(|_| is_read) else { return };
        let done = if is_paused { consumer.pause(&list) } else { consumer.resume(&list) };
        if let Err(error) = done {
            // The reader holds back what comes, so this costs memory and no rows.
            tracing::warn!(%error, is_paused, "pausing or resuming a partition failed");
        }
    }

    /// Commits on a thread of its own: the client tells how a commit ended to nobody but the caller that waits for it. One at a
    /// time; of those that come meanwhile, the last is next.
    fn commit(self: &Arc<Self>, work: &Work, offsets: Offsets) {
        let Some(consumer) = work.consumer.clone() else { return };
        {
            let mut commits = locked(&self.commits);
            if std::mem::replace(&mut commits.is_running, true) {
                commits.next = Some(offsets);
                return;
            }
        }
        let this = Arc::clone(self);
        self.env.spawner.spawn_blocking(Box::new(move || {
            let mut now = offsets;
            loop {
                callbacks::committed(&now, commit(&consumer, &now));
                let mut commits = locked(&this.commits);
                match commits.next.take() {
                    Some(next) => now = next,
                    None => return commits.is_running = false,
                }
            }
        }));
    }

    /// The consumer, made when it is first needed: then it is known how many partitions share its memory.
    fn consumer(self: &Arc<Self>, work: &mut Work) -> KafkaResult<Arc<Consuming>> {
        if let Some(consumer) = &work.consumer {
            return Ok(Arc::clone(consumer));
        }
        let mut client = self.config.client.clone();
        client.set("client.id", format!("{}-reader-{}", self.config.client_id, self.subtask));
        // The library wants a group for whatever is assigned; nobody joins it, nothing is committed unless the user says so.
        client.set("group.id", self.config.group.as_deref().unwrap_or(&self.config.client_id));
        // The limits are per partition, since each has a queue of its own.
        let expected = self.expected.load(Ordering::Relaxed).max(1);
        let share = (self.config.budget / 2 / expected).max(64 << 10);
        client.set("queued.max.messages.kbytes", (share >> 10).to_string());
        client.set("queued.min.messages", (100_000 / expected).clamp(100, 100_000).to_string());
        for (name, most) in [("max.partition.fetch.bytes", 4 << 20), ("fetch.max.bytes", 50 << 20)] {
            if client.get(name).is_none() && client.get("fetch.message.max.bytes").is_none() {
                let total = if name == "fetch.max.bytes" { self.config.budget / 2 } else { share / 2 };
                client.set(name, total.clamp(64 << 10, most).to_string());
            }
        }
        let context = Context::new(Tokens::of(&self.env, &client));
        let listener: Arc<dyn Listener> = Arc::new(Ears(Arc::downgrade(self)));
        let consumer: Arc<Consuming> = Arc::new(client.create_with_context(context.listening(listener))?);
        let pump = pump(Arc::downgrade(&consumer), Arc::downgrade(self), self.env.clone());
        work.pump = Some(self.env.spawner.spawn("serve the Kafka client", Box::pin(pump)));
        work.consumer = Some(Arc::clone(&consumer));
        Ok(consumer)
    }

    /// Splits that are about to be opened.
    pub(super) fn adding(self: &Arc<Self>, all: Vec<TopicPartition>) {
        self.expected.fetch_add(all.len() as u64, Ordering::Relaxed);
        self.push(Op::Adding(all));
    }

    /// Begins to read a partition.
    pub(super) async fn read(self: &Arc<Self>, place: &Arc<Place>, offset: Offset) -> Result<Assigned> {
        self.ask(|reply| Op::Assign(Assign { place: Arc::clone(place), offset, reply })).await
    }

    /// Reads on at another offset. The client can't seek in a partition that it gave up, so it is assigned anew.
    pub(super) async fn reread(
        self: &Arc<Self>,
        place: &Arc<Place>,
        before: Option<Assigned>,
        offset: Offset,
    ) -> Result<Assigned> {
        // Giving it up counts it off.
        self.expected.fetch_add(u64::from(before.is_some()), Ordering::Relaxed);
        drop(before);
        self.read(place, offset).await
    }

    /// A split that was expected and needs no partition.
    pub(super) fn not_needed(&self) {
        self.expected.fetch_sub(1, Ordering::Relaxed);
    }
}

fn commit(consumer: &Consuming, offsets: &Offsets) -> KafkaResult<()> {
    let mut list = TopicPartitionList::with_capacity(offsets.len());
    for (at, next) in offsets {
        list.add_partition_offset(&at.topic, at.partition, Offset::Offset(*next))?;
    }
    consumer.commit(&list, CommitMode::Sync)
}

/// Whether a partition is there. What is not known for now is.
fn exists(metadata: &Metadata, at: &TopicPartition) -> bool {
    let Some(topic) = metadata.topics().iter().find(|topic| topic.name() == &*at.topic) else { return false };
    match topic.error().map(RDKafkaErrorCode::from) {
        Some(code) => !is_gone(code),
        None => topic.partitions().iter().any(|partition| partition.id() == at.partition),
    }
}

/// Ends the consumer on this thread, which takes until the broker has heard of it.
fn close(work: &mut Work) {
    if let Some(pump) = work.pump.take() {
        pump.abort();
    }
    work.waiting.clear();
    let Some(consumer) = work.consumer.take() else { return };
    let mut left = consumer;
    // The pump holds it for moments, and a commit until it is done. Whoever lets go last must be on a thread that may block: this one.
    for _ in 0..5_000 {
        match Arc::try_unwrap(left) {
            Ok(consumer) => return drop(consumer),
            Err(held) => left = held,
        }
        std::thread::park_timeout(Duration::from_millis(1));
    }
    tracing::warn!("a queue of the Kafka client is still held; the client ends with it");
}
