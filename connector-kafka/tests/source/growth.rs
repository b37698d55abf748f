//! Partitions that come and go while the source runs.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

use connector_api::Result;
use connector_api::factory::Span;
use connector_kafka::source::{
    ClusterTopics, KafkaSource, Offsets, OnRemoved, SourceOptions, Subscriber, TopicPartition,
};

use super::Test;
use super::broker::{address, block_on, create, delete, grow, produce};
use super::host::{Host, texts};

pub(crate) const TESTS: &[Test] = &[
    ("new_partitions_are_read_from_their_first_record", || block_on(new_partitions())),
    ("new_topics_of_a_pattern_are_read_from_their_first_record", || block_on(new_topics())),
    ("partitions_are_dealt_evenly_over_all_topics", || block_on(even())),
    ("a_removed_topic_fails_the_job_by_name", || block_on(removed())),
    ("a_removed_topic_is_finished_when_the_user_says_so", || block_on(removed_finish())),
    ("a_subscriber_of_the_users_own_says_what_is_read", || block_on(own_subscriber())),
];

fn often(options: SourceOptions) -> SourceOptions {
    SourceOptions { discovery_interval: Span(Duration::from_millis(300)), ..options }
}

async fn new_partitions() {
    create("grows", 1).await;
    produce("grows", 0, "old", 0..3);
    let latest = SourceOptions { start: Offsets::Latest, ..SourceOptions::topics(address(), ["grows"]) };
    let mut host = Host::start(&often(latest.clone()), 2);
    host.quiet(Duration::from_secs(1)).await;
    grow("grows", 3).await;
    // Before the source can have found it.
    produce("grows", 2, "c", 0..3);
    host.until_rows(3).await;
    assert_eq!(host.texts(), texts("c", 0..3));
    assert_eq!(host.rows[0].reader, 0);
    let checkpoint = host.snapshot(1);
    assert_eq!(checkpoint.state.found, 3);
    host.close().await;
    // Also those that came while nobody was there.
    grow("grows", 4).await;
    produce("grows", 3, "d", 0..3);
    produce("grows", 0, "a", 0..1);
    let mut host = Host::again(&often(latest), 1, checkpoint);
    host.until_rows(4).await;
    assert_eq!(host.texts(), ["a0", "d0", "d1", "d2"]);
    host.close().await;
}

async fn new_topics() {
    create("pattern-a", 1).await;
    produce("pattern-a", 0, "a", 0..3);
    let options = SourceOptions {
        topics: Vec::new(),
        topic_pattern: Some("pattern-.*".into()),
        ..SourceOptions::topics(address(), [""; 0])
    };
    let mut host = Host::start(&often(options), 1);
    host.until_rows(3).await;
    create("pattern-b", 1).await;
    create("other-pattern-b", 1).await;
    produce("pattern-b", 0, "b", 0..3);
    produce("other-pattern-b", 0, "x", 0..3);
    host.until_rows(6).await;
    host.quiet(Duration::from_secs(1)).await;
    assert_eq!(host.texts(), [texts("a", 0..3), texts("b", 0..3)].concat());
    host.close().await;
}

async fn even() {
    let topics: Vec<_> = (0..6).map(|number| format!("even-{number}")).collect();
    for topic in &topics {
        create(topic, 1).await;
        produce(topic, 0, "x", 0..1);
    }
    let mut host = Host::start(&SourceOptions::topics(address(), topics), 3);
    host.until_rows(6).await;
    let mut by_reader = BTreeMap::new();
    for row in &host.rows {
        *by_reader.entry(row.reader).or_insert(0) += 1;
    }
    assert_eq!(by_reader, BTreeMap::from([(0, 2), (1, 2), (2, 2)]));
    host.close().await;
}

async fn removed() {
    create("removed", 1).await;
    produce("removed", 0, "a", 0..3);
    let mut host = Host::start(&often(SourceOptions::topics(address(), ["removed"])), 1);
    host.until_rows(3).await;
    delete("removed").await;
    let error = host.error().await;
    assert!(error.to_string().contains("removed:0") && !error.is_retryable(), "{error}");
}

async fn removed_finish() {
    create("leaves", 1).await;
    create("stays", 1).await;
    produce("leaves", 0, "a", 0..3);
    let options = SourceOptions {
        on_removed_partition: OnRemoved::Finish,
        ..SourceOptions::topics(address(), ["leaves", "stays"])
    };
    let mut host = Host::start(&often(options), 1);
    host.until_rows(3).await;
    delete("leaves").await;
    host.until(|host| host.finished.iter().any(|split| split.as_str() == "leaves:0")).await;
    produce("stays", 0, "b", 0..3);
    host.until_rows(6).await;
    host.close().await;
}

/// Every other partition.
#[derive(Debug)]
struct Odd(&'static str);

impl Subscriber for Odd {
    fn partitions(
        &self,
        cluster: &dyn ClusterTopics,
        _: bool,
    ) -> Result<std::collections::BTreeSet<TopicPartition>> {
        let count = cluster.partitions(self.0)?.unwrap_or(0);
        Ok((0..count).filter(|n| n % 2 == 1).map(|n| TopicPartition::new(self.0, n)).collect())
    }
}

async fn own_subscriber() {
    create("odd", 4).await;
    for partition in 0..4 {
        produce("odd", partition, &format!("{partition}-"), 0..1);
    }
    let options = SourceOptions { stop: Some(Offsets::Latest), ..SourceOptions::topics(address(), [""; 0]) };
    let source = KafkaSource::subscribing(&options, Arc::new(Odd("odd"))).unwrap();
    let mut host = Host::restore(&source, 1, None);
    host.until_end().await;
    assert_eq!(host.texts(), ["1-0", "3-0"]);
    host.close().await;
}
