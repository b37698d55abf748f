//! Records of a message system as columns: `key`, `value`, `topic`, `partition`, `offset`, `timestamp`, `headers`.

use std::sync::Arc;

use arrow_array::builder::{
    BinaryBuilder, Int32Builder, Int64Builder, ListBuilder, StringBuilder, StructBuilder,
    TimestampMillisecondBuilder,
};
use arrow_array::{ArrayRef, RecordBatch};
use arrow_schema::{DataType, Field, Fields};
use connector_api::{Error, MessageBatch, Result, RowBatch};

use crate::ArrowBatch;
use crate::schema::UTC;

/// What the columns of keys, values and values of headers are.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Content {
    /// Texts.
    Text,
    /// Any bytes.
    Binary,
}

/// Bytes in a column of either kind.
enum Contents {
    Text(StringBuilder),
    Binary(BinaryBuilder),
}

impl Contents {
    fn new(content: Content) -> Self {
        match content {
            Content::Text => Self::Text(StringBuilder::new()),
            Content::Binary => Self::Binary(BinaryBuilder::new()),
        }
    }

    /// What is no text was refused before.
    fn push(&mut self, bytes: Option<&[u8]>) {
        match self {
            Self::Text(builder) => {
                builder.append_option(bytes.and_then(|bytes| std::str::from_utf8(bytes).ok()))
            }
            Self::Binary(builder) => builder.append_option(bytes),
        }
    }

    fn finish(mut self) -> ArrayRef {
        match &mut self {
            Self::Text(builder) => Arc::new(builder.finish()),
            Self::Binary(builder) => Arc::new(builder.finish()),
        }
    }
}

/// Turns records into columns; gives the rows that they are of, too.
///
/// | column | type | null |
/// |---|---|---|
/// | `key`, `value` | string or binary | the record has none; a value that is null is a tombstone |
/// | `topic` | string | not known |
/// | `partition` | int32 | not known |
/// | `offset` | int64 | not known |
/// | `timestamp` | timestamp, UTC, milliseconds | the record has none |
/// | `headers` | list of structs: `name`, `value` (string or binary) | never |
///
/// `refused` is told of each record whose key, value or header is to be a text and is none; that record is left out.
///
/// # Errors
///
/// That of `refused`; a partition that is no number of a partition; more than 2 GiB in a column.
pub fn columns(
    batch: &MessageBatch,
    content: Content,
    refused: &mut dyn FnMut(usize, &str) -> Result<()>,
) -> Result<(ArrowBatch, Vec<usize>)> {
    let (mut keys, mut values) = (Contents::new(content), Contents::new(content));
    let (mut topics, mut partitions) = (StringBuilder::new(), Int32Builder::new());
    let mut offsets = Int64Builder::new();
    let mut timestamps = TimestampMillisecondBuilder::new().with_timezone(UTC);
    let mut headers = headers(content);
    let mut kept = Vec::with_capacity(batch.rows());
    for row in 0..batch.rows() {
        if let (Content::Text, Some(reason)) = (content, no_text(batch, row)) {
            refused(row, &reason)?;
            continue;
        }
        let message = batch.get(row);
        keys.push(message.key);
        values.push(message.value);
        topics.append_option(batch.text("topic", row));
        let partition = batch.integer("partition", row).map(i32::try_from).transpose();
        partitions.append_option(
            partition.map_err(|e| Error::data("a record", None, format!("its partition: {e}")))?,
        );
        offsets.append_option(batch.integer("offset", row));
        timestamps.append_option(batch.integer("timestamp", row).filter(|time| *time >= 0));
        for header in batch.headers(row) {
            push(headers.values(), content, header.name, header.value);
        }
        headers.append(true);
        kept.push(row);
    }
    let columns: [(&str, ArrayRef); 7] = [
        ("key", keys.finish()),
        ("value", values.finish()),
        ("topic", Arc::new(topics.finish())),
        ("partition", Arc::new(partitions.finish())),
        ("offset", Arc::new(offsets.finish())),
        ("timestamp", Arc::new(timestamps.finish())),
        ("headers", Arc::new(headers.finish())),
    ];
    let columns = columns.map(|(name, column)| (name, column, true));
    let columns = RecordBatch::try_from_iter_with_nullable(columns)
        .map_err(|e| Error::data("records as columns", None, e.to_string()))?;
    Ok((columns.into(), kept))
}

fn headers(content: Content) -> ListBuilder<StructBuilder> {
    let kind = match content {
        Content::Text => DataType::Utf8,
        Content::Binary => DataType::Binary,
    };
    let fields =
        Fields::from(vec![Field::new("name", DataType::Utf8, false), Field::new("value", kind, true)]);
    ListBuilder::new(StructBuilder::from_fields(fields, 0))
}

fn push(builder: &mut StructBuilder, content: Content, name: &str, value: Option<&[u8]>) {
    if let Some(names) = builder.field_builder::<StringBuilder>(0) {
        names.append_value(name);
    }
    match content {
        Content::Text => {
            let text = value.and_then(|value| std::str::from_utf8(value).ok());
            if let Some(values) = builder.field_builder::<StringBuilder>(1) {
                values.append_option(text);
            }
        }
        Content::Binary => {
            if let Some(values) = builder.field_builder::<BinaryBuilder>(1) {
                values.append_option(value);
            }
        }
    }
    builder.append(true);
}

/// Why a record is no text; none when it is one.
fn no_text(batch: &MessageBatch, row: usize) -> Option<String> {
    let message = batch.get(row);
    let own = [("key", message.key), ("value", message.value)];
    let headers = batch.headers(row).map(|header| ("header", header.value));
    own.into_iter().chain(headers).find_map(|(what, bytes)| {
        let error = std::str::from_utf8(bytes?).err()?;
        Some(format!("the {what} is no UTF-8 ({error}); a column of bytes takes any"))
    })
}

#[cfg(test)]
mod tests {
    use arrow_array::Array;
    use arrow_array::cast::AsArray;
    use arrow_array::types::{Int32Type, Int64Type, TimestampMillisecondType};
    use bytes::Bytes;
    use connector_api::headers::HeadersBuilder;
    use connector_api::message::{Column, Span};

    use super::*;

    fn records() -> MessageBatch {
        let buffer = Bytes::from_static(b"kv\xff");
        let values = vec![Span::new(1, 2), Span::NULL, Span::new(2, 3)];
        let keys = vec![Span::new(0, 1), Span::NULL, Span::NULL];
        let mut headers = HeadersBuilder::new();
        headers.push("trace", Some(b"7")).unwrap();
        headers.push("trace", None).unwrap();
        (0..3).for_each(|_| headers.end_row());
        let batch = MessageBatch::with_keys(buffer, values, Some(keys)).unwrap();
        let columns = [
            ("topic", Column::SameText("orders".into())),
            ("partition", Column::SameInteger(3)),
            ("offset", Column::Integers(vec![40, 41, 42].into())),
            ("timestamp", Column::Integers(vec![1000, -1, 2000].into())),
            ("headers", Column::Headers(headers.build())),
        ];
        columns.into_iter().fold(batch, |batch, (name, column)| batch.with_column(name, column).unwrap())
    }

    #[test]
    fn a_record_becomes_a_row_and_one_that_is_no_text_is_refused_by_row() {
        let mut refused = Vec::new();
        let (batch, kept) = columns(&records(), Content::Text, &mut |row, reason| {
            refused.push((row, reason.to_owned()));
            Ok(())
        })
        .unwrap();
        assert_eq!((kept, refused.len(), refused[0].0), (vec![0, 1], 1, 2));
        let batch = batch.into_columns();
        let texts = |name: &str| batch[name].as_string::<i32>().iter().collect::<Vec<_>>();
        assert_eq!((texts("key"), texts("value")), (vec![Some("k"), None], vec![Some("v"), None]));
        assert_eq!(texts("topic"), [Some("orders"); 2]);
        assert_eq!(batch["partition"].as_primitive::<Int32Type>().values(), &[3, 3]);
        assert_eq!(batch["offset"].as_primitive::<Int64Type>().values(), &[40, 41]);
        let times = batch["timestamp"].as_primitive::<TimestampMillisecondType>();
        assert_eq!((times.value(0), times.is_null(1)), (1000, true));
        let headers = batch["headers"].as_list::<i32>();
        assert_eq!((headers.value(0).len(), headers.value(1).len()), (2, 0));
        let first = headers.value(0);
        let values = first.as_struct()["value"].as_string::<i32>().iter().collect::<Vec<_>>();
        assert_eq!(values, [Some("7"), None]);
    }

    #[test]
    fn columns_of_bytes_take_any() {
        let (batch, kept) =
            columns(&records(), Content::Binary, &mut |_, reason| panic!("{reason}")).unwrap();
        assert_eq!(kept, [0, 1, 2]);
        assert_eq!(batch.columns()["value"].as_binary::<i32>().value(2), b"\xff");
    }
}
