//! Reads one segment.

use std::sync::Arc;
use std::time::Duration;

use async_trait::async_trait;
use bytes::Bytes;
use connector_api::env::Environment;
use connector_api::message::{Column, Span};
use connector_api::metrics::PENDING_BYTES;
use connector_api::{Batch, Error, MessageBatch, Result};
use connector_base::reader::{Fetched, Positions, SplitReader};
use segment_store::client::StoreClient;
use segment_store::event;
use segment_store::{MAX_EVENT, SegmentName};

use super::config::{OnTruncated, SourceConfig};
use super::marks::Marks;
use super::metrics::{CURRENT_OFFSET, TRUNCATED_BYTES, count, gauge};
use crate::error::StoreError;

/// The column of the segment, a text: its full name.
pub const SEGMENT: &str = "segment";
/// The column of the offset, an integer: where the event begins in its segment.
pub const OFFSET: &str = "offset";

/// How long a read waits at the end of a segment.
const PATIENCE: Duration = Duration::from_millis(200);
/// How long it is waited for the rest of an event.
const REST: Duration = Duration::from_millis(50);
/// How often the unread bytes of a segment are asked for.
const MEASURE: Duration = Duration::from_secs(1);

/// Reads one segment, from an offset to its end or to a stop.
#[derive(Debug)]
pub struct PravegaReader {
    pub(super) env: Environment,
    pub(super) config: Arc<SourceConfig>,
    pub(super) client: Arc<dyn StoreClient>,
    pub(super) marks: Arc<Marks>,
    pub(super) name: SegmentName,
    /// The name once more, as columns and labels have it.
    pub(super) label: Arc<str>,
    pub(super) offset: u64,
    pub(super) end: Option<u64>,
    /// How much is read at once: more for an event that is larger.
    pub(super) size: usize,
    pub(super) measured: Option<Duration>,
    pub(super) watermark: Option<i64>,
}

/// Whole events at the beginning of what was read.
struct Events {
    values: Vec<Span>,
    offsets: Vec<i64>,
    /// What they take with their headers.
    length: usize,
    /// What the next one takes, as far as it is known.
    needed: usize,
}

impl PravegaReader {
    fn wrong(&self, offset: u64, reason: impl Into<String>) -> Error {
        Error::data(self.label.to_string(), Some(offset), reason)
    }

    fn events(&self, bytes: &Bytes) -> Result<Events> {
        let mut events = event::parse(bytes);
        let (mut values, mut offsets) = (Vec::new(), Vec::new());
        loop {
            let at = events.at() as u64;
            let Some(next) = events.next() else { break };
            let range = next.map_err(|e| self.wrong(self.offset + at, e.to_string()))?;
            // A read is far below 4 GiB.
            values.push(Span::new(range.start as u32, range.end as u32));
            offsets.push((self.offset + at) as i64);
        }
        let (length, needed) = (events.at(), events.needed().unwrap_or(event::HEADER));
        Ok(Events { values, offsets, length, needed })
    }

    /// The segment begins behind the offset.
    fn truncated(&mut self, start: u64, error: segment_store::Error) -> Result<()> {
        if self.config.on_truncated == OnTruncated::Fail {
            let target = self.label.to_string();
            return Err(Error::connector("read", target, Some(self.offset), StoreError(error)));
        }
        let to = self.end.map_or(start, |end| start.min(end));
        let lost = to.saturating_sub(self.offset);
        tracing::warn!(
            segment = %self.name, from = self.offset, to, lost,
            "what was to be read was truncated away: skipped, as `on_truncated` says"
        );
        count(TRUNCATED_BYTES, lost);
        self.offset = to;
        Ok(())
    }

    /// The watermark where it rose.
    async fn risen(&mut self) -> Option<i64> {
        let found = self.marks.watermark(&*self.client, self.name.id, self.offset).await?;
        let is_risen = self.watermark.is_none_or(|before| found > before);
        is_risen.then(|| *self.watermark.insert(found))
    }

    async fn measure(&mut self) {
        gauge(CURRENT_OFFSET, &self.label, self.offset);
        let now = self.env.clock.monotonic();
        if self.measured.is_some_and(|at| now.saturating_sub(at) < MEASURE) {
            return;
        }
        self.measured = Some(now);
        if let Ok(info) = self.client.segment(&self.name).await {
            let until = self.end.map_or(info.length, |end| info.length.min(end));
            gauge(PENDING_BYTES, &self.label, until.saturating_sub(self.offset));
        }
    }

    async fn rows(&mut self, bytes: Bytes, found: Events) -> Result<Fetched<MessageBatch, u64>> {
        self.offset += found.length as u64;
        self.size = self.config.read_size;
        let (next, offsets) = (self.offset, Arc::new(found.offsets));
        let rows = MessageBatch::from_spans(bytes, found.values)?
            .with_column(SEGMENT, Column::SameText(self.label.clone()))?
            .with_column(OFFSET, Column::Integers(offsets.clone()))?;
        // Behind the first n rows begins the row n.
        let positions = Positions::by(move |n| offsets.get(n).map_or(next, |&offset| offset as u64));
        let watermark = self.risen().await;
        self.measure().await;
        Ok(Fetched::Rows { batch: Batch::new(rows), positions, watermark })
    }

    /// Nothing whole was read: more is read of the event, or waited for.
    async fn longer(&mut self, read: usize, is_end: bool, needed: usize) -> Result<()> {
        let needed = if read < event::HEADER { event::HEADER } else { needed };
        if self.end.is_some_and(|end| self.offset + needed as u64 > end) {
            let reason = "the stop lies within this event: a cut goes between events";
            return Err(self.wrong(self.offset, reason));
        }
        if is_end {
            return Err(self.wrong(self.offset, "the sealed segment ends within this event"));
        }
        if self.size < needed {
            self.size = needed.clamp(event::HEADER, MAX_EVENT + event::HEADER);
        } else {
            self.env.clock.sleep(REST).await;
        }
        Ok(())
    }
}

#[async_trait]
impl SplitReader for PravegaReader {
    type Batch = MessageBatch;
    type Position = u64;

    async fn fetch(&mut self) -> Result<Option<Fetched<MessageBatch, u64>>> {
        loop {
            let left = self.end.map_or(u64::MAX, |end| end.saturating_sub(self.offset));
            if left == 0 {
                self.measure().await;
                return Ok(None);
            }
            let max = usize::try_from(left).unwrap_or(usize::MAX).min(self.size);
            match self.client.read(&self.name, self.offset, max, PATIENCE).await {
                Ok(read) if read.bytes.is_empty() && read.is_end => {
                    self.measure().await;
                    return Ok(None);
                }
                Ok(read) if read.bytes.is_empty() => {
                    self.measure().await;
                    return Ok(Some(match self.risen().await {
                        Some(watermark) => Fetched::Watermark(watermark),
                        None => Fetched::Idle,
                    }));
                }
                Ok(read) => {
                    let found = self.events(&read.bytes)?;
                    if !found.values.is_empty() {
                        return Ok(Some(self.rows(read.bytes, found).await?));
                    }
                    self.longer(read.bytes.len(), read.is_end, found.needed).await?;
                }
                Err(error @ segment_store::Error::Truncated { start, .. }) => {
                    self.truncated(start, error)?;
                    // What was skipped is not skipped again after a restore.
                    return Ok(Some(Fetched::Position(self.offset)));
                }
                Err(error) => {
                    let target = self.label.to_string();
                    return Err(Error::connector("read", target, Some(self.offset), StoreError(error)));
                }
            }
        }
    }
}
