//! The rules of enumerators that [`PendingSplits`] and [`Background`] keep for their users.

use std::future::poll_fn;
use std::task::Poll;

use connector_api::id::{ReaderId, SplitId};
use connector_api::source::{EnumeratorAction, EnumeratorCommand, EnumeratorContext, Split};
use connector_api::{Error, stored};
use serde::{Deserialize, Serialize};

use super::{Background, PendingSplits};
use crate::test_support::environment;

#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
struct Numbered(u32);
stored!(Numbered, "numbered");

impl Split for Numbered {
    fn id(&self) -> SplitId {
        SplitId::new(self.0.to_string())
    }
}

const ONE: ReaderId = ReaderId(1);
const TWO: ReaderId = ReaderId(2);

struct Bench {
    pending: PendingSplits<Numbered>,
    context: EnumeratorContext<Numbered>,
}

impl Bench {
    fn new(splits: &[u32], complete: bool) -> Self {
        let pending = PendingSplits::new(splits.iter().copied().map(Numbered), complete);
        let mut context = EnumeratorContext::new(2);
        context.reader_added(ONE);
        context.reader_added(TWO);
        Self { pending, context }
    }

    fn tell(&mut self, command: EnumeratorCommand<Numbered>) -> Vec<EnumeratorAction<Numbered>> {
        self.pending.handle(command, &mut self.context).unwrap();
        self.context.take_actions()
    }

    fn ask(&mut self, reader: ReaderId) -> Vec<EnumeratorAction<Numbered>> {
        self.tell(EnumeratorCommand::SplitRequest(reader))
    }
}

fn assigned(reader: ReaderId, split: u32) -> Vec<EnumeratorAction<Numbered>> {
    vec![EnumeratorAction::Assign(reader, vec![Numbered(split)])]
}

#[test]
fn each_request_gets_one_split_and_then_the_end() {
    let mut bench = Bench::new(&[7, 8], true);
    assert_eq!(bench.ask(TWO), assigned(TWO, 7));
    assert_eq!(bench.ask(ONE), assigned(ONE, 8));
    assert_eq!(bench.ask(TWO), [EnumeratorAction::NoMoreSplits(TWO)]);
    assert_eq!(bench.ask(TWO), [], "once is enough");
    assert_eq!(bench.context.unassigned(), Some(0));
}

#[test]
fn requests_wait_until_there_is_something_to_say() {
    let mut bench = Bench::new(&[], false);
    assert_eq!(bench.ask(ONE), []);
    assert_eq!(bench.ask(TWO), []);
    bench.pending.add([Numbered(7)], &mut bench.context);
    assert_eq!(bench.context.take_actions(), assigned(ONE, 7));
    bench.pending.add_last([], &mut bench.context);
    assert_eq!(bench.context.take_actions(), [EnumeratorAction::NoMoreSplits(TWO)]);
}

#[test]
fn splits_that_come_back_are_pending_and_go_first() {
    let mut bench = Bench::new(&[7], true);
    assert_eq!(bench.tell(EnumeratorCommand::AddSplitsBack(vec![Numbered(1), Numbered(2)])), []);
    assert_eq!(bench.pending.to_vec(), [1, 2, 7].map(Numbered));
    assert_eq!(bench.ask(ONE), assigned(ONE, 1));
}

#[test]
fn what_is_pending_is_not_added_twice() {
    let mut bench = Bench::new(&[7], false);
    bench.pending.add_last([Numbered(7), Numbered(8)], &mut bench.context);
    assert_eq!(bench.pending.to_vec(), [7, 8].map(Numbered));
}

#[test]
fn a_reader_that_went_gets_nothing() {
    let mut bench = Bench::new(&[], false);
    assert_eq!(bench.ask(ONE), []);
    bench.context.reader_removed(ONE);
    bench.tell(EnumeratorCommand::RemoveReader(ONE));
    bench.pending.add_last([Numbered(7)], &mut bench.context);
    assert_eq!(bench.context.take_actions(), []);
    assert_eq!(bench.ask(ONE), [], "it is not there: the request is void");
    assert_eq!(bench.pending.len(), 1);
}

#[test]
fn a_reader_that_comes_anew_is_told_again() {
    let mut bench = Bench::new(&[], true);
    assert_eq!(bench.ask(ONE), [EnumeratorAction::NoMoreSplits(ONE)]);
    bench.tell(EnumeratorCommand::AddReader(ONE));
    assert_eq!(bench.ask(ONE), [EnumeratorAction::NoMoreSplits(ONE)]);
}

#[test]
fn an_event_that_nobody_knows_is_refused() {
    let mut bench = Bench::new(&[], true);
    let event = EnumeratorCommand::ReaderEvent(ONE, b"?".as_slice().into());
    let refused = bench.pending.handle(event, &mut bench.context);
    assert!(matches!(refused, Err(Error::Contract { .. })), "{refused:?}");
}

/// The first result or failure of the work.
async fn outcome(background: &mut Background<u32>) -> connector_api::Result<u32> {
    poll_fn(|cx| match background.poll(cx) {
        Ok(None) => Poll::Pending,
        Ok(Some(value)) => Poll::Ready(Ok(value)),
        Err(error) => Poll::Ready(Err(error)),
    })
    .await
}

#[tokio::test]
async fn the_result_comes_once_and_wakes_whoever_polls() {
    let env = environment();
    let work = async {
        tokio::task::yield_now().await;
        Ok(7)
    };
    let mut background = Background::start(&env, "count", work);
    assert!(background.is_running());
    assert_eq!(outcome(&mut background).await.unwrap(), 7);
    assert!(!background.is_running());
    assert_eq!(poll_fn(|cx| Poll::Ready(background.poll(cx))).await.unwrap(), None);
}

#[tokio::test]
async fn work_that_blocks_its_thread_gives_its_result_too() {
    let mut background = Background::blocking(&environment(), "count", || Ok(7));
    assert_eq!(outcome(&mut background).await.unwrap(), 7);
}

#[tokio::test]
async fn a_failure_of_the_work_is_the_enumerators() {
    let env = environment();
    let mut background = Background::start(&env, "count", async { Err(Error::Lost("it".into())) });
    assert!(matches!(outcome(&mut background).await, Err(Error::Lost(_))));
}

#[tokio::test]
async fn work_that_vanishes_is_an_error_with_its_name() {
    let env = environment();
    let mut background: Background<u32> = Background::start(&env, "count", std::future::pending());
    if let Some(running) = &background.0 {
        running.task.abort();
    }
    let error = outcome(&mut background).await.unwrap_err();
    assert!(matches!(&error, Error::Cancelled(_)) && error.to_string().contains("count"), "{error}");
}

#[tokio::test]
async fn dropping_it_ends_the_work() {
    let env = environment();
    let (alive, gone) = tokio::sync::oneshot::channel::<()>();
    let work = async move {
        let _alive = alive;
        std::future::pending().await
    };
    drop(Background::<u32>::start(&env, "wait", work));
    assert!(gone.await.is_err());
}
