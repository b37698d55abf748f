//! The column-shaped batch of byte messages.

use std::ops::Range;
use std::sync::Arc;

use bytes::{Bytes, BytesMut};

use crate::batch::{FromRows, RowBatch, Rows};
use crate::headers::{Header, Headers};
use crate::{Error, Result};

/// Where a key or a value lies in the buffer of its batch. `NULL` stands for "none" (as a value: a tombstone).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Span {
    start: u32,
    end: u32,
}

impl Span {
    /// No bytes at all, as opposed to zero bytes.
    pub const NULL: Self = Self { start: u32::MAX, end: u32::MAX };

    /// The bytes `start..end` of the buffer.
    pub const fn new(start: u32, end: u32) -> Self {
        Self { start, end }
    }

    /// The range within the buffer, or none for [`Span::NULL`].
    pub fn range(self) -> Option<Range<usize>> {
        (self != Self::NULL).then_some(self.start as usize..self.end as usize)
    }
}

/// A column of metadata beside the messages (topic, offset, file name, headers): constant or one value per row.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Column {
    /// The same text for every row.
    SameText(Arc<str>),
    /// The same number for every row.
    SameInteger(i64),
    /// One number per row.
    Integers(Arc<Vec<i64>>),
    /// One text per row.
    Texts(Arc<Vec<Arc<str>>>),
    /// The headers of each row. Read by [`MessageBatch::headers`], whatever the column's name.
    Headers(Headers),
}

/// Messages of bytes in columns: one shared buffer, spans for values and (where there are any) keys, metadata columns.
///
/// A prefix and a clone share the buffer and the spans. At most 4 GiB of buffer per batch.
#[derive(Clone, Debug)]
pub struct MessageBatch {
    buffer: Bytes,
    values: Arc<Vec<Span>>,
    keys: Option<Arc<Vec<Span>>>,
    columns: Arc<Vec<(Arc<str>, Column)>>,
    window: Range<usize>,
    /// The content of the rows in the window, so that counting a batch that moves through a job costs nothing.
    content: usize,
}

/// The content of some spans in bytes.
fn content(spans: &[Span]) -> usize {
    spans.iter().filter_map(|s| s.range()).map(|r| r.len()).sum()
}

/// One message of a [`MessageBatch`], borrowed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct MessageRef<'a> {
    /// The key, if the message has one.
    pub key: Option<&'a [u8]>,
    /// The value; none is a tombstone.
    pub value: Option<&'a [u8]>,
}

/// One message, owned: what transforms build batches from.
#[derive(Clone, Debug, PartialEq, Eq, Default)]
pub struct Message {
    /// The key, if the message has one.
    pub key: Option<Bytes>,
    /// The value; none is a tombstone.
    pub value: Option<Bytes>,
}

impl MessageBatch {
    /// Values only, as spans of one buffer.
    ///
    /// # Errors
    ///
    /// [`Error::Contract`] when a span lies outside the buffer.
    pub fn from_spans(buffer: Bytes, values: Vec<Span>) -> Result<Self> {
        Self::with_keys(buffer, values, None)
    }

    /// Values and, when given, one key per value.
    ///
    /// # Errors
    ///
    /// [`Error::Contract`] when a span lies outside the buffer or the number of keys is not that of the values.
    pub fn with_keys(buffer: Bytes, values: Vec<Span>, keys: Option<Vec<Span>>) -> Result<Self> {
        let outside = |spans: &[Span]| {
            spans.iter().any(|s| *s != Span::NULL && (s.start > s.end || s.end as usize > buffer.len()))
        };
        if outside(&values) || keys.as_deref().is_some_and(outside) {
            return Err(Error::contract("message batch", "a span lies outside the buffer"));
        }
        if keys.as_ref().is_some_and(|k| k.len() != values.len()) {
            return Err(Error::contract("message batch", "the number of keys is not the number of values"));
        }
        Ok(Self {
            buffer,
            window: 0..values.len(),
            content: content(&values) + keys.as_deref().map_or(0, content),
            values: Arc::new(values),
            keys: keys.map(Arc::new),
            columns: Arc::default(),
        })
    }

    /// Adds a metadata column.
    ///
    /// # Errors
    ///
    /// [`Error::Contract`] when a per-row column has not one value per row, or the batch is a prefix of another.
    pub fn with_column(mut self, name: impl Into<Arc<str>>, column: Column) -> Result<Self> {
        let given = match &column {
            Column::SameText(_) | Column::SameInteger(_) => None,
            Column::Integers(all) => Some(all.len()),
            Column::Texts(all) => Some(all.len()),
            Column::Headers(all) => Some(all.rows()),
        };
        if self.window != (0..self.values.len()) || given.is_some_and(|n| n != self.values.len()) {
            return Err(Error::contract("message batch", "a column must have one value per row"));
        }
        Arc::make_mut(&mut self.columns).push((name.into(), column));
        Ok(self)
    }

    /// The buffer that all spans point into.
    pub fn buffer(&self) -> &Bytes {
        &self.buffer
    }

    /// The spans of the values of this batch's rows, within [`buffer`](Self::buffer).
    pub fn value_spans(&self) -> &[Span] {
        &self.values[self.window.clone()]
    }

    /// The message at `index`.
    ///
    /// # Panics
    ///
    /// When `index` is not below `rows()`.
    pub fn get(&self, index: usize) -> MessageRef<'_> {
        assert!(index < self.window.len(), "row {index} of {}", self.window.len());
        let at = self.window.start + index;
        MessageRef {
            key: self.keys.as_ref().and_then(|keys| keys[at].range()).map(|r| &self.buffer[r]),
            value: self.values[at].range().map(|r| &self.buffer[r]),
        }
    }

    /// All messages in order.
    pub fn iter(&self) -> impl ExactSizeIterator<Item = MessageRef<'_>> {
        (0..self.window.len()).map(|i| self.get(i))
    }

    /// The integer of a metadata column at a row; none when there is no such column of integers.
    pub fn integer(&self, column: &str, index: usize) -> Option<i64> {
        match self.column(column)? {
            Column::SameInteger(n) => Some(*n),
            Column::Integers(all) => all.get(self.window.start + index).copied(),
            Column::SameText(_) | Column::Texts(_) | Column::Headers(_) => None,
        }
    }

    /// The text of a metadata column at a row; none when there is no such column of texts.
    pub fn text(&self, column: &str, index: usize) -> Option<&str> {
        match self.column(column)? {
            Column::SameText(text) => Some(text),
            Column::Texts(all) => all.get(self.window.start + index).map(|t| &**t),
            Column::SameInteger(_) | Column::Integers(_) | Column::Headers(_) => None,
        }
    }

    /// The headers of the message at a row, in their order; none when the batch has no column of them.
    pub fn headers(&self, index: usize) -> impl Iterator<Item = Header<'_>> {
        let column = self.columns.iter().find_map(|(_, column)| match column {
            Column::Headers(headers) => Some(headers),
            _ => None,
        });
        column.into_iter().flat_map(move |headers| headers.of(self.window.start + index))
    }

    fn column(&self, name: &str) -> Option<&Column> {
        self.columns.iter().find(|(n, _)| &**n == name).map(|(_, c)| c)
    }
}

impl RowBatch for MessageBatch {
    fn rows(&self) -> usize {
        self.window.len()
    }

    /// The content of keys and values of the rows, without what else the buffer holds.
    fn bytes(&self) -> usize {
        self.content
    }

    fn take_front(&mut self, n: usize) -> Self {
        let cut = self.window.start + n.min(self.window.len());
        let mut front = self.clone();
        front.window.end = cut;
        self.window.start = cut;
        if self.window.is_empty() {
            self.content = 0;
        } else {
            front.content = content(&front.values[front.window.clone()])
                + front.keys.as_ref().map_or(0, |keys| content(&keys[front.window.clone()]));
            self.content -= front.content;
        }
        front
    }
}

impl Rows for MessageBatch {
    type Row<'a> = MessageRef<'a>;

    fn row(&self, index: usize) -> MessageRef<'_> {
        self.get(index)
    }

    fn select(self, indices: &[usize]) -> Self {
        let start = self.window.start;
        let pick =
            |spans: &Vec<Span>| Arc::new(indices.iter().map(|&i| spans[start + i]).collect::<Vec<_>>());
        let columns = self.columns.iter().map(|(name, column)| {
            let column = match column {
                Column::Integers(all) => {
                    Column::Integers(Arc::new(indices.iter().map(|&i| all[start + i]).collect()))
                }
                Column::Texts(all) => {
                    Column::Texts(Arc::new(indices.iter().map(|&i| all[start + i].clone()).collect()))
                }
                Column::Headers(all) => Column::Headers(all.select(indices.iter().map(|&i| start + i))),
                same @ (Column::SameText(_) | Column::SameInteger(_)) => same.clone(),
            };
            (name.clone(), column)
        });
        let values = pick(&self.values);
        let keys = self.keys.as_ref().map(|k| pick(k));
        Self {
            content: content(&values) + keys.as_ref().map_or(0, |k| content(k)),
            values,
            keys,
            columns: Arc::new(columns.collect()),
            window: 0..indices.len(),
            buffer: self.buffer,
        }
    }
}

impl FromRows for MessageBatch {
    type Item = Message;

    /// Copies every key and value once, into one new buffer.
    fn from_rows(items: Vec<Message>) -> Result<Self> {
        let size: usize = items.iter().flat_map(|m| [&m.key, &m.value]).flatten().map(Bytes::len).sum();
        if u32::try_from(size).is_err() {
            return Err(Error::contract(
                "message batch",
                format!("{size} bytes do not fit one batch (4 GiB)"),
            ));
        }
        let mut buffer = BytesMut::with_capacity(size);
        let mut place = |bytes: &Option<Bytes>| match bytes {
            None => Span::NULL,
            Some(bytes) => {
                let start = buffer.len() as u32;
                buffer.extend_from_slice(bytes);
                Span::new(start, buffer.len() as u32)
            }
        };
        let keyed = items.iter().any(|m| m.key.is_some());
        let mut values = Vec::with_capacity(items.len());
        let mut keys = Vec::with_capacity(if keyed { items.len() } else { 0 });
        for item in &items {
            values.push(place(&item.value));
            if keyed {
                keys.push(place(&item.key));
            }
        }
        Self::with_keys(buffer.freeze(), values, keyed.then_some(keys))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn three() -> MessageBatch {
        let spans = vec![Span::new(0, 2), Span::NULL, Span::new(2, 5)];
        MessageBatch::from_spans(Bytes::from_static(b"abcde"), spans)
            .unwrap()
            .with_column("offset", Column::Integers(Arc::new(vec![7, 8, 9])))
            .unwrap()
    }

    #[test]
    fn a_prefix_shares_the_buffer_and_keeps_columns_aligned() {
        let mut rest = three();
        let front = rest.take_front(1);
        assert_eq!((front.rows(), rest.rows()), (1, 2));
        assert_eq!(rest.get(0).value, None);
        assert_eq!(rest.get(1).value, Some(&b"cde"[..]));
        assert_eq!(rest.integer("offset", 0), Some(8));
        assert_eq!(front.buffer().as_ptr(), rest.buffer().as_ptr());
        assert_eq!((front.bytes(), rest.bytes()), (2, 3));
    }

    #[test]
    fn select_after_a_prefix_picks_the_right_rows() {
        let mut rest = three();
        rest.take_front(1);
        let picked = rest.select(&[1]);
        assert_eq!(picked.get(0).value, Some(&b"cde"[..]));
        assert_eq!(picked.integer("offset", 0), Some(9));
    }

    #[test]
    fn headers_stay_with_their_rows_through_prefix_and_select() {
        let mut headers = crate::headers::HeadersBuilder::after(1);
        headers.push("second", None).unwrap();
        headers.end_row();
        headers.push("third", Some(b"3")).unwrap();
        headers.end_row();
        let column = Column::Headers(headers.build());
        let mut rest = three().with_column("headers", column.clone()).unwrap();
        rest.take_front(1);
        assert_eq!(rest.headers(0).map(|header| header.name).collect::<Vec<_>>(), ["second"]);
        let picked = rest.select(&[1]);
        assert_eq!(picked.headers(0).map(|header| header.value).collect::<Vec<_>>(), [Some(&b"3"[..])]);
        assert_eq!(three().headers(0).count(), 0);
        let two = MessageBatch::from_spans(Bytes::new(), vec![Span::NULL; 2]).unwrap();
        assert!(two.with_column("headers", column).is_err());
    }

    #[test]
    fn spans_outside_the_buffer_are_refused() {
        assert!(MessageBatch::from_spans(Bytes::from_static(b"ab"), vec![Span::new(1, 3)]).is_err());
        assert!(MessageBatch::from_spans(Bytes::from_static(b"ab"), vec![Span::new(2, 1)]).is_err());
    }

    #[test]
    fn rows_built_from_messages_keep_keys_and_tombstones() {
        let keyed = Message { key: Some(Bytes::from_static(b"k")), value: None };
        let plain = Message { key: None, value: Some(Bytes::from_static(b"v")) };
        let batch = MessageBatch::from_rows(vec![keyed, plain]).unwrap();
        assert_eq!(batch.get(0), MessageRef { key: Some(b"k"), value: None });
        assert_eq!(batch.get(1), MessageRef { key: None, value: Some(b"v") });
        assert_eq!(batch.bytes(), 2);
    }
}
