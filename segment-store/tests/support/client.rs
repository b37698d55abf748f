//! A client that does random things to a stream of its own and knows what must have become of it.

mod operations;

use std::collections::{BTreeMap, BTreeSet};
use std::time::Duration;

use segment_store::client::StoreClient;
use segment_store::{Appended, Error, SegmentId, SegmentName, Store, StreamName, TransactionId, WriterId};
use testkit::fs::SimFs;
use testkit::random::SeededRandom;

use super::model::Stream;
use super::view::{self, View};
use super::{append, payload};

/// Why a client stops.
#[derive(Debug)]
pub enum Stop {
    /// Its process died.
    Dead,
    /// The store did what it must not do.
    Wrong(String),
}

pub type Step<T = ()> = Result<T, Stop>;

pub fn wrong<T>(what: impl Into<String>) -> Step<T> {
    Err(Stop::Wrong(what.into()))
}

#[derive(Debug)]
pub struct Client {
    pub number: u64,
    pub name: StreamName,
    pub random: SeededRandom,
    /// The first one is certain, the last one is what is there if all that was asked for was done.
    candidates: Vec<Option<Stream>>,
    /// How many were dropped.
    base: usize,
    ids: BTreeMap<String, TransactionId>,
    next: i64,
    labels: u64,
    /// Of what it wrote to the segment that all clients write to: the last event that is there for certain, and the last that was tried.
    pub shared: (i64, i64),
    pub acknowledged: u64,
    pub settled: u64,
}

impl Client {
    pub fn new(number: u64, seed: u64) -> Self {
        Self {
            number,
            name: super::stream(&format!("a/{number}")),
            random: SeededRandom::new(seed * 7919 + number),
            candidates: vec![None],
            base: 0,
            ids: BTreeMap::new(),
            next: 0,
            labels: 0,
            shared: (-1, -1),
            acknowledged: 0,
            settled: 0,
        }
    }

    pub fn now(&self) -> &Option<Stream> {
        self.candidates.last().unwrap()
    }

    fn model(&self) -> Stream {
        self.now().clone().unwrap()
    }

    /// Something is about to be asked for; says its number.
    fn ask(&mut self, next: Option<Stream>) -> usize {
        self.candidates.push(next);
        self.base + self.candidates.len() - 1
    }

    fn done(&mut self, number: usize) {
        self.acknowledged += 1;
        let gone = number.saturating_sub(self.base);
        self.candidates.drain(..gone);
        self.base += gone;
    }

    /// Finds out what became of what was asked for.
    pub async fn settle(&mut self, fs: &SimFs, store: &Store) -> Step {
        self.settled += 1;
        let ids: BTreeSet<SegmentId> =
            self.candidates.iter().flatten().flat_map(|stream| stream.segments.keys().copied()).collect();
        for _ in 0..200 {
            match view::of_store(store, &self.name, &ids, &mut self.ids).await {
                Ok(seen) => return self.choose(seen),
                Err(_) if fs.is_frozen() => return Err(Stop::Dead),
                Err(Error::Unavailable { .. } | Error::Io { .. }) => {
                    tokio::time::sleep(Duration::from_millis(20)).await;
                }
                Err(error) => return wrong(format!("{}: {error}", self.name)),
            }
        }
        wrong(format!("{}: the store does not come back", self.name))
    }

    fn choose(&mut self, seen: Option<View>) -> Step {
        let expected: Vec<_> = self.candidates.iter().map(|c| c.as_ref().map(view::of_model)).collect();
        let Some(at) = expected.iter().rposition(|expected| *expected == seen) else {
            let why: Vec<_> = expected.iter().map(|expected| view::difference(&seen, expected)).collect();
            return wrong(format!("{}: it is none of {}: {why:#?}", self.name, why.len()));
        };
        self.base += at;
        self.candidates = vec![self.candidates.swap_remove(at)];
        if seen.is_none() {
            self.ids.clear();
        }
        Ok(())
    }

    /// What a change that was asked for came to.
    async fn made<T>(
        &mut self,
        fs: &SimFs,
        store: &Store,
        number: usize,
        made: Result<T, Error>,
    ) -> Step<Option<T>> {
        match made {
            Ok(value) => {
                self.done(number);
                Ok(Some(value))
            }
            Err(_) if fs.is_frozen() => Err(Stop::Dead),
            Err(Error::Unavailable { .. }) => self.settle(fs, store).await.map(|()| None),
            Err(error) => wrong(format!("{}: {error}", self.name)),
        }
    }

    /// Does one random thing.
    pub async fn step(&mut self, fs: &SimFs, store: &Store) -> Step {
        let Some(now) = self.now() else { return self.create(fs, store).await };
        if now.sealed {
            return match self.random.below(3) {
                0 => self.read(fs, store).await,
                _ => self.delete(fs, store).await,
            };
        }
        match self.random.below(100) {
            0..30 => self.burst(fs, store, None).await,
            30..44 => self.share(fs, store).await,
            44..50 => self.refused(fs, store).await,
            50..55 => self.attribute(fs, store).await,
            55..60 => self.scale(fs, store).await,
            60..67 => self.truncate(fs, store).await,
            67..75 => self.begin(fs, store).await,
            75..83 => self.end(fs, store).await,
            83..86 => other(fs, store.snapshot().await),
            86..90 => other(fs, store.upkeep().await),
            90..98 => self.read(fs, store).await,
            _ => {
                let mut next = self.model();
                next.seal();
                let number = self.ask(Some(next));
                let made = store.seal_stream(&self.name).await;
                self.made(fs, store, number, made).await.map(drop)
            }
        }
    }

    fn pick<T: Clone>(&self, from: &[T]) -> T {
        from[self.random.below(from.len() as u64) as usize].clone()
    }

    fn bytes(&self) -> Vec<u8> {
        let length =
            if self.random.chance(20) { 1000 + self.random.below(6000) } else { self.random.below(500) };
        payload(self.number << 40 | self.next as u64, length as usize)
    }

    /// Appends some blocks of one writer to one segment without waiting in between, in the stream or within a transaction.
    async fn burst(&mut self, fs: &SimFs, store: &Store, label: Option<&str>) -> Step {
        let (mut acks, mut failed) = (Vec::new(), None);
        let writer = 1 + u128::from(self.random.below(2));
        let now = self.model();
        let id = self.pick(&label.map_or(now.current, |label| now.open[label].keys().copied().collect()));
        for _ in 0..1 + self.random.below(4) {
            let mut next = self.model();
            self.next += 1;
            let bytes = self.bytes();
            let mut name = SegmentName::new(self.name.clone(), id);
            let segment = match label {
                Some(label) => {
                    name = name.within(self.ids[label]);
                    next.open.get_mut(label).unwrap().get_mut(&id).unwrap()
                }
                None => next.segments.get_mut(&id).unwrap(),
            };
            let at = self.random.chance(20).then_some(segment.length());
            let what = append(writer, self.next, segment.attributes.get(&writer).copied(), &bytes);
            segment.append(writer, self.next, &bytes);
            let end = segment.length();
            let number = self.ask(Some(next));
            match store.append(&name, Appended { at, ..what }).await {
                Ok(ack) if ack.is_repeated() => return wrong(format!("{name}: a new event is a repetition")),
                Ok(ack) => acks.push((number, end, ack)),
                Err(error) => {
                    failed = Some(error);
                    break;
                }
            }
        }
        let mut has_failed = false;
        for (number, end, ack) in acks {
            match ack.durable().await {
                Ok(told) if told != end => return wrong(format!("{}: ends at {told}, not {end}", self.name)),
                Ok(_) => self.done(number),
                Err(_) if fs.is_frozen() => return Err(Stop::Dead),
                Err(Error::Unavailable { .. }) => has_failed = true,
                Err(error) => return wrong(format!("{}: {error}", self.name)),
            }
        }
        match failed {
            None if !has_failed => Ok(()),
            Some(_) if fs.is_frozen() => Err(Stop::Dead),
            // The append before this one failed.
            Some(Error::Condition { .. }) if has_failed => self.settle(fs, store).await,
            None | Some(Error::Unavailable { .. }) => self.settle(fs, store).await,
            Some(error) => wrong(format!("{}: {error}", self.name)),
        }
    }

    /// Appends to the segment that all clients write to.
    async fn share(&mut self, fs: &SimFs, store: &Store) -> Step {
        let name = super::segment("a/shared", 0);
        let (last, event) = (self.shared.0, self.shared.1.max(self.shared.0) + 1);
        let bytes = shared_event(self.number, event);
        self.shared.1 = event;
        let previous = (last >= 0).then_some(last);
        let what = append(u128::from(self.number) + 100, event, previous, &bytes);
        let made = match store.append(&name, what).await {
            Ok(ack) => ack.durable().await,
            Err(error) => Err(error),
        };
        match made {
            Ok(_) => self.shared.0 = event,
            Err(_) if fs.is_frozen() => return Err(Stop::Dead),
            Err(Error::Unavailable { .. }) => return self.ask_shared(fs, store).await,
            Err(error) => return wrong(format!("{name}: {error}")),
        }
        Ok(())
    }

    /// Finds out what of it is there.
    pub async fn ask_shared(&mut self, fs: &SimFs, store: &Store) -> Step {
        let name = super::segment("a/shared", 0);
        for _ in 0..200 {
            match store.last_event(&name, WriterId(u128::from(self.number) + 100)).await {
                Ok(last) => {
                    let last = last.unwrap_or(-1);
                    if last < self.shared.0 || last > self.shared.1 {
                        return wrong(format!(
                            "{name}: {last} is last of {}, known {:?}",
                            self.number, self.shared
                        ));
                    }
                    self.shared = (last, last);
                    return Ok(());
                }
                Err(_) if fs.is_frozen() => return Err(Stop::Dead),
                Err(Error::Unavailable { .. } | Error::Io { .. }) => {
                    tokio::time::sleep(Duration::from_millis(20)).await;
                }
                Err(error) => return wrong(format!("{name}: {error}")),
            }
        }
        wrong("the store does not come back")
    }
}

/// What may fail as the disk does.
fn other<T>(fs: &SimFs, made: Result<T, Error>) -> Step {
    match made {
        Ok(_) => Ok(()),
        Err(_) if fs.is_frozen() => Err(Stop::Dead),
        Err(Error::Unavailable { .. } | Error::Io { .. }) => Ok(()),
        Err(error) => wrong(format!("{error}")),
    }
}

pub fn shared_event(client: u64, event: i64) -> Vec<u8> {
    let body = payload(client << 50 | event as u64, 20 + (event as usize * 37) % 900);
    let mut bytes = vec![client as u8];
    bytes.extend_from_slice(&event.to_le_bytes());
    bytes.extend_from_slice(&(body.len() as u32).to_le_bytes());
    bytes.extend_from_slice(&body);
    bytes
}
