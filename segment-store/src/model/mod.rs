//! What streams are: scopes, streams, epochs of segments, transactions and watermarks, as a state machine without I/O.
//!
//! A change is a [`StreamOp`]. [`Streams::check`] says whether it may be made, [`Streams::apply`] makes it and tells what it
//! means for the segments' data as [`SegmentEffect`]s. The log holds operations that were checked, so that recovery applies the same ones in the
//! same order and comes to the same state: `apply` depends on nothing else.
//!
//! Both begin with the same plan of the change, which holds every rule; `check` throws it away and `apply` carries it out, which can't fail.
//!
//! The model is Pravega's. A stream is a row of epochs, each a set of segments that together hold all keys. Scaling replaces some segments
//! and begins the next epoch. What a transaction writes lies in segments of its own beside those of the epoch in which it was begun, and is
//! appended to them by the commit.

mod change;
mod cuts;
mod epochs;
mod op;
mod ranges;
mod stream;
#[cfg(test)]
mod tests;
mod time;
mod transactions;

use std::collections::BTreeMap;
use std::sync::Arc;

use serde::{Deserialize, Serialize};

use self::change::Change;
use crate::error::{Error, Result};
use crate::id::StreamName;

pub use self::epochs::{Epoch, MAX_SEGMENTS, SegmentRecord};
pub use self::op::{Lengths, SegmentEffect, StreamOp};
pub use self::stream::Stream;
pub use self::time::{MAX_MARKS, MAX_TIME_WRITERS, Mark};
pub use self::transactions::{
    MAX_ABORTED, MAX_LABEL, MAX_LEASE_MILLIS, MAX_OPEN_TRANSACTIONS, OpenTransaction, TransactionState,
};

/// All scopes and streams of a store.
///
/// Equal operations in equal order make equal states, which have equal postcard bytes.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct Streams {
    scopes: BTreeMap<Arc<str>, BTreeMap<Arc<str>, Stream>>,
}

impl Streams {
    /// Whether the operation may be made now. It is not made.
    ///
    /// # Errors
    ///
    /// What is wrong with it; each [`StreamOp`] says what it needs.
    pub fn check(&self, op: &StreamOp, lengths: &dyn Lengths) -> Result<()> {
        self.plan(op, lengths).map(drop)
    }

    /// Makes the operation and adds what follows for the segments to `effects`, in the order in which it is to be done.
    ///
    /// # Errors
    ///
    /// Those of [`check`](Self::check), for an operation that it would refuse. From a log that holds checked operations alone this is damage.
    /// Nothing has changed then.
    pub fn apply(
        &mut self,
        op: &StreamOp,
        effects: &mut Vec<SegmentEffect>,
        lengths: &dyn Lengths,
    ) -> Result<()> {
        let change = self.plan(op, lengths)?;
        self.make(change, effects);
        Ok(())
    }

    /// The scopes, in the order of their names.
    pub fn scopes(&self) -> impl Iterator<Item = &Arc<str>> {
        self.scopes.keys()
    }

    /// Whether there is a scope of this name.
    pub fn has_scope(&self, scope: &str) -> bool {
        self.scopes.contains_key(scope)
    }

    /// The streams of a scope, also those that the system made, in the order of their names; none if there is no such scope.
    pub fn streams<'a>(&'a self, scope: &'a str) -> impl Iterator<Item = StreamName> + 'a {
        self.scopes.get(scope).into_iter().flat_map(|streams| streams.values()).map(|s| s.name().clone())
    }

    /// A stream.
    ///
    /// # Errors
    ///
    /// [`Error::NoScope`] or [`Error::NoStream`].
    pub fn stream(&self, name: &StreamName) -> Result<&Stream> {
        self.scope(&name.scope)?.get(&*name.stream).ok_or_else(|| Error::NoStream(name.clone()))
    }

    fn scope(&self, scope: &str) -> Result<&BTreeMap<Arc<str>, Stream>> {
        self.scopes.get(scope).ok_or_else(|| Error::NoScope(scope.to_owned()))
    }

    fn plan<'a>(&self, op: &'a StreamOp, lengths: &dyn Lengths) -> Result<Change<'a>> {
        match op {
            StreamOp::CreateScope { scope } => {
                crate::id::check_scope(scope)?;
                match self.has_scope(scope) {
                    true => Err(Error::Exists(scope.to_string())),
                    false => Ok(Change::CreateScope(scope)),
                }
            }
            StreamOp::DeleteScope { scope } => match self.scope(scope)?.len() {
                0 => Ok(Change::DeleteScope(scope)),
                streams => Err(Error::ScopeNotEmpty { scope: scope.to_string(), streams }),
            },
            StreamOp::CreateStream { stream, segments, nonce, at } => {
                StreamName::new(&stream.scope, &stream.stream)?;
                let mut made = vec![Stream::create(stream.clone(), *segments, *nonce, *at)?];
                if !stream.is_internal() {
                    // Another nonce, so that no transaction of one is one of the other.
                    made.push(Stream::create(stream.marks(), 1, !*nonce, *at)?);
                }
                let there = self.scope(&stream.scope)?;
                match made.iter().find(|made| there.contains_key(&made.name().stream)) {
                    Some(made) => Err(Error::Exists(made.name().to_string())),
                    None => Ok(Change::CreateStreams(made)),
                }
            }
            StreamOp::DeleteStream { stream } => match self.stream(stream)?.is_sealed() {
                true => Ok(Change::DeleteStream(stream)),
                false => Err(Error::StreamNotSealed(stream.clone())),
            },
            StreamOp::SealStream { stream, .. }
            | StreamOp::Truncate { stream, .. }
            | StreamOp::Scale { stream, .. }
            | StreamOp::Begin { stream, .. }
            | StreamOp::Commit { stream, .. }
            | StreamOp::Abort { stream, .. }
            | StreamOp::NoteTime { stream, .. }
            | StreamOp::ForgetWriter { stream, .. } => {
                Ok(Change::OfStream(stream, self.stream(stream)?.plan(op, lengths)?))
            }
        }
    }

    fn make(&mut self, change: Change<'_>, effects: &mut Vec<SegmentEffect>) {
        match change {
            Change::CreateScope(scope) => {
                self.scopes.insert(scope.clone(), BTreeMap::new());
            }
            Change::DeleteScope(scope) => {
                self.scopes.remove(scope);
            }
            Change::CreateStreams(streams) => {
                for stream in streams {
                    effects.extend(
                        stream.segments().map(|(id, _)| SegmentEffect::Create(stream.segment_name(id))),
                    );
                    let StreamName { scope, stream: name } = stream.name().clone();
                    self.scopes.entry(scope).or_default().insert(name, stream);
                }
            }
            Change::DeleteStream(name) => {
                let Some(streams) = self.scopes.get_mut(&name.scope) else { return };
                let mut doomed = vec![name.clone()];
                if !name.is_internal() {
                    doomed.push(name.marks());
                }
                for name in doomed {
                    if let Some(stream) = streams.remove(&name.stream) {
                        stream.delete_all(effects);
                    }
                }
            }
            Change::OfStream(name, change) => {
                let streams = self.scopes.get_mut(&name.scope);
                if let Some(stream) = streams.and_then(|streams| streams.get_mut(&name.stream)) {
                    stream.make(change, effects);
                }
            }
        }
    }
}
