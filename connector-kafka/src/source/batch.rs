//! From the client's messages to one batch: keys and values copied once into one buffer, metadata as columns.

use std::sync::Arc;

use bytes::Bytes;
use connector_api::headers::HeadersBuilder;
use connector_api::message::{Column, Span};
use connector_api::{Batch, Error, MessageBatch, Result};
use connector_base::reader::Positions;

use super::unsafe_queue::Taken;

/// The column of the topic, a text.
pub const TOPIC: &str = "topic";
/// The column of the partition, an integer.
pub const PARTITION: &str = "partition";
/// The column of the offset, an integer.
pub const OFFSET: &str = "offset";
/// The column of the timestamp, an integer: milliseconds since the Unix epoch, -1 where a record has none.
pub const TIMESTAMP: &str = "timestamp";
/// The column of what the timestamp is, a text: `CreateTime`, `LogAppendTime` or `NoTimestampType`.
pub const TIMESTAMP_TYPE: &str = "timestamp_type";
/// The column of the epoch of the partition's leader that took the record, an integer; -1 where it is not known.
pub const LEADER_EPOCH: &str = "leader_epoch";
/// The column of the headers; there is none in a batch in which no record has any.
pub const HEADERS: &str = "headers";

/// Rows of one batch at most.
const MAX_ROWS: usize = 16_384;

/// A column of numbers that are mostly the same.
#[derive(Default)]
struct Mostly {
    first: i64,
    all: Option<Vec<i64>>,
}

impl Mostly {
    #[inline]
    fn push(&mut self, value: i64, rows: usize) {
        if rows == 0 {
            self.first = value;
        } else if let Some(all) = &mut self.all {
            all.push(value);
        } else if value != self.first {
            let mut all = vec![self.first; rows];
            all.push(value);
            self.all = Some(all);
        }
    }
}

/// Builds a batch of one partition.
pub(super) struct BatchBuilder {
    buffer: Vec<u8>,
    max_bytes: usize,
    values: Vec<Span>,
    /// None as long as no record has a key.
    keys: Option<Vec<Span>>,
    offsets: Vec<i64>,
    timestamps: Vec<i64>,
    kinds: Mostly,
    epochs: Mostly,
    headers: Option<HeadersBuilder>,
}

impl BatchBuilder {
    /// Room for about as much as the last batch held, since the next one probably does too.
    pub(super) fn new(max_bytes: usize, last: (usize, usize)) -> Self {
        let (rows, bytes) = (last.0.min(MAX_ROWS), last.1.min(max_bytes * 2));
        Self {
            buffer: Vec::with_capacity(bytes),
            max_bytes,
            values: Vec::with_capacity(rows),
            keys: None,
            offsets: Vec::with_capacity(rows),
            timestamps: Vec::with_capacity(rows),
            kinds: Mostly::default(),
            epochs: Mostly::default(),
            headers: None,
        }
    }

    pub(super) fn is_full(&self) -> bool {
        self.buffer.len() >= self.max_bytes || self.values.len() >= MAX_ROWS
    }

    pub(super) fn is_empty(&self) -> bool {
        self.values.is_empty()
    }

    /// Rows and bytes.
    pub(super) fn size(&self) -> (usize, usize) {
        (self.values.len(), self.buffer.len())
    }

    /// Copies one message.
    #[inline]
    pub(super) fn push(&mut self, message: &Taken) -> Result<()> {
        let rows = self.values.len();
        if let Some(key) = message.key() {
            let span = self.place(key)?;
            self.keys.get_or_insert_with(|| vec![Span::NULL; rows]).push(span);
        } else if let Some(keys) = &mut self.keys {
            keys.push(Span::NULL);
        }
        let value = match message.value() {
            Some(value) => self.place(value)?,
            None => Span::NULL,
        };
        self.values.push(value);
        self.offsets.push(message.offset());
        let (millis, kind) = message.timestamp();
        self.timestamps.push(millis);
        self.kinds.push(kind, rows);
        self.epochs.push(message.leader_epoch(), rows);
        if let Some(headers) = message.headers() {
            let builder = self.headers.get_or_insert_with(|| HeadersBuilder::after(rows));
            for (name, value) in headers {
                builder.push(&name, value)?;
            }
            builder.end_row();
        } else if let Some(builder) = &mut self.headers {
            builder.end_row();
        }
        Ok(())
    }

    fn place(&mut self, bytes: &[u8]) -> Result<Span> {
        let start = self.buffer.len();
        self.buffer.extend_from_slice(bytes);
        match (u32::try_from(start), u32::try_from(self.buffer.len())) {
            (Ok(start), Ok(end)) => Ok(Span::new(start, end)),
            _ => Err(Error::contract("message batch", "a message does not fit in 4 GiB")),
        }
    }

    /// The batch, with the positions behind its rows.
    pub(super) fn build(
        self,
        topic: &Arc<str>,
        partition: i32,
    ) -> Result<(Batch<MessageBatch>, Positions<i64>)> {
        let offsets = Arc::new(self.offsets);
        // Records of old formats may have no time: then the rows have no event times.
        let have_times = self.timestamps.iter().all(|millis| *millis >= 0);
        let times = if have_times { self.timestamps.clone() } else { Vec::new() };
        let integers = |mostly: Mostly| match mostly.all {
            Some(all) => Column::Integers(Arc::new(all)),
            None => Column::SameInteger(mostly.first),
        };
        let kinds = match self.kinds.all {
            Some(all) => Column::Texts(Arc::new(all.into_iter().map(kind).collect())),
            None => Column::SameText(kind(self.kinds.first)),
        };
        let mut batch = MessageBatch::with_keys(Bytes::from(self.buffer), self.values, self.keys)?
            .with_column(TOPIC, Column::SameText(Arc::clone(topic)))?
            .with_column(PARTITION, Column::SameInteger(i64::from(partition)))?
            .with_column(OFFSET, Column::Integers(Arc::clone(&offsets)))?
            .with_column(TIMESTAMP, Column::Integers(Arc::new(self.timestamps)))?
            .with_column(TIMESTAMP_TYPE, kinds)?
            .with_column(LEADER_EPOCH, integers(self.epochs))?;
        if let Some(headers) = self.headers {
            batch = batch.with_column(HEADERS, Column::Headers(headers.build()))?;
        }
        let positions = Positions::by(move |rows| offsets[rows - 1] + 1);
        Ok((Batch::with_timestamps(batch, times)?, positions))
    }
}

fn kind(number: i64) -> Arc<str> {
    match number {
        0 => "CreateTime",
        1 => "LogAppendTime",
        _ => "NoTimestampType",
    }
    .into()
}
