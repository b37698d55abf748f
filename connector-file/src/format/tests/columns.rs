//! Batches of Arrow: Parquet, JSON and CSV as columns.

use std::sync::Arc;

use arrow_array::cast::AsArray;
use arrow_array::types::Int64Type;
use arrow_array::{Int64Array, RecordBatch, StringArray};
use connector_api::RowBatch;
use connector_api::factory::ByteSize;
use connector_formats::{ArrowBatch, Schema};

use super::*;
use crate::source::FileSplit;

fn numbered(rows: std::ops::Range<i64>) -> ArrowBatch {
    let texts = StringArray::from_iter_values(rows.clone().map(|n| format!("text-{n:05}")));
    let numbers = Int64Array::from_iter_values(rows);
    RecordBatch::try_from_iter([("n", Arc::new(numbers) as _), ("t", Arc::new(texts) as _)]).unwrap().into()
}

/// A file with row groups of `group` rows.
fn file(rows: std::ops::Range<i64>, group: u64) -> Vec<u8> {
    write(group).batch(&numbered(rows), 1_000).unwrap()
}

fn write(group: u64) -> Write {
    let parquet = ParquetOptions { row_group_rows: group, ..ParquetOptions::default() };
    Write::of(Format::Parquet).with(|o| o.parquet = Some(parquet))
}

/// The numbers of a split with the position behind each.
fn split(content: &[u8], range: (u64, u64), position: Option<u64>) -> Result<Vec<(i64, u64)>> {
    let config = options(Format::Parquet).checked::<ArrowBatch>(std::path::Path::new("/"), &str::to_owned)?;
    let state = FileState { len: content.len() as u64, modified: Duration::ZERO, file_id: 1 };
    let path = RelativePath::new("a").unwrap();
    let split = FileSplit { path, offset: range.0, length: range.1, file: state, position, generation: 0 };
    let env = sim::environment(&SimFs::new(), 1);
    let opening = Opening {
        options: &config.read,
        split: &split,
        input: Box::new(Memory(content.to_vec())),
        pool: BufferPool::new(64, 2),
        bad: BadRecords::new(config.on_bad_record.clone(), env, "file", "1"),
        spawner: Arc::new(super::spawners::Threads),
    };
    let mut decoder = ArrowBatch::decoder(opening)?;
    let mut rows = Vec::new();
    while let Some(fetched) = decoder.fetch()? {
        let Fetched::Rows { batch, positions: Positions::By(behind), .. } = fetched else {
            panic!("{fetched:?}")
        };
        let found = numbers(&batch.rows);
        rows.extend(found.into_iter().enumerate().map(|(i, n)| (n, behind(i + 1))));
    }
    Ok(rows)
}

fn numbers(batch: &ArrowBatch) -> Vec<i64> {
    batch.columns().column_by_name("n").unwrap().as_primitive::<Int64Type>().values().to_vec()
}

fn all(content: &[u8]) -> Vec<i64> {
    split(content, (0, content.len() as u64), None).unwrap().into_iter().map(|(n, _)| n).collect()
}

#[test]
fn every_row_of_a_parquet_file_is_in_one_split_and_restored_behind_every_row() {
    let content = file(0..500, 70);
    let length = content.len() as u64;
    for size in [1, 50, 333, 1_000, length] {
        let mut seen = Vec::new();
        let mut offset = 0;
        while offset < length {
            let range = (offset, size.min(length - offset));
            let rows = split(&content, range, None).unwrap();
            for (index, (_, position)) in rows.iter().enumerate() {
                assert_eq!(
                    split(&content, range, Some(*position)).unwrap(),
                    rows[index + 1..],
                    "size {size}"
                );
            }
            seen.extend(rows.iter().map(|(n, _)| *n));
            offset += range.1;
        }
        assert_eq!(seen, (0..500).collect::<Vec<_>>(), "splits of {size}");
    }
}

#[test]
fn columns_are_chosen_in_the_order_asked_for() {
    let content = file(0..10, 4);
    let read = |columns: &[&str]| {
        let columns = columns.iter().map(|&c| c.to_owned()).collect();
        Read::of(Format::Parquet).with(|o| o.columns = columns).batches::<ArrowBatch>(&content)
    };
    let batch = read(&["t", "n"]).unwrap().remove(0).0;
    let names: Vec<_> = batch.schema().fields().iter().map(|f| f.name().clone()).collect();
    assert_eq!(names, ["t", "n"]);
    assert_eq!(read(&["n"]).unwrap()[0].0.columns().num_columns(), 1);
    let error = read(&["x"]).unwrap_err().to_string();
    assert!(error.contains("in/a") && error.contains("no column `x`") && error.contains("n, t"), "{error}");
}

#[test]
fn a_damaged_parquet_file_is_an_error_that_names_it() {
    let content = file(0..300, 100);
    let whole = split(&content, (0, u64::MAX), None).unwrap();
    for cut in [0, 1, 8, 100, content.len() / 2, content.len() - 1] {
        let error = split(&content[..cut], (0, u64::MAX), None).unwrap_err().to_string();
        assert!(error.contains("in/a"), "{cut}: {error}");
    }
    // Pages have no checksum here: what damage can't be told from other data may be read, but nothing panics.
    let mut refused = 0;
    for at in 0..content.len() {
        let mut damaged = content.clone();
        damaged[at] ^= 0x55;
        match split(&damaged, (0, u64::MAX), None) {
            Ok(rows) => assert!(rows.len() == whole.len() || at > content.len() / 2, "byte {at}"),
            Err(e) => {
                assert!(e.to_string().contains("in/a"), "byte {at}: {e}");
                refused += 1;
            }
        }
    }
    assert!(refused > content.len() / 4, "{refused} of {}", content.len());
}

#[test]
fn a_batch_of_another_schema_is_refused_by_column() {
    let other = |name: &str, column: arrow_array::ArrayRef| {
        let numbers = Arc::new(Int64Array::from(vec![1])) as _;
        ArrowBatch::from(RecordBatch::try_from_iter([("n", numbers), (name, column)]).unwrap())
    };
    let text = || Arc::new(StringArray::from(vec!["x"])) as arrow_array::ArrayRef;
    let config = write(10)
        .0
        .checked::<ArrowBatch>(std::path::Path::new("/"), &|n, r| connector_api::Error::config(n, r));
    let config = config.unwrap();
    let mut out = Gathered::default();
    for (batch, reason) in [
        (other("t", Arc::new(Int64Array::from(vec![1]))), "column `t` is Int64"),
        (other("u", text()), "column `u` stands where the file has `t`"),
    ] {
        let mut encoder = ArrowBatch::encoder(&config.write, false).unwrap();
        encoder.add(&numbered(0..1), 0, 1_000, &mut out).unwrap();
        let error = encoder.add(&batch, 0, 1_000, &mut out).unwrap_err().to_string();
        assert!(error.contains(reason), "{error}");
        // Nullable or not makes no difference while there is a value.
        encoder.add(&other("t", text()), 0, 1_000, &mut out).unwrap();
    }
    let mut begun = ArrowBatch::encoder(&config.write, true).unwrap();
    assert!(
        begun
            .add(&numbered(0..1), 0, 1_000, &mut out)
            .unwrap_err()
            .to_string()
            .contains("can't be gone on with")
    );
}

#[test]
fn what_a_part_holds_is_counted_so_that_it_rolls_by_size() {
    let config = write(1 << 20)
        .0
        .checked::<ArrowBatch>(std::path::Path::new("/"), &|n, r| connector_api::Error::config(n, r));
    let config = config.unwrap();
    let (mut encoder, mut out) = (ArrowBatch::encoder(&config.write, false).unwrap(), Gathered::default());
    let batch = numbered(0..5_000);
    let mut row = 0;
    let mut length = 0;
    while row < batch.rows() && length < 20_000 {
        let room = 20_000 - length;
        row = encoder.add(&batch, row, room, &mut out).unwrap();
        length = out.bytes() as u64 + encoder.held();
    }
    assert!((20_000..24_000).contains(&length) && row < 5_000, "{length} bytes of {row} rows");
}

fn merged(inputs: &[Vec<u8>], options: ParquetOptions) -> Result<(Vec<u8>, u64)> {
    let write = Write::of(Format::Parquet).with(|o| o.parquet = Some(options));
    let config = write
        .0
        .checked::<ArrowBatch>(std::path::Path::new("/"), &|n, r| connector_api::Error::config(n, r))?;
    let mut out = Vec::new();
    let mut inputs = inputs.iter().map(|content| Ok(Box::new(Memory(content.clone())) as Box<dyn Input>));
    let rewrite = ArrowBatch::rewrite(&config.write).unwrap();
    let rows = rewrite.rewrite(&mut inputs, &mut |chunks| {
        out.extend(chunks.concat());
        Ok(())
    })?;
    Ok((out, rows))
}

fn group_rows(content: &[u8]) -> Vec<i64> {
    use ::parquet::file::reader::{FileReader, SerializedFileReader};
    let reader = SerializedFileReader::new(bytes::Bytes::copy_from_slice(content)).unwrap();
    reader.metadata().row_groups().iter().map(|group| group.num_rows()).collect()
}

#[test]
fn merged_parquet_parts_hold_all_rows_in_row_groups_of_the_wanted_size() {
    let parts =
        [file(0..30, 10), file(30..131, 1_000), file(131..132, 10), file(132..232, 100), file(232..240, 10)];
    let options = ParquetOptions { row_group_rows: 100, ..ParquetOptions::default() };
    let (content, rows) = merged(&parts, options).unwrap();
    assert_eq!(rows, 240);
    assert_eq!(all(&content), (0..240).collect::<Vec<_>>());
    // What is near the size is copied as it is, the others are joined up to it.
    assert_eq!(group_rows(&content), [30, 101, 1, 100, 8]);
    let options = ParquetOptions { row_group_rows: 200, ..ParquetOptions::default() };
    let (content, _) = merged(&parts, options).unwrap();
    assert_eq!((group_rows(&content), all(&content)), (vec![200, 40], (0..240).collect::<Vec<_>>()));
}

#[test]
fn a_merge_of_a_damaged_part_fails_and_names_it() {
    let mut part = file(0..100, 100);
    part.truncate(part.len() - 3);
    let error = merged(&[file(0..1, 1), part], ParquetOptions::default()).unwrap_err();
    assert!(error.to_string().contains("in/a"), "{error}");
}

#[test]
fn text_is_read_as_columns_by_a_schema_and_bad_rows_are_named() {
    let schema: Schema = serde_json::from_str(r#"["n int64!", "ok boolean", "t string"]"#).unwrap();
    let json = "\u{feff}{\"n\":1,\"ok\":true,\"t\":\"a\"}\n\n{\"n\":2}\n";
    let csv = "n,ok,t\n1,true,a\n2,,\n";
    for (format, content) in [(Format::Json, json), (Format::Csv, csv)] {
        let read = |content: &str| {
            let read = Read::of(format).with(|o| o.schema = Some(schema.clone()));
            read.batches::<ArrowBatch>(content.as_bytes())
        };
        let batches = read(content).unwrap();
        let found: Vec<i64> = batches.iter().flat_map(|(batch, _)| numbers(batch)).collect();
        assert_eq!(found, [1, 2], "{format:?}");
        for (batch, positions) in &batches {
            assert_eq!((batch.schema(), batch.rows()), (schema.to_arrow(), positions.len()));
        }
        let bad = if format == Format::Json { "{\"n\":1}\n{\"n\":1.5}\n" } else { "n,ok,t\n1,,\n1.5,,\n" };
        let error = read(bad).unwrap_err().to_string();
        assert!(error.contains("in/a at offset") && error.contains("column `n`: `1.5`"), "{error}");
        let error = Read::of(format).batches::<ArrowBatch>(b"").unwrap_err();
        assert!(
            matches!(&error, connector_api::Error::Config { option, .. } if option == "schema"),
            "{error}"
        );
    }
}

#[test]
fn json_skips_bad_rows_and_goes_on_behind_each_good_one() {
    let schema: Schema = serde_json::from_str(r#"["n int64!"]"#).unwrap();
    let content = "{\"n\":1}\nno\n{\"n\":2}\n{\"n\":0.5}\n";
    let read = |position| {
        let mut read = Read::of(Format::Json).with(|o| {
            o.schema = Some(schema.clone());
            o.on_bad_record = crate::bad::OnBadRecord::Skip;
        });
        read.position = position;
        let batches = read.batches::<ArrowBatch>(content.as_bytes()).unwrap();
        let rows = batches.iter().flat_map(|(batch, at)| numbers(batch).into_iter().zip(at.clone()));
        rows.collect::<Vec<_>>()
    };
    let rows = read(None);
    assert_eq!(rows.iter().map(|(n, _)| *n).collect::<Vec<_>>(), [1, 2]);
    for (index, (_, position)) in rows.iter().enumerate() {
        assert_eq!(read(Some(*position)).iter().map(|(n, _)| *n).collect::<Vec<_>>(), [1, 2][index + 1..]);
    }
}

#[test]
fn options_that_fit_no_parquet_are_refused_by_name() {
    let refused = |write: Write| {
        let error = write.batch(&numbered(0..1), 10).unwrap_err();
        match error {
            connector_api::Error::Config { option, .. } => option,
            other => panic!("{other}"),
        }
    };
    assert_eq!(refused(write(10).with(|o| o.rolling.on_checkpoint = false)), "rolling.on_checkpoint");
    assert_eq!(refused(write(10).with(|o| o.compression = Compression::Gzip)), "compression");
    assert_eq!(refused(write(0)), "parquet.row_group_rows");
    let none = ParquetOptions { row_group: ByteSize(0), ..ParquetOptions::default() };
    assert_eq!(refused(write(1).with(|o| o.parquet = Some(none))), "parquet.row_group");
    let json = Write::of(Format::Json).with(|o| o.parquet = Some(ParquetOptions::default()));
    assert_eq!(refused(json), "parquet");
}

#[test]
fn columns_give_buckets_their_values() {
    let batch = numbered(7..8);
    assert!(matches!(batch.field(0, "n"), Ok(FieldValue::Integer(7))));
    assert!(matches!(batch.field(0, "t"), Ok(FieldValue::Text(text)) if text == "text-00007"));
    assert!(matches!(batch.field(0, "x"), Ok(FieldValue::Null)));
}
