//! The unit of hand-over.
//!
//! Readers emit and writers take *batches*; positions, limits and metrics count *rows*. A batch type implements
//! [`RowBatch`]; `Vec<T>` and [`MessageBatch`](crate::MessageBatch) do. Event times are a column beside the rows.

/// Rows that travel together.
///
/// # Contract
///
/// `take_front(n)` with `n <= rows()` moves the first `n` rows out; what stays in `self` are the others, in order. It must
/// be cheap (no copy of row data), because a host that emits a batch in parts calls it often.
pub trait RowBatch: Send + Sized + 'static {
    /// The number of rows.
    fn rows(&self) -> usize;

    /// The size of the rows' content in bytes, for metrics and byte budgets. An estimate is allowed for types whose size
    /// is not known; it must not be zero for a batch that holds memory.
    fn bytes(&self) -> usize;

    /// Moves the first `n` rows out. `n` above `rows()` takes all.
    fn take_front(&mut self, n: usize) -> Self;
}

/// A batch whose rows can be looked at and picked one by one: what row transforms and exchanges by key need.
pub trait Rows: RowBatch {
    /// A borrowed row.
    type Row<'a>;

    /// The row at `index`, which is below `rows()`.
    fn row(&self, index: usize) -> Self::Row<'_>;

    /// The rows at these indices, in this order. Each index is below `rows()` and given at most once.
    fn select(self, indices: &[usize]) -> Self;
}

/// A batch that can be built from owned rows: what `map` and `flat_map` produce.
pub trait FromRows: RowBatch {
    /// An owned row.
    type Item: Send + 'static;

    /// Builds the batch.
    fn from_rows(items: Vec<Self::Item>) -> crate::Result<Self>;
}

impl<T: Send + 'static> RowBatch for Vec<T> {
    fn rows(&self) -> usize {
        self.len()
    }

    fn bytes(&self) -> usize {
        self.len() * size_of::<T>().max(1)
    }

    fn take_front(&mut self, n: usize) -> Self {
        if n >= self.len() {
            return std::mem::take(self);
        }
        let rest = self.split_off(n);
        std::mem::replace(self, rest)
    }
}

impl<T: Send + 'static> Rows for Vec<T> {
    type Row<'a> = &'a T;

    fn row(&self, index: usize) -> &T {
        &self[index]
    }

    fn select(self, indices: &[usize]) -> Self {
        let mut slots: Vec<Option<T>> = self.into_iter().map(Some).collect();
        indices.iter().filter_map(|&i| slots[i].take()).collect()
    }
}

impl<T: Send + 'static> FromRows for Vec<T> {
    type Item = T;

    fn from_rows(items: Vec<T>) -> crate::Result<Self> {
        Ok(items)
    }
}

/// Rows with their event times.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Batch<B> {
    /// The rows.
    pub rows: B,
    /// Event times in milliseconds since the Unix epoch: empty (the rows have none), or one per row.
    pub timestamps: Vec<i64>,
}

impl<B: RowBatch> Batch<B> {
    /// Rows without event times.
    pub fn new(rows: B) -> Self {
        Self { rows, timestamps: Vec::new() }
    }

    /// Rows with one event time each.
    ///
    /// # Errors
    ///
    /// [`Error::Contract`](crate::Error::Contract) when the number of times is neither zero nor the number of rows.
    pub fn with_timestamps(rows: B, timestamps: Vec<i64>) -> crate::Result<Self> {
        if !timestamps.is_empty() && timestamps.len() != rows.rows() {
            return Err(crate::Error::contract(
                "batch",
                format!("{} event times for {} rows", timestamps.len(), rows.rows()),
            ));
        }
        Ok(Self { rows, timestamps })
    }

    /// Moves the first `n` rows out, with their event times.
    pub fn take_front(&mut self, n: usize) -> Self {
        let timestamps = self.timestamps.take_front(n);
        Self { rows: self.rows.take_front(n), timestamps }
    }

    /// The rows at these indices, with their event times.
    pub fn select(self, indices: &[usize]) -> Self
    where
        B: Rows,
    {
        let timestamps = if self.timestamps.is_empty() {
            Vec::new()
        } else {
            indices.iter().map(|&i| self.timestamps[i]).collect()
        };
        Self { rows: self.rows.select(indices), timestamps }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_prefix_and_its_rest_are_the_batch() {
        let mut rest = Batch::with_timestamps(vec![1, 2, 3], vec![10, 20, 30]).unwrap();
        let front = rest.take_front(2);
        assert_eq!((front.rows, front.timestamps), (vec![1, 2], vec![10, 20]));
        assert_eq!((rest.rows, rest.timestamps), (vec![3], vec![30]));
    }

    #[test]
    fn a_wrong_number_of_event_times_is_refused() {
        assert!(Batch::with_timestamps(vec![1, 2, 3], vec![10]).is_err());
    }
}
