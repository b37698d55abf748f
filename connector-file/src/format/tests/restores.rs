//! Reading on from any position gives the rest, whatever the buffers.

use proptest::prelude::*;

use super::*;

/// Reads whole, and again from behind every record.
fn restored_everywhere(mut read: Read, content: &[u8], buffers: &[usize]) -> Vec<String> {
    let all = read.values(content);
    for &buffer in buffers {
        read.buffer = buffer;
        read.position = None;
        let found = read.messages(content).unwrap();
        assert_eq!(read.values(content), all, "buffers of {buffer}");
        for (i, (_, position)) in found.iter().enumerate() {
            read.position = Some(*position);
            assert_eq!(read.values(content), all[i + 1..], "buffers of {buffer}, from {position}");
        }
    }
    all
}

const CSV: &str = "\u{feff}a,\"b \"\"x\"\"\"\r\n1,\"two\r\nlines\"\n\n3,\r\n\"4\"\"\",\u{e9}\t";

#[test]
fn csv_records_are_objects_of_texts_by_the_names_of_the_header() {
    let values = restored_everywhere(Read::of(Format::Csv), CSV.as_bytes(), &[1, 2, 3, 7, 4096]);
    let expected = [
        r#"{"a":"1","b \"x\"":"two\r\nlines"}"#,
        r#"{"a":"3","b \"x\"":null}"#,
        "{\"a\":\"4\\\"\",\"b \\\"x\\\"\":\"\u{e9}\\t\"}",
    ];
    assert_eq!(values, expected);
    for value in values {
        serde_json::from_str::<serde_json::Value>(&value).unwrap();
    }
}

#[test]
fn csv_without_header_takes_its_names_from_the_options() {
    let read = || {
        Read::of(Format::Csv).with(|o| {
            o.csv.header = false;
            o.csv.delimiter = "\t".into();
            o.csv.quote = String::new();
            o.csv.null = "\\N".into();
            o.csv.columns = vec!["x".into(), "y".into()];
        })
    };
    let content = "\u{feff}\"1\t\\N\n2\"\t";
    let values = restored_everywhere(read(), content.as_bytes(), &[1, 5]);
    assert_eq!(values, [r#"{"x":"\"1","y":null}"#, r#"{"x":"2\"","y":""}"#]);
    // A record that begins like a mark is one, wherever reading begins.
    let marked = "1\t2\n\u{feff}3\t4\n";
    assert_eq!(
        restored_everywhere(read(), marked.as_bytes(), &[1, 5])[1],
        "{\"x\":\"\u{feff}3\",\"y\":\"4\"}"
    );
}

#[test]
fn csv_files_without_records_are_empty() {
    for content in ["", "\u{feff}", "a,b", "a,b\r\n", "\n\n", "a,b\n\n\r\n"] {
        assert!(Read::of(Format::Csv).values(content).is_empty(), "{content:?}");
    }
}

#[test]
fn json_lines_are_values_as_they_stand_and_empty_lines_are_none() {
    let content = "\u{feff}{\"a\":1}\r\n\n  \n {\"b\" : [1,{}]} \n{}";
    let values = restored_everywhere(Read::of(Format::Json), content.as_bytes(), &[1, 3, 64]);
    assert_eq!(values, [r#"{"a":1}"#, " {\"b\" : [1,{}]} ", "{}"]);
}

#[test]
fn a_raw_file_is_one_record() {
    let mut read = Read::of(Format::Raw).with(|o| o.max_record = connector_api::factory::ByteSize(8));
    assert_eq!(read.values("a\r\nb\0c\n8"), ["a\r\nb\0c\n8"]);
    assert!(read.refused::<MessageBatch>(b"123456789").contains("in/a at offset 0: has more than 8 bytes"));
    read.position = Some(FileSplit::READ);
    assert!(read.values("a").is_empty());
}

#[test]
fn rows_of_a_struct_are_read_by_name() {
    let csv = "age,name\n,\"Doe, Jo\"\n41,Al\n";
    let json = "{\"name\":\"Doe, Jo\",\"age\":null}\n\n{\"age\":41,\"name\":\"Al\"}\n";
    for (format, content) in [(Format::Csv, csv), (Format::Json, json)] {
        let mut read = Read::of(format);
        let expected = [person("Doe, Jo", None), person("Al", 41)];
        for buffer in [1, 4, 4096] {
            read.buffer = buffer;
            assert_eq!(read.people(content).unwrap(), expected, "{format:?}");
        }
        let positions: Vec<u64> = read
            .batches::<Vec<Person>>(content.as_bytes())
            .unwrap()
            .into_iter()
            .flat_map(|(_, p)| p)
            .collect();
        read.position = Some(positions[0]);
        assert_eq!(read.people(content).unwrap(), expected[1..], "{format:?}");
        read.position = Some(positions[1]);
        assert!(read.people(content).unwrap().is_empty());
    }
}

/// Bytes that look like CSV.
fn csv_text() -> impl Strategy<Value = String> {
    let piece = prop_oneof![
        4 => "[a-c]{1,3}", 3 => Just(",".to_owned()), 2 => Just("\n".to_owned()), 1 => Just("\r\n".to_owned()),
        2 => Just("\"".to_owned()), 1 => Just("\"\"".to_owned()), 1 => Just("\u{e9}".to_owned()),
    ];
    prop::collection::vec(piece, 0..60).prop_map(|pieces| pieces.concat())
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(200))]

    #[test]
    fn records_are_those_of_the_csv_crate_from_every_position(text in csv_text(), buffer in 1usize..20) {
        let read = || Read::of(Format::Csv).with(|o| {
            o.on_bad_record = crate::bad::OnBadRecord::Skip;
            o.csv.header = false;
            o.csv.null = "-".into();
            o.csv.columns = vec!["x".into(), "y".into()];
        });
        let values = restored_everywhere(read(), text.as_bytes(), &[buffer]);
        let other = |text: &str| {
            let reader = ::csv::ReaderBuilder::new().has_headers(false).flexible(true).from_reader(text.as_bytes());
            reader.into_records().collect::<Result<Vec<_>, _>>().unwrap()
        };
        let mut records = other(&text);
        // That reader takes a quoted value that does not end as if it did.
        if records != other(&format!("{text}\n")) {
            records.pop();
        }
        records.retain(|record| record.len() == 2);
        let object = |record: &::csv::StringRecord| serde_json::json!({ "x": &record[0], "y": &record[1] });
        let expected: Vec<serde_json::Value> = records.iter().map(object).collect();
        let values: Vec<serde_json::Value> = values.iter().map(|v| serde_json::from_str(v).unwrap()).collect();
        prop_assert_eq!(values, expected);
    }
}
