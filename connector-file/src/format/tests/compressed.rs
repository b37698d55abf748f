//! Compressed files.

use std::io::Write as _;

use super::*;

fn gzip(text: &[u8]) -> Vec<u8> {
    let mut encoder = flate2::write::GzEncoder::new(Vec::new(), flate2::Compression::default());
    encoder.write_all(text).unwrap();
    encoder.finish().unwrap()
}

fn zstd(text: &[u8]) -> Vec<u8> {
    ::zstd::encode_all(text, 0).unwrap()
}

fn read(compression: Compressed) -> Read {
    Read::of(Format::Lines).with(|o| o.compression = compression)
}

pub(super) type Pack = fn(&[u8]) -> Vec<u8>;
pub(super) const KINDS: [(Compressed, Pack); 2] = [(Compressed::Gzip, gzip), (Compressed::Zstd, zstd)];

#[test]
fn every_member_is_read_and_positions_count_decompressed_bytes() {
    let text: String = (0..500).map(|i| format!("{i}\n")).collect();
    let (front, back) = text.as_bytes().split_at(700);
    for (kind, pack) in KINDS {
        let mut read = read(kind);
        let content = [pack(front), pack(b""), pack(back)].concat();
        let all = read.messages(&content).unwrap();
        let lines: Vec<&str> = all.iter().map(|(line, _)| line.as_str()).collect();
        assert_eq!(lines, text.lines().collect::<Vec<_>>(), "{kind:?}");
        let mut end = 0;
        for (i, (line, position)) in all.iter().enumerate() {
            end += line.len() as u64 + 1;
            assert_eq!(*position, end);
            if i % 50 == 49 {
                read.position = Some(*position);
                assert_eq!(read.messages(&content).unwrap(), all[i + 1..], "{kind:?} from {position}");
            }
        }
    }
}

#[test]
fn data_that_is_cut_short_or_changed_is_an_error_wherever_it_is() {
    let text: Vec<u8> =
        (0..3_000_u32).flat_map(|i| format!("{}\n", i.wrapping_mul(2_654_435_761)).into_bytes()).collect();
    for (kind, pack) in KINDS {
        let whole = [pack(&text[..9_000]), pack(&text[9_000..])].concat();
        let first = pack(&text[..9_000]).len();
        for cut in (1..whole.len()).step_by(97).filter(|&cut| cut != first) {
            let error = read(kind).refused::<MessageBatch>(&whole[..cut]);
            assert!(
                error.starts_with("in/a at offset ") && error.contains("ends too early"),
                "{kind:?} at {cut}: {error}"
            );
        }
        for junk in [&b"x"[..], b"no such data at all"] {
            let error = read(kind).refused::<MessageBatch>(&[&whole, junk].concat());
            assert!(error.starts_with("in/a at offset "), "{kind:?}: {error}");
        }
    }
    // gzip ends in a checksum.
    let mut changed = gzip(&text);
    let at = changed.len() - 6;
    changed[at] ^= 1;
    assert!(read(Compressed::Gzip).refused::<MessageBatch>(&changed).contains("is corrupt"));
}

#[test]
fn every_format_is_read_compressed_from_every_position() {
    let cases = [
        (Format::Csv, "a,b\n1,\"x\ny\"\n\n2,3\n4,5"),
        (Format::Json, "{\"a\":1}\n\n{\"a\":2}\n{\"a\":3}"),
        (Format::Lines, "a\n\nb\r\nc"),
        (Format::Raw, "a\nb"),
    ];
    for (format, text) in cases {
        let plain = Read::of(format).values(text);
        for (kind, pack) in KINDS {
            let mut read = Read::of(format).with(|o| o.compression = kind);
            let content = pack(text.as_bytes());
            let all = read.messages(&content).unwrap();
            assert_eq!(all.iter().map(|(value, _)| value.as_str()).collect::<Vec<_>>(), plain);
            for (i, (_, position)) in all.iter().enumerate() {
                read.position = Some(*position);
                assert_eq!(read.messages(&content).unwrap(), all[i + 1..], "{format:?} {kind:?} {position}");
            }
        }
    }
}

#[test]
fn a_position_behind_the_end_is_an_error() {
    let mut read = read(Compressed::Gzip);
    read.position = Some(9);
    let error = read.refused::<MessageBatch>(&gzip(b"a\nb\n"));
    assert_eq!(error, "in/a at offset 4: the content ends here, and was read up to 9 before");
}

#[test]
fn the_ending_of_the_name_tells_the_compression() {
    let of = |name: &str| Compressed::Auto.of(std::path::Path::new(name));
    assert_eq!(
        [of("d/a.csv.gz"), of("a.GZ"), of("a.zst"), of("a.csv"), of("gz"), of(".gz")],
        [
            Compression::Gzip,
            Compression::Gzip,
            Compression::Zstd,
            Compression::None,
            Compression::None,
            Compression::None
        ]
    );
    assert_eq!(Compressed::None.of(std::path::Path::new("a.gz")), Compression::None);
}
