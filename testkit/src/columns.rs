//! Test data in batches of Arrow: a column `text` and a column `millis`.

use std::sync::Arc;

use arrow_array::{Int64Array, RecordBatch, StringArray};
use connector_api::{Error, Result};
use connector_formats::{ArrowBatch, ArrowRow};

use crate::rows::{TestBatch, TestRow};

impl TestBatch for ArrowBatch {
    fn of(rows: &[TestRow]) -> Result<Self> {
        let texts = StringArray::from_iter_values(rows.iter().map(|row| &row.text));
        let millis = Int64Array::from_iter_values(rows.iter().map(|row| row.millis));
        let columns = [("text", Arc::new(texts) as _), ("millis", Arc::new(millis) as _)];
        let batch = RecordBatch::try_from_iter(columns);
        Ok(batch.map_err(|e| Error::data("test data", None, e.to_string()))?.into())
    }

    fn text(row: ArrowRow<'_>) -> Result<String> {
        let text = row.text("text").ok_or_else(|| Error::data("a row", None, "has no column `text`"))?;
        Ok(text.to_owned())
    }
}
