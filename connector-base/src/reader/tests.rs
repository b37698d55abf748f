//! The reader as a host sees it, over splits whose reader a test can hold up.

use std::future::poll_fn;
use std::sync::atomic::{AtomicU32, AtomicUsize, Ordering};
use std::time::Duration;

use async_trait::async_trait;
use connector_api::Batch;
use futures::FutureExt;
use proptest::prelude::*;
use serde::{Deserialize, Serialize};
use tokio::sync::Semaphore;

use super::*;
use crate::test_support::environment;

#[path = "hooks_tests.rs"]
mod hooks;

/// Numbers `next..end`, in batches of `size`.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
struct Numbers {
    name: String,
    next: u64,
    skip: u64,
    end: u64,
    size: u64,
}
connector_api::stored!(Numbers, "numbers");

impl Split for Numbers {
    fn id(&self) -> SplitId {
        SplitId::new(self.name.as_str())
    }
}

fn numbers(name: &str, end: u64) -> Numbers {
    Numbers { name: name.into(), next: 0, skip: 0, end, size: 10 }
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum How {
    Each,
    By,
    Whole,
    /// States `Whole` and forgets to store what to skip.
    Forgets,
    /// Position moves without rows behind every batch.
    Marks,
    Watermarks,
    Fails,
    Panics,
    Hangs,
}

/// What a test sees of the author's side.
#[derive(Default)]
struct Seen {
    fetches: AtomicUsize,
    readers: AtomicU32,
}

struct Source {
    how: How,
    seen: Arc<Seen>,
    /// A permit per fetch.
    gate: Arc<Semaphore>,
}

struct NumberReader {
    how: How,
    split: Numbers,
    mark: bool,
    seen: Arc<Seen>,
    gate: Arc<Semaphore>,
}

impl Drop for NumberReader {
    fn drop(&mut self) {
        self.seen.readers.fetch_sub(1, Ordering::SeqCst);
    }
}

#[async_trait]
impl SplitReader for NumberReader {
    type Batch = Vec<u64>;
    type Position = u64;

    async fn fetch(&mut self) -> Result<Option<Fetched<Vec<u64>, u64>>> {
        self.gate.acquire().await.unwrap().forget();
        self.seen.fetches.fetch_add(1, Ordering::SeqCst);
        let (start, end) = (self.split.next, (self.split.next + self.split.size).min(self.split.end));
        if std::mem::take(&mut self.mark) {
            return Ok(Some(Fetched::Position(start)));
        }
        match self.how {
            How::Fails if start > 0 => return Err(Error::data("broker", Some(start), "is down")),
            How::Panics if start > 0 => panic!("{start} is too much"),
            How::Hangs => std::future::pending().await,
            _ => {}
        }
        if start == end {
            return Ok(None);
        }
        self.split.next = end;
        self.mark = self.how == How::Marks;
        let positions = match self.how {
            How::Each => Positions::Each((start + 1..=end).collect()),
            How::Whole | How::Forgets => Positions::Whole(start),
            _ => Positions::by(move |n| start + n as u64),
        };
        let watermark = (self.how == How::Watermarks).then_some(end as i64);
        Ok(Some(Fetched::Rows { batch: Batch::new((start..end).collect()), positions, watermark }))
    }
}

#[async_trait]
impl SplitReaderFactory for Source {
    type Split = Numbers;
    type Reader = NumberReader;

    async fn open(&self, split: &Numbers) -> Result<NumberReader> {
        self.seen.readers.fetch_add(1, Ordering::SeqCst);
        let (seen, gate) = (Arc::clone(&self.seen), Arc::clone(&self.gate));
        Ok(NumberReader { how: self.how, split: split.clone(), mark: false, seen, gate })
    }

    fn advance(&self, split: &mut Numbers, position: u64, skip: u64) {
        split.next = position;
        split.skip = if self.how == How::Forgets { 0 } else { skip };
    }

    fn skip(&self, split: &Numbers) -> u64 {
        split.skip
    }
}

struct Test {
    reader: SplitFetchReader<Source>,
    seen: Arc<Seen>,
    gate: Arc<Semaphore>,
}

type Event = ReaderEvent<Vec<u64>>;

impl Test {
    /// A reader that asks for nothing, whose fetches go on at once.
    fn new(how: How) -> Self {
        Self::with(how, ReaderOptions { splits: 0, ..ReaderOptions::default() })
    }

    fn with(how: How, options: ReaderOptions) -> Self {
        let (seen, gate) = (Arc::<Seen>::default(), Arc::new(Semaphore::new(1 << 20)));
        let source = Source { how, seen: Arc::clone(&seen), gate: Arc::clone(&gate) };
        Self { reader: SplitFetchReader::new(source, environment(), options), seen, gate }
    }

    fn handle(&mut self, command: ReaderCommand<Numbers>) {
        self.reader.handle(command).unwrap();
    }

    fn add(&mut self, splits: impl IntoIterator<Item = Numbers>) {
        self.handle(ReaderCommand::AddSplits(splits.into_iter().collect()));
    }

    async fn poll(&mut self) -> Result<Event> {
        let next = poll_fn(|cx| self.reader.poll_next(cx));
        tokio::time::timeout(Duration::from_secs(10), next).await.expect("the reader hangs")
    }

    async fn next(&mut self) -> Event {
        self.poll().await.unwrap()
    }

    /// Whether nothing comes, however long one waits (as far as tasks on this thread go).
    async fn is_silent(&mut self) -> bool {
        for _ in 0..50 {
            tokio::task::yield_now().await;
            let polled = poll_fn(|cx| Poll::Ready(self.reader.poll_next(cx))).await;
            if polled.is_ready() {
                return false;
            }
        }
        true
    }

    fn snapshot(&mut self, checkpoint: u64, unemitted: usize) -> Vec<Numbers> {
        self.reader.snapshot(CheckpointId(checkpoint), unemitted).unwrap()
    }

    async fn close(&mut self) {
        let closed = poll_fn(|cx| self.reader.poll_close(cx));
        tokio::time::timeout(Duration::from_secs(10), closed).await.expect("it does not close").unwrap();
    }
}

fn ids(names: &[&str]) -> Vec<SplitId> {
    names.iter().map(|name| SplitId::new(*name)).collect()
}

fn rows(event: Event) -> (String, Vec<u64>) {
    match event {
        ReaderEvent::Batch { split, batch } => (split.to_string(), batch.rows),
        other => panic!("{other:?}"),
    }
}

/// What is read from these splits on.
async fn read_on(how: How, splits: Vec<Numbers>) -> Vec<u64> {
    let mut test = Test::new(how);
    test.add(splits);
    test.handle(ReaderCommand::NoMoreSplits);
    let mut all = Vec::new();
    loop {
        match test.next().await {
            ReaderEvent::Batch { batch, .. } => all.extend(batch.rows),
            ReaderEvent::EndOfInput => return all,
            _ => {}
        }
    }
}

fn runtime() -> tokio::runtime::Runtime {
    tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap()
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(64))]
    #[test]
    fn a_snapshot_at_any_prefix_restores_exactly_the_rest(
        how in prop::sample::select(vec![How::Each, How::By, How::Whole, How::Marks, How::Watermarks]),
        end in 0u64..60,
        events in 0usize..14,
        kept in 0usize..=10,
        again in 0usize..5,
        kept_again in 0usize..=10,
    ) {
        runtime().block_on(async move {
            let mut emitted = Vec::new();
            let mut splits = vec![numbers("s", end)];
            // Twice: the second time from a position that was stored.
            for (events, kept) in [(events, kept), (again, kept_again)] {
                let mut test = Test::new(how);
                test.add(splits.clone());
                let mut last = 0;
                for _ in 0..events {
                    match test.next().await {
                        ReaderEvent::Batch { batch, .. } => {
                            last = batch.rows.len();
                            emitted.extend(batch.rows);
                        }
                        ReaderEvent::SplitFinished(_) => break,
                        _ => {}
                    }
                }
                let kept = kept.min(last);
                emitted.truncate(emitted.len() - kept);
                splits = test.snapshot(1, kept);
                prop_assert_eq!(splits.len(), 1);
            }
            emitted.extend(read_on(how, splits).await);
            prop_assert_eq!(emitted, (0..end).collect::<Vec<_>>());
            Ok(())
        })?;
    }
}

#[tokio::test]
async fn a_factory_that_forgets_the_rows_to_skip_is_found_out() {
    let mut test = Test::new(How::Forgets);
    test.add([numbers("s", 30)]);
    rows(test.next().await);
    let error = test.reader.snapshot(CheckpointId(1), 3).unwrap_err().to_string();
    assert!(error.contains("split s") && error.contains("skip 7 rows"), "{error}");
}

#[tokio::test]
async fn the_end_comes_once_after_all_splits_also_without_any() {
    for splits in [vec![], vec![numbers("a", 25), numbers("b", 5), numbers("c", 0)]] {
        let count = splits.len();
        let mut test = Test::new(How::By);
        test.add(splits);
        test.handle(ReaderCommand::NoMoreSplits);
        let mut finished = 0;
        loop {
            match test.next().await {
                ReaderEvent::SplitFinished(_) => finished += 1,
                ReaderEvent::EndOfInput => break,
                _ => {}
            }
        }
        assert_eq!(finished, count);
        assert!(test.is_silent().await);
        test.close().await;
    }
}

#[tokio::test]
async fn splits_are_asked_for_up_to_the_wanted_number_and_never_twice_for_one_need() {
    let mut test = Test::with(How::By, ReaderOptions { splits: 2, ..ReaderOptions::default() });
    assert_eq!(test.next().await, ReaderEvent::SplitRequest);
    assert_eq!(test.next().await, ReaderEvent::SplitRequest);
    assert!(test.is_silent().await);
    test.add([numbers("a", 5)]);
    rows(test.next().await);
    assert_eq!(test.next().await, ReaderEvent::SplitFinished(SplitId::new("a")));
    assert_eq!(test.next().await, ReaderEvent::SplitRequest);
    assert!(test.is_silent().await);
    test.handle(ReaderCommand::NoMoreSplits);
    assert_eq!(test.next().await, ReaderEvent::EndOfInput);

    let mut restored = Test::with(How::By, ReaderOptions::default());
    restored.add([numbers("a", 5)]);
    restored.handle(ReaderCommand::NoMoreSplits);
    rows(restored.next().await);
    assert_eq!(restored.next().await, ReaderEvent::SplitFinished(SplitId::new("a")));
    assert_eq!(restored.next().await, ReaderEvent::EndOfInput);
}

#[tokio::test]
async fn no_split_is_starved_by_another() {
    let mut test = Test::new(How::By);
    test.add((0..5).map(|i| numbers(&format!("s{i}"), 1_000_000)));
    let mut counts = HashMap::new();
    for _ in 0..500 {
        *counts.entry(rows(test.next().await).0).or_insert(0) += 1;
    }
    assert!(counts.len() == 5 && counts.values().all(|n| (80..=120).contains(n)), "{counts:?}");
}

#[tokio::test]
async fn a_paused_split_is_silent_and_goes_on_without_loss() {
    let mut test = Test::new(How::Watermarks);
    test.add([numbers("a", 100)]);
    rows(test.next().await);
    test.handle(ReaderCommand::Pause(ids(&["a", "unknown"])));
    assert!(test.is_silent().await);
    // The task stopped fetching.
    assert!(test.seen.fetches.load(Ordering::SeqCst) <= 4);
    assert_eq!(test.snapshot(1, 0)[0].next, 10);
    for _ in 0..3 {
        test.handle(ReaderCommand::Resume(ids(&["a", "unknown"])));
        assert!(matches!(test.next().await, ReaderEvent::Watermark { .. } | ReaderEvent::Batch { .. }));
        test.handle(ReaderCommand::Pause(ids(&["a"])));
        assert!(test.is_silent().await);
    }
    test.handle(ReaderCommand::Resume(ids(&["a"])));
    let mut all: Vec<_> = (0..test.snapshot(2, 0)[0].next).collect();
    loop {
        match test.next().await {
            ReaderEvent::Batch { batch, .. } => all.extend(batch.rows),
            ReaderEvent::SplitFinished(_) => break,
            _ => {}
        }
    }
    assert_eq!(all, (0..100).collect::<Vec<_>>());
}

#[tokio::test]
async fn paused_batches_do_not_starve_other_splits_of_the_budget() {
    // Room for one batch of 10 rows.
    let mut test = Test::with(How::By, ReaderOptions { splits: 0, budget: 80 });
    test.add((0..8).map(|i| numbers(&format!("p{i}"), 1_000)));
    let paused: Vec<_> = (0..8).map(|i| SplitId::new(format!("p{i}"))).collect();
    tokio::task::yield_now().await;
    test.handle(ReaderCommand::Pause(paused));
    test.add([numbers("free", 100)]);
    let mut count = 0;
    while let ReaderEvent::Batch { split, .. } = test.next().await {
        assert_eq!(split.as_str(), "free");
        count += 1;
    }
    assert_eq!(count, 10);
}

#[tokio::test]
async fn the_budget_bounds_what_waits_for_the_host_and_a_larger_batch_passes_alone() {
    let mut test = Test::with(How::By, ReaderOptions { splits: 0, budget: 240 });
    test.add((0..20).map(|i| numbers(&format!("s{i}"), 1_000)));
    for _ in 0..100 {
        tokio::task::yield_now().await;
    }
    // Three batches of 80 bytes wait; each other split holds the one it fetched.
    let fetched = test.seen.fetches.load(Ordering::SeqCst);
    assert!((20..=23).contains(&fetched), "{fetched}");
    let mut tiny = Test::with(How::By, ReaderOptions { splits: 0, budget: 1 });
    tiny.add([numbers("a", 95), numbers("b", 95)]);
    tiny.handle(ReaderCommand::NoMoreSplits);
    let mut total = 0;
    loop {
        match tiny.next().await {
            ReaderEvent::Batch { batch, .. } => total += batch.rows.len(),
            ReaderEvent::EndOfInput => break,
            _ => {}
        }
    }
    assert_eq!(total, 190);
}

#[tokio::test]
async fn a_removed_split_is_forgotten_and_may_come_again() {
    let mut test = Test::new(How::By);
    test.add([numbers("a", 100), numbers("b", 100)]);
    tokio::task::yield_now().await;
    test.handle(ReaderCommand::RemoveSplits(ids(&["a", "unknown"])));
    for _ in 0..10 {
        assert_eq!(rows(test.next().await).0, "b");
    }
    assert_eq!(test.snapshot(1, 0).len(), 1);
    test.add([Numbers { next: 90, ..numbers("a", 100) }]);
    let mut from_a = Vec::new();
    for _ in 0..3 {
        if let ReaderEvent::Batch { split, batch } = test.next().await
            && split.as_str() == "a"
        {
            from_a.extend(batch.rows);
        }
    }
    assert_eq!(from_a, (90..100).collect::<Vec<_>>());
    let twice = test.reader.handle(ReaderCommand::AddSplits(vec![numbers("c", 1), numbers("c", 1)]));
    assert!(twice.unwrap_err().to_string().contains("split c"));
}

#[tokio::test]
async fn a_finished_split_stays_in_snapshots_until_one_that_holds_it_is_complete() {
    let mut test = Test::new(How::By);
    test.add([numbers("a", 10)]);
    let before = test.snapshot(1, 0);
    rows(test.next().await);
    assert_eq!(test.next().await, ReaderEvent::SplitFinished(SplitId::new("a")));
    test.handle(ReaderCommand::CheckpointComplete(CheckpointId(1)));
    // A part of its last batch is still held back: this one does not hold its end.
    assert_eq!(test.snapshot(2, 4), [Numbers { next: 6, ..before[0].clone() }]);
    test.handle(ReaderCommand::CheckpointComplete(CheckpointId(2)));
    let end = [Numbers { next: 10, ..before[0].clone() }];
    assert_eq!(test.snapshot(3, 0), end);
    test.handle(ReaderCommand::CheckpointAborted(CheckpointId(3)));
    assert_eq!(test.snapshot(4, 0), end);
    test.handle(ReaderCommand::CheckpointComplete(CheckpointId(4)));
    assert!(test.snapshot(5, 0).is_empty());
    assert!(read_on(How::By, end.to_vec()).await.is_empty());
}

#[tokio::test]
async fn a_snapshot_with_more_unemitted_rows_than_the_last_batch_is_refused() {
    let mut test = Test::new(How::By);
    test.add([numbers("a", 10)]);
    assert!(test.reader.snapshot(CheckpointId(1), 1).is_err());
    rows(test.next().await);
    assert!(test.reader.snapshot(CheckpointId(1), 11).is_err());
}

#[tokio::test]
async fn an_error_and_a_panic_name_the_split_after_its_rows() {
    for (how, parts) in [
        (How::Fails, ["split orders-7", "broker at offset 10: is down"]),
        (How::Panics, ["split orders-7", "panicked: 10 is too much"]),
    ] {
        let mut test = Test::new(how);
        test.add([numbers("orders-7", 100)]);
        assert_eq!(rows(test.next().await).1.len(), 10);
        let text = test.poll().await.unwrap_err().to_string();
        assert!(parts.iter().all(|part| text.contains(part)), "{text}");
        assert!(test.is_silent().await);
        test.close().await;
        assert_eq!(test.seen.readers.load(Ordering::SeqCst), 0);
    }
}

#[tokio::test]
async fn close_ends_tasks_that_hang_and_waits_until_they_are_gone() {
    let mut test = Test::new(How::Hangs);
    test.add((0..10).map(|i| numbers(&format!("s{i}"), 10)));
    assert!(test.is_silent().await);
    assert_eq!(test.seen.readers.load(Ordering::SeqCst), 10);
    test.handle(ReaderCommand::RemoveSplits(ids(&["s3"])));
    test.close().await;
    assert_eq!(test.seen.readers.load(Ordering::SeqCst), 0);
}

#[tokio::test]
async fn a_dropped_reader_leaves_no_task() {
    let mut test = Test::new(How::Hangs);
    test.add([numbers("s", 10)]);
    assert!(test.is_silent().await);
    drop(test.reader);
    while test.seen.readers.load(Ordering::SeqCst) > 0 {
        tokio::task::yield_now().await;
    }
}

#[tokio::test]
async fn watermarks_follow_their_batch_and_rise() {
    let mut test = Test::new(How::Watermarks);
    test.add([numbers("a", 20)]);
    for end in [10, 20] {
        rows(test.next().await);
        let split = Some(SplitId::new("a"));
        assert_eq!(test.next().await, ReaderEvent::Watermark { split, millis: end });
    }
}

#[tokio::test]
async fn waiting_for_a_fetch_costs_no_polls_and_its_end_wakes_the_host() {
    let mut test = Test::new(How::By);
    test.gate.forget_permits(1 << 20);
    test.add([numbers("a", 10)]);
    let polls = AtomicUsize::new(0);
    let reader = &mut test.reader;
    let waiting = poll_fn(|cx| {
        polls.fetch_add(1, Ordering::SeqCst);
        reader.poll_next(cx)
    });
    tokio::pin!(waiting);
    for _ in 0..20 {
        assert!(waiting.as_mut().now_or_never().is_none());
        tokio::task::yield_now().await;
    }
    let before = polls.load(Ordering::SeqCst);
    let gate = Arc::clone(&test.gate);
    let (event, ()) = tokio::join!(waiting, async move {
        tokio::time::sleep(Duration::from_millis(20)).await;
        gate.add_permits(1);
    });
    rows(event.unwrap());
    assert!(polls.load(Ordering::SeqCst) - before <= 3);
}

#[tokio::test]
async fn an_event_of_the_enumerator_and_splits_after_the_end_are_refused() {
    let mut test = Test::new(How::By);
    assert!(test.reader.handle(ReaderCommand::EnumeratorEvent(Default::default())).is_err());
    test.handle(ReaderCommand::NoMoreSplits);
    assert_eq!(test.next().await, ReaderEvent::EndOfInput);
    assert!(test.reader.handle(ReaderCommand::AddSplits(vec![numbers("a", 1)])).is_err());
}
