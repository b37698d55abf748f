//! JSON objects to columns, and back.

use std::borrow::Cow;
use std::sync::{Mutex, PoisonError};

use connector_api::batch::RowBatch;
use connector_api::{Batch, Error, MessageBatch, Result};
use connector_file::bad::BadRecords;
use connector_file::format::with_metadata;
use connector_formats::ArrowBatch;
use connector_formats::json::{JsonDecoder, encode};
use connector_formats::records::{self, Content};
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use super::{ValueEncoding, envelope};

/// The columns of a conversion.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(transparent)]
pub(crate) struct Schema(connector_formats::Schema);

impl Schema {
    /// Canonical text: `["id int64","name string"]`.
    pub(crate) fn text(&self) -> String {
        // A list of texts can always be written.
        serde_json::to_string(&self.0).unwrap_or_default()
    }
}

/// Reads what [`Schema::text`] gave.
pub(crate) fn parse(text: &str) -> Result<Schema, String> {
    serde_json::from_str(text).map_err(|e| e.to_string())
}

/// The columns of records that are there. Unless a bad record `fails`, those that are no JSON object are passed over.
///
/// # Errors
///
/// [`Error::Data`]: there is no record, one is no JSON object, or a column has no type.
pub(crate) fn infer(batches: &[MessageBatch], fails: bool) -> Result<Schema> {
    let records = batches.iter().flat_map(MessageBatch::iter).filter_map(|message| message.value);
    let is_object = |record: &&[u8]| serde_json::from_slice::<serde_json::Map<_, _>>(record).is_ok();
    let records: Vec<&[u8]> = records.filter(|record| fails || is_object(record)).collect();
    if records.is_empty() {
        return Err(Error::data("the input", None, "there is no record to infer them from"));
    }
    connector_formats::infer(records).map(Schema)
}

/// One batch into another.
pub(super) type Step<A, B> = Box<dyn Fn(Batch<A>) -> Result<Batch<B>> + Send + Sync>;

/// Turns batches of JSON objects into columns. What does not fit goes to `bad`, which blocks then.
///
/// # Errors
///
/// When JSON can't be read as one of the columns.
pub(crate) fn to_columns(schema: &Schema, bad: BadRecords) -> Result<Step<MessageBatch, ArrowBatch>> {
    let schema = schema.0.to_arrow();
    // One for each batch that is converted at the same time: a decoder keeps its buffers.
    let idle = Mutex::new(vec![JsonDecoder::new(schema.clone())?]);
    Ok(Box::new(move |batch| {
        let spare = idle.lock().unwrap_or_else(PoisonError::into_inner).pop();
        let mut decoder = match spare {
            Some(decoder) => decoder,
            None => JsonDecoder::new(schema.clone())?,
        };
        let decoded = decoder.decode(&batch.rows)?;
        idle.lock().unwrap_or_else(PoisonError::into_inner).push(decoder);
        let kept: Vec<usize> = decoded.kept(batch.rows.rows()).collect();
        for record in &decoded.bad {
            let (file, offset) = place(&batch.rows, record.index);
            let value = batch.rows.get(record.index).value.unwrap_or_default();
            bad.refuse(&file, offset, &record.reason, value)?;
        }
        let columns = with_metadata(decoded.batch, &batch.rows, &kept)?;
        if decoded.bad.is_empty() {
            return Batch::with_timestamps(columns, batch.timestamps);
        }
        bad.settle()?;
        let times = &batch.timestamps;
        let times = kept.into_iter().filter_map(|index| times.get(index).copied()).collect();
        Batch::with_timestamps(columns, times)
    }))
}

/// Where a record came from: file and offset, if the source says so, or else its row in the batch.
fn place(batch: &MessageBatch, row: usize) -> (Cow<'_, str>, u64) {
    let offset = batch.integer("file.offset", row).and_then(|offset| u64::try_from(offset).ok());
    match (batch.text("file.path", row), offset) {
        (Some(file), Some(offset)) => (file.into(), offset),
        (Some(file), None) => (format!("{file}, by the row in its batch,").into(), row as u64),
        _ => ("a record to convert, by the row in its batch,".into(), row as u64),
    }
}

/// Turns records into columns. What is no UTF-8, where that is wanted, goes to `bad`, which blocks then.
pub(crate) fn records_to_columns(encoding: ValueEncoding, bad: BadRecords) -> Step<MessageBatch, ArrowBatch> {
    let content = match encoding {
        ValueEncoding::Utf8 => Content::Text,
        ValueEncoding::Base64 => Content::Binary,
    };
    Box::new(move |batch| {
        let mut refused = |row: usize, reason: &str| envelope::refuse(&bad, &batch.rows, row, reason);
        let (columns, kept) = records::columns(&batch.rows, content, &mut refused)?;
        bad.settle()?;
        let times = kept.into_iter().filter_map(|row| batch.timestamps.get(row).copied()).collect();
        Batch::with_timestamps(columns, times)
    })
}

/// Turns batches of columns into JSON objects, one a row.
pub(crate) fn to_messages(batch: Batch<ArrowBatch>) -> Result<Batch<MessageBatch>> {
    Batch::with_timestamps(encode(&batch.rows)?, batch.timestamps)
}

#[cfg(test)]
mod tests {
    use connector_api::message::Column;
    use connector_api::message::Span;
    use connector_file::bad::OnBadRecord;

    use super::*;

    fn batch(texts: &[&str]) -> MessageBatch {
        let (mut buffer, mut spans) = (String::new(), Vec::new());
        for text in texts {
            let start = buffer.len() as u32;
            buffer.push_str(text);
            spans.push(Span::new(start, buffer.len() as u32));
        }
        let offsets = (0..texts.len() as i64).map(|n| n * 10).collect::<Vec<_>>();
        let batch = MessageBatch::from_spans(buffer.into(), spans).unwrap();
        let batch = batch.with_column("file.path", Column::SameText("in/a".into())).unwrap();
        batch.with_column("file.offset", Column::Integers(offsets.into())).unwrap()
    }

    fn convert(schema: &str, texts: &[&str]) -> Result<Vec<String>> {
        let env = testkit::sim::environment(&testkit::fs::SimFs::new(), 1);
        let bad = BadRecords::new(OnBadRecord::Skip, env, "convert", "1");
        let step = to_columns(&parse(schema).unwrap(), bad)?;
        let columns = step(Batch::new(batch(texts)))?;
        let back = to_messages(columns)?.rows;
        Ok(back.iter().map(|m| String::from_utf8(m.value.unwrap().to_vec()).unwrap()).collect())
    }

    #[test]
    fn metadata_that_stands_beside_messages_becomes_columns_beside_theirs() {
        let found = convert(r#"["a int64"]"#, &[r#"{"a":1}"#, "no object", r#"{"a":3}"#]).unwrap();
        let expected = [
            r#"{"a":1,"file.path":"in/a","file.offset":0}"#,
            r#"{"a":3,"file.path":"in/a","file.offset":20}"#,
        ];
        assert_eq!(found, expected);
    }

    #[test]
    fn a_column_that_has_the_name_of_metadata_is_refused() {
        let refused = convert(r#"["file.path string"]"#, &[r#"{"file.path":"x"}"#]).unwrap_err().to_string();
        assert!(refused.contains("`file.path`") && refused.contains("`metadata`"), "{refused}");
    }
}
