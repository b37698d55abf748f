//! A Kafka to measure on, and what bare loops over the client do on it.

use std::collections::BTreeSet;
use std::path::PathBuf;
use std::time::Duration;

use rdkafka::admin::{AdminClient, AdminOptions, NewTopic, TopicReplication};
use rdkafka::client::DefaultClientContext;
use rdkafka::consumer::{BaseConsumer, Consumer};
use rdkafka::error::KafkaError;
use rdkafka::producer::{BaseProducer, BaseRecord, Producer, ProducerContext};
use rdkafka::{ClientConfig, Offset, TopicPartitionList};
use testkit::brokers::{Broker, Kafka};

use crate::Result;

/// How long anything on the broker may take.
pub const WAIT: Duration = Duration::from_secs(60);

/// What every measurement on Kafka is told.
#[derive(Debug, clap::Args)]
pub struct Common {
    /// A broker that runs; without it, one is started.
    #[arg(long)]
    pub bootstrap: Option<String>,
    /// Where checkpoints go.
    #[arg(long)]
    pub dir: PathBuf,
    /// Partitions of each topic.
    #[arg(long, default_value_t = 4)]
    pub partitions: i32,
    /// How many pairs.
    #[arg(long, default_value_t = crate::pairs::PAIRS)]
    pub pairs: usize,
}

/// A broker that runs, or one of our own.
#[derive(Debug)]
pub struct Cluster {
    /// Where it is.
    pub bootstrap: String,
    _own: Option<Broker>,
}

impl Cluster {
    /// The broker at this address; without one, a broker that ends with this value.
    ///
    /// # Errors
    ///
    /// When none can be started.
    pub fn at(bootstrap: Option<&str>) -> Result<Self> {
        if let Some(bootstrap) = bootstrap {
            return Ok(Self { bootstrap: bootstrap.to_owned(), _own: None });
        }
        let own = Broker::start(Kafka::new().for_load()).map_err(|e| e.to_string())?;
        Ok(Self { bootstrap: own.address().to_string(), _own: Some(own) })
    }
}

fn text(error: KafkaError) -> String {
    error.to_string()
}

/// A client's configuration with the address alone.
pub fn client(bootstrap: &str) -> ClientConfig {
    let mut client = ClientConfig::new();
    client.set("bootstrap.servers", bootstrap);
    client
}

fn administrated<T>(
    bootstrap: &str,
    work: impl AsyncFnOnce(AdminClient<DefaultClientContext>) -> Result<T>,
) -> Result<T> {
    let runtime =
        tokio::runtime::Builder::new_current_thread().enable_all().build().map_err(|e| e.to_string())?;
    let admin = client(bootstrap).create().map_err(text)?;
    runtime.block_on(work(admin))
}

/// Makes a topic. What is deleted of it leaves the disk within a second.
///
/// # Errors
///
/// The broker's.
pub fn create(bootstrap: &str, topic: &str, partitions: i32) -> Result {
    create_with(bootstrap, topic, partitions, &[])
}

/// Makes a topic with more settings.
///
/// # Errors
///
/// The broker's.
pub fn create_with(bootstrap: &str, topic: &str, partitions: i32, more: &[(&str, &str)]) -> Result {
    administrated(bootstrap, async |admin| {
        let mut new =
            NewTopic::new(topic, partitions, TopicReplication::Fixed(1)).set("file.delete.delay.ms", "1000");
        for (name, value) in more {
            new = new.set(name, value);
        }
        let made = admin.create_topics([&new], &AdminOptions::new()).await.map_err(text)?;
        made.into_iter()
            .try_for_each(|made| made.map(|_| ()).map_err(|(topic, code)| format!("{topic}: {code}")))
    })
}

/// Deletes a topic.
///
/// # Errors
///
/// The broker's.
pub fn delete(bootstrap: &str, topic: &str) -> Result {
    administrated(bootstrap, async |admin| {
        admin.delete_topics(&[topic], &AdminOptions::new()).await.map(|_| ()).map_err(text)
    })
}

/// How many records lie between the first and the last offset of all partitions; markers of transactions count.
///
/// # Errors
///
/// The broker's.
pub fn offsets(bootstrap: &str, topic: &str, partitions: i32) -> Result<u64> {
    let asking: BaseConsumer = client(bootstrap).create().map_err(text)?;
    let mut all = 0;
    for partition in 0..partitions {
        let (low, high) = asking.fetch_watermarks(topic, partition, WAIT).map_err(text)?;
        all += u64::try_from(high - low).unwrap_or(0);
    }
    Ok(all)
}

/// Makes a topic of `records` records of `size` bytes, unless it is there from an earlier run.
///
/// # Errors
///
/// The broker's; when the topic is there and holds something else.
pub fn fill(bootstrap: &str, topic: &str, partitions: i32, size: usize, records: u64) -> Result {
    match offsets(bootstrap, topic, partitions) {
        Ok(there) if there == records => return Ok(()),
        Ok(there) if there > 0 => {
            return Err(format!("{topic} holds {there} records, not {records}: remove it"));
        }
        Ok(_) | Err(_) => {}
    }
    // Topics come into being when they are asked for; with one partition, and without what `create` says.
    let _ = delete(bootstrap, topic);
    while create(bootstrap, topic, partitions).is_err() {
        crate::sleep(Duration::from_millis(100));
    }
    let producer: BaseProducer =
        client(bootstrap).set("linger.ms", "20").set("batch.size", "500000").create().map_err(text)?;
    let text = vec![b'x'; size];
    for number in 0..records {
        let partition = (number % partitions as u64) as i32;
        send(&producer, BaseRecord::<[u8], [u8]>::to(topic).partition(partition).payload(&text))?;
    }
    producer.flush(WAIT).map_err(self::text)
}

/// Puts a record into the producer's queue, waiting while that is full.
///
/// # Errors
///
/// The client's.
pub fn send<C: ProducerContext<DeliveryOpaque = ()>>(
    producer: &BaseProducer<C>,
    mut record: BaseRecord<'_, [u8], [u8]>,
) -> Result {
    use rdkafka::types::RDKafkaErrorCode::QueueFull;
    while let Err((error, back)) = producer.send(record) {
        if error != KafkaError::MessageProduction(QueueFull) {
            return Err(text(error));
        }
        producer.poll(Duration::from_millis(1));
        record = back;
    }
    Ok(())
}

/// A consumer of committed records, at the beginning of every partition.
///
/// # Errors
///
/// The client's.
pub fn reader(bootstrap: &str, topic: &str, partitions: i32) -> Result<BaseConsumer> {
    let consumer: BaseConsumer = client(bootstrap)
        .set("group.id", "bench")
        .set("isolation.level", "read_committed")
        .set("enable.auto.commit", "false")
        .set("enable.partition.eof", "true")
        .set("fetch.queue.backoff.ms", "5")
        .create()
        .map_err(text)?;
    let mut list = TopicPartitionList::new();
    for partition in 0..partitions {
        list.add_partition_offset(topic, partition, Offset::Beginning).map_err(text)?;
    }
    consumer.assign(&list).map_err(text)?;
    Ok(consumer)
}

/// Reads every committed record up to the end of each partition, and says how many there are.
///
/// # Errors
///
/// The client's; when nothing comes for a minute.
pub fn committed(bootstrap: &str, topic: &str, partitions: i32) -> Result<u64> {
    let reader = reader(bootstrap, topic, partitions)?;
    let (mut ended, mut seen) = (BTreeSet::new(), 0);
    while ended.len() < partitions as usize {
        match reader.poll(WAIT).ok_or("nothing comes")? {
            Ok(_) => seen += 1,
            Err(KafkaError::PartitionEOF(partition)) => drop(ended.insert(partition)),
            Err(error) => return Err(text(error)),
        }
    }
    Ok(seen)
}
