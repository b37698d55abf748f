//! What a connector author writes: how one split is read.

use std::fmt;

use async_trait::async_trait;
use connector_api::source::Split;
use connector_api::{Batch, Error, Result, RowBatch};

/// Reads one split, from the position that it was opened at to its end.
///
/// # Contract
///
/// One task calls [`fetch`](Self::fetch) again and again, never two at once. It is cancelled only to discard the reader, so
/// it needs neither cancel-safety nor a wake-up, and it may wait as long as it likes. What blocks the thread belongs in
/// [`Environment::blocking`](connector_api::env::Environment::blocking). Dropping the reader gives up what it holds.
///
/// A fetch costs a few microseconds beside the author's own work: return at least 1,000 rows or 64 KiB where there are
/// as many.
#[async_trait]
pub trait SplitReader: Send + 'static {
    /// What it reads.
    type Batch: RowBatch;
    /// Where reading can begin again, as the split stores it.
    type Position: Clone + Send + 'static;

    /// The next rows; none when the split is read to its end.
    ///
    /// # Errors
    ///
    /// When reading failed. The base adds the split's name; the author names the offset.
    async fn fetch(&mut self) -> Result<Option<Fetched<Self::Batch, Self::Position>>>;
}

/// The position type of a factory's readers.
pub type PositionOf<F> = <<F as SplitReaderFactory>::Reader as SplitReader>::Position;

/// The batch type of a factory's readers.
pub type BatchOf<F> = <<F as SplitReaderFactory>::Reader as SplitReader>::Batch;

/// Opens splits, and knows how a split stores how far it was read.
#[async_trait]
pub trait SplitReaderFactory: Send + Sync + 'static {
    /// What it opens.
    type Split: Split;
    /// What reads one.
    type Reader: SplitReader;

    /// Begins to read a split at the position that it carries. A split at its end opens too; its reader fetches nothing.
    ///
    /// # Errors
    ///
    /// When the split can't be read. The base adds its name.
    async fn open(&self, split: &Self::Split) -> Result<Self::Reader>;

    /// Sets how far a split was read: opened again, it gives the rows behind `position`, of which the base drops the first
    /// `skip`.
    ///
    /// Both are stored in the split. `skip` is above zero only when the reader states [`Positions::Whole`]; a factory
    /// whose readers never do stores the position alone.
    fn advance(&self, split: &mut Self::Split, position: PositionOf<Self>, skip: u64);

    /// The `skip` that [`advance`](Self::advance) stored last; 0 for a split that was never advanced, and always for a
    /// factory whose readers don't state [`Positions::Whole`]. The base checks it after every advance.
    fn skip(&self, split: &Self::Split) -> u64;
}

/// What a fetch gave.
#[derive(Debug)]
pub enum Fetched<B, P> {
    /// Rows, in the split's order.
    Rows {
        /// The rows. An empty batch is allowed and shows nowhere.
        batch: Batch<B>,
        /// Where reading begins again after a part of them.
        positions: Positions<P>,
        /// No later row of this split has an event time at or below this (milliseconds since the Unix epoch). Must rise.
        watermark: Option<i64>,
    },
    /// No rows, but reading can begin again further on: behind control records, say.
    Position(P),
    /// No rows, but the watermark rose.
    Watermark(i64),
    /// Nothing to read for now: the split holds no watermark back until it has rows again.
    Idle,
}

impl<B: RowBatch, P> Fetched<B, P> {
    /// Rows without a watermark.
    pub fn rows(batch: Batch<B>, positions: Positions<P>) -> Self {
        Self::Rows { batch, positions, watermark: None }
    }
}

/// Where reading begins again after the first `n` rows of a batch, for every `n` from 1 to the number of rows.
///
/// A host may emit a batch in parts and take a snapshot between them, so every prefix needs a position.
pub enum Positions<P> {
    /// One position per row: that behind the row.
    Each(Vec<P>),
    /// Computes the position behind the first `n` rows, only when it is asked for.
    By(Box<dyn Fn(usize) -> P + Send>),
    /// Only the position *before* the first row is known. The base stores it with the number of rows to skip.
    Whole(P),
}

impl<P> Positions<P> {
    /// Computes positions: `position(n)` is where reading begins again after the first `n` rows.
    pub fn by(position: impl Fn(usize) -> P + Send + 'static) -> Self {
        Self::By(Box::new(position))
    }
}

impl<P: fmt::Debug> fmt::Debug for Positions<P> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Each(all) => f.debug_tuple("Each").field(all).finish(),
            Self::By(_) => f.write_str("By(..)"),
            Self::Whole(position) => f.debug_tuple("Whole").field(position).finish(),
        }
    }
}

/// The positions of a batch from which the first `dropped` rows were taken away.
pub(super) struct Prefixes<P> {
    positions: Positions<P>,
    dropped: usize,
}

impl<P: Clone> Prefixes<P> {
    /// Checks that every prefix has a position.
    pub(super) fn new(positions: Positions<P>, rows: usize) -> Result<Self> {
        match &positions {
            Positions::Each(all) if all.len() != rows => {
                Err(Error::contract("split reader", format!("{} positions for {rows} rows", all.len())))
            }
            _ => Ok(Self { positions, dropped: 0 }),
        }
    }

    /// The same, seen from behind the first `n` rows.
    pub(super) fn without_front(mut self, n: usize) -> Self {
        self.dropped += n;
        self
    }

    /// The position behind the first `n` rows, and the rows to skip from there. `n` is at least 1.
    pub(super) fn after(&self, n: usize) -> (P, u64) {
        let n = n + self.dropped;
        match &self.positions {
            Positions::Each(all) => (all[n - 1].clone(), 0),
            Positions::By(position) => (position(n), 0),
            Positions::Whole(start) => (start.clone(), n as u64),
        }
    }
}
