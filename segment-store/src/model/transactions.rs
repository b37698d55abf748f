//! Transactions: what becomes visible together or not at all.
//!
//! Nothing is kept of a transaction that was committed. Its id says that it was begun here, because it is computed from the stream's nonce,
//! the epoch and a counter; and whichever was begun, is not open and was not aborted was committed.

use std::collections::{BTreeMap, BTreeSet};

use serde::{Deserialize, Serialize};

use super::epochs::Step;
use super::op::SegmentEffect;
use super::stream::Stream;
use crate::error::{Error, Result};
use crate::id::{SegmentId, SegmentName, TransactionId};
use crate::key_range::KeyRange;

/// The most transactions of a stream that are open at a time.
pub const MAX_OPEN_TRANSACTIONS: usize = 1_000;
/// The most aborted transactions that a stream remembers. Of those before them nothing is known.
pub const MAX_ABORTED: usize = 100_000;
/// The longest label of a transaction, in bytes.
pub const MAX_LABEL: usize = 255;
/// The longest lease: 7 days.
pub const MAX_LEASE_MILLIS: u64 = 7 * 24 * 60 * 60 * 1_000;

/// How a transaction stands.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum TransactionState {
    /// It takes events.
    Open,
    /// What it wrote is in the stream.
    Committed,
    /// What it wrote is gone.
    Aborted,
    /// It was not begun here, or so long ago that nothing is known of it: it may have been committed or aborted.
    Unknown,
}

/// A transaction that takes events.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct OpenTransaction {
    /// How long it may stay open.
    pub lease_millis: u64,
    /// What its owner finds it by.
    pub label: String,
    /// When it was begun, in milliseconds since 1970.
    pub at: i64,
    /// The segments of the epoch in which it was begun, in the order of their keys. Beside each it has one of its own.
    pub segments: Vec<SegmentId>,
}

#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub(super) struct Transactions {
    nonce: u64,
    /// The counter of the next one.
    next: u32,
    last: Option<TransactionId>,
    open: BTreeMap<TransactionId, OpenTransaction>,
    /// By their counters.
    aborted: BTreeSet<u32>,
    /// Nothing is known of ended ones with counters below.
    forgotten_below: u32,
}

/// What a commit does, checked. A rolling one has the two steps.
pub(super) struct Merging {
    before: Option<Step>,
    /// Parent of the transaction's segment, and where what it holds goes.
    merges: Vec<(SegmentId, SegmentId)>,
    after: Option<Step>,
}

impl Transactions {
    pub(super) fn new(nonce: u64) -> Self {
        let (open, aborted) = (BTreeMap::new(), BTreeSet::new());
        Self { nonce, next: 0, last: None, open, aborted, forgotten_below: 0 }
    }

    /// The id that a transaction with this counter has, if it is begun in this epoch.
    ///
    /// Frozen: it is computed again to tell what became of transactions that earlier builds began. Mixed as in SplitMix64 (Steele, Lea, Flood,
    /// "Fast splittable pseudorandom number generators", OOPSLA 2014).
    fn id(&self, epoch: u32, counter: u32) -> TransactionId {
        const fn mix(seed: u64) -> u64 {
            let z = seed.wrapping_add(0x9e37_79b9_7f4a_7c15);
            let z = (z ^ (z >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
            let z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
            z ^ (z >> 31)
        }
        TransactionId::new(epoch, counter, mix(mix(self.nonce) ^ ((epoch as u64) << 32 | counter as u64)))
    }

    fn add_aborted(&mut self, counter: u32) {
        if counter >= self.forgotten_below {
            self.aborted.insert(counter);
        }
        if self.aborted.len() > MAX_ABORTED
            && let Some(oldest) = self.aborted.pop_first()
        {
            self.forgotten_below = oldest.saturating_add(1);
        }
    }
}

/// The second quarter of an id.
const fn counter(id: TransactionId) -> u32 {
    (id.0 >> 64) as u32
}

impl Stream {
    /// How a transaction stands.
    ///
    /// Of an ended one the answer is right as long as it is not [`Unknown`](TransactionState::Unknown): that is what is said of those begun
    /// before the oldest of the last [`MAX_ABORTED`] aborted ones, and of ids that this stream did not give.
    pub fn transaction(&self, id: TransactionId) -> TransactionState {
        let transactions = &self.transactions;
        let (epoch, counter) = (id.epoch(), counter(id));
        if transactions.open.contains_key(&id) {
            TransactionState::Open
        } else if epoch as usize >= self.epochs.len()
            || counter >= transactions.next
            || counter < transactions.forgotten_below
            || transactions.id(epoch, counter) != id
        {
            TransactionState::Unknown
        } else if transactions.aborted.contains(&counter) {
            TransactionState::Aborted
        } else {
            TransactionState::Committed
        }
    }

    /// The open transactions, those of the oldest epoch first, and of one epoch the oldest first.
    pub fn open_transactions(&self) -> impl Iterator<Item = (TransactionId, &OpenTransaction)> {
        self.transactions.open.iter().map(|(&id, transaction)| (id, transaction))
    }

    /// The transaction that was begun last, open or not.
    pub fn last_begun(&self) -> Option<TransactionId> {
        self.transactions.last
    }

    /// The segments that a transaction writes to.
    pub(super) fn segments_of(
        &self,
        id: TransactionId,
        transaction: &OpenTransaction,
    ) -> impl Iterator<Item = SegmentName> {
        transaction.segments.iter().map(move |&parent| self.segment_name(parent).within(id))
    }

    pub(super) fn open_transaction(&self, id: TransactionId) -> Result<&OpenTransaction> {
        let ended = |state| Error::TransactionEnded { stream: self.name().clone(), id, state };
        self.transactions.open.get(&id).ok_or_else(|| match self.transaction(id) {
            TransactionState::Committed => ended("committed"),
            TransactionState::Aborted => ended("aborted"),
            TransactionState::Open | TransactionState::Unknown => {
                Error::NoTransaction { stream: self.name().clone(), id }
            }
        })
    }

    pub(super) fn plan_begin(&self, lease_millis: u64, label: &str) -> Result<TransactionId> {
        self.check_not_sealed()?;
        if lease_millis == 0 {
            return Err(Error::invalid("the lease of a transaction", "it is 0 ms; at least 1 is needed"));
        }
        let Transactions { next, open, .. } = &self.transactions;
        for (what, given, limit) in [
            ("the lease of a transaction, in milliseconds", lease_millis, MAX_LEASE_MILLIS),
            ("the label of a transaction, in bytes", label.len() as u64, MAX_LABEL as u64),
            ("open transactions of a stream", open.len() as u64 + 1, MAX_OPEN_TRANSACTIONS as u64),
            ("transactions over the life of a stream", u64::from(*next) + 1, u32::MAX.into()),
        ] {
            if given > limit {
                return Err(Error::Limit { what, given, limit });
            }
        }
        Ok(self.transactions.id(self.epoch_ahead(0)?, *next))
    }

    pub(super) fn begin(
        &mut self,
        id: TransactionId,
        lease_millis: u64,
        label: &str,
        at: i64,
        effects: &mut Vec<SegmentEffect>,
    ) {
        let segments = self.current_segments().to_vec();
        let transaction = OpenTransaction { lease_millis, label: label.to_owned(), at, segments };
        effects.extend(self.segments_of(id, &transaction).map(SegmentEffect::Create));
        self.transactions.open.insert(id, transaction);
        self.transactions.last = Some(id);
        self.transactions.next = self.transactions.next.saturating_add(1);
    }

    pub(super) fn plan_commit(&self, id: TransactionId) -> Result<Merging> {
        let parents = &self.open_transaction(id)?.segments;
        let current = self.current_segments();
        // Segments of one number have the same keys: a later one repeats an earlier one.
        let by_number: BTreeMap<u32, SegmentId> = current.iter().map(|id| (id.number(), *id)).collect();
        let direct: Option<Vec<_>> =
            parents.iter().map(|&parent| Some((parent, *by_number.get(&parent.number())?))).collect();
        if let Some(merges) = direct {
            return Ok(Merging { before: None, merges, after: None });
        }
        let (late, newest) = (self.epoch_ahead(1)?, self.epoch_ahead(2)?);
        let again = |ids: &[SegmentId]| -> Vec<(u32, KeyRange)> {
            ids.iter().map(|&id| (id.number(), self.range(id))).collect()
        };
        let repeated = |&parent: &SegmentId| SegmentId::new(late, parent.number());
        Ok(Merging {
            before: Some(Step::again(late, current.iter().copied(), &again(parents))),
            merges: parents.iter().map(|parent| (*parent, repeated(parent))).collect(),
            after: Some(Step::again(newest, parents.iter().map(repeated), &again(current))),
        })
    }

    pub(super) fn commit(
        &mut self,
        id: TransactionId,
        merging: Merging,
        at: i64,
        effects: &mut Vec<SegmentEffect>,
    ) {
        let Merging { before, merges, after } = merging;
        self.transactions.open.remove(&id);
        if let Some(step) = before {
            self.step(step, at, effects);
        }
        for (parent, into) in merges {
            let (from, into) = (self.segment_name(parent).within(id), self.segment_name(into));
            effects.push(SegmentEffect::Merge { from, into });
        }
        if let Some(step) = after {
            self.step(step, at, effects);
        }
    }

    pub(super) fn abort(&mut self, id: TransactionId, effects: &mut Vec<SegmentEffect>) {
        if let Some(transaction) = self.transactions.open.remove(&id) {
            effects.extend(self.segments_of(id, &transaction).map(SegmentEffect::Delete));
            self.transactions.add_aborted(counter(id));
        }
    }
}
