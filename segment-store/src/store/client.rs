//! The store as a client asks it.

use std::time::Duration;

use async_trait::async_trait;

use super::{Store, name};
use crate::client::{
    OpenTransactionInfo, SegmentInfo, SegmentPart, StoreClient, StreamInfo, Successor, Written,
};
use crate::container::{Ack, Appended, Read};
use crate::cut::StreamCut;
use crate::error::{Error, Result};
use crate::id::{SegmentId, SegmentName, StreamName, TransactionId, WriterId, check_scope};
use crate::key_range::KeyRange;
use crate::model::{Mark, StreamOp, TransactionState};
use crate::pool::Pool;

#[async_trait]
impl StoreClient for Store {
    async fn create_scope(&self, scope: &str) -> Result<()> {
        check_scope(scope)?;
        self.container.change(StreamOp::CreateScope { scope: scope.into() }, |_| Ok(())).await
    }

    async fn scopes(&self) -> Result<Vec<String>> {
        self.container
            .query(|state| Ok(state.streams.scopes().map(|scope| scope.to_string()).collect()))
            .await
    }

    async fn streams(&self, scope: &str) -> Result<Vec<StreamName>> {
        self.container
            .query(|state| {
                if !state.streams.has_scope(scope) {
                    return Err(Error::NoScope(scope.into()));
                }
                Ok(state.streams.streams(scope).collect())
            })
            .await
    }

    async fn create_stream(&self, stream: &StreamName, segments: u32) -> Result<()> {
        let nonce = self.container.env.random.next_u64();
        let op = StreamOp::CreateStream { stream: stream.clone(), segments, nonce, at: self.now() };
        self.container.change(op, |_| Ok(())).await
    }

    async fn stream(&self, stream: &StreamName) -> Result<StreamInfo> {
        self.container
            .query(|state| {
                let found = state.streams.stream(stream)?;
                let ranges = found.current_segments().iter();
                Ok(StreamInfo {
                    current: ranges.filter_map(|&id| Some((id, found.segment(id)?.range))).collect(),
                    head: found.head(),
                    tail: found.tail(state),
                    is_sealed: found.is_sealed(),
                })
            })
            .await
    }

    async fn seal_stream(&self, stream: &StreamName) -> Result<()> {
        let op = StreamOp::SealStream { stream: stream.clone(), at: self.now() };
        self.container.change(op, |_| Ok(())).await
    }

    async fn delete_stream(&self, stream: &StreamName) -> Result<()> {
        self.container.change(StreamOp::DeleteStream { stream: stream.clone() }, |_| Ok(())).await
    }

    async fn truncate(&self, stream: &StreamName, cut: &StreamCut) -> Result<()> {
        let op = StreamOp::Truncate { stream: stream.clone(), cut: cut.clone() };
        self.container.change(op, |_| Ok(())).await
    }

    async fn scale(
        &self,
        stream: &StreamName,
        seal: &[SegmentId],
        ranges: &[KeyRange],
    ) -> Result<Vec<(SegmentId, KeyRange)>> {
        let (seal, ranges) = (seal.to_vec(), ranges.to_vec());
        let op = StreamOp::Scale { stream: stream.clone(), seal, ranges, at: self.now() };
        self.container
            .change(op, |state| {
                let found = state.streams.stream(stream)?;
                let newest = found.epochs().last().map_or(0, |epoch| epoch.number);
                let made = found.current_segments().iter().filter(|id| id.epoch() == newest);
                Ok(made.filter_map(|&id| Some((id, found.segment(id)?.range))).collect())
            })
            .await
    }

    async fn successors(&self, stream: &StreamName, segment: SegmentId) -> Result<Vec<Successor>> {
        self.container
            .query(|state| {
                let found = state.streams.stream(stream)?;
                if found.segment(segment).is_none() {
                    return Err(Error::NoSegment(name(stream, segment)));
                }
                let successor = |id: SegmentId| {
                    let range = found.segment(id)?.range;
                    Some(Successor { id, range, predecessors: found.predecessors(id) })
                };
                Ok(found.successors(segment).into_iter().filter_map(successor).collect())
            })
            .await
    }

    async fn segments_between(
        &self,
        stream: &StreamName,
        from: &StreamCut,
        to: Option<&StreamCut>,
    ) -> Result<Vec<SegmentPart>> {
        self.container
            .query(|state| {
                let found = state.streams.stream(stream)?;
                found.check_cut(from, state)?;
                if let Some(to) = to {
                    found.check_cut(to, state)?;
                }
                let part = |(id, start, end)| SegmentPart { id, start, end };
                Ok(found.segments_between(from, to).into_iter().map(part).collect())
            })
            .await
    }

    async fn segment(&self, segment: &SegmentName) -> Result<SegmentInfo> {
        self.container
            .query(|state| {
                let (_, found) = state.segment(segment)?;
                let record = state.streams.stream(&segment.stream)?.segment(segment.id);
                Ok(SegmentInfo {
                    range: record.map_or(KeyRange::ALL, |record| record.range),
                    start: found.start,
                    length: found.length,
                    is_sealed: found.is_sealed,
                })
            })
            .await
    }

    async fn read(&self, segment: &SegmentName, offset: u64, max: usize, patience: Duration) -> Result<Read> {
        self.container.read(segment, offset, max, patience).await
    }

    async fn last_event(&self, segment: &SegmentName, writer: WriterId) -> Result<Option<i64>> {
        self.attribute(segment, writer.0).await
    }

    async fn written(&self, stream: &StreamName, writer: WriterId) -> Result<Vec<Written>> {
        self.container
            .query(|state| {
                let found = state.streams.stream(stream)?;
                let written = |(id, record): (SegmentId, &crate::model::SegmentRecord)| {
                    let (_, segment) = state.segment(&name(stream, id)).ok()?;
                    let event = segment.attributes.get(writer.0)?;
                    Some(Written { segment: id, range: record.range, event })
                };
                Ok(found.segments().filter_map(written).collect())
            })
            .await
    }

    async fn append(&self, segment: &SegmentName, append: Appended) -> Result<Ack> {
        self.container.append(segment, append).await
    }

    fn try_append(&self, segment: &SegmentName, append: &Appended) -> Result<Option<Ack>> {
        self.container.try_append(segment, append)
    }

    fn pool(&self) -> Pool {
        self.container.pool.clone()
    }

    async fn attribute(&self, segment: &SegmentName, attribute: u128) -> Result<Option<i64>> {
        self.container.query(|state| Ok(state.segment(segment)?.1.attributes.get(attribute))).await
    }

    async fn set_attribute(
        &self,
        segment: &SegmentName,
        attribute: u128,
        expected: Option<i64>,
        value: Option<i64>,
    ) -> Result<()> {
        self.container.set_attribute(segment, attribute, expected, value).await
    }

    async fn begin(&self, stream: &StreamName, lease: Duration, label: &str) -> Result<TransactionId> {
        let lease_millis = u64::try_from(lease.as_millis()).unwrap_or(u64::MAX);
        let op =
            StreamOp::Begin { stream: stream.clone(), lease_millis, label: label.into(), at: self.now() };
        let begun = self.container.change(op, |state| Ok(state.streams.stream(stream)?.last_begun())).await?;
        let id = begun.ok_or_else(|| Error::NoStream(stream.clone()))?;
        self.container.keep_transaction(stream, id, lease);
        Ok(id)
    }

    async fn ping(&self, stream: &StreamName, id: TransactionId, lease: Duration) -> Result<()> {
        match self.transaction(stream, id).await? {
            TransactionState::Open => {
                self.container.keep_transaction(stream, id, lease);
                Ok(())
            }
            TransactionState::Unknown => Err(Error::NoTransaction { stream: stream.clone(), id }),
            ended => {
                let state = if ended == TransactionState::Committed { "committed" } else { "aborted" };
                Err(Error::TransactionEnded { stream: stream.clone(), id, state })
            }
        }
    }

    async fn commit(&self, stream: &StreamName, id: TransactionId) -> Result<()> {
        let op = StreamOp::Commit { stream: stream.clone(), id, at: self.now() };
        self.container.change(op, |_| Ok(())).await
    }

    async fn abort(&self, stream: &StreamName, id: TransactionId) -> Result<()> {
        let op = StreamOp::Abort { stream: stream.clone(), id, at: self.now() };
        self.container.change(op, |_| Ok(())).await
    }

    async fn transaction(&self, stream: &StreamName, id: TransactionId) -> Result<TransactionState> {
        self.container.query(|state| Ok(state.streams.stream(stream)?.transaction(id))).await
    }

    async fn open_transactions(&self, stream: &StreamName) -> Result<Option<Vec<OpenTransactionInfo>>> {
        self.container
            .query(|state| {
                let open = state.streams.stream(stream)?.open_transactions();
                let info = |(id, open): (TransactionId, &crate::model::OpenTransaction)| {
                    OpenTransactionInfo { id, label: open.label.clone() }
                };
                Ok(Some(open.map(info).collect()))
            })
            .await
    }

    async fn note_time(
        &self,
        stream: &StreamName,
        writer: WriterId,
        millis: i64,
        cut: &StreamCut,
    ) -> Result<()> {
        let op = StreamOp::NoteTime { stream: stream.clone(), writer, millis, cut: cut.clone() };
        self.container.change(op, |_| Ok(())).await?;
        self.container.keep_time_writer(stream, writer);
        Ok(())
    }

    async fn forget_time_writer(&self, stream: &StreamName, writer: WriterId) -> Result<()> {
        let op = StreamOp::ForgetWriter { stream: stream.clone(), writer };
        self.container.change(op, |_| Ok(())).await
    }

    async fn marks(&self, stream: &StreamName) -> Result<Vec<Mark>> {
        self.container
            .query(|state| Ok(state.streams.stream(stream)?.marks().iter().cloned().collect()))
            .await
    }
}
