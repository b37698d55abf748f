//! Where reading begins, each way.

use std::time::Duration;

use connector_kafka::source::{Fallback, Offsets, SourceOptions};

use super::Test;
use super::broker::{address, block_on, commit, create, produce};
use super::host::{Host, texts};

pub(crate) const TESTS: &[Test] = &[
    ("earliest_begins_at_the_first_record", || block_on(earliest())),
    ("latest_is_resolved_once_and_stored_also_of_an_empty_partition", || block_on(latest())),
    ("a_time_begins_at_the_first_record_at_or_after_it_and_at_the_end_where_there_is_none", || {
        block_on(timestamp())
    }),
    ("the_groups_offsets_are_begun_at_with_a_fallback", || block_on(committed())),
    ("given_offsets_are_begun_at_and_other_partitions_at_their_first_record", || block_on(given())),
    ("what_is_named_and_not_there_fails_the_start_by_name", || block_on(missing())),
];

fn options(topic: &str, start: Offsets) -> SourceOptions {
    SourceOptions { start, ..SourceOptions::topics(address(), [topic]) }
}

async fn earliest() {
    create("earliest", 2).await;
    produce("earliest", 0, "a", 0..5);
    produce("earliest", 1, "b", 0..5);
    let mut host = Host::start(&options("earliest", Offsets::Earliest), 1);
    host.until_rows(10).await;
    assert_eq!(host.texts(), [texts("a", 0..5), texts("b", 0..5)].concat());
    produce("earliest", 1, "b", 5..7);
    host.until_rows(12).await;
    host.close().await;
}

async fn latest() {
    create("latest", 2).await;
    produce("latest", 0, "old", 0..5);
    let options = options("latest", Offsets::Latest);
    let mut host = Host::start(&options, 1);
    host.quiet(Duration::from_secs(2)).await;
    let checkpoint = host.snapshot(1);
    assert_eq!(checkpoint.splits.iter().map(|split| split.next).collect::<Vec<_>>(), [Some(5), Some(0)]);
    host.close().await;
    // While nobody reads.
    produce("latest", 0, "new", 0..2);
    produce("latest", 1, "first", 0..2);
    let mut host = Host::again(&options, 2, checkpoint);
    host.until_rows(4).await;
    assert_eq!(host.texts(), ["new0", "new1", "first0", "first1"]);
    host.close().await;
}

async fn timestamp() {
    create("times", 3).await;
    produce("times", 0, "a", 0..10);
    produce("times", 1, "b", 0..3);
    let mut host = Host::start(&options("times", Offsets::Timestamp(1006)), 1);
    host.until_rows(4).await;
    assert_eq!(host.texts(), texts("a", 6..10));
    let checkpoint = host.snapshot(1);
    host.close().await;
    // Ends were resolved, not asked for again.
    produce("times", 1, "b", 3..4);
    produce("times", 2, "c", 0..1);
    let mut host = Host::again(&options("times", Offsets::Timestamp(1006)), 1, checkpoint);
    host.until_rows(2).await;
    assert_eq!(host.texts(), ["b3", "c0"]);
    host.close().await;
}

async fn committed() {
    create("grouped", 2).await;
    produce("grouped", 0, "a", 0..5);
    produce("grouped", 1, "b", 0..5);
    commit("group-of-starts", "grouped", 0, 3);
    let with = |fallback| SourceOptions {
        group_id: Some("group-of-starts".into()),
        ..options("grouped", Offsets::Committed(fallback))
    };
    let mut host = Host::start(&with(Fallback::Earliest), 1);
    host.until_rows(7).await;
    assert_eq!(host.texts(), [texts("a", 3..5), texts("b", 0..5)].concat());
    host.close().await;
    let mut host = Host::start(&with(Fallback::Latest), 1);
    host.until_rows(2).await;
    host.quiet(Duration::from_millis(500)).await;
    host.close().await;
    let error = Host::start(&with(Fallback::Fail), 1).error().await;
    assert!(error.to_string().contains("grouped:1") && !error.is_retryable(), "{error}");
}

async fn given() {
    create("given", 2).await;
    produce("given", 0, "a", 0..5);
    produce("given", 1, "b", 0..5);
    let at = |partition: &str| Offsets::Offsets([(partition.to_owned(), 3)].into());
    let mut host = Host::start(&options("given", at("given:1")), 1);
    host.until_rows(7).await;
    assert_eq!(host.texts(), [texts("a", 0..5), texts("b", 3..5)].concat());
    host.close().await;
    let error = Host::start(&options("given", at("given:2")), 1).error().await.to_string();
    assert!(error.contains("start.offsets") && error.contains("given:2"), "{error}");
}

async fn missing() {
    let error = Host::start(&options("nowhere", Offsets::Earliest), 1).error().await;
    assert!(error.to_string().contains("nowhere") && !error.is_retryable(), "{error}");
    create("small", 1).await;
    let partitions = SourceOptions {
        topics: Vec::new(),
        partitions: vec!["small:1".into()],
        ..options("small", Offsets::Earliest)
    };
    let error = Host::start(&partitions, 1).error().await.to_string();
    assert!(error.contains("small:1"), "{error}");
}
