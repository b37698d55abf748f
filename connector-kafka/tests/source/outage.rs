//! A broker that dies and comes back.

use std::time::Duration;

use connector_kafka::source::SourceOptions;

use super::Test;
use super::broker::{address, block_on, broker, create, produce};
use super::host::{Host, texts};

pub(crate) const TESTS: &[Test] =
    &[("reading_goes_on_after_a_restart_of_the_broker_without_loss_or_repetition", || block_on(restart()))];

async fn restart() {
    create("outage", 2).await;
    produce("outage", 0, "a", 0..1000);
    let mut host = Host::start(&SourceOptions::topics(address(), ["outage"]), 1);
    host.until_rows(1000).await;
    tokio::task::spawn_blocking(|| broker().kill().unwrap()).await.unwrap();
    host.quiet(Duration::from_secs(2)).await;
    tokio::task::spawn_blocking(|| broker().restart().unwrap()).await.unwrap();
    tokio::task::spawn_blocking(|| produce("outage", 0, "a", 1000..1010)).await.unwrap();
    tokio::task::spawn_blocking(|| produce("outage", 1, "b", 0..10)).await.unwrap();
    host.until_rows(1020).await;
    let mut expected = texts("a", 0..1010);
    expected.extend(texts("b", 0..10));
    assert_eq!(host.texts(), expected);
    host.close().await;
}
