//! Two thousand partitions: nothing may grow faster than their number.

use std::time::Instant;

use connector_kafka::source::{Offsets, SourceOptions};

use super::Test;
use super::broker::{address, block_on, create, produce};
use super::host::Host;

pub(crate) const TESTS: &[Test] =
    &[("two_thousand_partitions_are_found_dealt_and_stored", || block_on(many()))];

/// Timings are printed: what they must be is measured on a quiet machine.
#[allow(clippy::disallowed_methods)]
fn now() -> Instant {
    Instant::now()
}

async fn many() {
    const PARTITIONS: i32 = 2000;
    for topic in 0..4 {
        create(&format!("many-{topic}"), PARTITIONS / 4).await;
    }
    produce("many-0", 7, "a", 0..3);
    let topics = (0..4).map(|topic| format!("many-{topic}"));
    let options = SourceOptions { start: Offsets::Latest, ..SourceOptions::topics(address(), topics) };
    // The leaders of new partitions are not known at once, which is not what is timed.
    let mut early = Host::start(&options, 2);
    early.until(|host| host.is_dealt()).await;
    early.close().await;
    for start in [Offsets::Earliest, Offsets::Latest] {
        let began = now();
        let mut host = Host::start(&SourceOptions { start: start.clone(), ..options.clone() }, 2);
        host.until(|host| host.is_dealt()).await;
        println!("2,000 partitions: found and dealt in {:?}, start {start:?}", began.elapsed());
        host.close().await;
    }
    let began = now();
    let mut host = Host::start(&options, 2);
    host.until(|host| host.is_dealt()).await;
    println!("2,000 partitions: found, resolved and dealt in {:?}", began.elapsed());
    let began = now();
    let checkpoint = host.snapshot(1);
    println!("2,000 partitions: checkpoint in {:?}", began.elapsed());
    assert_eq!(checkpoint.splits.len(), PARTITIONS as usize);
    let bytes: usize =
        checkpoint.splits.iter().map(|split| connector_api::Stored::to_bytes(split).unwrap().len()).sum();
    println!("2,000 partitions: {bytes} bytes of splits");
    let began = now();
    produce("many-3", 499, "b", 0..3);
    host.until_rows(3).await;
    println!("2,000 partitions: a row of the last one after {:?}", began.elapsed());
    host.close().await;
}
