//! What a record of a row holds, and where it goes.

use std::sync::Arc;

use bytes::Bytes;
use connector_api::batch::FromRows;
use connector_api::headers::HeadersBuilder;
use connector_api::message::{Column, Message};
use connector_api::sink::{Flush, Sink};
use connector_api::{Batch, MessageBatch};
use connector_kafka::sink::{KafkaPartitioner, KafkaSink, PartitionerOption, SinkOptions, Target};
use libtest_mimic::{Failed, Trial};
use rdkafka::message::{Headers, Message as _};

use super::broker::{self, ensure};
use super::hand::{context, rows};

pub(crate) fn trials() -> Vec<Trial> {
    vec![
        broker::trial("a_record_holds_key_value_tombstone_time_and_headers", records),
        broker::trial("a_column_says_the_topic", topics),
        broker::trial("partitioners_say_the_partition", partitions),
        broker::trial("what_can_t_be_delivered_fails_the_flush_of_the_same_checkpoint", undeliverable),
    ]
}

pub(crate) async fn write(sink: &KafkaSink, batch: Batch<MessageBatch>) -> connector_api::Result<()> {
    let plan = sink.plan()?;
    let mut writer = (plan.writer)(context(1, 1), Vec::new()).await?;
    writer.write(batch).await?;
    writer.flush(Flush::EndOfInput).await?;
    writer.close().await
}

fn message(key: Option<&'static str>, value: Option<&'static str>) -> Message {
    let bytes = |text: &'static str| Bytes::from_static(text.as_bytes());
    Message { key: key.map(bytes), value: value.map(bytes) }
}

async fn records() -> Result<(), Failed> {
    broker::create_topic("records", 1)?;
    let batch = MessageBatch::from_rows(vec![
        message(Some("k"), Some("v")),
        message(Some("k"), None),
        message(None, Some("")),
    ])?;
    let mut headers = HeadersBuilder::new();
    headers.push("trace", Some(b"7"))?;
    headers.push("trace", None)?;
    (0..3).for_each(|_| headers.end_row());
    let batch = batch.with_column("headers", Column::Headers(headers.build()))?;
    let batch = Batch::with_timestamps(batch, vec![1_000, 2_000, 3_000])?;
    write(&KafkaSink::new(&SinkOptions::topic(broker::bootstrap()?, "records"))?, batch).await?;
    let text = |bytes: Option<&[u8]>| bytes.map(|b| String::from_utf8_lossy(b).into_owned());
    let found = broker::committed(&broker::bootstrap()?, "records", |record| {
        let headers: Vec<_> = record
            .headers()
            .map(|all| all.iter().map(|h| (h.key.to_owned(), h.value.map(<[u8]>::to_vec))).collect())
            .unwrap_or_default();
        (text(record.key()), text(record.payload()), record.timestamp().to_millis(), headers)
    })?;
    let some = |text: &str| Some(text.to_owned());
    let both = vec![("trace".to_owned(), Some(b"7".to_vec())), ("trace".to_owned(), None)];
    let expected = vec![
        (some("k"), some("v"), Some(1_000), both),
        (some("k"), None, Some(2_000), Vec::new()),
        (None, some(""), Some(3_000), Vec::new()),
    ];
    ensure!(found == expected, "{found:?}");
    Ok(())
}

async fn topics() -> Result<(), Failed> {
    for topic in ["by-column-a", "by-column-b"] {
        broker::create_topic(topic, 1)?;
    }
    let options = SinkOptions {
        topic: None,
        topic_column: Some("topic".to_owned()),
        ..SinkOptions::topic(broker::bootstrap()?, "")
    };
    let topics = ["by-column-a", "by-column-b", "by-column-a"].map(Arc::from).to_vec();
    let batch = rows(&["1", "2", "3"]).rows.with_column("topic", Column::Texts(Arc::new(topics)))?;
    write(&KafkaSink::new(&options)?, Batch::new(batch)).await?;
    ensure!(
        broker::values("by-column-a")? == ["1", "3"] && broker::values("by-column-b")? == ["2"],
        "mixed up"
    );
    let error =
        write(&KafkaSink::new(&options)?, rows(&["no column"])).await.err().ok_or("taken")?.to_string();
    ensure!(error.contains("topic"), "{error}");
    Ok(())
}

#[derive(Debug)]
struct Last;

impl KafkaPartitioner for Last {
    fn partition(&self, _: &MessageBatch, _: usize, to: Target<'_>) -> Option<i32> {
        Some(to.partitions - 1)
    }
}

async fn partitions() -> Result<(), Failed> {
    let options = |topic: &str, partitioner| -> Result<SinkOptions, Failed> {
        broker::create_topic(topic, 3)?;
        Ok(SinkOptions { partitioner, ..SinkOptions::topic(broker::bootstrap()?, topic) })
    };
    let of = |topic: &str| broker::committed(&broker::bootstrap()?, topic, |record| record.partition());
    let four = || rows(&["1", "2", "3", "4"]);
    write(&KafkaSink::new(&options("fixed", PartitionerOption::Fixed)?)?, four()).await?;
    ensure!(of("fixed")? == [0; 4], "{:?}", of("fixed")?);
    write(&KafkaSink::new(&options("round", PartitionerOption::RoundRobin)?)?, four()).await?;
    let mut round = of("round")?;
    round.sort_unstable();
    ensure!(round == [0, 0, 1, 2], "{round:?}");
    write(&KafkaSink::new(&options("custom", PartitionerOption::Default)?)?.partitioned(Last), four())
        .await?;
    ensure!(of("custom")? == [2; 4], "{:?}", of("custom")?);
    // What Java's default partitioner gives for these keys: murmur2 of `a`, positive, modulo 3.
    let keyed = (0..3).map(|_| message(Some("a"), Some("x"))).collect();
    write(
        &KafkaSink::new(&options("keyed", PartitionerOption::Default)?)?,
        Batch::new(MessageBatch::from_rows(keyed)?),
    )
    .await?;
    let keyed = of("keyed")?;
    ensure!(keyed.windows(2).all(|pair| pair[0] == pair[1]), "{keyed:?}");
    Ok(())
}

async fn undeliverable() -> Result<(), Failed> {
    let own = testkit::brokers::Broker::start(
        testkit::brokers::Kafka::new().with("auto.create.topics.enable", "false"),
    )?;
    let mut options = SinkOptions::topic(own.address().to_string(), "not-there");
    options.properties.insert("message.timeout.ms".to_owned(), "3000".to_owned());
    let error = write(&KafkaSink::new(&options)?, rows(&["x"])).await.err().ok_or("delivered")?.to_string();
    ensure!(error.contains("not-there"), "{error}");
    Ok(())
}
