//! The one broker of this program, and what tests do to it beside the source.

use std::sync::{Mutex, MutexGuard, OnceLock};
use std::time::Duration;

use rdkafka::admin::{AdminClient, AdminOptions, NewPartitions, NewTopic, TopicReplication};
use rdkafka::client::DefaultClientContext;
use rdkafka::consumer::{BaseConsumer, Consumer};
use rdkafka::message::{Header, OwnedHeaders};
use rdkafka::producer::{BaseProducer, BaseRecord, Producer};
use rdkafka::{ClientConfig, Offset, TopicPartitionList};
use testkit::brokers::{Broker, Kafka};

pub(crate) const WAIT: Duration = Duration::from_secs(30);

/// Records of tests have times of long ago, which are no reason to delete them.
fn kafka() -> Kafka {
    Kafka::new().with("log.retention.ms", "-1")
}

/// The broker, started when it is first needed. Its process ends with this one.
pub(crate) fn broker() -> MutexGuard<'static, Broker> {
    static BROKER: OnceLock<Mutex<Broker>> = OnceLock::new();
    let broker = BROKER.get_or_init(|| Mutex::new(Broker::start(kafka()).expect("Kafka starts")));
    broker.lock().unwrap_or_else(std::sync::PoisonError::into_inner)
}

pub(crate) fn address() -> String {
    broker().address().to_string()
}

fn client() -> ClientConfig {
    let mut client = ClientConfig::new();
    client.set("bootstrap.servers", address());
    client
}

/// Runs asynchronous work of a test.
pub(crate) fn block_on<T>(work: impl Future<Output = T>) -> T {
    let runtime = tokio::runtime::Builder::new_multi_thread().worker_threads(2).enable_all().build();
    runtime.unwrap().block_on(work)
}

fn admin() -> AdminClient<DefaultClientContext> {
    client().create().unwrap()
}

fn options() -> AdminOptions {
    AdminOptions::new().request_timeout(Some(WAIT)).operation_timeout(Some(WAIT))
}

pub(crate) async fn create(name: &str, partitions: i32) {
    let topic = NewTopic::new(name, partitions, TopicReplication::Fixed(1));
    for result in admin().create_topics([&topic], &options()).await.unwrap() {
        result.unwrap();
    }
    // The controller has it; the broker hears of it a moment later.
    let asking = asking("nobody");
    for _ in 0..300 {
        let answer = asking.fetch_metadata(Some(name), WAIT).unwrap();
        if answer.topics()[0].error().is_none()
            && answer.topics()[0].partitions().len() == partitions as usize
        {
            return;
        }
        tokio::time::sleep(Duration::from_millis(50)).await;
    }
    panic!("{name} does not come");
}

pub(crate) async fn delete(topic: &str) {
    for result in admin().delete_topics(&[topic], &options()).await.unwrap() {
        result.unwrap();
    }
}

pub(crate) async fn grow(topic: &str, partitions: usize) {
    let wanted = NewPartitions::new(topic, partitions);
    for result in admin().create_partitions([&wanted], &options()).await.unwrap() {
        result.unwrap();
    }
}

/// Removes the records before an offset.
pub(crate) async fn truncate(topic: &str, partition: i32, before: i64) {
    let mut list = TopicPartitionList::new();
    list.add_partition_offset(topic, partition, Offset::Offset(before)).unwrap();
    admin().delete_records(&list, &options()).await.unwrap();
}

/// Records with the texts `prefix + number`, at times 1000, 1001 and so on by number.
pub(crate) fn produce(topic: &str, partition: i32, prefix: &str, numbers: std::ops::Range<i64>) {
    let producer: BaseProducer = client().create().unwrap();
    send(&producer, topic, partition, prefix, numbers);
    producer.flush(WAIT).unwrap();
}

fn send(producer: &BaseProducer, topic: &str, partition: i32, prefix: &str, numbers: std::ops::Range<i64>) {
    for number in numbers {
        let text = format!("{prefix}{number}");
        let mut record =
            BaseRecord::<[u8], str>::to(topic).partition(partition).payload(&text).timestamp(1000 + number);
        while let Err((_, back)) = producer.send(record) {
            producer.poll(Duration::from_millis(10));
            record = back;
        }
    }
}

/// One record with everything that a record can have.
pub(crate) fn produce_full(topic: &str) {
    let producer: BaseProducer = client().create().unwrap();
    let plain = BaseRecord::<str, str>::to(topic).partition(0).payload("plain").timestamp(7);
    producer.send(plain).unwrap();
    let headers = OwnedHeaders::new()
        .insert(Header { key: "trace", value: Some("a") })
        .insert(Header { key: "trace", value: None::<&str> });
    let full = BaseRecord::to(topic).partition(0).key("k").payload("full").timestamp(8).headers(headers);
    producer.send(full).unwrap();
    let tombstone = BaseRecord::<str, str>::to(topic).partition(0).key("k").timestamp(9);
    producer.send(tombstone).unwrap();
    producer.flush(WAIT).unwrap();
}

/// A producer within a transaction.
pub(crate) struct Transaction(BaseProducer);

impl Transaction {
    pub(crate) fn begin(id: &str) -> Self {
        let producer: BaseProducer = client().set("transactional.id", id).create().unwrap();
        producer.init_transactions(WAIT).unwrap();
        producer.begin_transaction().unwrap();
        Self(producer)
    }

    pub(crate) fn send(&self, topic: &str, partition: i32, prefix: &str, numbers: std::ops::Range<i64>) {
        send(&self.0, topic, partition, prefix, numbers);
        self.0.flush(WAIT).unwrap();
    }

    pub(crate) fn commit(self) {
        self.0.commit_transaction(WAIT).unwrap();
    }

    pub(crate) fn abort(self) {
        self.0.abort_transaction(WAIT).unwrap();
    }
}

fn asking(group: &str) -> BaseConsumer {
    client().set("group.id", group).create().unwrap()
}

/// What a group has committed for a partition.
pub(crate) fn committed(group: &str, topic: &str, partition: i32) -> Option<i64> {
    let mut list = TopicPartitionList::new();
    list.add_partition(topic, partition);
    let answer = asking(group).committed_offsets(list, WAIT).unwrap();
    match answer.elements()[0].offset() {
        Offset::Offset(offset) => Some(offset),
        _ => None,
    }
}

pub(crate) fn commit(group: &str, topic: &str, partition: i32, offset: i64) {
    let mut list = TopicPartitionList::new();
    list.add_partition_offset(topic, partition, Offset::Offset(offset)).unwrap();
    asking(group).commit(&list, rdkafka::consumer::CommitMode::Sync).unwrap();
}

/// Waits until all before an offset is decided: markers of transactions come a moment after their end.
pub(crate) async fn until_stable(topic: &str, partition: i32, end: i64) {
    let asking = asking("nobody");
    for _ in 0..300 {
        if asking.fetch_watermarks(topic, partition, WAIT).unwrap().1 == end {
            return;
        }
        tokio::time::sleep(Duration::from_millis(50)).await;
    }
    panic!("{topic}:{partition} does not come to {end}");
}
