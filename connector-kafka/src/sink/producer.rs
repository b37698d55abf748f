//! A client of librdkafka, with nothing that blocks on the caller's task.

use std::fmt;
use std::sync::{Arc, Mutex, PoisonError, Weak};
use std::time::Duration;

use connector_api::env::{Environment, TaskHandle};
use connector_api::{Error, Result};
use rdkafka::client::{ClientContext, OAuthToken};
use rdkafka::config::{ClientConfig, RDKafkaLogLevel};
use rdkafka::error::KafkaError as ClientError;
use rdkafka::message::{DeliveryResult, Message};
use rdkafka::producer::{BaseProducer, BaseRecord, Producer as _, ProducerContext};
use rdkafka::types::RDKafkaErrorCode;

use super::metrics;
use crate::error::{KafkaError, is_refusal};
use crate::security::Tokens;

/// How long the calls may take that make and end transactions.
const PATIENCE: Duration = Duration::from_secs(30);
/// How long to wait before the queue is looked at again.
const PAUSE: Duration = Duration::from_millis(2);

/// Hears which messages were not delivered.
#[derive(Debug)]
pub(crate) struct Reports {
    failures: Mutex<Option<Failures>>,
    /// Why the cluster does not let this client in.
    refused: Mutex<Option<String>>,
    tokens: Tokens,
}

impl Reports {
    fn new(env: &Environment, config: &ClientConfig) -> Self {
        Self { failures: Mutex::default(), refused: Mutex::default(), tokens: Tokens::of(env, config) }
    }

    /// An error when the cluster does not let this client in.
    fn check(&self) -> Result<(), KafkaError> {
        match &*self.refused.lock().unwrap_or_else(PoisonError::into_inner) {
            Some(why) => Err(KafkaError::Refused(why.clone())),
            None => Ok(()),
        }
    }
}

#[derive(Debug)]
struct Failures {
    count: u64,
    topic: String,
    first: ClientError,
}

impl ClientContext for Reports {
    fn log(&self, level: RDKafkaLogLevel, facility: &str, message: &str) {
        tracing::debug!(?level, facility, message, "librdkafka");
    }

    fn error(&self, error: ClientError, reason: &str) {
        tracing::warn!(%error, reason, "librdkafka");
        if is_refusal(&error, reason) {
            let mut refused = self.refused.lock().unwrap_or_else(PoisonError::into_inner);
            refused.get_or_insert_with(|| reason.to_owned());
        }
    }

    const ENABLE_REFRESH_OAUTH_TOKEN: bool = true;

    fn generate_oauth_token(&self, config: Option<&str>) -> Result<OAuthToken, Box<dyn std::error::Error>> {
        self.tokens.refresh(config)
    }
}

impl ProducerContext for Reports {
    type DeliveryOpaque = ();

    fn delivery(&self, result: &DeliveryResult<'_>, (): ()) {
        let Err((error, message)) = result else { return };
        metrics::count(metrics::RECORDS_OUT_ERRORS, 1);
        let mut failures = self.failures.lock().unwrap_or_else(PoisonError::into_inner);
        let first = || Failures { count: 0, topic: message.topic().to_owned(), first: error.clone() };
        failures.get_or_insert_with(first).count += 1;
    }
}

/// A producer. Dropping it closes its connections, on a thread where that may take a while, and ends no transaction.
pub(crate) struct Producer {
    env: Environment,
    inner: Option<Arc<BaseProducer<Reports>>>,
    /// Hands out tokens also while no row comes.
    pump: Option<Box<dyn TaskHandle>>,
}

/// How often a producer that logs in by tokens is asked whether it needs one.
const PUMP: Duration = Duration::from_millis(500);

async fn pump(inner: Weak<BaseProducer<Reports>>, env: Environment) {
    while let Some(inner) = inner.upgrade() {
        inner.poll(Duration::ZERO);
        drop(inner);
        env.clock.sleep(PUMP).await;
    }
}

/// Ends the client on this thread: the pump may hold it for a moment.
fn end(mut inner: Arc<BaseProducer<Reports>>) {
    loop {
        match Arc::try_unwrap(inner) {
            Ok(inner) => return drop(inner),
            Err(held) => inner = held,
        }
        std::thread::park_timeout(Duration::from_millis(1));
    }
}

impl fmt::Debug for Producer {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Producer")
    }
}

impl Drop for Producer {
    fn drop(&mut self) {
        if let Some(pump) = self.pump.take() {
            pump.abort();
        }
        if let Some(inner) = self.inner.take() {
            self.env.spawner.spawn_blocking(Box::new(move || end(inner)));
        }
    }
}

fn failed(operation: &'static str, target: &str, error: impl Into<KafkaError>) -> Error {
    Error::connector(operation, target, None, error.into())
}

/// Why a call failed: because the client is not let in, if that is what it met.
fn refusal(inner: &BaseProducer<Reports>, error: ClientError) -> KafkaError {
    // What it met waits in its queue, among lines of its log, or comes a moment later than the call's end.
    for _ in 0..32 {
        inner.poll(Duration::from_millis(5));
        if inner.context().check().is_err() {
            break;
        }
    }
    inner.context().check().err().unwrap_or_else(|| error.into())
}

impl Producer {
    /// A producer of this configuration, which connects in the background.
    pub(crate) fn open(env: &Environment, config: &ClientConfig) -> Result<Self> {
        let inner = config
            .create_with_context(Reports::new(env, config))
            .map_err(|e| failed("make a producer for", config.get("bootstrap.servers").unwrap_or(""), e))?;
        let inner = Arc::new(inner);
        let needs_tokens = ["sasl.mechanism", "sasl.mechanisms"]
            .iter()
            .any(|name| config.get(name).is_some_and(|mechanism| mechanism == "OAUTHBEARER"));
        let pump = needs_tokens.then(|| {
            let work = pump(Arc::downgrade(&inner), env.clone());
            env.spawner.spawn("serve a Kafka producer", Box::pin(work))
        });
        Ok(Self { env: env.clone(), inner: Some(inner), pump })
    }

    /// A producer of this transactional id. Whoever had the id before is fenced.
    pub(crate) async fn transactional(env: &Environment, config: &ClientConfig, id: &str) -> Result<Self> {
        let mut config = config.clone();
        config.set("transactional.id", id);
        let (inner_env, id) = (env.clone(), id.to_owned());
        env.blocking("init transactions", move || {
            let this = Self::open(&inner_env, &config)?;
            let inner = this.inner()?;
            inner
                .init_transactions(PATIENCE)
                .map_err(|e| failed("init transactions of", &id, refusal(inner, e)))?;
            Ok(this)
        })
        .await
    }

    /// Closes it: when this returns, nothing that it had still to send comes to the cluster any more. An open transaction stays open.
    pub(crate) async fn close(mut self) -> Result<()> {
        let inner = self.inner.take();
        let close = move || {
            if let Some(inner) = inner {
                end(inner);
            }
            Ok(())
        };
        self.env.blocking("close a producer", close).await
    }

    fn inner(&self) -> Result<&Arc<BaseProducer<Reports>>> {
        self.inner.as_ref().ok_or_else(|| Error::contract("kafka sink", "used a producer that is closed"))
    }

    /// Calls what blocks.
    async fn blocking(
        &self,
        operation: &'static str,
        id: &str,
        call: impl FnOnce(&BaseProducer<Reports>) -> rdkafka::error::KafkaResult<()> + Send + 'static,
    ) -> Result<()> {
        let (inner, id) = (self.inner()?.clone(), id.to_owned());
        self.env.blocking(operation, move || call(&inner).map_err(|e| failed(operation, &id, e))).await
    }

    pub(crate) async fn begin(&self, id: &str) -> Result<()> {
        self.blocking("begin a transaction of", id, |producer| producer.begin_transaction()).await
    }

    pub(crate) async fn commit(&self, id: &str) -> Result<()> {
        self.blocking("commit a transaction of", id, |producer| producer.commit_transaction(PATIENCE)).await
    }

    /// How many partitions a topic has now.
    pub(crate) async fn partitions(&self, topic: &str) -> Result<i32> {
        let (inner, topic) = (self.inner()?.clone(), topic.to_owned());
        let ask = move || {
            let metadata = inner.client().fetch_metadata(Some(&topic), PATIENCE);
            let metadata =
                metadata.map_err(|e| failed("ask for the partitions of", &topic, refusal(&inner, e)))?;
            let found = metadata.topics().iter().find(|found| found.name() == topic);
            Ok(found.map_or(0, |found| found.partitions().len() as i32))
        };
        self.env.blocking("ask for partitions", ask).await
    }

    /// Puts a record into the queue, and waits while the queue is full.
    pub(crate) async fn send(&self, record: BaseRecord<'_, [u8], [u8]>) -> Result<()> {
        let inner = self.inner()?;
        let mut record = match inner.send(record) {
            Ok(()) => return Ok(()),
            Err((ClientError::MessageProduction(RDKafkaErrorCode::QueueFull), back)) => back,
            Err((error, back)) => return Err(failed("write to", back.topic, error)),
        };
        loop {
            self.check()?;
            self.env.clock.sleep(PAUSE).await;
            record = match inner.send(record) {
                Ok(()) => return Ok(()),
                Err((ClientError::MessageProduction(RDKafkaErrorCode::QueueFull), back)) => back,
                Err((error, back)) => return Err(failed("write to", back.topic, error)),
            };
        }
    }

    /// Hears reports; an error when a message was not delivered, also on every later call.
    pub(crate) fn check(&self) -> Result<()> {
        let inner = self.inner()?;
        inner.poll(Duration::ZERO);
        inner.context().check().map_err(|e| failed("write to", "the cluster", e))?;
        match &*inner.context().failures.lock().unwrap_or_else(PoisonError::into_inner) {
            None => Ok(()),
            Some(Failures { count, topic, first }) => {
                let error =
                    KafkaError::Delivery { count: *count, topic: topic.clone(), source: first.clone() };
                Err(failed("write to", topic, error))
            }
        }
    }

    /// When it returns, every record was acknowledged.
    pub(crate) async fn flush(&self, patience: Duration) -> Result<()> {
        let inner = self.inner()?;
        let until = self.env.clock.monotonic() + patience;
        loop {
            // Not for longer: it would block. Each call tells the client not to wait for fuller batches.
            let flushed = inner.flush(Duration::ZERO);
            self.check()?;
            match flushed {
                Ok(()) => return Ok(()),
                Err(ClientError::Flush(RDKafkaErrorCode::OperationTimedOut))
                    if self.env.clock.monotonic() < until => {}
                Err(error) => return Err(failed("flush", "the producer", error)),
            }
            self.env.clock.sleep(PAUSE).await;
        }
    }
}
