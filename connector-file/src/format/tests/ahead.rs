//! Decompressing ahead.

use connector_api::env::Spawner;

use super::compressed::{KINDS, Pack};
use super::spawners::{Inline, Never, Threads};
use super::*;
use crate::format::Compression;
use crate::format::content::Content;

fn spawners() -> [Arc<dyn Spawner>; 3] {
    [Arc::new(Threads), Arc::new(Inline), Arc::new(Never)]
}

/// More than the chunks that are held at once.
fn text() -> Vec<u8> {
    (0..200_000_u32).flat_map(|i| format!("{}\n", i.wrapping_mul(2_654_435_761)).into_bytes()).collect()
}

fn open(packed: &[u8], compression: Compressed, spawner: &Arc<dyn Spawner>) -> Content {
    let compression = match compression {
        Compressed::Gzip => Compression::Gzip,
        _ => Compression::Zstd,
    };
    Content::open(Box::new(Memory(packed.to_vec())), compression, Some(Arc::clone(spawner))).unwrap()
}

/// All of it, in pieces of this size.
fn read(mut content: Content, piece: usize) -> Result<Vec<u8>> {
    let (mut all, mut buffer) = (Vec::new(), vec![0; piece]);
    loop {
        let filled = content.fill(&mut buffer)?;
        all.extend_from_slice(&buffer[..filled]);
        if filled < piece {
            // Nothing comes behind the end.
            assert_eq!(content.fill(&mut buffer)?, 0);
            return Ok(all);
        }
    }
}

#[test]
fn the_same_bytes_come_wherever_the_work_runs_and_whatever_is_asked_for() {
    let text = text();
    let chunk = 256 << 10;
    for (kind, pack) in KINDS {
        for length in [0, 1, chunk - 1, chunk, chunk + 1, 3 * chunk, text.len()] {
            let packed = pack(&text[..length]);
            for spawner in spawners() {
                for piece in [1 << 20, chunk, 100_003] {
                    let all = read(open(&packed, kind, &spawner), piece).unwrap();
                    assert!(all == text[..length], "{kind:?}, {length} bytes by {piece} on {spawner:?}");
                }
            }
        }
    }
}

#[test]
fn damage_is_an_error_with_its_offset_behind_all_whole_chunks_before_it() {
    let text = text();
    for (kind, pack) in KINDS {
        let packed = [pack(&text), b"junk that is no member".to_vec()].concat();
        for spawner in spawners() {
            let mut content = open(&packed, kind, &spawner);
            let (mut seen, mut buffer) = (0, vec![0; 100_000]);
            let error = loop {
                match content.fill(&mut buffer) {
                    Ok(filled) => {
                        assert!(filled > 0, "{kind:?} on {spawner:?}: an end in place of an error");
                        assert!(buffer[..filled] == text[seen..seen + filled]);
                        seen += filled;
                    }
                    Err(e) => break e.to_string(),
                }
            };
            assert!(error.contains(&format!("at offset {}", text.len())), "{error}");
            assert_eq!(seen, text.len() / (256 << 10) * (256 << 10), "{kind:?} on {spawner:?}");
        }
    }
}

#[test]
fn a_file_is_given_up_when_its_content_is_dropped() {
    let (kind, pack): (Compressed, Pack) = KINDS[0];
    for spawner in spawners() {
        let held = Arc::new(());
        let input = Held { memory: Memory(pack(&text())), _held: Arc::clone(&held) };
        assert_eq!(kind, Compressed::Gzip);
        let mut content =
            Content::open(Box::new(input), Compression::Gzip, Some(Arc::clone(&spawner))).unwrap();
        content.fill(&mut [0; 1000]).unwrap();
        drop(content);
        // At most the chunk under way.
        while Arc::strong_count(&held) > 1 {
            std::thread::yield_now();
        }
    }
}

#[derive(Debug)]
struct Held {
    memory: Memory,
    _held: Arc<()>,
}

impl crate::input::Input for Held {
    fn origin(&self) -> &str {
        self.memory.origin()
    }

    fn len(&self) -> u64 {
        self.memory.len()
    }

    fn read(&self, buffer: &mut [u8], offset: u64) -> Result<usize> {
        self.memory.read(buffer, offset)
    }

    fn check_name(&self, at: u64) -> Result<()> {
        self.memory.check_name(at)
    }
}
