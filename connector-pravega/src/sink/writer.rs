//! The writer.

use std::sync::Arc;

use async_trait::async_trait;
use connector_api::env::Environment;
use connector_api::sink::{CommittingWriter, Flush, SinkWriter, WriterContext};
use connector_api::{Batch, Error, MessageBatch, Result, RowBatch};
use segment_store::client::StoreClient;
use segment_store::model::TransactionState;
use segment_store::{EventWriter, TransactionId, WriterId, WriterOptions};

use super::committable::PravegaCommittable;
use super::config::{DeliveryGuarantee, SinkConfig};
use super::ids::Label;
use super::keeper::{Keeper, Keepers};
use super::open;
use super::routing::Router;
use crate::error::failed;

/// About how much is appended to a segment at once, in bytes, unless the log's files are small.
const BLOCK: u64 = 256 << 10;
/// How often a transaction is begun anew because the stream was scaled meanwhile.
const BEGINS: u32 = 100;

/// Writes events to a stream.
#[derive(Debug)]
pub(crate) struct PravegaWriter {
    env: Environment,
    config: Arc<SinkConfig>,
    /// None when it is closed.
    client: Option<Arc<dyn StoreClient>>,
    router: Router,
    writer: WriterId,
    events: Option<EventWriter>,
    /// For exactly once.
    transactions: Option<Transactions>,
}

#[derive(Debug)]
struct Transactions {
    keeper: Arc<Keeper>,
    /// The label of the next one.
    next: Label,
    staged: Vec<PravegaCommittable>,
}

impl PravegaWriter {
    pub(super) async fn open(
        context: WriterContext,
        config: Arc<SinkConfig>,
        keepers: Arc<Keepers>,
    ) -> Result<Self> {
        let env = context.env.clone();
        let client = open(&env, &config).await?;
        let transactions = (config.guarantee == DeliveryGuarantee::ExactlyOnce).then(|| Transactions {
            keeper: keepers.of(&env, context.attempt, &client, config.lease),
            next: Label { attempt: context.attempt, writer: context.subtask, count: 0 },
            staged: Vec::new(),
        });
        // No two writers that ever were have one id: what a dead one wrote is none of this one's business.
        let writer = WriterId(u128::from(env.random.next_u64()) << 64 | u128::from(env.random.next_u64()));
        let router = Router::new(config.key.clone(), env.random.next_u64());
        Ok(Self { env, config, client: Some(client), router, writer, events: None, transactions })
    }

    /// The way into the stream; begins a transaction if it takes one and there is none.
    async fn events(&mut self) -> Result<&mut EventWriter> {
        let events = match self.events.take() {
            Some(events) => events,
            None => self.begin().await?,
        };
        Ok(self.events.insert(events))
    }

    async fn begin(&mut self) -> Result<EventWriter> {
        let client = self
            .client
            .clone()
            .ok_or_else(|| Error::contract("host", "used a pravega writer that is closed"))?;
        let stream = &self.config.stream;
        let block = BLOCK.min(self.config.at.options.log_file_size / 8);
        let options =
            WriterOptions { block: usize::try_from(block).unwrap_or(usize::MAX), ..WriterOptions::default() };
        let Some(transactions) = &mut self.transactions else {
            let events = EventWriter::open(client, self.env.clone(), stream.clone(), self.writer, options);
            return events.await.map_err(failed("write to", stream));
        };
        let look = || async { client.stream(stream).await.map_err(failed("ask for", stream)) };
        let mut info = look().await?;
        for _ in 0..BEGINS {
            let label = transactions.next.to_string();
            transactions.next.count += 1;
            let begun = client.begin(stream, self.config.lease, &label).await;
            let id = begun.map_err(failed("begin a transaction in", stream))?;
            // It has a segment beside each that was current when it was begun: those that were so before and behind.
            let after = look().await?;
            if after.current == info.current {
                transactions.keeper.keep(stream, id);
                self.env.crash.hit("pravega-writer/after-begin");
                let (env, stream) = (self.env.clone(), stream.clone());
                return Ok(EventWriter::in_transaction(client, env, stream, id, after.current, options));
            }
            client.abort(stream, id).await.map_err(failed("abort a transaction in", stream))?;
            info = after;
        }
        let reason = "it is scaled again and again while a transaction is begun";
        Err(Error::data(stream.to_string(), None, reason))
    }

    /// Everything is durable, and the store says that the transaction is open: from here on it can be committed by anybody who knows its name.
    async fn prepare(&mut self, mut events: EventWriter, id: TransactionId) -> Result<()> {
        self.env.crash.hit("pravega-writer/before-flush");
        events.flush().await.map_err(failed("write to", &self.config.stream))?;
        self.env.crash.hit("pravega-writer/after-flush");
        let (Some(client), Some(transactions)) = (&self.client, &mut self.transactions) else {
            return Ok(());
        };
        let stream = self.config.stream.clone();
        let state =
            client.transaction(&stream, id).await.map_err(failed("ask for a transaction of", &stream))?;
        if state != TransactionState::Open {
            let reason = format!(
                "transaction {id} must be open once it is flushed, and is {state:?}: it was not kept alive within its lease of {:?}, the \
                 stream was sealed, or somebody else ended it",
                self.config.lease
            );
            return Err(Error::connector("prepare in", stream.to_string(), None, Ended(reason)));
        }
        self.env.crash.hit("pravega-writer/after-look");
        transactions.staged.push(PravegaCommittable { stream, transaction: id });
        Ok(())
    }
}

/// A transaction that ended before it was prepared. The rows come again with the next attempt.
#[derive(Debug, thiserror::Error)]
#[error("{0}")]
struct Ended(String);

impl connector_api::error::ConnectorError for Ended {
    fn is_retryable(&self) -> bool {
        true
    }

    fn has_no_side_effects(&self) -> bool {
        false
    }
}

#[async_trait]
impl SinkWriter<MessageBatch> for PravegaWriter {
    async fn write(&mut self, batch: Batch<MessageBatch>) -> Result<()> {
        let stream = self.config.stream.clone();
        self.events().await?;
        for row in 0..batch.rows.rows() {
            let row = batch.rows.get(row);
            let Some(value) = row.value else {
                let reason = "a row has no value (a tombstone), and a stream has no events without one";
                return Err(Error::data(format!("a row for {stream}"), None, reason));
            };
            let position = self.router.position(row, &stream)?;
            let events = self.events().await?;
            let number = events.last_number().map_or(0, |last| last + 1);
            events.write(number, position, value).await.map_err(|e| failed("write to", &stream)(e))?;
        }
        self.events().await?.send_all().await.map_err(failed("write to", &stream))
    }

    async fn flush(&mut self, _: Flush) -> Result<()> {
        let Some(mut events) = self.events.take() else { return Ok(()) };
        if let Some(id) = events.transaction() {
            return self.prepare(events, id).await;
        }
        self.env.crash.hit("pravega-writer/before-flush");
        let flushed = events.flush().await;
        self.events = Some(events);
        flushed.map_err(failed("write to", &self.config.stream))?;
        self.env.crash.hit("pravega-writer/after-flush");
        Ok(())
    }

    /// What is open is neither committed nor aborted: the sweep of the next attempt does it, or its lease.
    async fn close(&mut self) -> Result<()> {
        self.client = None;
        self.leave();
        self.transactions = None;
        Ok(())
    }
}

impl PravegaWriter {
    fn leave(&mut self) {
        let open = self.events.take().and_then(|events| events.transaction());
        if let (Some(id), Some(transactions)) = (open, &self.transactions) {
            transactions.keeper.forget(&self.config.stream, id);
        }
    }
}

impl Drop for PravegaWriter {
    fn drop(&mut self) {
        self.leave();
    }
}

#[async_trait]
impl CommittingWriter<MessageBatch> for PravegaWriter {
    type Committable = PravegaCommittable;

    async fn prepare_commit(&mut self) -> Result<Vec<PravegaCommittable>> {
        self.env.crash.hit("pravega-writer/before-prepare");
        let staged = self.transactions.as_mut().map(|transactions| &mut transactions.staged);
        Ok(staged.map(std::mem::take).unwrap_or_default())
    }
}
