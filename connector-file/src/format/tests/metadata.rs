//! Columns of metadata beside the records.

use connector_api::RowBatch;
use connector_api::factory::ByteSize;

use super::*;

const ALL: [Metadata; 3] = [Metadata::Path, Metadata::Offset, Metadata::Modified];

fn offsets(read: &Read, content: &[u8]) -> Vec<i64> {
    let mut found = Vec::new();
    for (batch, _) in read.batches::<MessageBatch>(content).unwrap() {
        for row in 0..batch.rows() {
            assert_eq!(batch.text(PATH_COLUMN, row), Some("a"));
            assert_eq!(batch.integer(MODIFIED_COLUMN, row), Some(0));
            found.push(batch.integer(OFFSET_COLUMN, row).unwrap());
        }
    }
    found
}

#[test]
fn the_offset_is_where_the_record_begins_whatever_is_left_out_before_it() {
    let lines = b"one\r\n\nthree, which is longer than one buffer of the pool and so ends in another\nfour";
    let json = b"\xef\xbb\xbf{\"a\":1}\n\nno object\n {\"a\":2}\n{\"a\":3}";
    let csv = b"a,b\n1,\"two\nlines\"\n3\n4,5\n";
    let cases: [(Format, &[u8], &[i64]); 4] = [
        (Format::Lines, lines, &[0, 5, 6, 80]),
        (Format::Json, json, &[3, 22, 31]),
        (Format::Csv, csv, &[4, 20]),
        (Format::Raw, csv, &[0]),
    ];
    for (format, content, expected) in cases {
        let read = Read::of(format).with(|options| {
            options.metadata = ALL.to_vec();
            options.on_bad_record = crate::bad::OnBadRecord::Skip;
        });
        assert_eq!(offsets(&read, content), expected, "{}", format.name());
    }
}

#[test]
fn the_offset_after_a_restore_is_that_of_the_file() {
    let content = b"one\ntwo\nthree\n";
    let mut read = Read::of(Format::Lines).with(|options| options.metadata = ALL.to_vec());
    read.position = Some(4);
    assert_eq!(offsets(&read, content), [4, 8]);
}

#[test]
fn only_what_is_asked_for_is_there_and_rows_of_a_struct_carry_none() {
    let read = Read::of(Format::Lines).with(|options| options.metadata = vec![Metadata::Path]);
    let (batch, _) = read.batches::<MessageBatch>(b"one").unwrap().remove(0);
    assert_eq!((batch.text(PATH_COLUMN, 0), batch.integer(OFFSET_COLUMN, 0)), (Some("a"), None));
    let read = Read::of(Format::Json).with(|options| {
        options.metadata = vec![Metadata::Path];
        options.max_record = ByteSize(100);
    });
    let refused = read.refused::<Vec<Person>>(b"{}");
    assert!(refused.contains("`metadata`"), "{refused}");
}

#[cfg(feature = "parquet")]
mod columns {
    use arrow_array::cast::AsArray;
    use arrow_array::types::Int64Type;
    use connector_formats::ArrowBatch;

    use super::*;

    /// The columns' names, and the offset of each row.
    fn columns(read: &Read, content: &[u8]) -> (Vec<String>, Vec<i64>) {
        let (mut names, mut offsets) = (Vec::new(), Vec::new());
        for (batch, _) in read.batches::<ArrowBatch>(content).unwrap() {
            let batch = batch.columns();
            names = batch.schema().fields().iter().map(|field| field.name().clone()).collect();
            let paths = batch.column_by_name(PATH_COLUMN).unwrap().as_string::<i32>();
            assert!(paths.iter().all(|path| path == Some("a")));
            let number =
                |name| batch.column_by_name(name).unwrap().as_primitive::<Int64Type>().values().to_vec();
            assert!(number(MODIFIED_COLUMN).iter().all(|at| *at == 0));
            offsets.extend(number(OFFSET_COLUMN));
        }
        (names, offsets)
    }

    fn of(format: Format, schema: &str) -> Read {
        Read::of(format).with(|options| {
            options.metadata = ALL.to_vec();
            options.on_bad_record = crate::bad::OnBadRecord::Skip;
            options.schema = (!schema.is_empty()).then(|| serde_json::from_str(schema).unwrap());
        })
    }

    #[test]
    fn they_stand_behind_the_columns_of_text_and_bad_records_shift_none() {
        let json = b"\xef\xbb\xbf{\"a\":1}\n\nno object\n {\"a\":2}\n{\"a\":\"x\"}\n{\"a\":3}";
        let csv = b"a,b\n1,\"two\nlines\"\n3\n4,5\nx,6\n7,8\n";
        for (format, content, expected) in
            [(Format::Json, &json[..], vec![3, 22, 41]), (Format::Csv, &csv[..], vec![4, 20, 28])]
        {
            let (names, offsets) = columns(&of(format, r#"["a int64"]"#), content);
            assert_eq!(names, ["a", PATH_COLUMN, OFFSET_COLUMN, MODIFIED_COLUMN], "{}", format.name());
            assert_eq!(offsets, expected, "{}", format.name());
        }
    }

    fn parquet(column: &str) -> Vec<u8> {
        let text = format!("{{\"{column}\":1}}\n{{\"{column}\":2}}\n{{\"{column}\":3}}\n");
        let read = Read::of(Format::Json)
            .with(|o| o.schema = Some(serde_json::from_str(&format!("[\"{column} int64\"]")).unwrap()));
        let (batch, _) = read.batches::<ArrowBatch>(text.as_bytes()).unwrap().remove(0);
        Write::of(Format::Parquet).batch(&batch, 1_000).unwrap()
    }

    #[test]
    fn the_offset_in_parquet_is_the_number_of_the_row_also_after_a_restore() {
        let content = parquet("n");
        let mut read = of(Format::Parquet, "");
        assert_eq!(columns(&read, &content).1, [0, 1, 2]);
        read.position = Some(1);
        let (names, offsets) = columns(&read, &content);
        assert_eq!((names.len(), offsets), (4, vec![1, 2]));
    }

    #[test]
    fn a_column_of_that_name_is_refused_by_name() {
        for (format, schema, content) in
            [(Format::Json, r#"["file.path string"]"#, vec![]), (Format::Parquet, "", parquet("file.offset"))]
        {
            let refused = of(format, schema).refused::<ArrowBatch>(&content);
            assert!(refused.contains("`file.") && refused.contains("`metadata`"), "{refused}");
        }
        // One that is not read is in nobody's way.
        let read = of(Format::Parquet, "").with(|o| o.columns = vec!["file.offset".into()]);
        assert!(read.refused::<ArrowBatch>(&parquet("file.offset")).contains("`file.offset`"));
    }
}
