//! What the client calls back: errors that end everything, and lag; and how commits are counted.

use std::sync::Weak;
use std::sync::atomic::Ordering;
use std::time::Duration;

use connector_api::env::Environment;
use rdkafka::Statistics;
use rdkafka::error::{KafkaError, KafkaResult};

use super::super::config::Isolation;
use super::super::context::Listener;
use super::super::metrics::{
    COMMITS_FAILED, COMMITS_SUCCEEDED, COMMITTED_OFFSET, CURRENT_OFFSET, RECORDS_LAG, count,
};
use super::super::offsets::TopicPartition;
use super::{Broken, Consuming, Shared, locked};

/// How often errors and statistics are fetched from the client.
const PUMP: Duration = Duration::from_millis(200);
/// Callbacks that are served at once.
const PUMPED: usize = 64;

/// Serves what the client calls back.
pub(super) async fn pump(consumer: Weak<Consuming>, shared: Weak<Shared>, env: Environment) {
    loop {
        {
            let (Some(consumer), Some(shared)) = (consumer.upgrade(), shared.upgrade()) else { return };
            for _ in 0..PUMPED {
                match consumer.poll(Duration::ZERO) {
                    // Each partition has a queue of its own: reading on would lose this one.
                    Some(Ok(_)) => shared.breaks(Broken::Stray),
                    Some(Err(KafkaError::MessageConsumptionFatal(code))) => {
                        shared.breaks(Broken::Refused(code.to_string()));
                    }
                    // Told to the context already.
                    Some(Err(_)) | None => {}
                }
            }
        }
        env.clock.sleep(PUMP).await;
    }
}

/// Hears what the client calls back.
pub(super) struct Ears(pub(super) Weak<Shared>);

impl Listener for Ears {
    fn refused(&self, why: &str) {
        if let Some(shared) = self.0.upgrade() {
            shared.breaks(Broken::Refused(why.to_owned()));
        }
    }

    fn statistics(&self, statistics: &Statistics) {
        let Some(shared) = self.0.upgrade() else { return };
        let places: Vec<_> = locked(&shared.places).values().cloned().collect();
        let mut pending = 0;
        for place in places {
            let topic = statistics.topics.get(&*place.at.topic);
            let Some(partition) = topic.and_then(|topic| topic.partitions.get(&place.at.partition)) else {
                continue;
            };
            let end = match shared.config.isolation {
                Isolation::ReadCommitted => partition.ls_offset,
                Isolation::ReadUncommitted => partition.hi_offset,
            };
            let next = place.next.load(Ordering::Relaxed);
            let is_at_end = place.is_at_end.load(Ordering::Relaxed);
            let split = place.at.to_string();
            let gauge = |name: &'static str, value: i64| {
                let labels = [
                    ("connector", "kafka".to_owned()),
                    ("subtask", shared.subtask.clone()),
                    ("split", split.clone()),
                ];
                metrics::gauge!(name, &labels).set(value as f64);
            };
            if next > 0 {
                gauge(CURRENT_OFFSET, next - 1);
            }
            if end >= 0 {
                let lag = if is_at_end { 0 } else { (end - next).max(0) };
                pending += lag;
                gauge(RECORDS_LAG, lag);
            }
        }
        let labels = [("connector", "kafka".to_owned()), ("subtask", shared.subtask.clone())];
        metrics::gauge!(connector_api::metrics::PENDING_RECORDS, &labels).set(pending as f64);
    }
}

/// Counts a commit to the group.
pub(super) fn committed(offsets: &[(TopicPartition, i64)], result: KafkaResult<()>) {
    if let Err(error) = result {
        tracing::warn!(%error, "committing offsets to the group failed");
        return count(COMMITS_FAILED, 1);
    }
    count(COMMITS_SUCCEEDED, 1);
    for (at, next) in offsets {
        metrics::gauge!(COMMITTED_OFFSET, "connector" => "kafka", "split" => at.to_string())
            .set(*next as f64);
    }
}
