//! Keys that the sink takes out of the rows' values, as they are read back.

use bytes::Bytes;
use connector_api::batch::FromRows;
use connector_api::message::{Column, Message};
use connector_api::{Batch, MessageBatch};
use connector_kafka::sink::{KafkaPartitioner, KafkaSink, KeyOptions, MissingKey, SinkOptions, Target};
use libtest_mimic::{Failed, Trial};
use rdkafka::message::Message as _;

use super::broker::{self, ensure};
use super::hand::rows;
use super::rows::write;

pub(crate) fn trials() -> Vec<Trial> {
    vec![
        broker::trial("a_key_is_split_off_at_the_first_delimiter", by_delimiter),
        broker::trial("a_key_is_a_field_of_the_value", by_field),
        broker::trial("rows_go_where_their_new_keys_say", partitions),
        broker::trial("a_row_that_has_no_key_fails_the_writer_and_is_named", refused),
    ]
}

type Pair = (Option<String>, Option<String>);

/// Key and value of each record of a topic.
fn read(topic: &str) -> Result<Vec<Pair>, Failed> {
    let text = |bytes: Option<&[u8]>| bytes.map(|bytes| String::from_utf8_lossy(bytes).into_owned());
    broker::committed(&broker::bootstrap()?, topic, |record| (text(record.key()), text(record.payload())))
}

fn options(topic: &str, partitions: i32, key: KeyOptions) -> Result<SinkOptions, Failed> {
    broker::create_topic(topic, partitions)?;
    Ok(SinkOptions::topic(broker::bootstrap()?, topic).keyed(key))
}

fn pair(key: &str, value: &str) -> Pair {
    (Some(key.to_owned()), Some(value.to_owned()))
}

async fn by_delimiter() -> Result<(), Failed> {
    let sink = KafkaSink::new(&options("key-delimiter", 1, KeyOptions::delimiter("\t"))?)?;
    write(&sink, rows(&["a\tone", "b\ttwo\tthree", "\tfour", "c\t"])).await?;
    let found = read("key-delimiter")?;
    let expected = [pair("a", "one"), pair("b", "two\tthree"), pair("", "four"), pair("c", "")];
    ensure!(found == expected, "{found:?}");
    Ok(())
}

async fn by_field() -> Result<(), Failed> {
    let key = KeyOptions { missing: MissingKey::Null, ..KeyOptions::field("user.id") };
    let values = [
        r#"{"user": {"id": "a\tb"}}"#,
        r#"{"user": {"id": 12345678901234567890123}}"#,
        r#"{"user": {"id": null}}"#,
    ];
    // The keys that rows come with are replaced.
    let message = |value: &&'static str| Message {
        key: Some(Bytes::from_static(b"old")),
        value: Some(Bytes::from_static(value.as_bytes())),
    };
    let batch = MessageBatch::from_rows(values.iter().map(message).collect())?;
    write(&KafkaSink::new(&options("key-field", 1, key)?)?, Batch::new(batch)).await?;
    let found = read("key-field")?;
    let expected = [
        pair("a\tb", values[0]),
        pair("12345678901234567890123", values[1]),
        (None, Some(values[2].to_owned())),
    ];
    ensure!(found == expected, "{found:?}");
    Ok(())
}

/// By the length of the key.
#[derive(Debug)]
struct Length;

impl KafkaPartitioner for Length {
    fn partition(&self, _: &MessageBatch, _: usize, to: Target<'_>) -> Option<i32> {
        i32::try_from(to.key?.len()).ok().map(|length| length % to.partitions)
    }
}

async fn partitions() -> Result<(), Failed> {
    let batch = || rows(&["a,1", "b,2", "c,3", "k1,4", "k2,5", "a,6"]);
    let placed = |topic: &str| {
        let text = |bytes: Option<&[u8]>| String::from_utf8_lossy(bytes.unwrap_or_default()).into_owned();
        broker::committed(&broker::bootstrap()?, topic, |record| (text(record.key()), record.partition()))
    };
    let key = || KeyOptions::delimiter(",");
    write(&KafkaSink::new(&options("key-murmur2", 3, key())?)?, batch()).await?;
    let found = placed("key-murmur2")?;
    ensure!(found.len() == 6, "{found:?}");
    for (key, partition) in &found {
        let expected = murmur2(key.as_bytes()) & 0x7fff_ffff;
        ensure!(*partition as u32 == expected % 3, "{key} is in partition {partition}");
    }
    write(&KafkaSink::new(&options("key-length", 3, key())?)?.partitioned(Length), batch()).await?;
    let found = placed("key-length")?;
    ensure!(found.iter().all(|(key, partition)| key.len() == *partition as usize), "{found:?}");
    Ok(())
}

/// The hash of Java's default partitioner (`org.apache.kafka.common.utils.Utils.murmur2`).
fn murmur2(bytes: &[u8]) -> u32 {
    const M: u32 = 0x5bd1_e995;
    let mut hash = 0x9747_b28c_u32 ^ bytes.len() as u32;
    let mut words = bytes.chunks_exact(4);
    for word in &mut words {
        let word = u32::from_le_bytes([word[0], word[1], word[2], word[3]]).wrapping_mul(M);
        hash = hash.wrapping_mul(M) ^ (word ^ (word >> 24)).wrapping_mul(M);
    }
    let rest = words.remainder();
    if !rest.is_empty() {
        let tail = rest.iter().rev().fold(0, |tail, byte| (tail << 8) | u32::from(*byte));
        hash = (hash ^ tail).wrapping_mul(M);
    }
    hash = (hash ^ (hash >> 13)).wrapping_mul(M);
    hash ^ (hash >> 15)
}

async fn refused() -> Result<(), Failed> {
    let sink = KafkaSink::new(&options("key-refused", 1, KeyOptions::delimiter("\t"))?)?;
    let batch = rows(&["a\tone", "nothing to split here"]).rows;
    let batch = batch.with_column("file.path", Column::SameText("in/a.txt".into()))?;
    let batch = batch.with_column("file.offset", Column::Integers(vec![0, 6].into()))?;
    let error = write(&sink, Batch::new(batch)).await.err().ok_or("taken")?;
    let text = error.to_string();
    ensure!(
        text.contains("in/a.txt at offset 6") && text.contains("nothing to split") && text.contains("key"),
        "{text}"
    );
    ensure!(!error.is_retryable(), "a restart would meet the same row");
    Ok(())
}
