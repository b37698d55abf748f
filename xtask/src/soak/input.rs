//! Numbered lines, of which each can be told right from wrong by itself.

use std::fs::File;
use std::io::{BufWriter, Write};
use std::path::Path;

use super::random::{Random, mix};
use crate::Result;

/// Appends line `number`, without a terminator: the number, and letters that follow from number and seed.
pub(super) fn line(seed: u64, number: u64, out: &mut Vec<u8>) {
    out.extend_from_slice(format!("{number:010} ").as_bytes());
    let mut bits = mix(seed ^ mix(number));
    for _ in 0..bits % 60 {
        bits = bits.rotate_left(5);
        out.push(b'a' + (bits % 26) as u8);
    }
}

/// Appends row `number` as a JSON object; python/watch.py knows what belongs in it.
fn object(number: u64, out: &mut Vec<u8>) {
    let letter = (b'a' + (number % 26) as u8) as char;
    let text = letter.to_string().repeat((number % 60) as usize);
    out.extend_from_slice(format!(r#"{{"n":{number},"text":"{text}"}}"#).as_bytes());
}

/// What a line of the input is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Shape {
    /// Text that follows from its number and the seed.
    Text,
    /// A JSON object that follows from its number.
    Json,
}

/// The number of a line that must be one of ours.
pub(super) fn parse(seed: u64, text: &[u8]) -> Result<u64> {
    let number = text.get(..10).and_then(|digits| std::str::from_utf8(digits).ok()?.parse().ok());
    if let Some(number) = number {
        let mut expected = Vec::new();
        line(seed, number, &mut expected);
        if expected == text {
            return Ok(number);
        }
    }
    Err(format!("`{}` was never written", String::from_utf8_lossy(&text[..text.len().min(100)])))
}

/// Writes files of uneven size with about `bytes` in all; some lack their last terminator, one is empty. Says how many
/// lines they hold.
pub(super) fn write(dir: &Path, shape: Shape, seed: u64, bytes: u64) -> Result<u64> {
    let failed = |e: std::io::Error| format!("{}: {e}", dir.display());
    std::fs::create_dir_all(dir).map_err(failed)?;
    File::create(dir.join("empty.txt")).map_err(failed)?;
    let mut random = Random::new(seed);
    let (mut number, mut written, mut text) = (0, 0, Vec::new());
    for index in 0.. {
        if written >= bytes {
            break;
        }
        let size = random.between(bytes / 40, bytes / 8).max(1).min(bytes - written);
        let mut file = BufWriter::new(File::create(dir.join(format!("{index:03}.txt"))).map_err(failed)?);
        let mut filled = 0;
        loop {
            text.clear();
            match shape {
                Shape::Text => line(seed, number, &mut text),
                Shape::Json => object(number, &mut text),
            }
            number += 1;
            filled += text.len() as u64 + 1;
            file.write_all(&text).map_err(failed)?;
            let is_last = filled >= size;
            if !is_last || index % 3 != 0 {
                file.write_all(b"\n").map_err(failed)?;
            }
            if is_last {
                break;
            }
        }
        file.flush().map_err(failed)?;
        written += filled;
    }
    Ok(number)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_line_that_was_cut_changed_or_joined_is_not_ours() {
        let mut text = Vec::new();
        let number = (0..).find(|n| mix(7 ^ mix(*n)) % 60 > 5).unwrap();
        line(7, number, &mut text);
        assert_eq!(parse(7, &text), Ok(number));
        assert!(parse(8, &text).is_err());
        assert!(parse(7, &text[..text.len() - 1]).is_err());
        let twice = [text.as_slice(), text.as_slice()].concat();
        assert!(parse(7, &twice).is_err());
    }
}
