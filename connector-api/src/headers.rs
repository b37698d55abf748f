//! Headers of messages: names with values beside key and value, as a column of a batch.

use std::ops::Range;
use std::sync::Arc;

use crate::message::Span;
use crate::{Error, Result};

/// One header, borrowed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Header<'a> {
    /// Its name. A message may have several headers of one name.
    pub name: &'a str,
    /// Its value; none is no value, as opposed to an empty one.
    pub value: Option<&'a [u8]>,
}

/// Per row an ordered list of headers. A clone shares everything.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Headers {
    store: Arc<Store>,
    /// Per row the range of its headers.
    rows: Arc<Vec<(u32, u32)>>,
}

/// Names and values, one behind another.
#[derive(Debug, Default, PartialEq, Eq)]
struct Store {
    names: String,
    values: Vec<u8>,
    /// The range of the name, and that of the value.
    all: Vec<(Range<u32>, Span)>,
}

impl Store {
    fn get(&self, index: usize) -> Header<'_> {
        let (name, value) = &self.all[index];
        Header {
            name: &self.names[name.start as usize..name.end as usize],
            value: value.range().map(|range| &self.values[range]),
        }
    }
}

impl Headers {
    /// The number of rows, with and without headers.
    pub fn rows(&self) -> usize {
        self.rows.len()
    }

    /// The headers of a row, in their order; none of a row that is not there.
    pub fn of(&self, row: usize) -> impl ExactSizeIterator<Item = Header<'_>> {
        let (start, end) = self.rows.get(row).copied().unwrap_or_default();
        (start as usize..end as usize).map(|index| self.store.get(index))
    }

    /// The rows at these indices, each of which is there.
    pub(crate) fn select(&self, indices: impl Iterator<Item = usize>) -> Self {
        Self { store: Arc::clone(&self.store), rows: Arc::new(indices.map(|i| self.rows[i]).collect()) }
    }
}

/// Builds [`Headers`] row by row.
///
/// ```
/// use connector_api::headers::HeadersBuilder;
///
/// let mut headers = HeadersBuilder::new();
/// headers.push("trace", Some(b"7"))?;
/// headers.end_row();
/// headers.end_row(); // A row without headers.
/// let headers = headers.build();
/// assert_eq!((headers.rows(), headers.of(0).len(), headers.of(1).len()), (2, 1, 0));
/// # Ok::<(), connector_api::Error>(())
/// ```
#[derive(Debug, Default)]
pub struct HeadersBuilder {
    store: Store,
    rows: Vec<(u32, u32)>,
}

impl HeadersBuilder {
    /// No rows.
    pub fn new() -> Self {
        Self::default()
    }

    /// A builder that begins with `rows` rows without headers: a batch needs none until its first row that has some.
    pub fn after(rows: usize) -> Self {
        Self { store: Store::default(), rows: vec![(0, 0); rows] }
    }

    /// Adds a header to the row that [`end_row`](Self::end_row) will end.
    ///
    /// # Errors
    ///
    /// [`Error::Contract`] when all names, or all values, take 4 GiB or more.
    pub fn push(&mut self, name: &str, value: Option<&[u8]>) -> Result<()> {
        let full = |_| Error::contract("headers", "the headers of a batch do not fit in 4 GiB");
        let names = self.store.names.len();
        let name_range =
            u32::try_from(names).map_err(full)?..u32::try_from(names + name.len()).map_err(full)?;
        let value_span = match value {
            None => Span::NULL,
            Some(value) => {
                let start = self.store.values.len();
                let end = u32::try_from(start + value.len()).map_err(full)?;
                self.store.values.extend_from_slice(value);
                // Not above the end, which fits.
                Span::new(start as u32, end)
            }
        };
        self.store.names.push_str(name);
        self.store.all.push((name_range, value_span));
        Ok(())
    }

    /// Ends a row: what was pushed since the last one are its headers.
    pub fn end_row(&mut self) {
        let start = self.rows.last().map_or(0, |(_, end)| *end);
        // Each header takes a byte of a name or a slot: far below 4 G of them fit.
        self.rows.push((start, self.store.all.len() as u32));
    }

    /// The rows. Headers behind the last end of a row are dropped.
    pub fn build(self) -> Headers {
        Headers { store: Arc::new(self.store), rows: Arc::new(self.rows) }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn three() -> Headers {
        let mut headers = HeadersBuilder::after(1);
        headers.push("a", Some(b"1")).unwrap();
        headers.push("a", None).unwrap();
        headers.end_row();
        headers.push("ü", Some(b"")).unwrap();
        headers.end_row();
        headers.build()
    }

    #[test]
    fn headers_keep_their_order_and_no_value_is_not_an_empty_one() {
        let headers = three();
        assert_eq!(headers.rows(), 3);
        assert_eq!(headers.of(0).len(), 0);
        let twice: Vec<_> = headers.of(1).collect();
        assert_eq!(twice, [Header { name: "a", value: Some(b"1") }, Header { name: "a", value: None }]);
        assert_eq!(headers.of(2).next(), Some(Header { name: "ü", value: Some(b"") }));
        assert_eq!(headers.of(3).len(), 0);
    }

    #[test]
    fn selected_rows_keep_their_headers() {
        let picked = three().select([2, 0].into_iter());
        assert_eq!(picked.rows(), 2);
        assert_eq!(picked.of(0).next().map(|header| header.name), Some("ü"));
        assert_eq!(picked.of(1).len(), 0);
    }
}
