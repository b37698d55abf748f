//! What the author is told beside being asked for rows.

use std::sync::Mutex;

use super::*;

#[derive(Clone, Default)]
struct Told(Arc<Mutex<Vec<String>>>);

impl Told {
    fn say(&self, text: String) {
        self.0.lock().unwrap().push(text);
    }

    fn take(&self) -> Vec<String> {
        std::mem::take(&mut self.0.lock().unwrap())
    }
}

impl ReaderHooks<Numbers> for Told {
    fn adding(&mut self, splits: &[Numbers]) {
        self.say(format!("adding {}", splits.len()));
    }

    fn paused(&mut self, split: &SplitId, is_paused: bool) {
        self.say(format!("{split} {}", if is_paused { "paused" } else { "resumed" }));
    }

    fn completed(&mut self, checkpoint: CheckpointId, splits: Vec<Numbers>) {
        let positions: Vec<_> = splits.iter().map(|split| format!("{}@{}", split.name, split.next)).collect();
        self.say(format!("{checkpoint}: {}", positions.join(" ")));
    }

    fn poll_close(&mut self, _: &mut Context<'_>) -> Poll<Result<()>> {
        self.say("closed".into());
        Poll::Ready(Ok(()))
    }
}

fn hooked() -> (Test, Told) {
    let told = Told::default();
    let mut test = Test::new(How::By);
    test.reader = test.reader.with_hooks(told.clone());
    (test, told)
}

#[tokio::test]
async fn a_completed_checkpoint_is_told_with_the_positions_that_it_holds_not_with_later_ones() {
    let (mut test, told) = hooked();
    test.add([numbers("a", 100)]);
    rows(test.next().await);
    test.snapshot(1, 4);
    rows(test.next().await);
    test.snapshot(2, 0);
    rows(test.next().await);
    test.handle(ReaderCommand::CheckpointComplete(CheckpointId(1)));
    assert_eq!(told.take(), ["adding 1", "1: a@6"]);
    test.handle(ReaderCommand::CheckpointComplete(CheckpointId(2)));
    assert_eq!(told.take(), ["2: a@20"]);
}

#[tokio::test]
async fn a_later_completion_stands_for_a_skipped_one_and_an_aborted_checkpoint_is_never_told() {
    let (mut test, told) = hooked();
    test.add([numbers("a", 100)]);
    told.take();
    for checkpoint in 1..=3 {
        rows(test.next().await);
        test.snapshot(checkpoint, 0);
    }
    test.handle(ReaderCommand::CheckpointAborted(CheckpointId(3)));
    // Number 1 completed too, and was not told.
    test.handle(ReaderCommand::CheckpointComplete(CheckpointId(2)));
    assert_eq!(told.take(), ["2: a@20"]);
    test.handle(ReaderCommand::CheckpointComplete(CheckpointId(8)));
    assert_eq!(told.take(), [""; 0]);
}

#[tokio::test]
async fn pauses_are_told_when_they_change_and_of_splits_that_are_read() {
    let (mut test, told) = hooked();
    test.add([numbers("a", 100)]);
    told.take();
    test.handle(ReaderCommand::Pause(ids(&["a", "unknown"])));
    test.handle(ReaderCommand::Pause(ids(&["a"])));
    test.handle(ReaderCommand::Resume(ids(&["a", "unknown"])));
    test.handle(ReaderCommand::Resume(ids(&["a"])));
    assert_eq!(told.take(), ["a paused", "a resumed"]);
    test.close().await;
    assert_eq!(told.take(), ["closed"]);
}
