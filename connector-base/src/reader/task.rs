//! The task that reads one split.

use std::any::Any;
use std::panic::AssertUnwindSafe;
use std::sync::Arc;

use connector_api::env::CrashPoints;
use connector_api::source::Split;
use connector_api::{Batch, Error, Result, RowBatch};
use futures::FutureExt;
use tokio::sync::mpsc::UnboundedSender;
use tokio::sync::{OwnedSemaphorePermit, Semaphore};

use super::author::{BatchOf, Fetched, PositionOf, Prefixes, SplitReader, SplitReaderFactory};
use super::error::of_split;

/// Tells the additions of splits apart, also those of one split that came twice.
pub(super) type Key = u64;

/// Crash point: rows were fetched and not emitted.
const AFTER_FETCH: &str = "split-reader/after-fetch";

/// Crash point: a split is about to be opened.
const BEFORE_OPEN: &str = "split-reader/before-open";

/// The places in the reader where a test lets the process die.
pub const CRASH_POINTS: &[&str] = &[BEFORE_OPEN, AFTER_FETCH];

/// Fetches of one split that may be under way or waiting for the host: one queued, one being fetched.
const TURNS: usize = 2;

/// What a task says about its split. In the order of fetching.
pub(super) enum What<B, P> {
    Rows(Batch<B>, Prefixes<P>),
    Position(P),
    Watermark(i64),
    Idle,
    Active,
    Finished,
    Failed(Error),
    /// The task was dropped before its end.
    Gone,
}

pub(super) struct Message<B, P> {
    pub(super) key: Key,
    pub(super) what: What<B, P>,
    /// Given back when the host takes the message: the next fetch may begin.
    pub(super) turn: Option<OwnedSemaphorePermit>,
    /// The bytes that the rows take of the reader's budget.
    pub(super) room: Option<OwnedSemaphorePermit>,
}

/// The budget in bytes that all splits of a reader share.
#[derive(Clone)]
pub(super) struct Budget {
    free: Arc<Semaphore>,
    bytes: u32,
}

impl Budget {
    pub(super) fn new(bytes: u32) -> Self {
        let bytes = bytes.max(1);
        Self { free: Arc::new(Semaphore::new(bytes as usize)), bytes }
    }

    /// Room for a batch. One above the whole budget takes all of it: it passes alone.
    async fn take(&self, bytes: usize) -> Result<OwnedSemaphorePermit> {
        let bytes = u32::try_from(bytes).unwrap_or(self.bytes).clamp(1, self.bytes);
        let room = Arc::clone(&self.free).acquire_many_owned(bytes).await;
        // Never closed.
        room.map_err(|_| Error::Cancelled("hand-over".into()))
    }
}

/// The way to the reader. However the task ends, its last word is `Finished`, `Failed` or `Gone`.
pub(super) struct Outlet<B, P> {
    key: Key,
    queue: UnboundedSender<Message<B, P>>,
    ended: bool,
}

impl<B, P> Outlet<B, P> {
    pub(super) fn new(key: Key, queue: UnboundedSender<Message<B, P>>) -> Self {
        Self { key, queue, ended: false }
    }

    fn say(&self, what: What<B, P>, turn: Option<OwnedSemaphorePermit>, room: Option<OwnedSemaphorePermit>) {
        // Nobody listens any more when the reader was dropped; it aborts this task too.
        let _ = self.queue.send(Message { key: self.key, what, turn, room });
    }

    fn end(mut self, what: What<B, P>) {
        self.ended = true;
        self.say(what, None, None);
    }
}

impl<B, P> Drop for Outlet<B, P> {
    fn drop(&mut self) {
        if !self.ended {
            self.say(What::Gone, None, None);
        }
    }
}

/// Reads a split to its end.
pub(super) async fn run<F: SplitReaderFactory>(
    factory: Arc<F>,
    split: F::Split,
    budget: Budget,
    crash: CrashPoints,
    outlet: Outlet<BatchOf<F>, PositionOf<F>>,
) {
    // The author's reader is dropped when this returns: before the end is announced.
    let result = AssertUnwindSafe(read(&*factory, &split, &budget, &crash, &outlet)).catch_unwind().await;
    outlet.end(match result {
        Ok(Ok(())) => What::Finished,
        Ok(Err(error)) => What::Failed(of_split(error, &split.id())),
        Err(panic) => What::Failed(Error::contract(
            format!("split {}", split.id()),
            format!("its reader panicked: {}", text_of(&*panic)),
        )),
    });
}

async fn read<F: SplitReaderFactory>(
    factory: &F,
    split: &F::Split,
    budget: &Budget,
    crash: &CrashPoints,
    outlet: &Outlet<BatchOf<F>, PositionOf<F>>,
) -> Result<()> {
    let turns = Arc::new(Semaphore::new(TURNS));
    let mut to_skip = factory.skip(split);
    let mut watermark_so_far = None;
    let mut idle = false;
    crash.hit(BEFORE_OPEN);
    let mut reader = factory.open(split).await?;
    loop {
        // Never closed.
        let Ok(turn) = Arc::clone(&turns).acquire_owned().await else { return Ok(()) };
        let turn = Some(turn);
        let Some(fetched) = reader.fetch().await? else { return Ok(()) };
        crash.hit(AFTER_FETCH);
        if idle && !matches!(fetched, Fetched::Idle) {
            idle = false;
            outlet.say(What::Active, None, None);
        }
        match fetched {
            Fetched::Rows { mut batch, positions, watermark } => {
                let rows = batch.rows.rows();
                check_times(&batch)?;
                let mut prefixes = Prefixes::new(positions, rows)?;
                let dropped = usize::try_from(to_skip).unwrap_or(usize::MAX).min(rows);
                if dropped > 0 {
                    to_skip -= dropped as u64;
                    batch.take_front(dropped);
                    prefixes = prefixes.without_front(dropped);
                }
                let watermark = rising(watermark, &mut watermark_so_far);
                if rows > dropped {
                    let room = Some(budget.take(batch.rows.bytes()).await?);
                    if let Some(millis) = watermark {
                        // The last message of a fetch carries its turn.
                        outlet.say(What::Rows(batch, prefixes), None, room);
                        outlet.say(What::Watermark(millis), turn, None);
                    } else {
                        outlet.say(What::Rows(batch, prefixes), turn, room);
                    }
                } else if let Some(millis) = watermark {
                    outlet.say(What::Watermark(millis), turn, None);
                }
            }
            // A position inside the rows that are still to be skipped would forget the rest of them.
            Fetched::Position(_) if to_skip > 0 => {}
            Fetched::Position(position) => outlet.say(What::Position(position), turn, None),
            Fetched::Watermark(millis) => {
                if let Some(millis) = rising(Some(millis), &mut watermark_so_far) {
                    outlet.say(What::Watermark(millis), turn, None);
                }
            }
            Fetched::Idle if idle => {}
            Fetched::Idle => {
                idle = true;
                outlet.say(What::Idle, turn, None);
            }
        }
    }
}

fn check_times<B: RowBatch>(batch: &Batch<B>) -> Result<()> {
    let (times, rows) = (batch.timestamps.len(), batch.rows.rows());
    if times != 0 && times != rows {
        return Err(Error::contract("split reader", format!("{times} event times for {rows} rows")));
    }
    Ok(())
}

/// A watermark that does not rise says nothing.
fn rising(watermark: Option<i64>, so_far: &mut Option<i64>) -> Option<i64> {
    let risen = watermark.filter(|millis| so_far.is_none_or(|before| *millis > before))?;
    *so_far = Some(risen);
    watermark
}

fn text_of(panic: &(dyn Any + Send)) -> &str {
    let text = panic.downcast_ref::<&'static str>().copied();
    text.or_else(|| panic.downcast_ref::<String>().map(String::as_str)).unwrap_or("(no message)")
}
