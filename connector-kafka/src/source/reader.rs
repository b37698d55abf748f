//! The reader of one split: rows from the queue of its partition.

use std::pin::pin;
use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::task::{Context, Poll, ready};

use async_trait::async_trait;
use connector_api::env::Environment;
use connector_api::id::{CheckpointId, SplitId};
use connector_api::{Error, MessageBatch, Result};
use connector_base::reader::{Fetched, ReaderHooks, SplitReader, SplitReaderFactory};
use futures::FutureExt;
use futures::channel::oneshot;
use futures::future::{Either, select};
use rdkafka::Offset;
use rdkafka::error::{KafkaError, RDKafkaErrorCode as Code};
use tokio::sync::Notify;

use super::batch::BatchBuilder;
use super::client::{Assigned, BEFORE_COMMIT, Client, Op, Place, Shared};
use super::config::{OnOutOfRange, OnRemoved, SourceConfig};
use super::error::{SourceError, is_gone};
use super::metrics::{OFFSET_RESETS, PARTITIONS_REMOVED, count};
use super::offsets::TopicPartition;
use super::split::{KafkaSplit, Stop};

/// Opens partitions.
pub struct KafkaSplits {
    config: Arc<SourceConfig>,
    client: Client,
}

impl KafkaSplits {
    pub(super) fn new(config: Arc<SourceConfig>, env: Environment, subtask: u32) -> Self {
        let client = Client::new(Arc::clone(&config), env, subtask);
        Self { config, client }
    }

    /// What the reader's host is to tell the client.
    pub(super) fn hooks(&self, env: Environment) -> KafkaHooks {
        KafkaHooks { shared: self.client.shared(), commits: self.config.commits, env, closing: None }
    }
}

#[async_trait]
impl SplitReaderFactory for KafkaSplits {
    type Split = KafkaSplit;
    type Reader = KafkaReader;

    async fn open(&self, split: &KafkaSplit) -> Result<KafkaReader> {
        let shared = self.client.shared();
        let place = Arc::new(Place {
            at: split.topic_partition(),
            next: split.next.unwrap_or(0).into(),
            is_at_end: false.into(),
            ready: Notify::new(),
        });
        let mut reader = KafkaReader {
            config: Arc::clone(&self.config),
            shared: Arc::clone(&shared),
            place: Arc::clone(&place),
            reading: None,
            next: split.next,
            stop: split.stop,
            behind: None,
            is_done: false,
            last: (256, 16 << 10),
        };
        if split.is_finished() {
            shared.not_needed();
            reader.is_done = true;
            return Ok(reader);
        }
        let offset = split.next.map_or(Offset::Beginning, Offset::Offset);
        reader.reading = Some(shared.read(&place, offset).await?);
        Ok(reader)
    }

    fn advance(&self, split: &mut KafkaSplit, position: i64, _skip: u64) {
        split.next = Some(position);
    }

    fn skip(&self, _: &KafkaSplit) -> u64 {
        0
    }
}

/// Reads one partition.
pub struct KafkaReader {
    config: Arc<SourceConfig>,
    shared: Arc<Shared>,
    place: Arc<Place>,
    /// None when there is nothing to read.
    reading: Option<Assigned>,
    next: Option<i64>,
    stop: Option<Stop>,
    /// What came behind the rows that were fetched last.
    behind: Option<Behind>,
    is_done: bool,
    /// Rows and bytes of the last batch.
    last: (usize, usize),
}

enum Behind {
    /// Everything that is there was read.
    End,
    /// A record at or behind the stop came.
    Stop,
    Error(Code),
}

type Rows = Fetched<MessageBatch, i64>;

impl KafkaReader {
    /// Takes what the queue holds, up to a batch.
    fn drain(&mut self) -> Result<Option<Rows>> {
        let Some(queue) = self.reading.as_mut().and_then(Assigned::queue) else { return Ok(None) };
        let mut batch = BatchBuilder::new(self.shared.batch_bytes(), self.last);
        let stop = self.stop.map_or(i64::MAX, |stop| stop.offset);
        let mut next = self.next.unwrap_or(i64::MIN);
        while !batch.is_full() {
            let Some(message) = queue.next() else { break };
            match message.error() {
                None => {
                    let offset = message.offset();
                    if offset >= stop {
                        self.behind = Some(Behind::Stop);
                        break;
                    }
                    // After a pause the client may fetch again what it had delivered.
                    if offset >= next {
                        batch.push(&message)?;
                        next = offset + 1;
                    }
                }
                Some(Code::PartitionEOF) => {
                    self.behind = Some(Behind::End);
                    break;
                }
                Some(code) => {
                    self.behind = Some(Behind::Error(code));
                    break;
                }
            }
        }
        if batch.is_empty() {
            return Ok(None);
        }
        self.next = Some(next);
        if next >= stop {
            self.behind = Some(Behind::Stop);
        }
        self.place.next.store(next, Ordering::Relaxed);
        self.place.is_at_end.store(false, Ordering::Relaxed);
        self.last = batch.size();
        let (batch, positions) = batch.build(&self.place.at.topic, self.place.at.partition)?;
        Ok(Some(Fetched::rows(batch, positions)))
    }

    fn error(&self, operation: &'static str, error: SourceError) -> Error {
        let offset = self.next.and_then(|next| u64::try_from(next).ok());
        Error::connector(operation, self.place.at.to_string(), offset, error)
    }

    /// Ends at the stop: the position stands there, whatever lies before it.
    fn finish(&mut self) -> Option<Rows> {
        self.is_done = true;
        let stop = self.stop.map(|stop| stop.offset)?;
        (self.next.unwrap_or(0) < stop).then_some(Fetched::Position(stop))
    }

    /// Goes on behind rows; what comes of it is to be told, if anything.
    async fn go_on(&mut self, behind: Behind) -> Result<Option<Rows>> {
        match behind {
            Behind::Stop => Ok(self.finish()),
            Behind::End => {
                self.place.is_at_end.store(true, Ordering::Relaxed);
                let Some(stop) = self.stop else { return Ok(Some(Fetched::Idle)) };
                if stop.is_reached {
                    return Ok(self.finish());
                }
                self.look_whether_reached(stop).await?;
                Ok(Some(Fetched::Idle))
            }
            Behind::Error(code) => self.on_code(code).await,
        }
    }

    /// A stop that lay beyond the end. Once the end has come there, the *next* end that the client says is at the stop; this
    /// one may have been before it. So it is made to say it again.
    async fn look_whether_reached(&mut self, stop: Stop) -> Result<()> {
        let at = self.place.at.clone();
        let (_, end) = self.shared.ask(|reply| Op::Watermarks(at, reply)).await?;
        if end >= stop.offset {
            self.stop = Some(Stop { is_reached: true, ..stop });
            self.seek(self.next.map_or(Offset::Beginning, Offset::Offset)).await?;
        }
        Ok(())
    }

    async fn seek(&mut self, offset: Offset) -> Result<()> {
        let before = self.reading.take();
        self.reading = Some(self.shared.reread(&self.place, before, offset).await?);
        Ok(())
    }

    async fn on_code(&mut self, code: Code) -> Result<Option<Rows>> {
        match code {
            Code::AutoOffsetReset | Code::OffsetOutOfRange => self.out_of_range().await,
            code if is_gone(code) => match self.config.on_removed {
                OnRemoved::Fail => Err(self.error("read", SourceError::Removed)),
                OnRemoved::Finish => {
                    tracing::warn!(partition = %self.place.at, "the partition is gone: finished");
                    count(PARTITIONS_REMOVED, 1);
                    self.is_done = true;
                    Ok(None)
                }
                OnRemoved::Ignore => {
                    tracing::warn!(partition = %self.place.at, "the partition is gone: waiting for it");
                    count(PARTITIONS_REMOVED, 1);
                    Ok(Some(Fetched::Idle))
                }
            },
            // The client tries again by itself, for as long as it takes.
            Code::BrokerTransportFailure
            | Code::AllBrokersDown
            | Code::Resolve
            | Code::LeaderNotAvailable
            | Code::NotLeaderForPartition
            | Code::ReplicaNotAvailable
            | Code::BrokerNotAvailable
            | Code::OperationTimedOut
            | Code::RequestTimedOut
            | Code::NetworkException
            | Code::FencedLeaderEpoch
            | Code::UnknownLeaderEpoch
            | Code::KafkaStorageError => {
                tracing::warn!(partition = %self.place.at, %code, "reading is held up");
                Ok(None)
            }
            code => Err(self.error("read", SourceError::client(KafkaError::MessageConsumption(code)))),
        }
    }

    /// Waits for something in the queue. The client does not always say that a partition is gone, so one that is to be finished
    /// then is looked after.
    async fn wait(&mut self) -> Result<()> {
        let place = Arc::clone(&self.place);
        let (OnRemoved::Finish, Some(interval)) = (self.config.on_removed, self.config.discovery_interval)
        else {
            place.ready.notified().await;
            return Ok(());
        };
        let (ready, pause) = (pin!(place.ready.notified()), self.shared.sleep(interval));
        if let Either::Left(_) = select(ready, pause).await {
            return Ok(());
        }
        let at = place.at.clone();
        match self.shared.ask(|reply| Op::Exists(at, reply)).await {
            Ok(false) => self.behind = Some(Behind::Error(Code::UnknownTopicOrPartition)),
            Ok(true) => {}
            Err(error) if error.is_retryable() => tracing::debug!(%error, "looking after a partition failed"),
            Err(error) => return Err(error),
        }
        Ok(())
    }

    async fn out_of_range(&mut self) -> Result<Option<Rows>> {
        let at = self.place.at.clone();
        let (low, high) = self.shared.ask(|reply| Op::Watermarks(at, reply)).await?;
        let to = match self.config.on_out_of_range {
            OnOutOfRange::Fail => return Err(self.error("read", SourceError::OutOfRange { low, high })),
            OnOutOfRange::Earliest => low,
            OnOutOfRange::Latest => high,
        };
        tracing::warn!(partition = %self.place.at, from = ?self.next, to, "out of range: reading goes on elsewhere");
        count(OFFSET_RESETS, 1);
        self.seek(Offset::Offset(to)).await?;
        self.next = Some(to);
        self.place.next.store(to, Ordering::Relaxed);
        Ok(Some(Fetched::Position(to)))
    }
}

#[async_trait]
impl SplitReader for KafkaReader {
    type Batch = MessageBatch;
    type Position = i64;

    async fn fetch(&mut self) -> Result<Option<Rows>> {
        loop {
            if let Some(behind) = self.behind.take() {
                if let Some(fetched) = self.go_on(behind).await? {
                    return Ok(Some(fetched));
                }
                continue;
            }
            if self.is_done {
                return Ok(None);
            }
            if let Some(rows) = self.drain()? {
                return Ok(Some(rows));
            }
            if self.behind.is_none() {
                self.shared.check(&self.place.at)?;
                self.wait().await?;
            }
        }
    }
}

/// Tells the client what the reader's host says.
pub struct KafkaHooks {
    shared: Arc<Shared>,
    commits: bool,
    env: Environment,
    closing: Option<oneshot::Receiver<()>>,
}

impl ReaderHooks<KafkaSplit> for KafkaHooks {
    fn adding(&mut self, splits: &[KafkaSplit]) {
        self.shared.adding(splits.iter().map(KafkaSplit::topic_partition).collect());
    }

    fn paused(&mut self, split: &SplitId, is_paused: bool) {
        if let Ok(at) = split.as_str().parse::<TopicPartition>() {
            self.shared.push(Op::Pause(at, is_paused));
        }
    }

    fn completed(&mut self, _: CheckpointId, splits: Vec<KafkaSplit>) {
        if !self.commits {
            return;
        }
        self.env.crash.hit(BEFORE_COMMIT);
        // A partition of which nothing was read has nothing to commit.
        let read = splits.iter().filter_map(|split| Some((split.topic_partition(), split.next?)));
        let read: Vec<_> = read.collect();
        if !read.is_empty() {
            self.shared.push(Op::Commit(read));
        }
    }

    fn poll_close(&mut self, cx: &mut Context<'_>) -> Poll<Result<()>> {
        let shared = &self.shared;
        let closing = self.closing.get_or_insert_with(|| {
            let (done, closing) = oneshot::channel();
            shared.push(Op::Close(done));
            closing
        });
        // Gone without a word: nothing is left to give up.
        let _ = ready!(closing.poll_unpin(cx));
        Poll::Ready(Ok(()))
    }
}
