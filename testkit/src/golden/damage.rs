//! Damage to a fixture: cuts, flipped bits, lengths that claim far more than there is.

use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::{Mutex, PoisonError};

use connector_api::Stored;

use super::{Finding, Rule};

/// Up to this many places of a fixture are damaged: all of a small one, evenly spread over a large one, because each place
/// costs a decoding of the whole.
const PLACES: usize = 4096;

/// Decoding a few kilobytes takes no more address space than this. Threads that start beside it take some hundred MiB.
const MUCH: u64 = 1 << 30;

/// Lengths that are put into the payload, growing: what multiplies them by the size of an element fails early, by a finding
/// and not by an allocation that the system refuses.
const LENGTHS: [u64; 5] = [1 << 26, 1 << 28, 1 << 31, u32::MAX as u64, u64::MAX];

/// Runs a decoder; a panic of it is a finding.
pub(super) fn quietly<R>(decode: impl FnOnce() -> R) -> Result<R, Finding> {
    catch_unwind(AssertUnwindSafe(decode)).map_err(|panic| {
        let text = panic.downcast_ref::<String>().map(String::as_str);
        let text = text.or_else(|| panic.downcast_ref::<&str>().copied()).unwrap_or("no message");
        Rule::NoPanic.broken(format!("the decoder panics: {text}"))
    })
}

fn at(place: &str) -> impl FnOnce(Finding) -> Finding {
    move |finding| finding.rule.broken(format!("{place}: {}", finding.what))
}

fn places(length: usize) -> impl Iterator<Item = usize> {
    let step = length.div_ceil(PLACES).max(1);
    (0..length).step_by(step)
}

/// A stored file that was cut, or in which a bit flipped, is an error: the envelope has a checksum.
pub(super) fn of_the_envelope<T: Stored>(bytes: &[u8]) -> Result<(), Finding> {
    let noticed = |place: String, damaged: &[u8]| match quietly(|| T::from_bytes(damaged))
        .map_err(at(&place))?
    {
        Err(_) => Ok(()),
        Ok(_) => Err(Rule::DamageNoticed.broken(format!("{place} is decoded as if nothing had happened"))),
    };
    for length in places(bytes.len()) {
        noticed(format!("cut after {length} bytes"), &bytes[..length])?;
    }
    let mut damaged = bytes.to_vec();
    for i in places(bytes.len()) {
        for bit in 0..8 {
            damaged[i] ^= 1 << bit;
            noticed(format!("bit {bit} of byte {i} flipped"), &damaged)?;
            damaged[i] ^= 1 << bit;
        }
    }
    damaged.push(0);
    noticed("a byte too many".to_owned(), &damaged)
}

static ALONE: Mutex<()> = Mutex::new(());

/// The payload alone: no checksum stands before the decoder. A flipped bit may be another value; but nothing panics or takes
/// memory by an unchecked length, and a payload that is cut or too long is not read as the same value.
pub(super) fn of_the_payload<T: Stored>(
    version: u16,
    payload: &[u8],
    judge: &dyn Fn(&T) -> Result<(), String>,
) -> Result<(), Finding> {
    // The address space is the whole process's: what a decoder in another test asks for would be blamed on this one.
    let _alone = ALONE.lock().unwrap_or_else(PoisonError::into_inner);
    let decode = |place: &dyn Fn() -> String, damaged: &[u8]| {
        quietly(|| T::decode(version, damaged)).map_err(|f| at(&place())(f))
    };
    let other = |place: &dyn Fn() -> String, damaged: &[u8]| match decode(place, damaged)? {
        Ok(value) if judge(&value).is_ok() => {
            Err(Rule::DamageNoticed.broken(format!("{} is read over", place())))
        }
        _ => Ok(()),
    };
    for length in places(payload.len()) {
        other(&|| format!("payload cut after {length} bytes"), &payload[..length])?;
    }
    other(&|| "a byte too many in the payload".to_owned(), &[payload, &[0]].concat())?;
    for length in LENGTHS {
        in_little_memory(&format!("with {length} in the payload where other bytes were"), || {
            for i in places(payload.len()) {
                for coded in codings(length) {
                    // Instead of one byte, as where a small number was, and over as many as it has.
                    for replaced in [1, coded.len()] {
                        let rest = payload.get(i + replaced..).unwrap_or_default();
                        let damaged = [&payload[..i], &coded, rest].concat();
                        let _: Result<T, _> =
                            decode(&|| format!("{coded:02x?} in payload byte {i}"), &damaged)?;
                    }
                }
            }
            Ok(())
        })?;
    }
    in_little_memory("with a bit of the payload flipped", || {
        let mut damaged = payload.to_vec();
        for i in places(payload.len()) {
            for bit in 0..8 {
                damaged[i] ^= 1 << bit;
                let _: Result<T, _> = decode(&|| format!("bit {bit} of payload byte {i} flipped"), &damaged)?;
                damaged[i] ^= 1 << bit;
            }
        }
        Ok(())
    })
}

/// Looks at how much memory some decodings asked for. What they made is freed in between, so that it is what one asked for.
fn in_little_memory(what: &str, work: impl FnOnce() -> Result<(), Finding>) -> Result<(), Finding> {
    let before = peak_of_address_space();
    work()?;
    if let (Some(before), Some(after)) = (before, peak_of_address_space())
        && after.saturating_sub(before) >= MUCH
    {
        let mib = (after - before) >> 20;
        return Err(Rule::LengthChecked.broken(format!("{what}: the decoder asks for {mib} MiB")));
    }
    Ok(())
}

/// As LEB128 (postcard, Protobuf), and as 4 or 8 bytes in both orders.
fn codings(length: u64) -> Vec<Vec<u8>> {
    let mut varint = Vec::new();
    let mut rest = length;
    while rest > 0x7f {
        varint.push((rest & 0x7f) as u8 | 0x80);
        rest >>= 7;
    }
    varint.push(rest as u8);
    let mut all = vec![varint, length.to_le_bytes().to_vec(), length.to_be_bytes().to_vec()];
    if let Ok(short) = u32::try_from(length) {
        all.extend([short.to_le_bytes().to_vec(), short.to_be_bytes().to_vec()]);
    }
    all
}

/// Bytes of address space that this process had at most, where the system tells (Linux). An allocation that is never
/// written to shows here and nowhere else.
fn peak_of_address_space() -> Option<u64> {
    let status = std::fs::read_to_string("/proc/self/status").ok()?;
    let kib = status.lines().find_map(|line| line.strip_prefix("VmPeak:"))?;
    kib.trim().trim_end_matches("kB").trim().parse::<u64>().ok().map(|kib| kib << 10)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_place_of_a_small_file_is_damaged_and_enough_of_a_large_one() {
        assert_eq!(places(5).collect::<Vec<_>>(), [0, 1, 2, 3, 4]);
        assert_eq!(places(0).count(), 0);
        assert!((PLACES / 2..=PLACES).contains(&places(PLACES * 10 + 1).count()));
    }

    #[test]
    fn lengths_are_coded_as_formats_code_them() {
        let all = codings(300);
        assert!(all.contains(&vec![0xac, 0x02]) && all.contains(&vec![0, 0, 1, 0x2c]));
    }
}
