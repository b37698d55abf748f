//! Where a row goes: its topic and partition, and what the record of it holds.

use std::collections::HashMap;
use std::fmt;
use std::sync::Arc;

use connector_api::{Batch, Error, MessageBatch, Result, RowBatch};
use rdkafka::message::Header;
use rdkafka::producer::BaseRecord;

use super::config::{PartitionerOption, SinkOptions};
use super::key::{KeyFrom, Keyed};
use super::producer::Producer;

/// Says which topic a row goes to.
pub trait TopicSelector: Send + Sync + fmt::Debug + 'static {
    /// The topic of the row at `index`.
    ///
    /// # Errors
    ///
    /// A row that has none ends the writer.
    fn topic<'a>(&'a self, rows: &'a MessageBatch, index: usize) -> Result<&'a str>;
}

/// Says which partition a row goes to.
pub trait KafkaPartitioner: Send + Sync + fmt::Debug + 'static {
    /// The partition, below `partitions`, of the row at `index`, which writer `writer` writes to `topic`; none leaves it to the
    /// client: by the key.
    fn partition(&self, rows: &MessageBatch, index: usize, to: Target<'_>) -> Option<i32>;
}

/// Where a row is about to go.
#[derive(Clone, Copy, Debug)]
pub struct Target<'a> {
    /// The topic.
    pub topic: &'a str,
    /// How many partitions it has; at least 1.
    pub partitions: i32,
    /// Which of the writers it is.
    pub writer: u32,
    /// The key that it is written with: by the option `key`, if that is set, another than the batch has.
    pub key: Option<&'a [u8]>,
}

/// One topic for all.
#[derive(Debug)]
pub(crate) struct Fixed(pub(crate) String);

impl TopicSelector for Fixed {
    fn topic<'a>(&'a self, _: &'a MessageBatch, _: usize) -> Result<&'a str> {
        Ok(&self.0)
    }
}

/// The topic that a column says.
#[derive(Debug)]
pub(crate) struct FromColumn(pub(crate) String);

impl TopicSelector for FromColumn {
    fn topic<'a>(&'a self, rows: &'a MessageBatch, index: usize) -> Result<&'a str> {
        rows.text(&self.0, index).filter(|topic| !topic.is_empty()).ok_or_else(|| {
            let reason = format!("the row has no text in the column `{}`, which is to say its topic", self.0);
            Error::data("a batch of the kafka sink", Some(index as u64), reason)
        })
    }
}

#[derive(Debug)]
struct ByWriter;

impl KafkaPartitioner for ByWriter {
    fn partition(&self, _: &MessageBatch, _: usize, to: Target<'_>) -> Option<i32> {
        i32::try_from(to.writer % to.partitions.unsigned_abs().max(1)).ok()
    }
}

/// How rows find their way.
#[derive(Clone, Debug)]
pub(crate) struct Routing {
    pub(crate) topics: Arc<dyn TopicSelector>,
    pub(crate) partitions: Partitions,
}

#[derive(Clone, Debug)]
pub(crate) enum Partitions {
    /// The client's, by the key.
    Client,
    RoundRobin,
    By(Arc<dyn KafkaPartitioner>),
}

impl Routing {
    /// What the options say.
    pub(crate) fn of(options: &SinkOptions) -> Self {
        let topics: Arc<dyn TopicSelector> = match (&options.topic, &options.topic_column) {
            (Some(topic), _) => Arc::new(Fixed(topic.clone())),
            (None, column) => Arc::new(FromColumn(column.clone().unwrap_or_default())),
        };
        let partitions = match options.partitioner {
            PartitionerOption::Default => Partitions::Client,
            PartitionerOption::Fixed => Partitions::By(Arc::new(ByWriter)),
            PartitionerOption::RoundRobin => Partitions::RoundRobin,
        };
        Self { topics, partitions }
    }
}

/// One writer's way of routing.
#[derive(Debug)]
pub(crate) struct Router {
    routing: Routing,
    key: Option<KeyFrom>,
    writer: u32,
    /// Per topic: its partitions, and which one is next.
    known: HashMap<String, (i32, i32)>,
}

impl Router {
    pub(crate) fn new(routing: Routing, key: Option<KeyFrom>, writer: u32) -> Self {
        Self { routing, key, writer, known: HashMap::new() }
    }

    /// Forgets how many partitions topics have: some may have been added.
    pub(crate) fn forget(&mut self) {
        self.known.clear();
    }

    /// Sends all rows of a batch.
    pub(crate) async fn send(&mut self, producer: &Producer, batch: &Batch<MessageBatch>) -> Result<()> {
        let topics = self.routing.topics.clone();
        for index in 0..batch.rows.rows() {
            let topic = topics.topic(&batch.rows, index)?;
            let keyed = Keyed::of(self.key.as_ref(), &batch.rows, index)?;
            let partition = self.partition(producer, batch, index, topic, keyed.key.as_deref()).await?;
            producer.send(record(batch, index, &keyed, topic, partition)).await?;
        }
        Ok(())
    }

    async fn partition(
        &mut self,
        producer: &Producer,
        batch: &Batch<MessageBatch>,
        index: usize,
        topic: &str,
        key: Option<&[u8]>,
    ) -> Result<Option<i32>> {
        if matches!(self.routing.partitions, Partitions::Client) {
            return Ok(None);
        }
        if !self.known.contains_key(topic) {
            // A topic that is made when it is first written to has none yet: the client decides for that row.
            let partitions = producer.partitions(topic).await?;
            if partitions < 1 {
                return Ok(None);
            }
            self.known.insert(topic.to_owned(), (partitions, self.writer as i32 % partitions));
        }
        let Some((partitions, next)) = self.known.get_mut(topic) else { return Ok(None) };
        match &self.routing.partitions {
            Partitions::Client => Ok(None),
            Partitions::RoundRobin => {
                let this = *next;
                *next = (this + 1) % *partitions;
                Ok(Some(this))
            }
            Partitions::By(partitioner) => {
                let to = Target { topic, partitions: *partitions, writer: self.writer, key };
                Ok(partitioner.partition(&batch.rows, index, to))
            }
        }
    }
}

fn record<'a>(
    batch: &'a Batch<MessageBatch>,
    index: usize,
    keyed: &'a Keyed<'a>,
    topic: &'a str,
    partition: Option<i32>,
) -> BaseRecord<'a, [u8], [u8]> {
    let mut record = BaseRecord::to(topic);
    (record.key, record.payload, record.partition) = (keyed.key.as_deref(), keyed.value, partition);
    let stamp = batch.timestamps.get(index).copied().or_else(|| batch.rows.integer("timestamp", index));
    // The protocol knows no times before 1970, and the client takes 0 for now.
    record.timestamp = stamp.filter(|at| *at > 0);
    for header in batch.rows.headers(index) {
        let header = Header { key: header.name, value: header.value };
        record.headers = Some(record.headers.unwrap_or_default().insert(header));
    }
    record
}
