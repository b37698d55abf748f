//! The envelope in which everything stored is kept.
//!
//! ```text
//! magic "CSDK" | kind length u8 | kind | version u16 LE | payload length u32 LE | CRC-32C u32 LE | payload
//! ```
//!
//! The checksum covers all that stands before it and the payload. A decoder reads every version up to its own, refuses a
//! later one by name, never panics, and never allocates by a length that it has not checked against the bytes at hand.

use bytes::Bytes;
use serde::Serialize;
use serde::de::DeserializeOwned;

use crate::{Error, Result};

const MAGIC: &[u8; 4] = b"CSDK";

/// A type that is stored in checkpoints: a split, the state of an enumerator, writer or operator, a committable.
///
/// Only [`KIND`](Stored::KIND), [`VERSION`](Stored::VERSION), [`encode`](Stored::encode) and [`decode`](Stored::decode) are
/// an author's; hosts call [`to_bytes`](Stored::to_bytes) and [`from_bytes`](Stored::from_bytes), which add the envelope.
/// For a type with serde, `encode` is [`to_payload`] and `decode` is [`from_payload`] per version.
pub trait Stored: Sized + Send + Sync + 'static {
    /// Names the type for ever: `file-split`. At most 255 bytes.
    const KIND: &'static str;

    /// The version that `encode` writes. Raise it when the layout changes; keep decoding the earlier ones.
    const VERSION: u16;

    /// The payload in the layout of [`VERSION`](Stored::VERSION).
    ///
    /// # Errors
    ///
    /// [`Error::State`] when the value can't be represented.
    fn encode(&self) -> Result<Vec<u8>>;

    /// Reads a payload of `version`, which is at most [`VERSION`](Stored::VERSION).
    ///
    /// # Errors
    ///
    /// [`Error::State`]; damaged bytes are an error, never a panic.
    fn decode(version: u16, payload: &[u8]) -> Result<Self>;

    /// The value in its envelope.
    ///
    /// # Errors
    ///
    /// Those of [`encode`](Stored::encode), and a payload of 4 GiB or more.
    fn to_bytes(&self) -> Result<Bytes> {
        seal(Self::KIND, Self::VERSION, &self.encode()?)
    }

    /// Opens an envelope and decodes its payload.
    ///
    /// # Errors
    ///
    /// [`Error::State`] when the bytes are damaged, of another kind, or of a later version.
    fn from_bytes(bytes: &[u8]) -> Result<Self> {
        let opened = Envelope::open(bytes)?;
        if opened.kind != Self::KIND {
            return Err(Error::state(Self::KIND, format!("found state of kind `{}`", opened.kind)));
        }
        if opened.version > Self::VERSION {
            return Err(Error::state(
                Self::KIND,
                format!(
                    "written in version {}, this build reads up to version {}: use a newer build",
                    opened.version,
                    Self::VERSION
                ),
            ));
        }
        Self::decode(opened.version, opened.payload)
    }
}

/// Puts a payload in the envelope.
///
/// # Errors
///
/// [`Error::State`] for a kind above 255 bytes or a payload of 4 GiB or more.
pub fn seal(kind: &str, version: u16, payload: &[u8]) -> Result<Bytes> {
    let kind_length =
        u8::try_from(kind.len()).map_err(|_| Error::state(kind, "the kind is longer than 255 bytes"))?;
    let length =
        u32::try_from(payload.len()).map_err(|_| Error::state(kind, "the payload is 4 GiB or more"))?;
    let mut out = Vec::with_capacity(4 + 1 + kind.len() + 2 + 4 + 4 + payload.len());
    out.extend_from_slice(MAGIC);
    out.push(kind_length);
    out.extend_from_slice(kind.as_bytes());
    out.extend_from_slice(&version.to_le_bytes());
    out.extend_from_slice(&length.to_le_bytes());
    let crc = crc32c::crc32c_append(crc32c::crc32c(&out), payload);
    out.extend_from_slice(&crc.to_le_bytes());
    out.extend_from_slice(payload);
    Ok(out.into())
}

/// An opened envelope.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Envelope<'a> {
    /// What the payload is.
    pub kind: &'a str,
    /// The layout of the payload.
    pub version: u16,
    /// The payload, whose checksum was right.
    pub payload: &'a [u8],
}

impl<'a> Envelope<'a> {
    /// Opens an envelope that fills `bytes` exactly.
    ///
    /// # Errors
    ///
    /// [`Error::State`] when anything about the bytes is wrong.
    pub fn open(bytes: &'a [u8]) -> Result<Self> {
        let damaged = |what: &str| Error::state("envelope", what.to_owned());
        let mut rest = bytes;
        let mut take = |n: usize, what: &str| {
            let (front, back) = rest.split_at_checked(n).ok_or_else(|| damaged(what))?;
            rest = back;
            Ok::<&[u8], Error>(front)
        };
        if take(4, "shorter than its magic")? != MAGIC {
            return Err(damaged("does not begin with the magic of stored state"));
        }
        let kind_length = usize::from(take(1, "cut off in the kind")?[0]);
        let kind = take(kind_length, "cut off in the kind")?;
        let kind = std::str::from_utf8(kind).map_err(|_| damaged("the kind is not text"))?;
        let fixed = take(10, "cut off in the header")?;
        let version = u16::from_le_bytes([fixed[0], fixed[1]]);
        let length = u32::from_le_bytes([fixed[2], fixed[3], fixed[4], fixed[5]]) as usize;
        let crc = u32::from_le_bytes([fixed[6], fixed[7], fixed[8], fixed[9]]);
        if rest.len() != length {
            return Err(damaged("the payload has not the length that the header says"));
        }
        let header = &bytes[..bytes.len() - rest.len() - 4];
        if crc32c::crc32c_append(crc32c::crc32c(header), rest) != crc {
            return Err(damaged("the checksum is wrong"));
        }
        Ok(Self { kind, version, payload: rest })
    }
}

/// Serializes with postcard.
///
/// # Errors
///
/// [`Error::State`] when serde refuses.
pub fn to_payload<T: Serialize>(value: &T) -> Result<Vec<u8>> {
    postcard::to_stdvec(value).map_err(|e| Error::state("payload", e.to_string()))
}

/// Deserializes with postcard and refuses trailing bytes, which postcard alone accepts.
///
/// # Errors
///
/// [`Error::State`] when the payload is damaged or longer than the value.
pub fn from_payload<T: DeserializeOwned>(payload: &[u8]) -> Result<T> {
    let (value, rest) =
        postcard::take_from_bytes(payload).map_err(|e| Error::state("payload", e.to_string()))?;
    if !rest.is_empty() {
        return Err(Error::state("payload", format!("{} bytes too many", rest.len())));
    }
    Ok(value)
}

/// Implements [`Stored`] by serde and postcard for a type that has had one version only.
#[macro_export]
macro_rules! stored {
    ($type:ty, $kind:literal) => {
        impl $crate::Stored for $type {
            const KIND: &'static str = $kind;
            const VERSION: u16 = 1;

            fn encode(&self) -> $crate::Result<Vec<u8>> {
                $crate::state::to_payload(self)
            }

            fn decode(_version: u16, payload: &[u8]) -> $crate::Result<Self> {
                $crate::state::from_payload(payload)
            }
        }
    };
}

/// No state at all: for enumerators and operators that have none.
impl Stored for () {
    const KIND: &'static str = "nothing";
    const VERSION: u16 = 1;

    fn encode(&self) -> Result<Vec<u8>> {
        Ok(Vec::new())
    }

    fn decode(_version: u16, payload: &[u8]) -> Result<Self> {
        if payload.is_empty() { Ok(()) } else { Err(Error::state(Self::KIND, "is not empty")) }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[derive(Debug, PartialEq, serde::Serialize, serde::Deserialize)]
    struct Sample {
        path: String,
        offset: u64,
    }
    stored!(Sample, "sample");

    fn sample() -> Sample {
        Sample { path: "a/b".into(), offset: 300 }
    }

    #[test]
    fn what_was_stored_is_read_back() {
        assert_eq!(Sample::from_bytes(&sample().to_bytes().unwrap()).unwrap(), sample());
    }

    #[test]
    fn every_changed_byte_and_every_cut_is_refused() {
        let good = sample().to_bytes().unwrap();
        for i in 0..good.len() {
            let mut bad = good.to_vec();
            bad[i] ^= 0x41;
            assert!(Sample::from_bytes(&bad).is_err(), "byte {i}");
            assert!(Sample::from_bytes(&good[..i]).is_err(), "cut at {i}");
        }
        let mut long = good.to_vec();
        long.push(0);
        assert!(Sample::from_bytes(&long).is_err());
    }

    #[test]
    fn a_later_version_is_refused_by_name() {
        let later = seal("sample", 2, &[]).unwrap();
        let message = Sample::from_bytes(&later).unwrap_err().to_string();
        assert!(message.contains("version 2") && message.contains("version 1"), "{message}");
    }

    #[test]
    fn another_kind_is_refused_by_name() {
        let message = Sample::from_bytes(&().to_bytes().unwrap()).unwrap_err().to_string();
        assert!(message.contains("`nothing`"), "{message}");
    }

    #[test]
    fn trailing_bytes_in_a_payload_are_refused() {
        let mut payload = sample().encode().unwrap();
        payload.push(0);
        assert!(Sample::decode(1, &payload).is_err());
    }

    /// The bytes that version 1 wrote. If this fails, stored checkpoints of users can't be read any more.
    #[test]
    fn the_layout_of_the_envelope_is_frozen() {
        let bytes = seal("k", 1, b"ab").unwrap();
        assert_eq!(&bytes[..12], b"CSDK\x01k\x01\x00\x02\x00\x00\x00");
        assert_eq!(&bytes[16..], b"ab");
    }
}
