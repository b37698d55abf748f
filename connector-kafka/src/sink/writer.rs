//! The writer.

use std::sync::Arc;
use std::time::Duration;

use async_trait::async_trait;
use connector_api::env::Environment;
use connector_api::sink::{CommittingWriter, Flush, SinkWriter, WriterContext};
use connector_api::{Batch, Error, MessageBatch, Result};
use rdkafka::ClientConfig;

use super::committable::{KafkaCommittable, TransactionVersion};
use super::config::{DeliveryGuarantee, SinkConfig, TransactionConfig};
use super::ids::Made;
use super::pool::{Live, Pool};
use super::producer::Producer;
use super::routing::{Router, Routing};
use super::start::{self, Start};
use crate::error::KafkaError;
use crate::wire::{Described, Wire};

/// How long a flush may take outside of transactions: librdkafka gives each message up after five minutes unless a property says otherwise.
const FLUSH: Duration = Duration::from_secs(330);

/// Writes records to topics.
#[derive(Debug)]
pub(crate) struct KafkaWriter {
    env: Environment,
    router: Router,
    mode: Mode,
}

#[derive(Debug)]
enum Mode {
    /// What is acknowledged is visible.
    Plain { producer: Option<Producer>, waits: bool },
    /// In transactions.
    Transactions(Box<Transactions>),
}

/// A transaction from the first row behind a checkpoint to the next one.
#[derive(Debug)]
struct Transactions {
    env: Environment,
    wire: Wire,
    pool: Arc<Pool>,
    config: TransactionConfig,
    client: ClientConfig,
    start: Start,
    /// The next id that was never used.
    next: Made,
    open: Option<Live>,
    staged: Vec<KafkaCommittable>,
}

impl KafkaWriter {
    pub(crate) async fn open(
        context: WriterContext,
        config: Arc<SinkConfig>,
        routing: Routing,
        pool: Arc<Pool>,
    ) -> Result<Self> {
        let router = Router::new(routing, config.key.clone(), context.subtask);
        let env = context.env.clone();
        let mode = match &config.transactions {
            None => {
                let waits = config.options.delivery_guarantee != DeliveryGuarantee::None;
                Mode::Plain { producer: Some(Producer::open(&env, &config.client)?), waits }
            }
            Some(transactions) => {
                Mode::Transactions(Box::new(Transactions::open(&context, &config, transactions, pool).await?))
            }
        };
        Ok(Self { env, router, mode })
    }
}

impl Transactions {
    async fn open(
        context: &WriterContext,
        config: &SinkConfig,
        transactions: &TransactionConfig,
        pool: Arc<Pool>,
    ) -> Result<Self> {
        let wire = config.connection.wire(&context.env, super::PATIENCE)?;
        let start = start::check(context, transactions, &wire).await?;
        let mut client = config.client.clone();
        client.set("transaction.timeout.ms", start.timeout.as_millis().to_string());
        let next = Made { attempt: context.attempt, writer: context.subtask, count: 0 };
        let (env, config) = (context.env.clone(), transactions.clone());
        Ok(Self { env, wire, pool, config, client, start, next, open: None, staged: Vec::new() })
    }

    /// The producer of the transaction that is open; begins one if there is none.
    async fn current(&mut self) -> Result<&Live> {
        let live = match self.open.take() {
            Some(live) => live,
            None => {
                let live = match self.pool.take() {
                    Some(live) => live,
                    None => self.connect().await?,
                };
                live.producer.begin(&live.id).await?;
                self.env.crash.hit("kafka-writer/after-begin");
                live
            }
        };
        Ok(self.open.insert(live))
    }

    /// A producer of an id that was never used.
    async fn connect(&mut self) -> Result<Live> {
        let id = self.config.prefix.id(self.next);
        self.next.count += 1;
        let producer = Producer::transactional(&self.env, &self.client, &id).await?;
        let found = self.describe(&id).await?;
        let (producer_id, epoch) = (found.producer_id, found.epoch);
        Ok(Live { producer, id, producer_id, epoch })
    }

    async fn describe(&self, id: &str) -> Result<Described> {
        let failed = |error| Error::connector("describe transaction", id, None, error);
        let found = self.wire.describe(id).await.map_err(failed)?;
        match found.code {
            0 => Ok(found),
            code => Err(failed(KafkaError::Answer { api: "DescribeTransactions", code })),
        }
    }

    /// Everything that was written is acknowledged, and the coordinator says that the transaction is open and ours: from here on it
    /// can be committed by anybody who knows its name.
    async fn prepare(&mut self, why: Flush) -> Result<()> {
        if let Some(live) = self.open.take() {
            self.env.crash.hit("kafka-writer/before-flush");
            live.producer.flush(self.start.timeout).await?;
            self.env.crash.hit("kafka-writer/after-flush");
            let found = self.describe(&live.id).await?;
            let is_ours = (found.producer_id, found.epoch) == (live.producer_id, live.epoch);
            if found.state != "Ongoing" || !is_ours {
                let error = KafkaError::Transaction(format!(
                    "it must be open once it is flushed, in epoch {} of producer {}; it is {} in epoch {} of {}: it ran into its time-out of {:?}, \
                     or somebody else took its id",
                    live.epoch,
                    live.producer_id,
                    found.state,
                    found.epoch,
                    found.producer_id,
                    self.start.timeout
                ));
                return Err(Error::connector("prepare the transaction of", live.id.clone(), None, error));
            }
            self.env.crash.hit("kafka-writer/after-look");
            self.staged.push(KafkaCommittable {
                cluster_id: self.start.cluster_id.clone(),
                transactional_id: live.id.clone(),
                producer_id: live.producer_id,
                epoch: live.epoch,
                started_at: found.started_at,
                version: TransactionVersion::SameEpoch,
            });
            self.pool.prepared(live);
        }
        if why != Flush::Checkpoint {
            self.pool.savepoint();
        }
        Ok(())
    }
}

fn closed() -> Error {
    Error::contract("host", "used a kafka writer that is closed")
}

#[async_trait]
impl SinkWriter<MessageBatch> for KafkaWriter {
    async fn write(&mut self, batch: Batch<MessageBatch>) -> Result<()> {
        let producer = match &mut self.mode {
            Mode::Plain { producer, .. } => producer.as_ref().ok_or_else(closed)?,
            Mode::Transactions(transactions) => &transactions.current().await?.producer,
        };
        self.router.send(producer, &batch).await?;
        producer.check()
    }

    async fn flush(&mut self, why: Flush) -> Result<()> {
        self.router.forget();
        match &mut self.mode {
            Mode::Plain { producer, waits } => {
                let producer = producer.as_ref().ok_or_else(closed)?;
                if *waits || why != Flush::Checkpoint {
                    self.env.crash.hit("kafka-writer/before-flush");
                    producer.flush(FLUSH).await?;
                    self.env.crash.hit("kafka-writer/after-flush");
                }
                producer.check()
            }
            Mode::Transactions(transactions) => transactions.prepare(why).await,
        }
    }

    /// What is open is neither committed nor aborted: the sweep of the next attempt, or the time-out, aborts it.
    async fn close(&mut self) -> Result<()> {
        let producer = match &mut self.mode {
            Mode::Plain { producer, .. } => producer.take(),
            Mode::Transactions(transactions) => transactions.open.take().map(|live| live.producer),
        };
        // A row that came to the cluster behind the next attempt's sweep would begin its transaction anew.
        match producer {
            Some(producer) => producer.close().await,
            None => Ok(()),
        }
    }
}

#[async_trait]
impl CommittingWriter<MessageBatch> for KafkaWriter {
    type Committable = KafkaCommittable;

    async fn prepare_commit(&mut self) -> Result<Vec<KafkaCommittable>> {
        self.env.crash.hit("kafka-writer/before-prepare");
        match &mut self.mode {
            Mode::Plain { .. } => Ok(Vec::new()),
            Mode::Transactions(transactions) => Ok(std::mem::take(&mut transactions.staged)),
        }
    }
}
