//! A source in memory: splits of rows, read in batches with a pause between them.

mod context;
mod disguise;
mod enumerator;
mod flaw;
mod reader;

use std::collections::{BTreeMap, BTreeSet};
use std::marker::PhantomData;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::task::Waker;

use connector_api::env::Environment;
use connector_api::id::{AttemptId, ReaderId, RunId, SplitId};
use connector_api::source::{Boundedness, EnumeratorSetup, ReaderContext, Source, Split};
use connector_api::{Result, stored};
use serde::{Deserialize, Serialize};

use crate::rows::{TestBatch, TestRow};

pub use context::NumbersContext;
pub use enumerator::NumbersEnumerator;
pub use flaw::SourceFlaw;
pub use reader::NumbersReader;

/// The system that the source reads. Clones share it; it outlives processes.
#[derive(Clone, Debug, Default)]
pub struct Numbers(Arc<Mutex<Outside>>);

#[derive(Debug, Default)]
struct Outside {
    splits: BTreeMap<u32, Vec<TestRow>>,
    unbounded: bool,
    broken: bool,
    flaw: SourceFlaw,
    /// Bytes of rows that readers took.
    read: u64,
    wakers: Vec<Waker>,
}

impl Numbers {
    /// A bounded system with nothing in it.
    pub fn new() -> Self {
        Self::default()
    }

    /// The same, never at its end: rows and splits may be appended for ever.
    #[must_use]
    pub fn unbounded(self) -> Self {
        self.lock().unbounded = true;
        self
    }

    /// The same, with a flaw.
    #[must_use]
    pub fn with(self, flaw: SourceFlaw) -> Self {
        self.lock().flaw = flaw;
        self
    }

    /// Appends rows to a split.
    pub fn append(&self, split: u32, rows: &[TestRow]) {
        let mut outside = self.lock();
        outside.splits.entry(split).or_default().extend_from_slice(rows);
        outside.wakers.drain(..).for_each(Waker::wake);
    }

    /// From now on reading fails, or works again.
    pub fn set_broken(&self, broken: bool) {
        let mut outside = self.lock();
        outside.broken = broken;
        outside.wakers.drain(..).for_each(Waker::wake);
    }

    /// The bytes of rows that readers took so far.
    pub fn bytes_read(&self) -> u64 {
        self.lock().read
    }

    /// The source.
    pub fn source<B: TestBatch>(&self) -> NumbersSource<B> {
        NumbersSource { outside: self.clone(), batch: PhantomData }
    }

    /// A reader by itself.
    ///
    /// # Errors
    ///
    /// None.
    pub fn reader<B: TestBatch>(&self, env: &Environment) -> Result<NumbersReader<B>> {
        let attempt = AttemptId { run: RunId(1), number: 1 };
        let context = ReaderContext { env: env.clone(), reader: ReaderId(0), parallelism: 1, attempt };
        self.source().reader(context)
    }

    fn lock(&self) -> MutexGuard<'_, Outside> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// Reads [`Numbers`] as batches `B`.
#[derive(Debug)]
pub struct NumbersSource<B> {
    outside: Numbers,
    batch: PhantomData<fn() -> B>,
}

/// A split, read up to `position`.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct NumbersSplit {
    /// Which.
    pub index: u32,
    /// How many of its rows were read.
    pub position: u64,
}
stored!(NumbersSplit, "numbers-split");

impl Split for NumbersSplit {
    fn id(&self) -> SplitId {
        SplitId::new(format!("numbers-{}", self.index))
    }
}

/// What the enumerator stores: the splits that it knows, and those that no reader has.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Pending {
    known: BTreeSet<u32>,
    pending: Vec<NumbersSplit>,
}
stored!(Pending, "numbers-pending");

impl<B: TestBatch> Source for NumbersSource<B> {
    type Enumerator = NumbersEnumerator;
    type Reader = NumbersReader<B>;

    fn boundedness(&self) -> Boundedness {
        if self.outside.lock().unbounded { Boundedness::Unbounded } else { Boundedness::Bounded }
    }

    fn enumerator(&self, setup: EnumeratorSetup, restored: Option<Pending>) -> Result<NumbersEnumerator> {
        Ok(NumbersEnumerator::new(&self.outside, setup, restored))
    }

    fn reader(&self, context: ReaderContext) -> Result<NumbersReader<B>> {
        Ok(NumbersReader::new(&self.outside, context.env))
    }
}

/// What [`SourceFlaw::FinalErrors`] says.
const FOR_EVER: &str = "the system is gone for ever";

/// Why reading fails.
#[derive(Debug)]
pub(crate) struct Down(pub(crate) &'static str);

impl std::fmt::Display for Down {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(self.0)
    }
}

impl std::error::Error for Down {}

impl connector_api::error::ConnectorError for Down {
    fn is_retryable(&self) -> bool {
        self.0 != FOR_EVER
    }

    fn has_no_side_effects(&self) -> bool {
        true
    }
}
