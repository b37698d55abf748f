use super::*;
use crate::format::tests::{Memory, Person, Read, Write, messages, person};
use crate::format::{Compressed, FileBatch};
use crate::sink::SinkOptions;

const KINDS: [(Compression, Compressed); 3] = [
    (Compression::None, Compressed::None),
    (Compression::Gzip, Compressed::Gzip),
    (Compression::Zstd, Compressed::Zstd),
];

fn merge<B: FileBatch>(write: &Write, parts: Vec<Vec<u8>>) -> Result<(u64, Vec<u8>)> {
    let rewrite = write.config::<B>()?.rewrite.unwrap();
    let mut bytes = Vec::new();
    let mut inputs = parts.into_iter().map(|part| Ok(Box::new(Memory(part)) as Box<dyn Input>));
    let rows = rewrite.rewrite(&mut inputs, &mut |chunks| {
        bytes.extend(chunks.concat());
        Ok(())
    })?;
    Ok((rows, bytes))
}

#[test]
fn csv_parts_are_merged_under_one_header() {
    let parts: Vec<Vec<Person>> = vec![
        vec![person("a\n\"b\"", 1), person("c", None)],
        vec![person("\n", 2)],
        vec![person(&"x".repeat(300_000), 3), person("\"", 4)],
    ];
    for (compression, compressed) in KINDS {
        let write = Write::of(Format::Csv).with(|o| o.compression = compression);
        let bytes = parts.iter().map(|part| write.batch(part, 1 << 20).unwrap()).collect();
        let (rows, merged) = merge::<Vec<Person>>(&write, bytes).unwrap();
        let read = Read::of(Format::Csv).with(|o| o.compression = compressed);
        assert_eq!((rows, read.people(&merged).unwrap()), (5, parts.concat()), "{compression:?}");
        if compression == Compression::None {
            assert_eq!(String::from_utf8(merged).unwrap().matches("name,age").count(), 1);
        }
    }
}

#[test]
fn compressed_lines_become_one_member() {
    for (compression, compressed) in &KINDS[1..] {
        let write = Write::of(Format::Lines).with(|o| o.compression = *compression);
        let parts = vec![write.values(&["a", ""]).unwrap(), write.values(&["b"]).unwrap()];
        let (rows, merged) = merge::<connector_api::MessageBatch>(&write, parts).unwrap();
        let read = Read::of(Format::Lines).with(|o| o.compression = *compressed);
        assert_eq!((rows, read.values(&merged)), (3, vec!["a".to_owned(), String::new(), "b".to_owned()]));
        if *compression == Compression::Gzip {
            let mut first = Vec::new();
            std::io::Read::read_to_end(&mut flate2::read::GzDecoder::new(&*merged), &mut first).unwrap();
            assert_eq!(first, b"a\n\nb\n", "all of it is in the first member");
        }
    }
}

#[test]
fn parts_that_are_joined_byte_by_byte_are_not_rewritten() {
    let plain = |format, change: fn(&mut SinkOptions)| {
        let write = Write::of(format).with(change);
        write.config::<connector_api::MessageBatch>().unwrap().rewrite.is_none()
    };
    assert!(plain(Format::Lines, |_| {}) && plain(Format::Json, |_| {}));
    assert!(plain(Format::Csv, |o| o.csv.header = false) && !plain(Format::Csv, |_| {}));
}

#[test]
fn parts_that_differ_in_their_header_are_refused_by_name() {
    let write = Write::of(Format::Csv);
    let parts = vec![b"a,b\n1,2\n".to_vec(), b"b,a\n1,2\n".to_vec()];
    let error = merge::<connector_api::MessageBatch>(&write, parts).unwrap_err().to_string();
    assert!(
        error.starts_with("in/a at offset 0: has the header `b,a`") && error.contains("\"drain\""),
        "{error}"
    );
}

#[test]
fn parts_that_end_within_a_record_are_refused() {
    let write = Write::of(Format::Csv);
    for part in ["", "a,b", "a,b\n1,2", "a,b\n1,\"2\n"] {
        let error = merge::<connector_api::MessageBatch>(&write, vec![part.into()]).unwrap_err().to_string();
        assert!(error.contains("it was changed after it was closed"), "{part:?}: {error}");
    }
}

#[test]
fn giving_up_stops_a_rewrite_that_writes_nothing_yet() {
    let write = Write::of(Format::Lines).with(|o| o.compression = Compression::Zstd);
    let text = "x".repeat(20 << 20);
    let part = write.batch(&messages(&[&text]), 1 << 30).unwrap();
    let rewrite = write.config::<connector_api::MessageBatch>().unwrap().rewrite.unwrap();
    let mut calls = 0;
    let input: Box<dyn Input> = Box::new(Memory(part));
    let given_up = rewrite.rewrite(&mut std::iter::once(Ok(input)), &mut |_| {
        calls += 1;
        if calls == 3 { Err(Error::Cancelled("merge".into())) } else { Ok(()) }
    });
    assert!(matches!(given_up, Err(Error::Cancelled(_))));
}
