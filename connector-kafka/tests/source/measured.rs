//! What the source says of itself.

use std::time::Duration;

use connector_kafka::source::SourceOptions;
use connector_kafka::source::metrics::{
    COMMITS_FAILED, COMMITS_SUCCEEDED, COMMITTED_OFFSET, CURRENT_OFFSET, PARTITIONS_FOUND, RECORDS_LAG,
};

use super::Test;
use super::broker::{address, block_on, create, produce};
use super::host::Host;
use super::kept::{counter, gauge};

pub(crate) const TESTS: &[Test] =
    &[("metrics_say_where_each_partition_is_and_what_was_committed", || block_on(places()))];

async fn places() {
    create("measured", 2).await;
    produce("measured", 0, "a", 0..5);
    produce("measured", 1, "b", 0..2);
    let (found, commits) = (counter(PARTITIONS_FOUND), counter(COMMITS_SUCCEEDED));
    let options =
        SourceOptions { group_id: Some("measured".into()), ..SourceOptions::topics(address(), ["measured"]) };
    let mut host = Host::start(&options, 1);
    host.until_rows(7).await;
    assert_eq!(counter(PARTITIONS_FOUND) - found, 2);
    host.snapshot(1);
    host.complete(1);
    let is_told = || {
        gauge(CURRENT_OFFSET, "measured:0") == Some(4.0)
            && gauge(CURRENT_OFFSET, "measured:1") == Some(1.0)
            && gauge(RECORDS_LAG, "measured:0") == Some(0.0)
            && gauge(RECORDS_LAG, "measured:1") == Some(0.0)
            && gauge(COMMITTED_OFFSET, "measured:0") == Some(5.0)
            && gauge(COMMITTED_OFFSET, "measured:1") == Some(2.0)
            && counter(COMMITS_SUCCEEDED) > commits
    };
    for _ in 0..100 {
        if is_told() {
            break;
        }
        host.quiet(Duration::from_millis(100)).await;
    }
    assert!(
        is_told(),
        "{} commits, {} failed, {:?}",
        counter(COMMITS_SUCCEEDED) - commits,
        counter(COMMITS_FAILED),
        [CURRENT_OFFSET, RECORDS_LAG, COMMITTED_OFFSET].map(|name| (name, gauge(name, "measured:0")))
    );
    host.close().await;
}
