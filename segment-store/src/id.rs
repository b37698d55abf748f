//! Names and numbers, as Pravega has them.

use std::fmt;
use std::str::FromStr;
use std::sync::Arc;

use serde::{Deserialize, Serialize};

use crate::error::{Error, Result};

/// The longest name of a scope or stream, in bytes (Pravega's bound).
pub const MAX_NAME: usize = 255;

/// What the name of a stream of watermarks begins with.
const MARKS: &str = "_MARK";

/// `scope/stream`.
///
/// Both parts are at most 255 bytes of letters, digits, `.`, `-` and `_`, those of streams that users make at most 250. Streams whose names
/// begin with `_` are the system's (`_MARK<stream>`, `_RG<group>`).
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
pub struct StreamName {
    /// The scope.
    pub scope: Arc<str>,
    /// The stream within it.
    pub stream: Arc<str>,
}

impl StreamName {
    /// A name of these two parts.
    ///
    /// # Errors
    ///
    /// [`Error::Invalid`] or [`Error::Limit`] saying what is wrong.
    pub fn new(scope: &str, stream: &str) -> Result<Self> {
        check_scope(scope)?;
        let what = "the name of a stream";
        check_part(what, stream)?;
        // The stream of its watermarks has a longer one.
        let limit = MAX_NAME - MARKS.len();
        if !stream.starts_with('_') && stream.len() > limit {
            return Err(Error::Limit { what, given: stream.len() as u64, limit: limit as u64 });
        }
        Ok(Self { scope: scope.into(), stream: stream.into() })
    }

    /// The stream that holds the watermarks of this one.
    pub fn marks(&self) -> Self {
        Self { scope: self.scope.clone(), stream: format!("{MARKS}{}", self.stream).into() }
    }

    /// Whether the system made it, not a user.
    pub fn is_internal(&self) -> bool {
        self.stream.starts_with('_')
    }
}

/// Checks the name of a scope.
///
/// # Errors
///
/// [`Error::Invalid`] or [`Error::Limit`] saying what is wrong.
pub fn check_scope(scope: &str) -> Result<()> {
    check_part("the name of a scope", scope)
}

fn check_part(what: &'static str, name: &str) -> Result<()> {
    if name.is_empty() {
        return Err(Error::invalid(what, "is empty"));
    }
    if name.len() > MAX_NAME {
        return Err(Error::Limit { what, given: name.len() as u64, limit: MAX_NAME as u64 });
    }
    match name.chars().find(|c| !(c.is_ascii_alphanumeric() || matches!(c, '.' | '-' | '_'))) {
        Some(c) => Err(Error::invalid(
            what,
            format!("`{name}` holds {c:?}; letters, digits, `.`, `-` and `_` are allowed"),
        )),
        None => Ok(()),
    }
}

impl fmt::Display for StreamName {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}/{}", self.scope, self.stream)
    }
}

impl FromStr for StreamName {
    type Err = Error;

    fn from_str(text: &str) -> Result<Self> {
        match text.split_once('/') {
            Some((scope, stream)) => Self::new(scope, stream),
            None => Err(Error::invalid("the name of a stream", format!("`{text}` is not `scope/stream`"))),
        }
    }
}

/// A segment of a stream: `epoch << 32 | number`, so that a later segment has a greater id.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
pub struct SegmentId(pub u64);

impl SegmentId {
    /// The segment `number` that was made in `epoch`.
    pub const fn new(epoch: u32, number: u32) -> Self {
        Self((epoch as u64) << 32 | number as u64)
    }

    /// The epoch in which it was made.
    pub const fn epoch(self) -> u32 {
        (self.0 >> 32) as u32
    }

    /// Its number, counted over the whole life of the stream.
    pub const fn number(self) -> u32 {
        self.0 as u32
    }
}

impl fmt::Display for SegmentId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}.#epoch.{}", self.number(), self.epoch())
    }
}

impl FromStr for SegmentId {
    type Err = Error;

    fn from_str(text: &str) -> Result<Self> {
        let parts = text.split_once(".#epoch.");
        let numbers = parts.and_then(|(number, epoch)| Some((number.parse().ok()?, epoch.parse().ok()?)));
        let (number, epoch) = numbers.ok_or_else(|| {
            Error::invalid("a segment", format!("`{text}` is not `<number>.#epoch.<epoch>`"))
        })?;
        Ok(Self::new(epoch, number))
    }
}

/// A transaction: a UUID whose upper half is `epoch << 32 | counter`.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
pub struct TransactionId(pub u128);

impl TransactionId {
    /// The transaction `counter` that was begun in `epoch`; `random` tells it from those of other stores.
    pub const fn new(epoch: u32, counter: u32, random: u64) -> Self {
        Self(((epoch as u128) << 32 | counter as u128) << 64 | random as u128)
    }

    /// The epoch in which it was begun.
    pub const fn epoch(self) -> u32 {
        (self.0 >> 96) as u32
    }
}

impl fmt::Display for TransactionId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{:032x}", self.0)
    }
}

impl FromStr for TransactionId {
    type Err = Error;

    fn from_str(text: &str) -> Result<Self> {
        match u128::from_str_radix(text, 16) {
            Ok(id) if text.len() == 32 => Ok(Self(id)),
            _ => Err(Error::invalid("a transaction", format!("`{text}` is not 32 hexadecimal digits"))),
        }
    }
}

/// Who appends: 128 bits, chosen by the writer and kept by it. Also the name of an attribute of a segment, whose value is the writer's
/// last event there.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
pub struct WriterId(pub u128);

impl WriterId {
    /// The id of a writer that has a name: the same name is the same writer, in every process.
    pub fn named(name: &str) -> Self {
        let low = crate::routing::hash_128(name);
        Self(low)
    }
}

impl fmt::Display for WriterId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{:032x}", self.0)
    }
}

/// A segment by its full name: `scope/stream/<number>.#epoch.<epoch>`, and for what a transaction writes
/// `...#transaction.<32 hexadecimal digits>`.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
pub struct SegmentName {
    /// The stream.
    pub stream: StreamName,
    /// The segment.
    pub id: SegmentId,
    /// The transaction, for what it wrote to this segment and has not committed.
    pub transaction: Option<TransactionId>,
}

impl SegmentName {
    /// A segment of a stream.
    pub const fn new(stream: StreamName, id: SegmentId) -> Self {
        Self { stream, id, transaction: None }
    }

    /// What a transaction writes to this segment.
    #[must_use]
    pub fn within(self, transaction: TransactionId) -> Self {
        Self { transaction: Some(transaction), ..self }
    }
}

impl fmt::Display for SegmentName {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}/{}", self.stream, self.id)?;
        match self.transaction {
            Some(id) => write!(f, "#transaction.{id}"),
            None => Ok(()),
        }
    }
}

impl FromStr for SegmentName {
    type Err = Error;

    fn from_str(text: &str) -> Result<Self> {
        let (stream, rest) = text
            .rsplit_once('/')
            .ok_or_else(|| Error::invalid("a segment", format!("`{text}` is not `scope/stream/segment`")))?;
        let (id, transaction) = match rest.split_once("#transaction.") {
            Some((id, transaction)) => (id, Some(transaction.parse()?)),
            None => (rest, None),
        };
        Ok(Self { stream: stream.parse()?, id: id.parse()?, transaction })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_are_read_back() {
        let name: SegmentName = "a/b/3.#epoch.7".parse().unwrap();
        assert_eq!((name.id.epoch(), name.id.number(), name.id.0), (7, 3, 7 << 32 | 3));
        let within = name.within(TransactionId::new(7, 2, 5));
        assert_eq!(within.to_string(), "a/b/3.#epoch.7#transaction.00000007000000020000000000000005");
        assert_eq!(within.to_string().parse::<SegmentName>().unwrap(), within);
        let cut: crate::StreamCut = "0.#epoch.0:12,1.#epoch.0:0".parse().unwrap();
        assert_eq!(cut.to_string(), "0.#epoch.0:12,1.#epoch.0:0");
    }

    #[test]
    fn what_is_no_name_is_refused_with_what_is_allowed() {
        for (text, why) in [
            ("b", "scope/stream"),
            ("/b", "is empty"),
            ("a/", "is empty"),
            ("a/b c", "letters, digits"),
            (&format!("a/{}", "x".repeat(251)), "above the limit of 250"),
            (&format!("{}/b", "x".repeat(256)), "above the limit of 255"),
        ] {
            let error = text.parse::<StreamName>().unwrap_err().to_string();
            assert!(error.contains(why), "{text}: {error}");
        }
        assert!("a/b/3.#epoch".parse::<SegmentName>().is_err());
        assert!("a/b/3.#epoch.1#transaction.12".parse::<SegmentName>().is_err());
    }
}
