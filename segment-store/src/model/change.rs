//! Changes that were planned: whatever could be refused was found right, so that making them can't fail.

use std::sync::Arc;

use super::cuts::Truncation;
use super::epochs::Step;
use super::stream::Stream;
use super::transactions::Merging;
use crate::cut::StreamCut;
use crate::id::{StreamName, TransactionId, WriterId};

/// A change of the scopes.
pub(super) enum Change<'a> {
    CreateScope(&'a Arc<str>),
    DeleteScope(&'a Arc<str>),
    CreateStreams(Vec<Stream>),
    DeleteStream(&'a StreamName),
    OfStream(&'a StreamName, StreamChange<'a>),
}

/// A change of a stream.
pub(super) enum StreamChange<'a> {
    Seal { at: i64 },
    Truncate(Truncation),
    Scale { step: Step, at: i64 },
    Begin { id: TransactionId, lease_millis: u64, label: &'a str, at: i64 },
    Commit { id: TransactionId, merging: Merging, at: i64 },
    Abort(TransactionId),
    NoteTime { writer: WriterId, millis: i64, cut: &'a StreamCut },
    ForgetWriter(WriterId),
}
