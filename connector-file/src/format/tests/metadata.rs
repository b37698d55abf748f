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
