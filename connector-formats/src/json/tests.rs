use std::sync::Arc;

use arrow_array::cast::AsArray;
use arrow_array::types::{Float64Type, Int64Type, TimestampMillisecondType};
use connector_api::batch::FromRows;
use connector_api::message::Message;

use super::*;
use crate::Schema;

fn schema(text: &str) -> SchemaRef {
    serde_json::from_str::<Schema>(text).unwrap().to_arrow()
}

fn messages(records: &[&str]) -> MessageBatch {
    let message = |r: &&str| Message { key: None, value: Some(Bytes::copy_from_slice(r.as_bytes())) };
    MessageBatch::from_rows(records.iter().map(message).collect()).unwrap()
}

fn decode(types: &str, records: &[&str]) -> Decoded {
    JsonDecoder::new(schema(types)).unwrap().decode(&messages(records)).unwrap()
}

fn bad(decoded: &Decoded) -> Vec<usize> {
    decoded.bad.iter().map(|bad| bad.index).collect()
}

#[test]
fn rows_survive_json_and_back() {
    let types = r#"["a boolean", "b int32", "c int64", "d float64", "e string", "f binary", "g date", "h timestamp",
        "i decimal(10,2)"]"#;
    let full = r#"{"a":true,"b":-1,"c":9007199254740993,"d":0.5,"e":"x\n\"y","f":"00ff","g":"2024-05-01",
        "h":"2024-05-01T10:00:00.250Z","i":12.34}"#;
    let mut decoder = JsonDecoder::new(schema(types)).unwrap();
    let decoded = decoder.decode(&messages(&[full, "{}"])).unwrap();
    assert_eq!(decoded.bad, []);
    assert_eq!(decoded.batch.schema(), schema(types));
    let at = decoded.batch.columns().column(7).as_primitive::<TimestampMillisecondType>();
    assert_eq!(at.value(0), 1_714_557_600_250);
    let texts = encode(&decoded.batch).unwrap();
    assert_eq!((texts.rows(), texts.get(1).value), (2, Some(&b"{}"[..])));
    assert_eq!(decoder.decode(&texts).unwrap(), decoded);
}

#[test]
fn no_integer_loses_anything() {
    let good = ["9223372036854775807", "-1", "2.0", "1e3", "\"7\"", "null"];
    let wrong = ["1.5", "9223372036854775808", "9007199254740993.0", "1e300", "\"x\"", "true", "{}", "[1]"];
    let record = |value: &&str| format!(r#"{{"n":{value}}}"#);
    let records: Vec<String> = good.iter().chain(&wrong).map(record).collect();
    let records: Vec<&str> = records.iter().map(String::as_str).collect();
    let decoded = decode(r#"["n int64"]"#, &records);
    assert_eq!(bad(&decoded), (6..14).collect::<Vec<_>>());
    let numbers: Vec<_> = decoded.batch.columns().column(0).as_primitive::<Int64Type>().iter().collect();
    assert_eq!(numbers, [Some(i64::MAX), Some(-1), Some(2), Some(1_000), Some(7), None]);
    assert!(decoded.bad[0].reason.contains("column `n`: `1.5`"), "{:?}", decoded.bad[0]);
}

#[test]
fn a_bad_record_spoils_no_other() {
    let cases = [
        (r#"{"x": 1"#, "ends within"),
        ("", "is empty"),
        ("  ", "is empty"),
        (r#"{"x": 1}{"x": 2}"#, "more than one"),
        ("7", "not a JSON object"),
        ("[]", "{"),
        ("null", "{"),
        (r#""text""#, "{"),
        ("}", "unexpected"),
        (r#"{"x": "much"}"#, "'x'"),
        (r#"{"t": {"a": 1}}"#, "'t'"),
        (r#"{"t": "a"}"#, "x"),
    ];
    for (record, reason) in cases {
        for place in 0..3 {
            let mut records = vec![r#"{"x": 0, "t": "a"}"#, r#"{"x": 1}"#];
            records.insert(place, record);
            let decoded = decode(r#"["x float64!", "t string"]"#, &records);
            assert_eq!(bad(&decoded), [place], "{record}");
            assert!(decoded.bad[0].reason.contains(reason), "{record}: {:?}", decoded.bad);
            let numbers = decoded.batch.columns().column(0).as_primitive::<Float64Type>().values().to_vec();
            assert_eq!(numbers, [0.0, 1.0], "{record}");
        }
    }
}

#[test]
fn bad_records_of_every_kind_among_many_are_all_found() {
    let record = |index: usize| match index % 7 {
        1 => "{".to_owned(),
        3 => r#"{"x": "no", "n": 1}"#.to_owned(),
        5 => r#"{"x": 1, "n": 0.5}"#.to_owned(),
        _ => format!(r#"{{"x": {index}, "n": {index}}}"#),
    };
    let records: Vec<String> = (0..3_000).map(record).collect();
    let records: Vec<&str> = records.iter().map(String::as_str).collect();
    let mut decoder = JsonDecoder::new(schema(r#"["x float64", "n int64"]"#)).unwrap();
    for _ in 0..2 {
        let decoded = decoder.decode(&messages(&records)).unwrap();
        assert_eq!(bad(&decoded), (0..3_000).filter(|i| matches!(i % 7, 1 | 3 | 5)).collect::<Vec<_>>());
        let kept: Vec<_> = decoded.kept(3_000).map(|index| index as i64).collect();
        assert_eq!(decoded.batch.columns().column(1).as_primitive::<Int64Type>().values().to_vec(), kept);
    }
}

#[test]
fn bytes_that_are_no_text_and_tombstones_are_bad() {
    let value = |bytes: &'static [u8]| Message { key: None, value: Some(Bytes::from_static(bytes)) };
    let all = vec![
        value(b"{\"t\":\"\xff\"}"),
        value(b"{\"t\":\"a\"}"),
        Message::default(),
        value(b"{\"t\":\"\xc3\"}"),
    ];
    let batch = MessageBatch::from_rows(all).unwrap();
    let decoded = JsonDecoder::new(schema(r#"["t string"]"#)).unwrap().decode(&batch).unwrap();
    assert_eq!(bad(&decoded), [0, 2, 3]);
    assert_eq!(decoded.batch.rows(), 1);
}

#[test]
fn a_column_that_must_have_a_value_makes_a_record_without_it_bad() {
    for types in [r#"["n int64!"]"#, r#"["n string!"]"#] {
        let decoded = decode(types, &[r#"{"n": 1}"#, "{}", r#"{"n": null}"#]);
        assert_eq!(bad(&decoded), [1, 2], "{types}");
    }
}

#[test]
fn unknown_names_are_ignored_or_bad_as_asked() {
    let records = messages(&[r#"{"n": 1, "more": [{"a": null}]}"#, r#"{"n": 2}"#]);
    let decoder = || JsonDecoder::new(schema(r#"["n int64"]"#)).unwrap();
    assert_eq!(decoder().decode(&records).unwrap().bad, []);
    let decoded = decoder().strict().decode(&records).unwrap();
    assert_eq!(bad(&decoded), [0]);
    assert!(decoded.bad[0].reason.contains("'more'"));
}

#[test]
fn lines_are_records_and_no_records_are_no_rows() {
    let mut decoder = JsonDecoder::new(schema(r#"["n int64"]"#)).unwrap();
    let decoded = decoder.decode_lines(b"{\"n\":1}\n\n{\"n\":2}").unwrap();
    assert_eq!((decoded.batch.rows(), bad(&decoded)), (2, vec![1]));
    let decoded = decoder.decode_lines(b"").unwrap();
    assert_eq!((decoded.batch.rows(), decoded.batch.schema()), (0, schema(r#"["n int64"]"#)));
}

#[test]
fn mixed_types_as_inferred_can_be_decoded() {
    let records = [r#"{"a": 1, "b": true}"#, r#"{"a": "x", "b": 1.50}"#, r#"{"b": null}"#];
    let schema = crate::infer(records.iter().map(|r| r.as_bytes())).unwrap();
    let decoded = JsonDecoder::new(schema.to_arrow()).unwrap().decode(&messages(&records)).unwrap();
    assert_eq!(decoded.bad, []);
    let texts = encode(&decoded.batch).unwrap();
    assert_eq!(texts.get(1).value, Some(&br#"{"a":"x","b":"1.50"}"#[..]));
}

#[test]
fn instants_of_any_zone_are_written_in_utc() {
    use arrow_array::TimestampMicrosecondArray;
    let at = TimestampMicrosecondArray::from(vec![1_714_557_600_000_000]).with_timezone("Europe/Paris");
    let batch = RecordBatch::try_from_iter([("at", Arc::new(at) as _)]).unwrap();
    let texts = encode(&batch.into()).unwrap();
    assert_eq!(texts.get(0).value, Some(&br#"{"at":"2024-05-01T10:00:00Z"}"#[..]));
}
