//! A reader that keeps what it has finished until the enumerator knows it for good.

use std::collections::BTreeMap;
use std::task::{Context, Poll};

use bytes::Bytes;
use connector_api::id::{CheckpointId, SplitId};
use connector_api::source::{ReaderCommand, ReaderEvent, SourceReader, Split};
use connector_api::{Error, MessageBatch, Result};
use connector_base::reader::SplitFetchReader;

use super::split::PravegaSplit;
use super::splits::PravegaSplits;

/// Reads segments; a finished one stays in all snapshots until the enumerator confirms that it is settled.
///
/// The reader below drops a finished split when a checkpoint is complete that holds it at its end. The report of that end may still be on its way
/// then, and the enumerator's state for the next checkpoint older than its arrival: a restore from that one would find the segment in neither, and
/// what follows on it would never be read.
pub struct PravegaSegments {
    inner: SplitFetchReader<PravegaSplits>,
    /// Reported finished and not confirmed; as it was in the last snapshot that had it.
    ended: BTreeMap<SplitId, Option<PravegaSplit>>,
}

impl std::fmt::Debug for PravegaSegments {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("PravegaSegments").field("ended", &self.ended).finish_non_exhaustive()
    }
}

/// What the enumerator sends when a segment is settled.
pub(super) fn confirmation(split: &SplitId) -> Bytes {
    Bytes::copy_from_slice(split.as_str().as_bytes())
}

impl PravegaSegments {
    pub(super) fn new(inner: SplitFetchReader<PravegaSplits>) -> Self {
        Self { inner, ended: BTreeMap::new() }
    }

    fn confirmed(&mut self, event: &[u8]) -> Result<()> {
        let id = std::str::from_utf8(event)
            .map_err(|_| Error::contract("enumerator", "it confirmed what is no segment"))?;
        self.ended.remove(&SplitId::new(id));
        Ok(())
    }
}

impl SourceReader for PravegaSegments {
    type Batch = MessageBatch;
    type Split = PravegaSplit;

    fn handle(&mut self, command: ReaderCommand<PravegaSplit>) -> Result<()> {
        match &command {
            ReaderCommand::EnumeratorEvent(event) => return self.confirmed(event),
            // It is read again: what it was before counts no more.
            ReaderCommand::AddSplits(splits) => splits.iter().for_each(|split| {
                self.ended.remove(&split.id());
            }),
            ReaderCommand::RemoveSplits(ids) => ids.iter().for_each(|id| {
                self.ended.remove(id);
            }),
            _ => {}
        }
        self.inner.handle(command)
    }

    fn poll_next(&mut self, cx: &mut Context<'_>) -> Poll<Result<ReaderEvent<MessageBatch>>> {
        let event = self.inner.poll_next(cx);
        if let Poll::Ready(Ok(ReaderEvent::SplitFinished(id))) = &event {
            self.ended.insert(id.clone(), None);
        }
        event
    }

    fn snapshot(&mut self, checkpoint: CheckpointId, unemitted: usize) -> Result<Vec<PravegaSplit>> {
        let mut splits = self.inner.snapshot(checkpoint, unemitted)?;
        for split in &splits {
            if let Some(ended) = self.ended.get_mut(&split.id()) {
                *ended = Some(split.clone());
            }
        }
        for (id, ended) in &self.ended {
            if !splits.iter().any(|split| split.id() == *id) {
                splits.extend(ended.clone());
            }
        }
        Ok(splits)
    }

    fn poll_close(&mut self, cx: &mut Context<'_>) -> Poll<Result<()>> {
        self.inner.poll_close(cx)
    }
}
