//! The reader: the records of a split, whatever the format.

use std::marker::PhantomData;
use std::sync::Arc;

use async_trait::async_trait;
use connector_api::Result;
use connector_api::env::Environment;
use connector_api::source::ReaderContext;
use connector_base::format::BufferPool;
use connector_base::reader::{Fetched, SplitReader, SplitReaderFactory};

use super::config::SourceConfig;
use super::split::FileSplit;
use crate::bad::BadRecords;
use crate::format::{Decode, FileBatch, Opening};

/// What one read asks for: large enough that the hand-over between threads does not show, small enough for a cache.
const CHUNK: usize = 256 << 10;

/// Buffers kept for the next reads of a reader.
const KEPT_BUFFERS: usize = 8;

/// Opens splits of files.
#[derive(Debug)]
pub struct FileSplits<B> {
    config: Arc<SourceConfig>,
    env: Environment,
    pool: BufferPool,
    bad: BadRecords,
    batch: PhantomData<fn() -> B>,
}

impl<B> FileSplits<B> {
    pub(super) fn new(config: Arc<SourceConfig>, context: &ReaderContext) -> Self {
        let (env, owner) = (context.env.clone(), format!("{}_{}", context.attempt, context.reader.0));
        let bad = BadRecords::new(config.on_bad_record.clone(), env.clone(), "file", owner);
        Self::with(config, env, bad)
    }

    /// With another place for bad records.
    pub(super) fn with(config: Arc<SourceConfig>, env: Environment, bad: BadRecords) -> Self {
        Self { config, env, pool: BufferPool::new(CHUNK, KEPT_BUFFERS), bad, batch: PhantomData }
    }
}

#[async_trait]
impl<B: FileBatch> SplitReaderFactory for FileSplits<B> {
    type Split = FileSplit;
    type Reader = FileReader<B>;

    async fn open(&self, split: &FileSplit) -> Result<FileReader<B>> {
        let env = self.env.clone();
        if split.is_finished(&self.config.read) {
            // Read to its end before: the file need not be there any more.
            return Ok(FileReader { env, bad: None, state: State::AtEnd });
        }
        let (config, pool, split) = (Arc::clone(&self.config), self.pool.clone(), split.clone());
        let job_env = env.clone();
        let (bad, to_settle) = (self.bad.clone(), self.bad.clone());
        let open = move || {
            let input = config.place.open(&config.selection, &job_env, &split)?;
            let spawner = job_env.spawner;
            B::decoder(Opening { options: &config.read, split: &split, input, pool, bad, spawner })
        };
        let decoder = self.env.blocking("opening", open).await?;
        Ok(FileReader { env, bad: Some(to_settle), state: State::Open(decoder) })
    }

    fn advance(&self, split: &mut FileSplit, position: u64, _skip: u64) {
        split.position = Some(position);
    }

    fn skip(&self, _: &FileSplit) -> u64 {
        0
    }
}

/// Reads the records of one split.
#[derive(Debug)]
pub struct FileReader<B> {
    env: Environment,
    bad: Option<BadRecords>,
    state: State<B>,
}

#[derive(Debug)]
enum State<B> {
    Open(Box<dyn Decode<B>>),
    /// Everything was read. The split still has to remember that.
    Drained,
    AtEnd,
}

#[async_trait]
impl<B: FileBatch> SplitReader for FileReader<B> {
    type Batch = B;
    type Position = u64;

    async fn fetch(&mut self) -> Result<Option<Fetched<B, u64>>> {
        match std::mem::replace(&mut self.state, State::AtEnd) {
            State::Open(mut decoder) => {
                let bad = self.bad.clone();
                let work = move || {
                    let fetched = decoder.fetch()?;
                    // Before the rows behind them are handed over.
                    bad.map_or(Ok(()), |bad| bad.settle())?;
                    Ok((decoder, fetched))
                };
                let (decoder, fetched) = self.env.blocking("reading", work).await?;
                match fetched {
                    Some(fetched) => {
                        self.state = State::Open(decoder);
                        Ok(Some(fetched))
                    }
                    None => {
                        self.state = State::Drained;
                        // Also a split in which no record starts was read.
                        Ok(Some(Fetched::Position(FileSplit::READ)))
                    }
                }
            }
            State::Drained | State::AtEnd => Ok(None),
        }
    }
}
