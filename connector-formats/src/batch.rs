//! Arrow's record batch as a batch of rows.

use arrow_array::{Array, RecordBatch};
use arrow_array::{UInt64Array, cast::AsArray};
use arrow_schema::SchemaRef;
use connector_api::batch::Rows;
use connector_api::{Error, Result, RowBatch};

/// Rows in Arrow's columns. A prefix shares the columns.
#[derive(Clone, Debug, PartialEq)]
pub struct ArrowBatch {
    batch: RecordBatch,
    /// The content of the rows; an estimate for a part of a batch.
    bytes: usize,
}

/// One row, borrowed.
#[derive(Clone, Copy, Debug)]
pub struct ArrowRow<'a> {
    /// The columns.
    pub columns: &'a RecordBatch,
    /// Which row of them.
    pub index: usize,
}

impl ArrowBatch {
    /// The columns.
    pub fn columns(&self) -> &RecordBatch {
        &self.batch
    }

    /// The columns, owned.
    pub fn into_columns(self) -> RecordBatch {
        self.batch
    }

    /// Names and types.
    pub fn schema(&self) -> SchemaRef {
        self.batch.schema()
    }

    /// The rows at these indices, each below `rows()`.
    ///
    /// # Errors
    ///
    /// When the texts of a column would not fit the 2 GiB of one array.
    pub fn take(&self, indices: &[usize]) -> Result<Self> {
        let picked: UInt64Array = indices.iter().map(|&i| i as u64).collect();
        let batch = arrow_select::take::take_record_batch(&self.batch, &picked)
            .map_err(|e| Error::data("record batch", None, e.to_string()))?;
        Ok(batch.into())
    }
}

impl From<RecordBatch> for ArrowBatch {
    fn from(batch: RecordBatch) -> Self {
        let column = |column: &dyn Array| column.to_data().get_slice_memory_size().unwrap_or_default();
        let bytes = batch.columns().iter().map(|c| column(c.as_ref())).sum::<usize>().max(batch.num_rows());
        Self { batch, bytes }
    }
}

impl ArrowRow<'_> {
    /// The text of a column of texts; none for another type, no such column, and null.
    pub fn text(&self, column: &str) -> Option<&str> {
        let array = self.columns.column_by_name(column)?;
        let texts = array.as_string_opt::<i32>()?;
        texts.is_valid(self.index).then(|| texts.value(self.index))
    }
}

impl RowBatch for ArrowBatch {
    fn rows(&self) -> usize {
        self.batch.num_rows()
    }

    fn bytes(&self) -> usize {
        self.bytes
    }

    fn take_front(&mut self, n: usize) -> Self {
        let rows = self.rows();
        let n = n.min(rows);
        let front = self.batch.slice(0, n);
        self.batch = self.batch.slice(n, rows - n);
        let bytes = if n == rows { self.bytes } else { self.bytes / rows * n };
        self.bytes -= bytes;
        Self { batch: front, bytes }
    }
}

impl Rows for ArrowBatch {
    type Row<'a> = ArrowRow<'a>;

    fn row(&self, index: usize) -> ArrowRow<'_> {
        ArrowRow { columns: &self.batch, index }
    }

    /// # Panics
    ///
    /// When an index is not below `rows()`.
    fn select(self, indices: &[usize]) -> Self {
        match self.take(indices) {
            Ok(batch) => batch,
            // Each index is given at most once: what is picked is no larger than what was there.
            Err(e) => unreachable!("{e}"),
        }
    }
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use arrow_array::{Int64Array, StringArray};

    use super::*;

    fn three() -> ArrowBatch {
        let numbers = Arc::new(Int64Array::from(vec![1, 2, 3]));
        let texts = Arc::new(StringArray::from(vec![Some("a"), None, Some("c")]));
        RecordBatch::try_from_iter([("n", numbers as _), ("t", texts as _)]).unwrap().into()
    }

    #[test]
    fn a_prefix_and_its_rest_are_the_batch() {
        let (mut rest, whole) = (three(), three().bytes());
        let front = rest.take_front(1);
        assert_eq!((front.rows(), rest.rows()), (1, 2));
        assert_eq!(front.bytes() + rest.bytes(), whole);
        assert_eq!((rest.row(0).text("t"), rest.row(1).text("t")), (None, Some("c")));
        let all = rest.take_front(9);
        assert_eq!((all.rows(), rest.rows(), rest.bytes()), (2, 0, 0));
    }

    #[test]
    fn rows_are_picked_in_the_order_asked_for() {
        let picked = three().select(&[2, 0]);
        assert_eq!((picked.row(0).text("t"), picked.row(1).text("t")), (Some("c"), Some("a")));
    }
}
