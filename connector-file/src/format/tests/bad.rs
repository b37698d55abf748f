//! Records that can't be read.

use connector_api::factory::ByteSize;

use super::*;
use crate::bad::OnBadRecord;

const JSON: &[u8] = b"{\"a\":1}\n[1]\n{\"a\":\n{\"a\":\"\xff\"}\n{\"a\":2} x\n{\"a\":2}\nnull\n";
const CSV: &[u8] = b"name,age\nA,1\nB\nC,3,3\nD,\xff\nE,5\nF,old\n\"G,7\n";

#[test]
fn a_bad_record_is_named_with_its_offset() {
    let json = Read::of(Format::Json).refused::<MessageBatch>(JSON);
    assert_eq!(json, "in/a at offset 8: is no JSON object: it does not begin with `{`");
    let csv = Read::of(Format::Csv).refused::<MessageBatch>(CSV);
    assert_eq!(csv, "in/a at offset 13: has 1 values for 2 columns");
    let row = Read::of(Format::Json).refused::<Vec<Person>>(b"\n{\"name\":\"A\",\"age\":\"old\"}");
    assert!(
        row.starts_with("in/a at offset 1: does not fit the row type: invalid type: string \"old\""),
        "{row}"
    );
}

#[test]
fn skipped_records_are_left_out_and_not_met_again() {
    let skip = |o: &mut SourceOptions| o.on_bad_record = OnBadRecord::Skip;
    let mut json = Read::of(Format::Json).with(skip);
    for buffer in [1, 16, 4096] {
        json.buffer = buffer;
        assert_eq!(json.values(JSON), ["{\"a\":1}", "{\"a\":2}"]);
    }
    assert_eq!(
        json.messages(JSON).unwrap().last().unwrap().1,
        JSON.len() as u64,
        "also those behind the last"
    );
    let mut csv = Read::of(Format::Csv).with(skip);
    for buffer in [1, 16, 4096] {
        csv.buffer = buffer;
        assert_eq!(csv.people(CSV).unwrap(), [person("A", 1), person("E", 5)]);
        let values =
            [r#"{"name":"A","age":"1"}"#, r#"{"name":"E","age":"5"}"#, r#"{"name":"F","age":"old"}"#];
        assert_eq!(csv.values(CSV), values);
    }
}

#[test]
fn dead_letters_hold_the_record_with_its_place() {
    let fs = SimFs::new();
    sim::run(async {
        let mut read =
            Read::of(Format::Csv).with(|o| o.on_bad_record = OnBadRecord::DeadLetter(dead_letters()));
        read.env = Some(sim::environment(&fs, 1));
        assert_eq!(read.people(CSV).unwrap().len(), 2);
    });
    let lines = String::from_utf8(fs.content("/dead/bad-1-0.jsonl").unwrap()).unwrap();
    let letters: Vec<serde_json::Value> = lines.lines().map(|l| serde_json::from_str(l).unwrap()).collect();
    let mut found = Vec::new();
    for letter in &letters {
        let offset = letter["offset"].as_u64().unwrap() as usize;
        let record = match letter["record"].as_str() {
            Some(text) => text.as_bytes().to_vec(),
            None => {
                use base64::Engine;
                let text = letter["record_base64"].as_str().unwrap();
                base64::engine::general_purpose::STANDARD.decode(text).unwrap()
            }
        };
        assert_eq!(CSV[offset..offset + record.len()], record, "the offset is where the record begins");
        found.push(record);
    }
    assert_eq!(found, [&b"B"[..], b"C,3,3", b"D,\xff", b"F,old", b"\"G,7\n"]);
}

#[test]
fn headers_that_cannot_be_used_are_refused_whatever_becomes_of_bad_records() {
    let read = |columns: &[&str]| {
        let columns = columns.iter().map(|c| (*c).to_owned()).collect();
        Read::of(Format::Csv).with(|o| (o.on_bad_record, o.csv.columns) = (OnBadRecord::Skip, columns))
    };
    assert!(read(&[]).refused::<MessageBatch>(b"a,b,a\n1,2,3\n").contains("the header names \"a\" twice"));
    assert!(read(&["a"]).refused::<MessageBatch>(b"a,b\n1,2\n").contains("`csv.columns` [\"a\"]"));
    assert!(read(&[]).refused::<MessageBatch>(b"a,\"b\n1,2\n").contains("the header has"));
}

#[test]
fn a_record_above_the_limit_fails_whatever_becomes_of_bad_records() {
    let limit = |o: &mut SourceOptions| (o.on_bad_record, o.max_record) = (OnBadRecord::Skip, ByteSize(8));
    let cases: [(Format, &[u8], &str); 3] = [
        (Format::Csv, b"a,b\n1,2\n1234,6789\n", "in/a at offset 8: "),
        (Format::Csv, b"a,b\n1,2\n\"4,6789\n1,2\n3,4", "in/a at offset 8: "),
        (Format::Json, b"{}\n{\"a\":123}\n", "in/a at offset 3: "),
    ];
    for (format, content, expected) in cases {
        let mut read = Read::of(format).with(limit);
        for buffer in [1, 3, 64] {
            read.buffer = buffer;
            let error = read.refused::<MessageBatch>(content);
            assert!(error.starts_with(expected) && error.contains("max_record"), "{error}");
        }
    }
    let fits = Read::of(Format::Csv).with(limit);
    assert_eq!(fits.values("a,b\r\n1234,678\r\n1234,678").len(), 2);
}
