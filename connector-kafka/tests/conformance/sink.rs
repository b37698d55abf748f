//! The sink, on a topic and with a prefix of its own for each check.

use std::sync::atomic::{AtomicU64, Ordering};

use async_trait::async_trait;
use connector_api::env::Environment;
use connector_api::sink::Sink;
use connector_api::{Error, MessageBatch, Result};
use connector_kafka::sink::{CRASH_POINTS, DeliveryGuarantee, KafkaSink, SinkOptions};
use connector_kafka::transactions::{Transaction, Transactions};
use libtest_mimic::Failed;
use testkit::context::Expiry;
use testkit::crash::CrashTable;
use testkit::surroundings::Surroundings;
use testkit::{Capabilities, Capability, SinkContext};

use super::broker;

pub(crate) struct KafkaSinkContext {
    name: String,
    guarantee: DeliveryGuarantee,
    /// When the suite asks what the sink can do, there is no broker yet.
    bootstrap: String,
}

fn failed(error: Failed) -> Error {
    Error::data("the test's broker", None, error.message().unwrap_or("failed"))
}

impl KafkaSinkContext {
    pub(crate) fn new(around: &Surroundings, guarantee: DeliveryGuarantee) -> Self {
        static COUNT: AtomicU64 = AtomicU64::new(0);
        let name = format!("conformance-{}", COUNT.fetch_add(1, Ordering::Relaxed));
        let is_real = around.fs().is_none();
        let bootstrap = match is_real {
            true => broker::bootstrap().expect("the broker starts"),
            false => "127.0.0.1:9".to_owned(),
        };
        if is_real {
            broker::create_topic(&name, 2).expect("a topic is made");
        }
        Self { name, guarantee, bootstrap }
    }

    fn transactions(&self, env: &Environment) -> Result<Transactions> {
        Transactions::of(env, &broker::connection().map_err(failed)?)
    }

    async fn open(&self, env: &Environment) -> Result<Vec<Transaction>> {
        let mut all = self.transactions(env)?.list(&format!("{}-", self.name)).await?;
        all.retain(Transaction::is_open);
        Ok(all)
    }
}

#[async_trait]
impl SinkContext for KafkaSinkContext {
    type Batch = MessageBatch;

    fn capabilities(&self) -> Capabilities {
        Capabilities::of([] as [Capability; 0])
    }

    fn sink(&self, _: &Environment) -> Result<Box<dyn Sink<MessageBatch>>> {
        let plain = SinkOptions::topic(&self.bootstrap, &self.name);
        let options = match self.guarantee {
            DeliveryGuarantee::ExactlyOnce => plain.exactly_once(&self.name),
            delivery_guarantee => SinkOptions { delivery_guarantee, ..plain },
        };
        Ok(Box::new(KafkaSink::new(&options)?))
    }

    async fn visible(&mut self, _: &Environment) -> Result<Vec<String>> {
        tokio::task::block_in_place(|| broker::values(&self.name)).map_err(failed)
    }

    async fn lingering(&mut self, env: &Environment) -> Result<Vec<String>> {
        Ok(self.open(env).await?.into_iter().map(|open| format!("{} {}", open.id, open.epoch)).collect())
    }

    fn expiry(&mut self) -> Option<&mut dyn Expiry> {
        (self.guarantee == DeliveryGuarantee::ExactlyOnce).then_some(self as &mut dyn Expiry)
    }

    /// Processes die at each point, too: `tests/sink/kills.rs`.
    fn crash_points(&self) -> Option<CrashTable> {
        let transactions = self.guarantee == DeliveryGuarantee::ExactlyOnce;
        let plain = ["kafka-writer/before-flush", "kafka-writer/after-flush"];
        let points = CRASH_POINTS.iter().copied();
        let reached = points.filter(|point| transactions || plain.contains(point)).collect();
        Some(CrashTable { readme: include_str!("../../README.md"), reached })
    }
}

#[async_trait]
impl Expiry for KafkaSinkContext {
    async fn expire(&mut self, env: &Environment) -> Result<()> {
        let transactions = self.transactions(env)?;
        for open in self.open(env).await? {
            let code = transactions.end(&open, false).await?;
            if code != 0 {
                return Err(Error::data(open.id, None, format!("its abort was answered {code}")));
            }
        }
        while !self.open(env).await?.is_empty() {
            env.clock.sleep(std::time::Duration::from_millis(5)).await;
        }
        Ok(())
    }
}
