//! Opens segments.

use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::task::{Context, Poll};

use async_trait::async_trait;
use connector_api::Result;
use connector_api::env::Environment;
use connector_base::reader::{ReaderHooks, SplitReaderFactory};
use segment_store::client::StoreClient;

use super::config::SourceConfig;
use super::marks::Marks;
use super::reader::PravegaReader;
use super::split::PravegaSplit;
use crate::embedded;

/// The store, kept open from the first segment to the close of the reader.
#[derive(Clone, Debug, Default)]
struct Held(Arc<Mutex<Hold>>);

#[derive(Debug, Default)]
struct Hold {
    client: Option<Arc<dyn StoreClient>>,
    is_closed: bool,
}

impl Held {
    fn lock(&self) -> MutexGuard<'_, Hold> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// Opens the segments of a reader.
#[derive(Debug)]
pub struct PravegaSplits {
    config: Arc<SourceConfig>,
    env: Environment,
    marks: Arc<Marks>,
    held: Held,
}

impl PravegaSplits {
    pub(super) fn new(config: Arc<SourceConfig>, env: Environment) -> Self {
        let marks = Arc::new(Marks::new(env.clone(), config.stream.clone()));
        Self { config, env, marks, held: Held::default() }
    }

    pub(super) fn hooks(&self) -> PravegaHooks {
        PravegaHooks(self.held.clone())
    }

    async fn client(&self) -> Result<Arc<dyn StoreClient>> {
        if let Some(client) = &self.held.lock().client {
            return Ok(client.clone());
        }
        let client = embedded::attach(&self.env, &self.config.at).await?;
        let mut hold = self.held.lock();
        if !hold.is_closed {
            hold.client = Some(client.clone());
        }
        Ok(client)
    }
}

#[async_trait]
impl SplitReaderFactory for PravegaSplits {
    type Split = PravegaSplit;
    type Reader = PravegaReader;

    async fn open(&self, split: &PravegaSplit) -> Result<PravegaReader> {
        let client = self.client().await?;
        let name = split.name();
        Ok(PravegaReader {
            env: self.env.clone(),
            config: self.config.clone(),
            client,
            marks: self.marks.clone(),
            label: name.to_string().into(),
            name,
            offset: split.offset,
            end: split.end,
            size: self.config.read_size,
            measured: None,
            watermark: None,
        })
    }

    fn advance(&self, split: &mut PravegaSplit, position: u64, _skip: u64) {
        split.offset = position;
    }

    fn skip(&self, _: &PravegaSplit) -> u64 {
        0
    }
}

/// Lets go of the store when the reader is closed.
#[derive(Debug)]
pub struct PravegaHooks(Held);

impl ReaderHooks<PravegaSplit> for PravegaHooks {
    fn poll_close(&mut self, _: &mut Context<'_>) -> Poll<Result<()>> {
        *self.0.lock() = Hold { client: None, is_closed: true };
        Poll::Ready(Ok(()))
    }
}
