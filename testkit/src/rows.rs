//! Test data: rows that are told apart by their text, in batches of any type.

use bytes::Bytes;
use connector_api::batch::{FromRows, Rows};
use connector_api::message::Message;
use connector_api::{Batch, Error, MessageBatch, Result};

/// A row of test data. Its text is printable ASCII without white space, and no other row of a check has it.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct TestRow {
    /// What the row is known by.
    pub text: String,
    /// Its event time, in milliseconds since the Unix epoch; of use to connectors that carry event times.
    pub millis: i64,
}

impl TestRow {
    /// Row `index` of a split: its text says so, its event time is `index` seconds.
    pub fn of(split: u32, index: u64) -> Self {
        let millis = i64::try_from(index).unwrap_or(i64::MAX).saturating_mul(1_000);
        Self { text: format!("s{split}-{index:05}"), millis }
    }

    /// Rows of a split.
    pub fn range(split: u32, indices: std::ops::Range<u64>) -> Vec<Self> {
        indices.map(|index| Self::of(split, index)).collect()
    }

    /// The split and the index that a text of [`of`](Self::of) stands for.
    pub fn parse(text: &str) -> Option<(u32, u64)> {
        let (split, index) = text.strip_prefix('s')?.split_once('-')?;
        Some((split.parse().ok()?, index.parse().ok()?))
    }
}

/// A batch type that test data can be put into.
///
/// Here for `MessageBatch` (the text is the value), for vectors of a [`TestItem`] and, with the feature `arrow`, for batches
/// of Arrow (columns `text` and `millis`).
pub trait TestBatch: Rows {
    /// A batch of these rows.
    ///
    /// # Errors
    ///
    /// When they can't be put into one.
    fn of(rows: &[TestRow]) -> Result<Self>;

    /// The text of a row.
    ///
    /// # Errors
    ///
    /// When it holds none.
    fn text(row: Self::Row<'_>) -> Result<String>;

    /// The texts of all rows.
    ///
    /// # Errors
    ///
    /// When a row holds none.
    fn texts(&self) -> Result<Vec<String>> {
        (0..self.rows()).map(|i| Self::text(self.row(i))).collect()
    }
}

/// A row type of one's own, for sources and sinks of `Vec<T>`.
pub trait TestItem: Clone + Send + Sync + 'static {
    /// The row that stands for this one.
    fn of(row: &TestRow) -> Self;

    /// The text that it was made with.
    fn text(&self) -> String;
}

impl TestItem for String {
    fn of(row: &TestRow) -> Self {
        row.text.clone()
    }

    fn text(&self) -> String {
        self.clone()
    }
}

impl<T: TestItem> TestBatch for Vec<T> {
    fn of(rows: &[TestRow]) -> Result<Self> {
        Ok(rows.iter().map(T::of).collect())
    }

    fn text(row: &T) -> Result<String> {
        Ok(row.text())
    }
}

impl TestBatch for MessageBatch {
    fn of(rows: &[TestRow]) -> Result<Self> {
        let message =
            |row: &TestRow| Message { key: None, value: Some(Bytes::copy_from_slice(row.text.as_bytes())) };
        Self::from_rows(rows.iter().map(message).collect())
    }

    fn text(row: Self::Row<'_>) -> Result<String> {
        let value = row.value.ok_or_else(|| Error::data("a row", None, "has no value"))?;
        Ok(String::from_utf8_lossy(value).into_owned())
    }
}

/// A batch with event times.
///
/// # Errors
///
/// As [`TestBatch::of`].
pub fn batch_of<B: TestBatch>(rows: &[TestRow]) -> Result<Batch<B>> {
    Batch::with_timestamps(B::of(rows)?, rows.iter().map(|row| row.millis).collect())
}
