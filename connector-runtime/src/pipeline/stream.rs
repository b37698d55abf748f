//! The builder of a pipeline.

use std::sync::Arc;
use std::time::Duration;

use connector_api::batch::{FromRows, Rows};
use connector_api::sink::{Partitioner, Sink, partition_by};
use connector_api::source::BoxSource;
use connector_api::{Batch, Result, RowBatch};

use super::graph::{Graph, Typed};

/// Where watermarks come from.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum WatermarkStrategy {
    /// There are none; those of the source are dropped.
    None,
    /// The source's own.
    FromSource,
    /// Per split: the highest event time so far, less this and 1 ms.
    BoundedOutOfOrderness(Duration),
}

pub(super) type Step<A, B> = Arc<dyn Fn(Batch<A>) -> Result<Batch<B>> + Send + Sync>;

/// Rows on their way from a source of batches `A`, now in batches `B`.
#[must_use = "a stream does nothing until it ends in a sink"]
pub struct Stream<A, B> {
    pub(super) source_uid: String,
    pub(super) source: BoxSource<A>,
    pub(super) step: Step<A, B>,
    pub(super) watermarks: WatermarkStrategy,
}

/// A stream that is dealt to writers by a key.
#[must_use = "a stream does nothing until it ends in a sink"]
pub struct Keyed<A, B> {
    stream: Stream<A, B>,
    partitioner: Partitioner<B>,
}

/// A source that flows into a sink, ready to be run as a [`Job`](crate::Job).
pub struct Pipeline(pub(crate) Box<dyn Graph>);

impl std::fmt::Debug for Pipeline {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "Pipeline({} -> {})", self.0.source_uid(), self.0.sink_uid())
    }
}

impl Pipeline {
    /// Begins with a source. The uid names its state for ever.
    pub fn source<A: RowBatch>(uid: impl Into<String>, source: BoxSource<A>) -> Stream<A, A> {
        Stream {
            source_uid: uid.into(),
            source,
            step: Arc::new(Ok),
            watermarks: WatermarkStrategy::FromSource,
        }
    }
}

impl<A: RowBatch, B: RowBatch> Stream<A, B> {
    /// Changes whole batches. Event times must be none, or one per row of the result.
    ///
    /// An error fails the job; a row that can't be handled is for the function to skip or to turn into something else.
    pub fn map_batches<C: RowBatch>(
        self,
        f: impl Fn(Batch<B>) -> Result<Batch<C>> + Send + Sync + 'static,
    ) -> Stream<A, C> {
        let step = self.step;
        Stream {
            source_uid: self.source_uid,
            source: self.source,
            step: Arc::new(move |batch| f(step(batch)?)),
            watermarks: self.watermarks,
        }
    }

    /// Changes every row. The event times stay.
    pub fn map<C: FromRows>(
        self,
        f: impl Fn(B::Row<'_>) -> Result<C::Item> + Send + Sync + 'static,
    ) -> Stream<A, C>
    where
        B: Rows,
    {
        self.map_batches(move |batch| {
            let rows = (0..batch.rows.rows()).map(|i| f(batch.rows.row(i))).collect::<Result<Vec<_>>>()?;
            Batch::with_timestamps(C::from_rows(rows)?, batch.timestamps)
        })
    }

    /// Keeps the rows for which `keep` is true.
    pub fn filter(self, keep: impl Fn(B::Row<'_>) -> bool + Send + Sync + 'static) -> Stream<A, B>
    where
        B: Rows,
    {
        self.map_batches(move |batch| {
            let kept: Vec<usize> = (0..batch.rows.rows()).filter(|&i| keep(batch.rows.row(i))).collect();
            Ok(if kept.len() == batch.rows.rows() { batch } else { batch.select(&kept) })
        })
    }

    /// Makes any number of rows of each. They inherit its event time.
    pub fn flat_map<C: FromRows>(
        self,
        f: impl Fn(B::Row<'_>, &mut Vec<C::Item>) -> Result<()> + Send + Sync + 'static,
    ) -> Stream<A, C>
    where
        B: Rows,
    {
        self.map_batches(move |batch| {
            let (mut rows, mut timestamps) = (Vec::new(), Vec::new());
            for i in 0..batch.rows.rows() {
                f(batch.rows.row(i), &mut rows)?;
                if let Some(timestamp) = batch.timestamps.get(i) {
                    timestamps.resize(rows.len(), *timestamp);
                }
            }
            Batch::with_timestamps(C::from_rows(rows)?, timestamps)
        })
    }

    /// Says where watermarks come from. Default: the source.
    pub fn watermarks(mut self, strategy: WatermarkStrategy) -> Self {
        self.watermarks = strategy;
        self
    }

    /// Deals rows to writers by a key: rows of equal keys go to the same writer, those of one split in their order.
    ///
    /// The key must be a function of the row alone. Keys are taken modulo the number of writers: hash them.
    pub fn key_by(self, key: impl Fn(B::Row<'_>) -> u64 + Send + Sync + 'static) -> Keyed<A, B>
    where
        B: Rows,
    {
        Keyed { stream: self, partitioner: partition_by(key) }
    }

    /// Ends in a sink. The uid names its state for ever.
    pub fn sink(self, uid: impl Into<String>, sink: Box<dyn Sink<B>>) -> Pipeline {
        Pipeline(Box::new(Typed { stream: self, keyed: None, sink_uid: uid.into(), sink: sink.into() }))
    }
}

impl<A: RowBatch, B: RowBatch> Keyed<A, B> {
    /// Ends in a sink. The uid names its state for ever. A partitioning that the sink itself asks for comes second to
    /// this one and is refused: the sink would not get what it relies on.
    pub fn sink(self, uid: impl Into<String>, sink: Box<dyn Sink<B>>) -> Pipeline {
        Pipeline(Box::new(Typed {
            stream: self.stream,
            keyed: Some(self.partitioner),
            sink_uid: uid.into(),
            sink: sink.into(),
        }))
    }
}
