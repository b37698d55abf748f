//! What a user sees of a stream.

use std::collections::{BTreeMap, BTreeSet};

use segment_store::client::StoreClient;
use segment_store::model::TransactionState;
use segment_store::{Error, SegmentId, SegmentName, Store, StreamCut, StreamName, TransactionId, WriterId};

use super::model::{Segment, Stream};
use super::read_all;

/// The attributes that are looked at: those of the writers, and one that users set.
pub const ATTRIBUTES: [u128; 3] = [1, 2, 99];

#[derive(Clone, Debug, PartialEq)]
pub struct View {
    pub current: Vec<SegmentId>,
    pub head: StreamCut,
    pub sealed: bool,
    pub segments: BTreeMap<SegmentId, Segment>,
    /// The bytes in each open transaction.
    pub open: BTreeMap<String, BTreeMap<SegmentId, Vec<u8>>>,
    pub ended: BTreeMap<String, bool>,
}

/// What must be seen of a model.
pub fn of_model(stream: &Stream) -> View {
    let bytes =
        |parts: &super::model::Parts| parts.iter().map(|(&id, part)| (id, part.bytes.clone())).collect();
    View {
        current: stream.current.clone(),
        head: stream.head.clone(),
        sealed: stream.sealed,
        segments: stream.segments.clone(),
        open: stream.open.iter().map(|(label, parts)| (label.clone(), bytes(parts))).collect(),
        ended: stream.ended.clone(),
    }
}

/// What is seen. `ids` are the segments that may be there, `known` the transactions whose ids were told.
pub async fn of_store(
    store: &Store,
    name: &StreamName,
    ids: &BTreeSet<SegmentId>,
    known: &mut BTreeMap<String, TransactionId>,
) -> Result<Option<View>, Error> {
    let info = match store.stream(name).await {
        Err(Error::NoStream(_) | Error::NoScope(_)) => return Ok(None),
        other => other?,
    };
    let mut segments = BTreeMap::new();
    for &id in ids {
        if let Some(segment) = seen(store, &SegmentName::new(name.clone(), id)).await? {
            segments.insert(id, segment);
        }
    }
    let (mut open, mut ended) = (BTreeMap::new(), BTreeMap::new());
    for transaction in store.open_transactions(name).await?.unwrap_or_default() {
        known.insert(transaction.label.clone(), transaction.id);
        let mut parts = BTreeMap::new();
        for &id in ids {
            let part = SegmentName::new(name.clone(), id).within(transaction.id);
            match store.segment(&part).await {
                Ok(_) => drop(parts.insert(id, read_all(store, &part, 0).await?)),
                Err(Error::NoSegment(_)) => {}
                Err(error) => return Err(error),
            }
        }
        open.insert(transaction.label, parts);
    }
    for (label, &id) in &*known {
        if open.contains_key(label) {
            continue;
        }
        match store.transaction(name, id).await? {
            TransactionState::Committed => drop(ended.insert(label.clone(), true)),
            TransactionState::Aborted => drop(ended.insert(label.clone(), false)),
            // One whose beginning was never acknowledged and is not there.
            TransactionState::Unknown => {}
            TransactionState::Open => drop(open.insert(label.clone(), BTreeMap::new())),
        }
    }
    let current = info.current.into_iter().map(|(id, _)| id).collect();
    Ok(Some(View { current, head: info.head, sealed: info.is_sealed, segments, open, ended }))
}

async fn seen(store: &Store, name: &SegmentName) -> Result<Option<Segment>, Error> {
    let info = match store.segment(name).await {
        Err(Error::NoSegment(_)) => return Ok(None),
        other => other?,
    };
    let mut attributes = BTreeMap::new();
    for attribute in ATTRIBUTES {
        if let Some(value) = store.last_event(name, WriterId(attribute)).await? {
            attributes.insert(attribute, value);
        }
    }
    let bytes = read_all(store, name, info.start).await?;
    if info.length != info.start + bytes.len() as u64 {
        return Ok(None);
    }
    Ok(Some(Segment { start: info.start, bytes, sealed: info.is_sealed, attributes }))
}

/// In what two views differ first.
pub fn difference(seen: &Option<View>, expected: &Option<View>) -> String {
    let (seen, expected) = match (seen, expected) {
        (Some(seen), Some(expected)) => (seen, expected),
        (seen, expected) => return format!("there: {}, expected: {}", seen.is_some(), expected.is_some()),
    };
    for id in seen.segments.keys().chain(expected.segments.keys()) {
        match (seen.segments.get(id), expected.segments.get(id)) {
            (Some(a), Some(b)) if a != b => {
                let at = a.bytes.iter().zip(&b.bytes).position(|(a, b)| a != b);
                let text = |s: &Segment| {
                    format!("{}..{} sealed {} {:?}", s.start, s.length(), s.sealed, s.attributes)
                };
                return format!("segment {id}: {}, expected {}, first other byte {at:?}", text(a), text(b));
            }
            (a, b) if a.is_some() != b.is_some() => return format!("segment {id}: there {}", a.is_some()),
            _ => {}
        }
    }
    let keys = |view: &View| {
        view.open
            .iter()
            .map(|(l, p)| format!("{l}:{}", p.values().map(Vec::len).sum::<usize>()))
            .collect::<Vec<_>>()
    };
    format!(
        "current {:?} {:?}, head {} {}, sealed {} {}, open {:?} {:?}, ended {:?} {:?}",
        seen.current,
        expected.current,
        seen.head,
        expected.head,
        seen.sealed,
        expected.sealed,
        keys(seen),
        keys(expected),
        seen.ended,
        expected.ended
    )
}
