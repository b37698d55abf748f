//! One broker for all tests of this program; topics and prefixes are each test's own.
#![allow(dead_code, reason = "each test program uses a part of it")]

use std::collections::BTreeSet;
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use connector_kafka::connection::Connection;
use connector_kafka::transactions::Transactions;
use libtest_mimic::{Failed, Trial};
use rdkafka::ClientConfig;
use rdkafka::consumer::{BaseConsumer, Consumer};
use rdkafka::message::{BorrowedMessage, Message};
use testkit::brokers::{Broker, Kafka, KafkaClient};

static BROKER: Mutex<Option<Broker>> = Mutex::new(None);

fn lock() -> MutexGuard<'static, Option<Broker>> {
    BROKER.lock().unwrap_or_else(PoisonError::into_inner)
}

/// Where the broker is; starts it at first.
pub(crate) fn bootstrap() -> Result<String, Failed> {
    let mut broker = lock();
    if broker.is_none() {
        // Transactions that expire do so at once.
        let kafka = Kafka::new()
            .with("transaction.abort.timed.out.transaction.cleanup.interval.ms", "500")
            // The rows of tests are of 1970: the broker would soon delete them.
            .with("log.retention.ms", "-1");
        *broker = Some(Broker::start(kafka)?);
    }
    Ok(broker.as_ref().map(|broker| broker.address().to_string()).unwrap_or_default())
}

/// Where it is and its process, if it was started and is a process.
pub(crate) fn running() -> Option<(String, u32)> {
    let broker = lock();
    let broker = broker.as_ref()?;
    Some((broker.address().to_string(), broker.pid()?))
}

pub(crate) fn stop() {
    drop(lock().take());
}

/// Does something to the broker.
pub(crate) fn with<T>(act: impl FnOnce(&mut Broker) -> Result<T, Failed>) -> Result<T, Failed> {
    bootstrap()?;
    act(lock().as_mut().ok_or("no broker")?)
}

pub(crate) fn connection() -> Result<Connection, Failed> {
    Ok(Connection { bootstrap_servers: bootstrap()?, properties: Default::default() })
}

pub(crate) fn create_topic(name: &str, partitions: i32) -> Result<(), Failed> {
    let address = bootstrap()?.parse::<std::net::SocketAddr>()?;
    Ok(KafkaClient::connect(address)?.create_topic(name, partitions)?)
}

pub(crate) fn transactions() -> Result<Transactions, Failed> {
    Ok(Transactions::of(&connector_runtime::local::environment(), &connection()?)?)
}

/// A test that needs the broker, on a runtime.
pub(crate) fn trial<F>(name: &'static str, test: fn() -> F) -> Trial
where
    F: Future<Output = Result<(), Failed>> + 'static,
{
    testkit::brokers::trial(name, Kafka::new(), move || {
        let runtime = tokio::runtime::Builder::new_multi_thread().worker_threads(2).enable_all().build()?;
        runtime.block_on(async { tokio::time::timeout(Duration::from_secs(120), test()).await })?
    })
}

/// Consumers that rest: to connect takes longer than to read what a test wrote.
struct Readers(Mutex<Vec<(String, BaseConsumer)>>);

static READERS: Readers = Readers(Mutex::new(Vec::new()));

impl Readers {
    fn lock(&self) -> MutexGuard<'_, Vec<(String, BaseConsumer)>> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn take(&self, bootstrap: &str) -> Result<BaseConsumer, Failed> {
        let mut resting = self.lock();
        if let Some(at) = resting.iter().position(|(address, _)| address == bootstrap) {
            return Ok(resting.swap_remove(at).1);
        }
        drop(resting);
        Ok(ClientConfig::new()
            .set("bootstrap.servers", bootstrap)
            .set("group.id", "reader")
            .set("isolation.level", "read_committed")
            .set("auto.offset.reset", "earliest")
            .set("enable.auto.commit", "false")
            .set("enable.partition.eof", "true")
            // The end is told by an answer without records, and the broker holds that back for half a second.
            .set("fetch.wait.max.ms", "5")
            .create()?)
    }

    fn put(&self, bootstrap: &str, reader: BaseConsumer) {
        self.lock().push((bootstrap.to_owned(), reader));
    }
}

/// All committed records of a topic, in the order of each partition.
pub(crate) fn committed<T>(
    bootstrap: &str,
    topic: &str,
    mut take: impl FnMut(&BorrowedMessage<'_>) -> T,
) -> Result<Vec<T>, Failed> {
    let consumer = READERS.take(bootstrap)?;
    let metadata = consumer.fetch_metadata(Some(topic), Duration::from_secs(10))?;
    let partitions = metadata.topics().first().map_or(0, |topic| topic.partitions().len());
    let mut assignment = rdkafka::TopicPartitionList::new();
    for partition in 0..partitions {
        assignment.add_partition_offset(topic, partition as i32, rdkafka::Offset::Beginning)?;
    }
    consumer.assign(&assignment)?;
    // A partition may come to its end again, when a transaction ends meanwhile.
    let (mut ended, mut found) = (BTreeSet::new(), Vec::new());
    while ended.len() < partitions {
        match consumer.poll(Duration::from_secs(20)).ok_or("no end of the topic within 20 s")? {
            Ok(message) => found.push(take(&message)),
            Err(rdkafka::error::KafkaError::PartitionEOF(partition)) => drop(ended.insert(partition)),
            Err(error) => return Err(error.into()),
        }
    }
    consumer.unassign()?;
    READERS.put(bootstrap, consumer);
    Ok(found)
}

/// The values of [`committed`] records as texts, sorted.
pub(crate) fn values(topic: &str) -> Result<Vec<String>, Failed> {
    values_at(&bootstrap()?, topic)
}

/// The same, on a broker of the test's own.
pub(crate) fn values_at(bootstrap: &str, topic: &str) -> Result<Vec<String>, Failed> {
    let text = |message: &BorrowedMessage<'_>| {
        message.payload().map_or_else(|| "(null)".to_owned(), |v| String::from_utf8_lossy(v).into_owned())
    };
    let mut values = committed(bootstrap, topic, text)?;
    values.sort_unstable();
    Ok(values)
}

/// Says when something that must hold does not.
#[allow(unused_macros, reason = "each test program uses a part")]
macro_rules! ensure {
    ($holds:expr, $($why:tt)*) => {
        if !$holds {
            return Err(format!($($why)*).into());
        }
    };
}
#[allow(unused_imports, reason = "each test program uses a part")]
pub(crate) use ensure;
