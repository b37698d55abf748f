//! testkit's suite over the source, on a real broker.
#![allow(missing_docs, clippy::unwrap_used, clippy::expect_used)]

use std::process::ExitCode;
use std::sync::OnceLock;
use std::sync::atomic::{AtomicU32, Ordering};
use std::time::Duration;

use async_trait::async_trait;
use connector_api::env::Environment;
use connector_api::factory::Span;
use connector_api::source::{BoxSource, erase};
use connector_api::{Error, MessageBatch, Result};
use connector_kafka::source::{CRASH_POINTS, KafkaSource, Offsets, SourceOptions};
use rdkafka::ClientConfig;
use rdkafka::admin::{AdminClient, AdminOptions, NewTopic, TopicReplication};
use rdkafka::client::DefaultClientContext;
use rdkafka::consumer::{BaseConsumer, Consumer};
use rdkafka::producer::{BaseProducer, BaseRecord, Producer};
use testkit::brokers::{Broker, Kafka};
use testkit::crash::CrashTable;
use testkit::{Capabilities, Capability, SourceContext, TestRow};

const WAIT: Duration = Duration::from_secs(30);
const SPLITS: u32 = 4;

/// The broker that all checks share, each with a topic of its own. Ends with this process.
fn client() -> ClientConfig {
    static BROKER: OnceLock<Broker> = OnceLock::new();
    let broker = BROKER.get_or_init(|| {
        let kafka = Kafka::new().with("log.retention.ms", "-1");
        Broker::start(kafka).expect("Kafka starts")
    });
    let mut client = ClientConfig::new();
    client.set("bootstrap.servers", broker.address().to_string());
    client
}

struct KafkaContext {
    is_bounded: bool,
    topic: String,
    is_made: bool,
}

impl KafkaContext {
    fn new(is_bounded: bool) -> Self {
        static NUMBER: AtomicU32 = AtomicU32::new(0);
        let topic = format!("suite-{}", NUMBER.fetch_add(1, Ordering::Relaxed));
        Self { is_bounded, topic, is_made: false }
    }

    async fn make(&mut self) {
        if std::mem::replace(&mut self.is_made, true) {
            return;
        }
        let admin: AdminClient<DefaultClientContext> = client().create().unwrap();
        let topic = NewTopic::new(&self.topic, SPLITS as i32, TopicReplication::Fixed(1));
        admin.create_topics([&topic], &AdminOptions::new()).await.unwrap();
        let asking: BaseConsumer = client().create().unwrap();
        for _ in 0..300 {
            let answer = asking.fetch_metadata(Some(&self.topic), WAIT).unwrap();
            if answer.topics()[0].partitions().len() == SPLITS as usize {
                return;
            }
            tokio::time::sleep(Duration::from_millis(50)).await;
        }
        panic!("the topic does not come");
    }
}

#[async_trait]
impl SourceContext for KafkaContext {
    type Batch = MessageBatch;

    fn capabilities(&self) -> Capabilities {
        // The suite's rows begin at the time 0, which the client that writes them takes for "now": the times of rows are proved
        // by the tests of the source instead.
        if self.is_bounded {
            Capabilities::of([Capability::Bounded])
        } else {
            Capabilities::of([Capability::Unbounded, Capability::Growth])
        }
    }

    fn splits(&self) -> u32 {
        SPLITS
    }

    fn source(&self, _: &Environment) -> Result<BoxSource<MessageBatch>> {
        let address = client().get("bootstrap.servers").unwrap_or_default().to_owned();
        let options = SourceOptions {
            stop: self.is_bounded.then_some(Offsets::Latest),
            discovery_interval: Span(Duration::from_millis(500)),
            group_id: Some(self.topic.clone()),
            ..SourceOptions::topics(address, [self.topic.as_str()])
        };
        Ok(erase(KafkaSource::new(&options)?))
    }

    fn crash_points(&self) -> Option<CrashTable> {
        let points = CRASH_POINTS.iter().chain(connector_base::reader::CRASH_POINTS);
        Some(CrashTable { readme: include_str!("../../README.md"), reached: points.copied().collect() })
    }

    async fn append(&mut self, _: &Environment, split: u32, rows: &[TestRow]) -> Result<()> {
        self.make().await;
        let producer: BaseProducer = client().create().unwrap();
        for row in rows {
            let record = BaseRecord::<[u8], str>::to(&self.topic).partition(split as i32);
            let record = record.payload(&row.text).timestamp(row.millis);
            producer.send(record).map_err(|(e, _)| Error::contract("test", e.to_string()))?;
        }
        producer.flush(WAIT).map_err(|e| Error::contract("test", e.to_string()))
    }
}

fn main() -> ExitCode {
    if let Err(missing) = testkit::brokers::require(&Kafka::new()) {
        println!("ignored: {missing}");
        return if std::env::var_os("CI").is_some() { ExitCode::FAILURE } else { ExitCode::SUCCESS };
    }
    testkit::Suite::new("Kafka source")
        .on_the_real_system()
        .sparing(1)
        .threads(8)
        .source(|_| KafkaContext::new(true))
        .named("Kafka source, unbounded")
        .source(|_| KafkaContext::new(false))
        .main()
}
