use connector_api::RowBatch;
use proptest::prelude::*;

use super::*;

/// Records with their offsets, the plain way.
fn naive(bytes: &[u8]) -> Vec<(u64, Vec<u8>)> {
    let mut records = Vec::new();
    let mut start = 0;
    for (i, byte) in bytes.iter().enumerate() {
        if *byte == b'\n' {
            let record = &bytes[start..i];
            records.push((start as u64, record.strip_suffix(b"\r").unwrap_or(record).to_vec()));
            start = i + 1;
        }
    }
    if start < bytes.len() {
        records.push((start as u64, bytes[start..].to_vec()));
    }
    records
}

fn options(offset: u64, inside: bool, limit: u64, max_record: usize) -> LineOptions {
    LineOptions { origin: "in/a.txt".into(), offset, inside, limit, max_record }
}

type Records = Vec<(u64, Vec<u8>)>;

/// Cuts `bytes` by a buffer that is filled in pieces of these sizes, over and over.
fn cut(bytes: &[u8], pieces: &[usize], size: usize, options: LineOptions) -> (Records, Result<u64>) {
    let mut at = options.offset;
    let mut lines = LineBuffer::new(BufferPool::new(size, 4), options);
    let mut records = Vec::new();
    let mut pieces = pieces.iter().cycle();
    let mut position = at;
    while !lines.is_done() {
        assert_eq!(lines.next_offset(), at);
        let rest = &bytes[at as usize..];
        let room = lines.room();
        let n = rest.len().min(room.len()).min(*pieces.next().unwrap());
        room[..n].copy_from_slice(&rest[..n]);
        lines.filled(n);
        at += n as u64;
        let taken = match lines.take(at == bytes.len() as u64) {
            Ok(taken) => taken,
            Err(e) => return (records, Err(e)),
        };
        if let Some(taken) = taken {
            assert!(taken.batch.rows() > 0);
            for (i, message) in taken.batch.iter().enumerate() {
                let start = if i == 0 {
                    taken.base + taken.batch.value_spans()[0].range().unwrap().start as u64
                } else {
                    taken.position(i)
                };
                records.push((start, message.value.unwrap().to_vec()));
            }
            position = taken.position(taken.batch.rows());
        }
    }
    (records, Ok(position))
}

fn text() -> impl Strategy<Value = Vec<u8>> {
    let byte = prop_oneof![3 => Just(b'\n'), 2 => Just(b'\r'), 8 => b'a'..=b'c', 1 => any::<u8>()];
    prop::collection::vec(byte, 0..200)
}

proptest! {
    #[test]
    fn any_bytes_in_any_pieces_give_the_records_of_a_plain_split(
        bytes in text(),
        pieces in prop::collection::vec(1usize..40, 1..8),
        size in 1usize..64,
    ) {
        let (records, end) = cut(&bytes, &pieces, size, options(0, false, u64::MAX, 1000));
        prop_assert_eq!(records, naive(&bytes));
        prop_assert_eq!(end.unwrap(), bytes.len() as u64);
    }

    #[test]
    fn splits_at_any_offsets_give_each_record_once(
        bytes in text(),
        split in 1usize..50,
        pieces in prop::collection::vec(1usize..40, 1..8),
        size in 1usize..64,
    ) {
        let mut records = Vec::new();
        for offset in (0..bytes.len()).step_by(split) {
            let inside = offset > 0;
            let begin = offset as u64 - u64::from(inside);
            let limit = (offset + split) as u64;
            records.extend(cut(&bytes, &pieces, size, options(begin, inside, limit, 1000)).0);
        }
        prop_assert_eq!(records, naive(&bytes));
    }

    #[test]
    fn reading_from_any_position_gives_the_rest(bytes in text(), pick in any::<prop::sample::Index>()) {
        let all = naive(&bytes);
        prop_assume!(!all.is_empty());
        let from = pick.index(all.len());
        let (records, _) = cut(&bytes, &[17], 32, options(all[from].0, false, u64::MAX, 1000));
        prop_assert_eq!(&records[..], &all[from..]);
    }

    #[test]
    fn a_record_above_the_limit_is_named_after_all_before_it_whatever_the_pieces(
        bytes in text(),
        pieces in prop::collection::vec(1usize..40, 1..8),
        size in 1usize..64,
        max in 1usize..12,
    ) {
        let all = naive(&bytes);
        let (records, end) = cut(&bytes, &pieces, size, options(0, false, u64::MAX, max));
        match all.iter().position(|(_, record)| record.len() > max) {
            None => prop_assert_eq!(records, all),
            Some(bad) => {
                prop_assert_eq!(&records[..], &all[..bad]);
                match end {
                    Err(Error::Data { origin, offset, .. }) => {
                        prop_assert_eq!((origin.as_str(), offset), ("in/a.txt", Some(all[bad].0)));
                    }
                    other => prop_assert!(false, "{:?}", other),
                }
            }
        }
    }
}

#[test]
fn terminators_are_not_part_of_a_record_and_a_lone_return_is() {
    let (records, _) = cut(b"a\r\n\n\r\nb\rc\nd\r", &[100], 64, options(0, false, u64::MAX, 1000));
    let records: Vec<_> = records.into_iter().map(|(_, r)| String::from_utf8(r).unwrap()).collect();
    assert_eq!(records, ["a", "", "", "b\rc", "d\r"]);
}

#[test]
fn memory_is_bounded_by_the_largest_record() {
    let mut lines = LineBuffer::new(BufferPool::new(16, 1), options(0, false, u64::MAX, 100));
    let mut largest = 0;
    loop {
        let room = lines.room();
        room.fill(b'x');
        let n = room.len();
        lines.filled(n);
        largest = largest.max(lines.buffer.len());
        if lines.take(false).is_err() {
            break;
        }
    }
    assert!(largest <= 102, "{largest}");
}

#[test]
fn records_share_the_buffer_they_were_read_into() {
    let mut lines = LineBuffer::new(BufferPool::new(64, 1), options(0, false, u64::MAX, 100));
    let room = lines.room();
    let address = room.as_ptr();
    room[..6].copy_from_slice(b"ab\ncd\n");
    lines.filled(6);
    let taken = lines.take(false).unwrap().unwrap();
    assert_eq!(taken.batch.buffer().as_ptr(), address);
    assert_eq!(&taken.batch.buffer()[..], b"ab\ncd\n");
}
