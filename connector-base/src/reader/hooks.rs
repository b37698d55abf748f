//! What the author of split readers may be told beside being asked for rows.

use std::collections::BTreeMap;
use std::task::{Context, Poll};

use connector_api::Result;
use connector_api::id::{CheckpointId, SplitId};

/// Told by a [`SplitFetchReader`](super::SplitFetchReader) what its host says about splits and checkpoints: for a client that
/// wants to know of a pause, and for acknowledging to a system what a completed checkpoint holds.
///
/// # Contract
///
/// One party calls, never two at once, on the host's side: no call may block or wait. What waits is sent to a task of the
/// author's own. All methods but [`poll_close`](Self::poll_close) may be called for splits that the author has not opened yet.
pub trait ReaderHooks<S>: Send + 'static {
    /// These splits are about to be opened, each by [`SplitReaderFactory::open`](super::SplitReaderFactory::open) in a task
    /// of its own.
    fn adding(&mut self, splits: &[S]) {
        let _ = splits;
    }

    /// The split is paused, or resumed: nothing of it is emitted, or it is again. Told only when it changes. The reader holds
    /// back what is fetched in any case; a client can stop fetching it.
    fn paused(&mut self, split: &SplitId, is_paused: bool) {
        let _ = (split, is_paused);
    }

    /// The checkpoint is complete: `splits` are what it holds of this reader, with their positions. A completion that the
    /// host skips shows nowhere; that of a later checkpoint stands for it.
    fn completed(&mut self, checkpoint: CheckpointId, splits: Vec<S>) {
        let _ = (checkpoint, splits);
    }

    /// All split readers are dropped: gives up what they shared. Called until it is ready, then never again; a host bounds it.
    ///
    /// # Errors
    ///
    /// When something could not be given up.
    fn poll_close(&mut self, cx: &mut Context<'_>) -> Poll<Result<()>> {
        let _ = cx;
        Poll::Ready(Ok(()))
    }
}

/// The hooks of a reader, with the snapshots whose checkpoints are not complete.
pub(super) struct Hooks<S> {
    hooks: Box<dyn ReaderHooks<S>>,
    taken: BTreeMap<CheckpointId, Vec<S>>,
}

impl<S: Clone + 'static> Hooks<S> {
    pub(super) fn new(hooks: impl ReaderHooks<S>) -> Self {
        Self { hooks: Box::new(hooks), taken: BTreeMap::new() }
    }

    pub(super) fn adding(&mut self, splits: &[S]) {
        self.hooks.adding(splits);
    }

    pub(super) fn paused(&mut self, split: &SplitId, is_paused: bool) {
        self.hooks.paused(split, is_paused);
    }

    pub(super) fn snapshot(&mut self, checkpoint: CheckpointId, splits: &[S]) {
        self.taken.insert(checkpoint, splits.to_vec());
    }

    /// It will never complete.
    pub(super) fn aborted(&mut self, checkpoint: CheckpointId) {
        self.taken.remove(&checkpoint);
    }

    /// It stands for all earlier ones, also those whose completion was not told.
    pub(super) fn completed(&mut self, checkpoint: CheckpointId) {
        let later = self.taken.split_off(&CheckpointId(checkpoint.0.saturating_add(1)));
        if let Some((held_by, splits)) = std::mem::replace(&mut self.taken, later).pop_last() {
            self.hooks.completed(held_by, splits);
        }
    }

    pub(super) fn poll_close(&mut self, cx: &mut Context<'_>) -> Poll<Result<()>> {
        self.hooks.poll_close(cx)
    }
}
