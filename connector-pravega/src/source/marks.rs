//! Watermarks of a stream: behind the cut of a mark every event has at least its time.

use std::collections::HashMap;
use std::sync::Arc;
use std::time::Duration;

use connector_api::env::Environment;
use segment_store::client::StoreClient;
use segment_store::model::Mark;
use segment_store::{KeyRange, Result, SegmentId, SegmentName, StreamName};
use tokio::sync::Mutex;

/// How often the store is asked at most.
const INTERVAL: Duration = Duration::from_millis(200);

#[derive(Debug, Default)]
struct Known {
    asked: Option<Duration>,
    marks: Arc<[Mark]>,
    /// The keys of segments, which never change.
    ranges: HashMap<SegmentId, KeyRange>,
}

/// The marks of a stream, shared by the segments that a reader reads.
#[derive(Debug)]
pub(super) struct Marks {
    env: Environment,
    stream: StreamName,
    known: Mutex<Known>,
}

impl Marks {
    pub(super) fn new(env: Environment, stream: StreamName) -> Self {
        Self { env, stream, known: Mutex::default() }
    }

    /// The watermark of a segment that was read up to `offset`, if there is one. A store that does not answer gives none: what is next
    /// read of it says why.
    pub(super) async fn watermark(
        &self,
        client: &dyn StoreClient,
        segment: SegmentId,
        offset: u64,
    ) -> Option<i64> {
        let mut known = self.known.lock().await;
        let now = self.env.clock.monotonic();
        if known.asked.is_none_or(|asked| now.saturating_sub(asked) >= INTERVAL) {
            known.asked = Some(now);
            if let Ok(marks) = client.marks(&self.stream).await {
                known.marks = marks.into();
            }
        }
        let marks = known.marks.clone();
        for mark in marks.iter().rev() {
            let is_past = match mark.cut.offset(segment) {
                Some(at) => offset >= at,
                None => self.is_later(client, &mut known, mark, segment).await.unwrap_or(false),
            };
            if is_past {
                return Some(mark.millis.saturating_sub(1));
            }
        }
        None
    }

    /// Whether a segment that the cut does not go through follows on those of its keys that it goes through. Each of those is one that
    /// it follows on, or one that follows on it; a later one has a greater id.
    async fn is_later(
        &self,
        client: &dyn StoreClient,
        known: &mut Known,
        mark: &Mark,
        segment: SegmentId,
    ) -> Result<bool> {
        // Most cuts need no ranges.
        if mark.cut.iter().all(|(id, _)| id < segment) {
            return Ok(true);
        }
        let range = self.range(client, known, segment).await?;
        for (id, _) in mark.cut.iter().filter(|(id, _)| *id > segment) {
            if self.range(client, known, id).await?.overlaps(&range) {
                return Ok(false);
            }
        }
        Ok(true)
    }

    async fn range(&self, client: &dyn StoreClient, known: &mut Known, id: SegmentId) -> Result<KeyRange> {
        if let Some(range) = known.ranges.get(&id) {
            return Ok(*range);
        }
        let range = client.segment(&SegmentName::new(self.stream.clone(), id)).await?.range;
        known.ranges.insert(id, range);
        Ok(range)
    }
}
