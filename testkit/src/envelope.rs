//! What holds for everything that is stored: splits, states, committables (rules S-1 to S-4).
//!
//! The checks work on bytes and on a function that decodes them, so that they serve every family of connectors:
//!
//! ```
//! # use connector_api::{Stored, stored};
//! #[derive(serde::Serialize, serde::Deserialize)]
//! struct Offset(u64);
//! stored!(Offset, "offset");
//!
//! let bytes = Offset(7).to_bytes().unwrap();
//! let decode = |bytes: &[u8]| Offset::from_bytes(bytes).map(drop);
//! testkit::envelope::judge("an offset", &bytes, &decode).unwrap();
//! ```

use std::panic::AssertUnwindSafe;

use bytes::Bytes;
use connector_api::id::SplitId;
use connector_api::source::DynSplit;
use connector_api::state::{Envelope, seal, to_payload};
use connector_api::{Result, Stored};

use crate::broken::{Broken, Verdict};
use crate::ensure;

/// Decodes bytes as the connector does when it is restored.
pub type Decode<'a> = dyn Fn(&[u8]) -> Result<()> + 'a;

/// A split of these bytes, whatever they are: what a host hands over that read them from a damaged checkpoint.
///
/// # Errors
///
/// None that are known of.
pub fn split(id: &SplitId, bytes: &[u8]) -> Result<DynSplit> {
    <DynSplit as Stored>::decode(DynSplit::VERSION, &to_payload(&(id, Bytes::copy_from_slice(bytes)))?)
}

/// The kind that the envelope names.
///
/// # Errors
///
/// S-1, when it is not in one.
pub fn kind(what: &str, bytes: &[u8]) -> Result<String, Broken> {
    let opened = Envelope::open(bytes);
    opened.map(|opened| opened.kind.to_owned()).map_err(Broken::by("S-1", &format!("opening {what}")))
}

/// All of what follows.
///
/// # Errors
///
/// S-1, S-2 or S-3.
pub fn judge(what: &str, bytes: &[u8], decode: &Decode<'_>) -> Verdict {
    kind(what, bytes)?;
    refuses_later(what, bytes, decode)?;
    refuses_damage(what, bytes, decode)
}

fn decoded(rule: &'static str, what: &str, bytes: &[u8], decode: &Decode<'_>) -> Result<Result<()>, Broken> {
    std::panic::catch_unwind(AssertUnwindSafe(|| decode(bytes)))
        .map_err(|_| Broken::new(rule, format!("{what} makes the decoder panic")))
}

/// State that a later version wrote is refused, and the error names the version.
///
/// # Errors
///
/// S-2.
pub fn refuses_later(what: &str, bytes: &[u8], decode: &Decode<'_>) -> Verdict {
    let opened = Envelope::open(bytes).map_err(Broken::by("S-1", &format!("opening {what}")))?;
    let version = 60_000 + opened.version % 1_000;
    let later = seal(opened.kind, version, opened.payload).map_err(Broken::by("S-2", "sealing"))?;
    let what = format!("{what} of version {version}");
    match decoded("S-2", &what, &later, decode)? {
        Ok(()) => Err(Broken::new("S-2", format!("{what} is accepted"))),
        Err(error) => {
            let text = error.to_string();
            ensure!("S-2", text.contains(&version.to_string()), "{what}: the error does not say so: {text}");
            Ok(())
        }
    }
}

/// Bytes that are cut off or changed are an error; a payload that is wrong under a right checksum is no panic.
///
/// # Errors
///
/// S-3.
pub fn refuses_damage(what: &str, bytes: &[u8], decode: &Decode<'_>) -> Verdict {
    for at in 0..bytes.len() {
        let mut changed = bytes.to_vec();
        changed[at] ^= 1 << (at % 8);
        let flipped = decoded("S-3", &format!("{what} with a bit changed in byte {at}"), &changed, decode)?;
        ensure!("S-3", flipped.is_err(), "{what} with a bit changed in byte {at} is accepted");
        let cut = decoded("S-3", &format!("{what} cut off at byte {at}"), &bytes[..at], decode)?;
        ensure!("S-3", cut.is_err(), "{what} cut off at byte {at} is accepted");
    }
    let Ok(opened) = Envelope::open(bytes) else { return Ok(()) };
    for at in 0..opened.payload.len() {
        let mut changed = opened.payload.to_vec();
        changed[at] ^= 0x80;
        for payload in [&changed[..], &opened.payload[..at]] {
            let bytes = seal(opened.kind, opened.version, payload).map_err(Broken::by("S-3", "sealing"))?;
            // It may stand for another value: then it is not damaged.
            let _ = decoded("S-3", &format!("{what} with a wrong payload at byte {at}"), &bytes, decode)?;
        }
    }
    Ok(())
}
