//! A reader on the host's thread.

use std::future::poll_fn;
use std::task::{Context, Poll, Waker};

use connector_api::id::{CheckpointId, SplitId};
use connector_api::source::{BoxReader, DynSplit, ReaderCommand, ReaderEvent, SourceReader};
use connector_api::{Batch, Error, Result, RowBatch};

/// A reader with what the host keeps beside it.
pub(crate) struct ReaderTask<B> {
    reader: BoxReader<B>,
    /// Puts a mail into the mailbox. Each poll of this reader gets it, and no other.
    waker: Waker,
    /// Whether polling is worth it: a command was handled or the waker fired since the last `Pending`.
    pub(crate) is_ready: bool,
    pub(crate) has_ended: bool,
    /// The part of the last batch that is not written yet.
    rest: Option<(SplitId, Batch<B>)>,
}

impl<B: RowBatch> ReaderTask<B> {
    pub(crate) fn new(reader: BoxReader<B>, waker: Waker) -> Self {
        Self { reader, waker, is_ready: true, has_ended: false, rest: None }
    }

    /// H-1: `handle` wakes nobody, so the reader is polled again.
    pub(crate) fn handle(&mut self, command: ReaderCommand<DynSplit>) -> Result<()> {
        self.is_ready = true;
        self.reader.handle(command)
    }

    /// One step: at most `max_rows` rows of a batch, or another event; none when there is nothing to do.
    pub(crate) fn step(&mut self, max_rows: usize) -> Result<Option<ReaderEvent<B>>> {
        if self.rest.is_none() {
            if !self.is_ready || self.has_ended {
                return Ok(None);
            }
            match self.reader.poll_next(&mut Context::from_waker(&self.waker))? {
                Poll::Pending => {
                    self.is_ready = false;
                    return Ok(None);
                }
                Poll::Ready(ReaderEvent::Batch { split, batch }) if batch.rows.rows() == 0 => {
                    return Err(Error::contract(format!("split {split}"), "emitted a batch without rows"));
                }
                Poll::Ready(ReaderEvent::Batch { split, batch }) => self.rest = Some((split, batch)),
                Poll::Ready(event) => return Ok(Some(event)),
            }
        }
        let Some((split, mut batch)) = self.rest.take() else { return Ok(None) };
        let part = batch.take_front(max_rows.min(batch.rows.rows()));
        if batch.rows.rows() > 0 {
            self.rest = Some((split.clone(), batch));
        }
        Ok(Some(ReaderEvent::Batch { split, batch: part }))
    }

    /// The splits at their positions: before the rows that the host still holds.
    pub(crate) fn snapshot(&mut self, checkpoint: CheckpointId) -> Result<Vec<DynSplit>> {
        let unemitted = self.rest.as_ref().map_or(0, |(_, batch)| batch.rows.rows());
        self.reader.snapshot(checkpoint, unemitted)
    }

    pub(crate) async fn close(&mut self) {
        if let Err(error) = poll_fn(|cx| self.reader.poll_close(cx)).await {
            tracing::warn!(%error, "a reader did not close cleanly");
        }
    }
}
