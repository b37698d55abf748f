//! Records of a message system as JSON objects: key, value, and where they stood.

use std::borrow::Cow;

use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use bytes::Bytes;
use connector_api::headers::Header;
use connector_api::message::Span;
use connector_api::{Batch, Error, MessageBatch, Result, RowBatch};
use connector_file::bad::BadRecords;
use serde::Serialize;

use super::ValueEncoding;
use super::columns::Step;

/// What becomes of one record.
#[derive(Serialize)]
struct Envelope<'a> {
    key: Option<Cow<'a, str>>,
    /// Null for a tombstone.
    value: Option<Cow<'a, str>>,
    topic: Option<&'a str>,
    partition: Option<i64>,
    offset: Option<i64>,
    /// Milliseconds since the Unix epoch.
    timestamp: Option<i64>,
    headers: Vec<NamedValue<'a>>,
}

#[derive(Serialize)]
struct NamedValue<'a> {
    name: &'a str,
    value: Option<Cow<'a, str>>,
}

/// Turns records into JSON objects, one a record. What is no UTF-8, where that is wanted, goes to `bad`, which blocks then.
pub(crate) fn records_to_messages(
    encoding: ValueEncoding,
    bad: BadRecords,
) -> Step<MessageBatch, MessageBatch> {
    Box::new(move |batch| {
        let (mut text, mut spans, mut times) = (Vec::new(), Vec::new(), Vec::new());
        for row in 0..batch.rows.rows() {
            let envelope = match envelope(&batch.rows, row, encoding) {
                Ok(envelope) => envelope,
                Err(reason) => {
                    refuse(&bad, &batch.rows, row, &reason)?;
                    continue;
                }
            };
            let start = text.len();
            serde_json::to_writer(&mut text, &envelope)
                .map_err(|e| Error::data(origin(&batch.rows, row), None, e.to_string()))?;
            spans.push(span(start, text.len())?);
            times.extend(batch.timestamps.get(row));
        }
        bad.settle()?;
        Batch::with_timestamps(MessageBatch::from_spans(Bytes::from(text), spans)?, times)
    })
}

fn span(start: usize, end: usize) -> Result<Span> {
    let too_large = |_| Error::data("a batch of records", None, "takes more than 4 GiB as JSON objects");
    // Not above the end.
    u32::try_from(end).map(|end| Span::new(start as u32, end)).map_err(too_large)
}

fn envelope(batch: &MessageBatch, row: usize, encoding: ValueEncoding) -> Result<Envelope<'_>, String> {
    let message = batch.get(row);
    Ok(Envelope {
        key: message.key.map(|key| written("key", key, encoding)).transpose()?,
        value: message.value.map(|value| written("value", value, encoding)).transpose()?,
        topic: batch.text("topic", row),
        partition: batch.integer("partition", row),
        offset: batch.integer("offset", row),
        timestamp: batch.integer("timestamp", row).filter(|time| *time >= 0),
        headers: headers(batch, row, encoding)?,
    })
}

/// The headers of a record, in their order.
fn headers(batch: &MessageBatch, row: usize, encoding: ValueEncoding) -> Result<Vec<NamedValue<'_>>, String> {
    let mut all = Vec::new();
    for Header { name, value } in batch.headers(row) {
        let value = value.map(|value| written("header", value, encoding)).transpose()?;
        all.push(NamedValue { name, value });
    }
    Ok(all)
}

fn written<'a>(what: &str, bytes: &'a [u8], encoding: ValueEncoding) -> Result<Cow<'a, str>, String> {
    match encoding {
        ValueEncoding::Base64 => Ok(STANDARD.encode(bytes).into()),
        ValueEncoding::Utf8 => std::str::from_utf8(bytes).map(Cow::Borrowed).map_err(|e| {
            format!("the {what} is no UTF-8 ({e}); `convert.value_encoding = \"base64\"` takes any bytes")
        }),
    }
}

/// What names a record: its topic and partition, as far as they are known.
fn origin(batch: &MessageBatch, row: usize) -> String {
    match (batch.text("topic", row), batch.integer("partition", row)) {
        (Some(topic), Some(partition)) => format!("{topic}:{partition}"),
        (Some(topic), None) => topic.to_owned(),
        _ => "a record to convert".to_owned(),
    }
}

/// Hands a record over that can't be written.
pub(super) fn refuse(bad: &BadRecords, batch: &MessageBatch, row: usize, reason: &str) -> Result<()> {
    let offset = batch.integer("offset", row).and_then(|offset| u64::try_from(offset).ok());
    let value = batch.get(row).value.unwrap_or_default();
    bad.refuse(&origin(batch, row), offset.unwrap_or(row as u64), reason, value)
}

#[cfg(test)]
mod tests {
    use connector_api::headers::HeadersBuilder;
    use connector_api::message::Column;
    use connector_file::bad::OnBadRecord;

    use super::*;

    /// `k`=`v` with a header, a tombstone without key, a value that is no text.
    fn records() -> MessageBatch {
        let buffer = Bytes::from_static(b"kv\xff");
        let (values, keys) = (
            vec![Span::new(1, 2), Span::NULL, Span::new(2, 3)],
            vec![Span::new(0, 1), Span::NULL, Span::NULL],
        );
        let mut headers = HeadersBuilder::new();
        headers.push("trace", Some(b"7")).unwrap();
        headers.push("trace", None).unwrap();
        (0..3).for_each(|_| headers.end_row());
        let batch = MessageBatch::with_keys(buffer, values, Some(keys)).unwrap();
        let batch = batch.with_column("topic", Column::SameText("orders".into())).unwrap();
        let batch = batch.with_column("partition", Column::SameInteger(3)).unwrap();
        let batch = batch.with_column("offset", Column::Integers(vec![40, 41, 42].into())).unwrap();
        let batch = batch.with_column("timestamp", Column::Integers(vec![1000, -1, 2000].into())).unwrap();
        batch.with_column("headers", Column::Headers(headers.build())).unwrap()
    }

    fn converted(encoding: ValueEncoding, policy: OnBadRecord) -> Result<(Vec<String>, Vec<i64>)> {
        let env = testkit::sim::environment(&testkit::fs::SimFs::new(), 1);
        let step = records_to_messages(encoding, BadRecords::new(policy, env, "convert", "1"));
        let batch = step(Batch::with_timestamps(records(), vec![1000, 1500, 2000])?)?;
        let texts =
            batch.rows.iter().map(|m| String::from_utf8_lossy(m.value.unwrap_or_default()).into_owned());
        Ok((texts.collect(), batch.timestamps))
    }

    #[test]
    fn a_record_becomes_one_object_with_all_that_it_has() {
        let (texts, times) = converted(ValueEncoding::Utf8, OnBadRecord::Skip).unwrap();
        let expected = [
            r#"{"key":"k","value":"v","topic":"orders","partition":3,"offset":40,"timestamp":1000,"headers":[{"name":"trace","value":"7"},{"name":"trace","value":null}]}"#,
            r#"{"key":null,"value":null,"topic":"orders","partition":3,"offset":41,"timestamp":null,"headers":[]}"#,
        ];
        assert_eq!(texts, expected);
        assert_eq!(times, [1000, 1500], "of the rows that are left");
    }

    #[test]
    fn what_is_no_text_is_named_by_topic_partition_and_offset_and_taken_as_base64() {
        let refused = converted(ValueEncoding::Utf8, OnBadRecord::Fail).unwrap_err().to_string();
        assert!(
            refused.contains("orders:3") && refused.contains("42") && refused.contains("base64"),
            "{refused}"
        );
        let (texts, _) = converted(ValueEncoding::Base64, OnBadRecord::Fail).unwrap();
        assert!(texts[0].contains(r#""key":"aw==","value":"dg==""#), "{}", texts[0]);
        assert!(texts[2].contains(r#""value":"/w==""#), "{}", texts[2]);
    }
}
