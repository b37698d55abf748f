//! What the batches of an end are about.

use std::fmt;

/// What the rows of a source's batches are, or what those of a sink's have to be.
///
/// A front end that joins a source to a sink compares both and converts in between where it can. It says nothing about the
/// batch type: that is the [`Registry`](super::Registry)'s.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum Payload {
    /// Bytes that the connector does not look into.
    Bytes,
    /// Records of a message system: keys and values are bytes that the connector does not look into; beside them stand the columns
    /// `topic`, `partition`, `offset` and `timestamp`, and headers where a record has some.
    Records,
    /// Messages each of whose values is one JSON object, without line breaks in it.
    Json,
    /// Columns with names and types, such as batches of Arrow.
    Columns,
}

impl fmt::Display for Payload {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Bytes => "bytes",
            Self::Records => "records of bytes",
            Self::Json => "JSON objects",
            Self::Columns => "columns",
        })
    }
}
