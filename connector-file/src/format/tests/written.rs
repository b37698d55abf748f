//! What is written is read back as it was.

use connector_api::MessageBatch;
use proptest::prelude::*;
use serde_json::{Value, json};

use super::*;

#[test]
fn json_objects_are_written_as_lines_and_anything_else_is_refused() {
    let write = Write::of(Format::Json);
    assert_eq!(write.values(&["{\"a\":1}", "{}"]).unwrap(), b"{\"a\":1}\n{}\n");
    for bad in ["1", "", "{\"a\":1} {}", "{\"a\"}", "{\n}"] {
        let error = write.values(&["{}", bad]).unwrap_err().to_string();
        assert!(error.contains("row 1 of the batch"), "{bad:?}: {error}");
    }
}

#[test]
fn csv_takes_the_keys_of_the_first_record_for_columns() {
    let write = Write::of(Format::Csv);
    let rows = [r#"{"b":"x,\"y\"\n","a":1.50}"#, r#"{"a":true,"b":null}"#, r#"{"b":[1,{"c":2}]}"#];
    let text = String::from_utf8(write.values(&rows).unwrap()).unwrap();
    assert_eq!(text, "b,a\n\"x,\"\"y\"\"\n\",1.5\n,true\n\"[1,{\"\"c\"\":2}]\",\n");
    let read = Read::of(Format::Csv).values(text);
    let expected =
        [r#"{"b":"x,\"y\"\n","a":"1.5"}"#, r#"{"b":null,"a":"true"}"#, r#"{"b":"[1,{\"c\":2}]","a":null}"#];
    assert_eq!(read, expected);
}

#[test]
fn records_with_other_keys_are_refused_by_row_and_key() {
    let given = Write::of(Format::Csv).with(|o| o.csv.columns = vec!["a".into()]);
    let first = Write::of(Format::Csv);
    for (write, rows) in [(given, ["{\"a\":1}", "{\"z\":1}"]), (first, ["{\"a\":1}", "{\"a\":1,\"z\":2}"])] {
        let error = write.values(&rows).unwrap_err().to_string();
        assert!(error.contains("row 1 of the batch has the key \"z\""), "{error}");
    }
    for (bad, why) in
        [("[]", "no JSON object"), ("{\"a\":1,\"a\":2}", "occurs twice"), ("{}", "has no columns")]
    {
        let error = Write::of(Format::Csv).values(&[bad]).unwrap_err().to_string();
        assert!(error.contains(why), "{error}");
    }
}

#[test]
fn values_that_would_not_come_back_without_quotes_are_refused() {
    let write = || Write::of(Format::Csv).with(|o| o.csv.quote = String::new());
    for bad in ["{\"a\":\"x,y\"}", "{\"a\":\"x\\n\"}", "{\"a\":\"\"}"] {
        assert!(write().values(&[bad]).unwrap_err().to_string().contains("`csv.quote` is empty"), "{bad}");
    }
    assert_eq!(write().values(&["{\"a\":\"x\\\"\"}"]).unwrap(), b"a\nx\"\n");
}

#[test]
fn rows_of_a_struct_come_back_from_both_formats_and_every_compression() {
    let people = vec![person("Doe, \"Jo\"\n", None), person("\u{e9}", 7), person("-", 0)];
    for format in [Format::Csv, Format::Json] {
        for (compression, compressed) in [
            (Compression::None, Compressed::None),
            (Compression::Gzip, Compressed::Gzip),
            (Compression::Zstd, Compressed::Zstd),
        ] {
            for room in [1, 20, 1 << 20] {
                let bytes =
                    Write::of(format).with(|o| o.compression = compression).batch(&people, room).unwrap();
                let read = Read::of(format).with(|o| o.compression = compressed);
                assert_eq!(read.people(bytes).unwrap(), people, "{format:?} {compression:?}");
            }
        }
    }
    let text = Write::of(Format::Csv).batch(&people, 1 << 20).unwrap();
    assert!(text.starts_with(b"name,age\n"));
}

#[test]
fn rows_without_names_need_columns_and_columns_must_fit_the_type() {
    let pairs = vec![("a".to_owned(), 1_u32)];
    let error = Write::of(Format::Csv).batch(&pairs, 9).unwrap_err().to_string();
    assert!(error.contains("give `csv.columns`, or `csv.header = false`"), "{error}");
    let with = |columns: &[&str], header| {
        let columns = columns.iter().map(|c| (*c).to_owned()).collect();
        Write::of(Format::Csv).with(|o| (o.csv.columns, o.csv.header) = (columns, header))
    };
    assert_eq!(with(&["x", "y"], true).batch(&pairs, 9).unwrap(), b"x,y\na,1\n");
    assert_eq!(with(&[], false).batch(&pairs, 9).unwrap(), b"a,1\n");
    assert!(with(&["x"], true).batch(&pairs, 9).is_err());
    let people = vec![person("A", 1)];
    assert!(with(&["age", "name"], true).batch(&people, 9).unwrap_err().to_string().contains("csv.columns"));
    assert_eq!(with(&["name", "age"], false).batch(&people, 9).unwrap(), b"A,1\n");
    assert!(Write::of(Format::Json).batch(&pairs, 9).unwrap_err().to_string().contains("no struct or map"));
}

#[test]
fn options_that_do_not_fit_are_refused_by_name() {
    let refused = |write: Write| write.values(&[]).unwrap_err().to_string();
    let open = |o: &mut SinkOptions| o.rolling.on_checkpoint = false;
    let gzip = |o: &mut SinkOptions| o.compression = Compression::Gzip;
    assert!(refused(Write::of(Format::Lines).with(open).with(gzip)).contains("`rolling.on_checkpoint`"));
    assert!(refused(Write::of(Format::Csv).with(open)).contains("`csv.columns`"));
    assert!(refused(Write::of(Format::Raw)).contains("`format`: `raw` is only read"));
    assert!(
        refused(Write::of(Format::Csv).with(|o| o.csv.delimiter = ";;".into())).contains("`csv.delimiter`")
    );
    assert!(refused(Write::of(Format::Csv).with(|o| o.csv.quote = ",".into())).contains("`csv.quote`"));
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(100))]

    #[test]
    fn any_texts_come_back_from_csv(rows in prop::collection::vec(("\\PC{0,8}", "[a,\"\r\n]{1,6}"), 1..8), room in 1u64..100) {
        let objects: Vec<Value> = rows.iter().map(|(x, y)| json!({ "x": format!("-{x}"), "y": y })).collect();
        let texts: Vec<String> = objects.iter().map(Value::to_string).collect();
        let texts: Vec<&str> = texts.iter().map(String::as_str).collect();
        let bytes = Write::of(Format::Csv).batch(&messages(&texts), room).unwrap();
        let back: Vec<Value> = Read::of(Format::Csv).values(bytes).iter().map(|v| serde_json::from_str(v).unwrap()).collect();
        prop_assert_eq!(back, objects);
    }

    #[test]
    fn parts_that_are_compressed_are_lines_again(lines in prop::collection::vec("[a-z ]{0,30}", 1..50), room in 1u64..100) {
        for (compression, compressed) in [(Compression::Gzip, Compressed::Gzip), (Compression::Zstd, Compressed::Zstd)] {
            let texts: Vec<&str> = lines.iter().map(String::as_str).collect();
            let batch: MessageBatch = messages(&texts);
            let bytes = Write::of(Format::Lines).with(|o| o.compression = compression).batch(&batch, room).unwrap();
            prop_assert_eq!(&Read::of(Format::Lines).with(|o| o.compression = compressed).values(bytes), &lines);
        }
    }
}
