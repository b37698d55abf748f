//! Who is told what, and which splits come back, with an enumerator that does as it is told.

use std::sync::{Arc, Mutex};
use std::task::{Context, Waker};

use connector_api::id::{CheckpointId, ReaderId, SplitId};
use connector_api::source::{
    DynSplit, DynState, EnumeratorCommand, EnumeratorContext, ReaderCommand, Split, SplitEnumerator,
};
use connector_api::{Result, Stored, stored};

use crate::coordinate::source::{AssignmentTracker, SourceCoordinator, ToReader, deal_splits};

#[derive(Clone, serde::Serialize, serde::Deserialize)]
struct Named(String);
stored!(Named, "named");
impl Split for Named {
    fn id(&self) -> SplitId {
        SplitId::new(self.0.as_str())
    }
}

fn split(name: &str) -> DynSplit {
    DynSplit::of(&Named(name.to_owned())).unwrap()
}

fn names(splits: &[DynSplit]) -> Vec<String> {
    splits.iter().map(|s| s.id().to_string()).collect()
}

/// Does what its commands say by the name of an event, and remembers all that it was told.
struct Scripted(Arc<Mutex<Vec<String>>>);

impl SplitEnumerator for Scripted {
    type Split = DynSplit;
    type State = DynState;

    fn handle(
        &mut self,
        command: EnumeratorCommand<DynSplit>,
        context: &mut EnumeratorContext<DynSplit>,
    ) -> Result<()> {
        let told = match &command {
            EnumeratorCommand::ReaderEvent(_, event) => String::from_utf8_lossy(event).into_owned(),
            EnumeratorCommand::AddSplitsBack(splits) => format!("back {}", names(splits).join(",")),
            other => format!("{other:?}"),
        };
        match told.as_str() {
            "assign nothing" => context.assign(ReaderId(0), Vec::new()),
            "assign to both" => {
                context.assign(ReaderId(0), vec![split("a")]);
                context.assign(ReaderId(9), vec![split("b")]);
            }
            "no more" => [0, 9].map(ReaderId).into_iter().for_each(|r| context.no_more_splits(r)),
            "send" => [0, 9].map(ReaderId).into_iter().for_each(|r| context.send(r, "hello".into())),
            "report" => {
                context.report_unassigned(7);
                context.report_total_bytes(300);
            }
            _ => {}
        }
        self.0.lock().unwrap().push(told);
        Ok(())
    }

    fn poll(&mut self, _: &mut Context<'_>, context: &mut EnumeratorContext<DynSplit>) -> Result<()> {
        context.assign(ReaderId(0), vec![split("found")]);
        Ok(())
    }

    fn snapshot(&mut self, _: CheckpointId) -> Result<DynState> {
        Ok(DynState(bytes::Bytes::new()))
    }
}

/// With reader 0, and what the enumerator hears from now on.
fn scripted() -> (SourceCoordinator, Arc<Mutex<Vec<String>>>) {
    let heard = Arc::new(Mutex::new(Vec::new()));
    let mut c = SourceCoordinator::start(Box::new(Scripted(heard.clone())), 2).unwrap();
    c.add_reader(ReaderId(0)).unwrap();
    heard.lock().unwrap().clear();
    (c, heard)
}

fn on(c: &mut SourceCoordinator, event: &'static str) -> Vec<ToReader> {
    c.handle(EnumeratorCommand::ReaderEvent(ReaderId(0), event.into())).unwrap()
}

#[test]
fn what_a_reader_that_is_gone_sent_is_never_heard() {
    let (mut c, heard) = scripted();
    c.handle(EnumeratorCommand::SplitRequest(ReaderId(9))).unwrap();
    c.handle(EnumeratorCommand::SplitFinished(ReaderId(9), SplitId::new("a"))).unwrap();
    c.handle(EnumeratorCommand::ReaderEvent(ReaderId(9), "x".into())).unwrap();
    assert!(heard.lock().unwrap().is_empty());
    c.handle(EnumeratorCommand::SplitFinished(ReaderId(0), SplitId::new("a"))).unwrap();
    assert_eq!(heard.lock().unwrap().len(), 1);
}

#[test]
fn an_empty_assignment_is_no_command() {
    let (mut c, heard) = scripted();
    assert_eq!(on(&mut c, "assign nothing"), []);
    assert_eq!(*heard.lock().unwrap(), ["assign nothing"]);
}

#[test]
fn only_readers_that_are_there_are_told_and_splits_for_others_come_back() {
    let (mut c, heard) = scripted();
    let reader = ReaderId(0);
    assert_eq!(on(&mut c, "assign to both"), [(reader, ReaderCommand::AddSplits(vec![split("a")]))]);
    assert_eq!(*heard.lock().unwrap(), ["assign to both", "back b"]);
    assert_eq!(on(&mut c, "no more"), [(reader, ReaderCommand::NoMoreSplits)]);
    assert_eq!(on(&mut c, "send"), [(reader, ReaderCommand::EnumeratorEvent("hello".into()))]);
}

#[test]
fn what_a_poll_finds_goes_to_the_readers_and_is_tracked() {
    let (mut c, heard) = scripted();
    let out = c.poll(&mut Context::from_waker(Waker::noop())).unwrap();
    assert_eq!(out, [(ReaderId(0), ReaderCommand::AddSplits(vec![split("found")]))]);
    c.reset(None).unwrap();
    assert_eq!(heard.lock().unwrap().last().unwrap(), "back found");
}

#[test]
fn a_reset_without_splits_gives_nothing_back() {
    let (mut c, heard) = scripted();
    c.reset(None).unwrap();
    assert_eq!(*heard.lock().unwrap(), ["RemoveReader(ReaderId(0))"]);
}

#[test]
fn what_the_enumerator_reports_is_passed_on() {
    let (mut c, _) = scripted();
    assert_eq!((c.unassigned(), c.total_bytes()), (None, None));
    on(&mut c, "report");
    assert_eq!((c.unassigned(), c.total_bytes()), (Some(7), Some(300)));
    assert!(format!("{c:?}").starts_with("SourceCoordinator"));
}

/// One split for each of the checkpoints 1, 2 and 3, and one since.
fn tracker() -> AssignmentTracker {
    let mut tracker = AssignmentTracker::default();
    for (checkpoint, name) in [(1, "a"), (2, "b"), (3, "c")] {
        tracker.assigned(ReaderId(0), &[split(name)]);
        tracker.triggered(CheckpointId(checkpoint));
    }
    tracker.assigned(ReaderId(0), &[split("d")]);
    tracker
}

#[test]
fn only_what_the_restored_checkpoint_does_not_hold_comes_back() {
    // A restart may know of a checkpoint whose completion it was not told.
    assert_eq!(names(&tracker().give_back(Some(CheckpointId(2)))), ["c", "d"]);
    assert_eq!(names(&tracker().give_back(None)), ["a", "b", "c", "d"]);
    let mut tracker = tracker();
    tracker.give_back(None);
    assert!(tracker.give_back(None).is_empty(), "once");
}

#[test]
fn what_a_completed_checkpoint_holds_is_forgotten() {
    let mut tracker = tracker();
    tracker.completed(CheckpointId(2));
    assert_eq!(names(&tracker.give_back(None)), ["c", "d"]);
}

/// Assigns one pending split per request; tells a gone reader on purpose when `assign_to_gone` is set.
struct Pool {
    pending: Vec<DynSplit>,
    assign_to_gone: bool,
}

impl SplitEnumerator for Pool {
    type Split = DynSplit;
    type State = DynState;

    fn handle(
        &mut self,
        command: EnumeratorCommand<DynSplit>,
        context: &mut EnumeratorContext<DynSplit>,
    ) -> Result<()> {
        match command {
            EnumeratorCommand::Start if self.assign_to_gone => {
                self.assign_to_gone = false;
                context.assign(ReaderId(9), std::mem::take(&mut self.pending));
            }
            EnumeratorCommand::SplitRequest(reader) => {
                if let Some(split) = self.pending.pop() {
                    context.assign(reader, vec![split]);
                }
            }
            EnumeratorCommand::AddSplitsBack(splits) => self.pending.extend(splits),
            _ => {}
        }
        Ok(())
    }

    fn poll(&mut self, _: &mut Context<'_>, _: &mut EnumeratorContext<DynSplit>) -> Result<()> {
        Ok(())
    }

    fn snapshot(&mut self, _: CheckpointId) -> Result<DynState> {
        Ok(DynState(names(&self.pending).join(",").into()))
    }
}

fn coordinator(pending: &[&str], assign_to_gone: bool) -> SourceCoordinator {
    let pending = pending.iter().map(|name| split(name)).collect();
    SourceCoordinator::start(Box::new(Pool { pending, assign_to_gone }), 2).unwrap()
}

fn request(c: &mut SourceCoordinator, reader: u32) -> Vec<String> {
    let out = c.handle(EnumeratorCommand::SplitRequest(ReaderId(reader))).unwrap();
    out.iter()
        .flat_map(|(_, cmd)| if let ReaderCommand::AddSplits(s) = cmd { names(s) } else { vec![] })
        .collect()
}

fn state(c: &mut SourceCoordinator, id: u64) -> String {
    String::from_utf8(c.snapshot(CheckpointId(id)).unwrap().0.to_vec()).unwrap()
}

#[test]
fn splits_assigned_after_the_restored_checkpoint_are_given_back() {
    let mut c = coordinator(&["c", "b", "a"], false);
    c.add_reader(ReaderId(0)).unwrap();
    assert_eq!(request(&mut c, 0), ["a"]);
    assert_eq!(state(&mut c, 1), "c,b");
    c.handle(EnumeratorCommand::CheckpointComplete(CheckpointId(1))).unwrap();
    assert_eq!(request(&mut c, 0), ["b"]);
    assert_eq!(state(&mut c, 2), "c");
    assert_eq!(request(&mut c, 0), ["c"]);
    c.reset(Some(CheckpointId(1))).unwrap();
    assert_eq!(state(&mut c, 3), "b,c", "a is in checkpoint 1, b and c are in none");
}

#[test]
fn without_a_checkpoint_everything_comes_back() {
    let mut c = coordinator(&["b", "a"], false);
    c.add_reader(ReaderId(0)).unwrap();
    request(&mut c, 0);
    state(&mut c, 1);
    request(&mut c, 0);
    c.reset(None).unwrap();
    assert_eq!(state(&mut c, 2), "a,b");
}

#[test]
fn assignments_of_an_aborted_checkpoint_are_held_by_the_next_that_completes() {
    let mut c = coordinator(&["b", "a"], false);
    c.add_reader(ReaderId(0)).unwrap();
    request(&mut c, 0);
    state(&mut c, 1);
    c.handle(EnumeratorCommand::CheckpointAborted(CheckpointId(1))).unwrap();
    state(&mut c, 2);
    c.handle(EnumeratorCommand::CheckpointComplete(CheckpointId(2))).unwrap();
    c.reset(Some(CheckpointId(2))).unwrap();
    assert_eq!(state(&mut c, 3), "b", "a is in checkpoint 2");
}

#[test]
fn an_assignment_to_a_reader_that_is_gone_comes_back() {
    let mut c = coordinator(&["b", "a"], true);
    assert_eq!(state(&mut c, 1), "b,a");
}

/// Assigns to a reader that is gone in one poll, and has more to do in the next.
struct Polled(Pool, u32);

impl SplitEnumerator for Polled {
    type Split = DynSplit;
    type State = DynState;

    fn handle(
        &mut self,
        command: EnumeratorCommand<DynSplit>,
        context: &mut EnumeratorContext<DynSplit>,
    ) -> Result<()> {
        self.0.handle(command, context)
    }

    fn poll(&mut self, _: &mut Context<'_>, context: &mut EnumeratorContext<DynSplit>) -> Result<()> {
        self.1 += 1;
        match self.1 {
            1 => context.assign(ReaderId(9), std::mem::take(&mut self.0.pending)),
            2 => context.assign(ReaderId(0), std::mem::take(&mut self.0.pending)),
            _ => {}
        }
        Ok(())
    }

    fn snapshot(&mut self, id: CheckpointId) -> Result<DynState> {
        self.0.snapshot(id)
    }
}

#[test]
fn an_enumerator_that_gets_splits_back_while_it_is_polled_is_polled_again() {
    let pool = Pool { pending: vec![split("a")], assign_to_gone: false };
    let mut c = SourceCoordinator::start(Box::new(Polled(pool, 0)), 1).unwrap();
    c.add_reader(ReaderId(0)).unwrap();
    let out = c.poll(&mut Context::from_waker(std::task::Waker::noop())).unwrap();
    assert!(matches!(&out[..], [(ReaderId(0), ReaderCommand::AddSplits(s))] if names(s) == ["a"]), "{out:?}");
}

#[test]
fn a_request_of_a_reader_that_is_gone_is_void() {
    let mut c = coordinator(&["a"], false);
    assert!(request(&mut c, 1).is_empty());
    assert_eq!(state(&mut c, 1), "a");
}

#[test]
fn restored_splits_are_dealt_evenly_in_the_order_of_their_ids() {
    let splits = ["g", "a", "f", "b", "e", "c", "d"].map(split).to_vec();
    let hands: Vec<_> = deal_splits(splits, 3).iter().map(|hand| names(hand).concat()).collect();
    assert_eq!(hands, ["adg", "be", "cf"]);
}

#[test]
fn stored_names_round_trip() {
    assert_eq!(split("x").decode::<Named>().unwrap().0, "x");
    assert_eq!(Named::KIND, "named");
}
