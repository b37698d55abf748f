//! What a client does beside writing.

use std::time::Duration;

use segment_store::client::StoreClient;
use segment_store::{Appended, Error, KeyRange, SegmentId, SegmentName, Store};
use testkit::fs::SimFs;

use super::super::append;
use super::super::model::Stream;
use super::{Client, Step, other, wrong};

impl Client {
    pub(super) async fn create(&mut self, fs: &SimFs, store: &Store) -> Step {
        let segments = 1 + self.random.below(2) as u32;
        let number = self.ask(Some(Stream::new(segments)));
        let made = store.create_stream(&self.name, segments).await;
        self.made(fs, store, number, made).await.map(drop)
    }

    pub(super) async fn delete(&mut self, fs: &SimFs, store: &Store) -> Step {
        let number = self.ask(None);
        let made = store.delete_stream(&self.name).await;
        self.made(fs, store, number, made).await?;
        if self.now().is_none() {
            self.ids.clear();
        }
        Ok(())
    }

    /// Things that must be refused, or be a repetition.
    pub(super) async fn refused(&mut self, fs: &SimFs, store: &Store) -> Step {
        let now = self.model();
        let id = self.pick(&now.current);
        let (name, segment) = (SegmentName::new(self.name.clone(), id), &now.segments[&id]);
        let last = segment.attributes.get(&1).copied();
        let kind = self.random.below(3);
        let what = match (kind, last) {
            (0, None) => return Ok(()),
            (0, Some(last)) => append(1, last, Some(last), b"again"),
            (1, _) => append(1, i64::MAX, Some(last.unwrap_or(0) + 1), b"behind a lost one"),
            _ => Appended { at: Some(segment.length() + 1), ..append(1, i64::MAX, last, b"elsewhere") },
        };
        match (kind, store.append(&name, what).await) {
            (0, Ok(ack)) if ack.is_repeated() => other(fs, ack.durable().await),
            (1, Err(Error::Unavailable { .. })) | (2, Err(Error::Condition { .. })) => Ok(()),
            (_, Err(error)) => other(fs, Err::<(), _>(error)),
            (kind, Ok(_)) => wrong(format!("{name}: {kind} was taken")),
        }
    }

    pub(super) async fn attribute(&mut self, fs: &SimFs, store: &Store) -> Step {
        let mut next = self.model();
        let id = self.pick(&next.current);
        let name = SegmentName::new(self.name.clone(), id);
        let segment = next.segments.get_mut(&id).unwrap();
        let expected = segment.attributes.get(&99).copied();
        let value = self.random.chance(70).then_some(self.random.below(1000) as i64);
        match store.set_attribute(&name, 99, Some(-5), value).await {
            Err(Error::Attribute { .. }) => {}
            Ok(()) => return wrong(format!("{name}: an attribute was set against its condition")),
            error => return other(fs, error),
        }
        match value {
            Some(value) => drop(segment.attributes.insert(99, value)),
            None => drop(segment.attributes.remove(&99)),
        }
        let number = self.ask(Some(next));
        let made = store.set_attribute(&name, 99, expected, value).await;
        self.made(fs, store, number, made).await.map(drop)
    }

    pub(super) async fn scale(&mut self, fs: &SimFs, store: &Store) -> Step {
        let mut next = self.model();
        let (seal, ranges) = if next.current.len() > 3 || self.random.chance(50) {
            (next.current.clone(), KeyRange::even(1 + self.random.below(3) as u32))
        } else {
            let id = self.pick(&next.current);
            let KeyRange { low, high } = next.ranges[&id];
            let middle = (low + high) / 2.0;
            (vec![id], vec![KeyRange { low, high: middle }, KeyRange { low: middle, high }])
        };
        next.scale(&seal, &ranges);
        let number = self.ask(Some(next));
        let made = store.scale(&self.name, &seal, &ranges).await;
        self.made(fs, store, number, made).await.map(drop)
    }

    pub(super) async fn truncate(&mut self, fs: &SimFs, store: &Store) -> Step {
        let mut next = self.model();
        let within = |id: &SegmentId| {
            let segment = &next.segments[id];
            (*id, segment.start + self.random.below(segment.bytes.len() as u64 + 1))
        };
        let cut = next.current.iter().map(within).collect();
        next.truncate(&cut);
        let number = self.ask(Some(next));
        let made = store.truncate(&self.name, &cut).await;
        self.made(fs, store, number, made).await.map(drop)
    }

    pub(super) async fn begin(&mut self, fs: &SimFs, store: &Store) -> Step {
        let mut next = self.model();
        self.labels += 1;
        let label = format!("{}", self.labels);
        next.begin(&label);
        let number = self.ask(Some(next));
        let made = store.begin(&self.name, Duration::from_secs(36_000), &label).await;
        if let Some(id) = self.made(fs, store, number, made).await? {
            self.ids.insert(label.clone(), id);
        }
        if self.model().open.contains_key(&label) {
            self.burst(fs, store, Some(&label)).await?;
        }
        Ok(())
    }

    /// Writes more into a transaction, or ends it.
    pub(super) async fn end(&mut self, fs: &SimFs, store: &Store) -> Step {
        let mut next = self.model();
        let labels: Vec<_> = next.open.keys().cloned().collect();
        if labels.is_empty() {
            return Ok(());
        }
        let label = self.pick(&labels);
        let id = self.ids[&label];
        let kind = self.random.below(10);
        match kind {
            0..2 => return self.burst(fs, store, Some(&label)).await,
            2..4 => next.abort(&label),
            _ => next.commit(&label),
        }
        let number = self.ask(Some(next));
        let made = match kind {
            2..4 => store.abort(&self.name, id).await,
            _ => store.commit(&self.name, id).await,
        };
        self.made(fs, store, number, made).await.map(drop)
    }

    pub(super) async fn read(&mut self, fs: &SimFs, store: &Store) -> Step {
        let now = self.model();
        let ids: Vec<_> = now.segments.keys().copied().collect();
        let id = self.pick(&ids);
        let segment = &now.segments[&id];
        let from = self.random.below(segment.bytes.len() as u64 + 1) as usize;
        let name = SegmentName::new(self.name.clone(), id);
        let max = 1 + self.random.below(9000) as usize;
        match store.read(&name, segment.start + from as u64, max, Duration::ZERO).await {
            Ok(read) if read.bytes.is_empty() == (from < segment.bytes.len()) => {
                wrong(format!("{name}: {} bytes at {from}", read.bytes.len()))
            }
            Ok(read) if segment.bytes[from..].starts_with(&read.bytes) => Ok(()),
            Ok(_) => wrong(format!("{name}: other bytes at {from}")),
            error => other(fs, error),
        }
    }
}
