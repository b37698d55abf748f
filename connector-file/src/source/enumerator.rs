//! The enumerator: lists once, hands out one split per request.

use std::collections::{BTreeSet, HashSet, VecDeque};
use std::future::Future;
use std::pin::Pin;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::task::{Context, Poll};

use connector_api::env::{Environment, TaskHandle};
use connector_api::id::{CheckpointId, ReaderId};
use connector_api::source::{EnumeratorCommand, EnumeratorContext, Split, SplitEnumerator};
use connector_api::{Error, Result};
use futures::channel::oneshot;
use serde::{Deserialize, Serialize};

use super::config::SourceConfig;
use super::listing::{Found, list};
use super::split::{FileSplit, cut};

/// Crash point: the files were listed, no reader and no checkpoint knows of them yet.
const AFTER_LISTING: &str = "file-enumerator/after-listing";

/// The places in the source where a test lets the process die, beside those of `connector_base::reader`.
pub const CRASH_POINTS: &[&str] = &[AFTER_LISTING];

/// What the enumerator keeps in checkpoints.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct FileEnumeratorState {
    /// Whether the files were listed. What was listed is never listed again.
    pub listed: bool,
    /// The splits that no reader has.
    pub pending: Vec<FileSplit>,
    /// The size of all files together.
    pub total_bytes: u64,
}

connector_api::stored!(FileEnumeratorState, "file-enumerator");

/// Finds the files and hands out their splits.
#[derive(Debug)]
pub struct FileEnumerator {
    config: Arc<SourceConfig>,
    env: Environment,
    listed: bool,
    pending: VecDeque<FileSplit>,
    total_bytes: u64,
    listing: Option<Listing>,
    /// Requests that wait, in order; a reader may wait for several splits.
    waiting: VecDeque<ReaderId>,
    /// Readers that were told that no more will come.
    told: BTreeSet<ReaderId>,
}

/// A listing under way.
#[derive(Debug)]
struct Listing {
    result: oneshot::Receiver<Result<Vec<Found>>>,
    task: Box<dyn TaskHandle>,
    /// The listing itself can't be aborted: it looks here from time to time.
    cancelled: Arc<AtomicBool>,
}

impl Drop for Listing {
    fn drop(&mut self) {
        self.cancelled.store(true, Ordering::Relaxed);
        self.task.abort();
    }
}

impl FileEnumerator {
    pub(super) fn new(
        config: Arc<SourceConfig>,
        env: Environment,
        restored: Option<FileEnumeratorState>,
    ) -> Self {
        let state = restored.unwrap_or_default();
        Self {
            config,
            env,
            listed: state.listed,
            pending: state.pending.into(),
            total_bytes: state.total_bytes,
            listing: None,
            waiting: VecDeque::new(),
            told: BTreeSet::new(),
        }
    }

    fn start_listing(&mut self) {
        let (done, result) = oneshot::channel();
        let cancelled = Arc::new(AtomicBool::new(false));
        let (config, env, stop) = (Arc::clone(&self.config), self.env.clone(), Arc::clone(&cancelled));
        let work = async move {
            let fs = Arc::clone(&env.fs);
            let listed = env.blocking("listing", move || list(&config.selection, &*fs, &stop)).await;
            // The enumerator is gone when nobody receives.
            let _ = done.send(listed);
        };
        let task = self.env.spawner.spawn("list files", Box::pin(work));
        self.listing = Some(Listing { result, task, cancelled });
    }

    fn take_in(&mut self, found: &[Found]) {
        self.total_bytes = found.iter().map(|f| f.file.len).sum();
        let known: HashSet<_> = self.pending.iter().map(Split::id).collect();
        let splits = found.iter().flat_map(|f| cut(&f.path, f.file, self.config.split_size));
        self.pending.extend(splits.filter(|split| known.is_empty() || !known.contains(&split.id())));
        self.listed = true;
    }

    /// Answers requests as far as there is an answer.
    fn serve(&mut self, context: &mut EnumeratorContext<FileSplit>) {
        while let Some(reader) = self.waiting.front().copied() {
            if let Some(split) = self.pending.pop_front() {
                context.assign(reader, vec![split]);
            } else if !self.listed {
                break;
            } else if self.told.insert(reader) {
                context.no_more_splits(reader);
            }
            self.waiting.pop_front();
        }
        context.report_unassigned(self.pending.len() as u64);
        if self.listed {
            context.report_total_bytes(self.total_bytes);
        }
    }

    fn forget(&mut self, reader: ReaderId) {
        self.waiting.retain(|r| *r != reader);
        self.told.remove(&reader);
    }
}

impl SplitEnumerator for FileEnumerator {
    type Split = FileSplit;
    type State = FileEnumeratorState;

    fn handle(
        &mut self,
        command: EnumeratorCommand<FileSplit>,
        context: &mut EnumeratorContext<FileSplit>,
    ) -> Result<()> {
        match command {
            EnumeratorCommand::Start if !self.listed => self.start_listing(),
            EnumeratorCommand::Start => {}
            // It begins anew: whatever it asked for or was told before is void.
            EnumeratorCommand::AddReader(reader) | EnumeratorCommand::RemoveReader(reader) => {
                self.forget(reader);
            }
            EnumeratorCommand::SplitRequest(reader) => {
                if context.has_reader(reader) {
                    self.waiting.push_back(reader);
                }
            }
            EnumeratorCommand::AddSplitsBack(splits) => {
                for split in splits.into_iter().rev() {
                    self.pending.push_front(split);
                }
            }
            EnumeratorCommand::ReaderEvent(reader, _) => {
                let reason = format!("reader {reader} sent an event, and the file source knows none");
                return Err(Error::contract("file source", reason));
            }
            EnumeratorCommand::SplitFinished(..)
            | EnumeratorCommand::CheckpointComplete(_)
            | EnumeratorCommand::CheckpointAborted(_) => {}
        }
        self.serve(context);
        Ok(())
    }

    fn poll(&mut self, waker: &mut Context<'_>, context: &mut EnumeratorContext<FileSplit>) -> Result<()> {
        let Some(listing) = &mut self.listing else { return Ok(()) };
        let Poll::Ready(result) = Pin::new(&mut listing.result).poll(waker) else { return Ok(()) };
        self.listing = None;
        let found = result.unwrap_or(Err(Error::Cancelled("listing".into())))?;
        self.env.crash.hit(AFTER_LISTING);
        self.take_in(&found);
        self.serve(context);
        Ok(())
    }

    fn snapshot(&mut self, _: CheckpointId) -> Result<FileEnumeratorState> {
        Ok(FileEnumeratorState {
            listed: self.listed,
            pending: self.pending.iter().cloned().collect(),
            total_bytes: self.total_bytes,
        })
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::super::split::{FileState, RelativePath};
    use super::*;

    #[test]
    fn states_of_every_version_are_read() -> Result<(), testkit::golden::Broken> {
        let path = RelativePath::new("a/b").unwrap();
        let file = FileState { len: 150, modified: Duration::new(7, 9), file_id: 3 };
        let listed = FileEnumeratorState { listed: true, pending: cut(&path, file, 100), total_bytes: 150 };
        let golden = crate::golden().value("before-listing", FileEnumeratorState::default());
        golden.value("listed", listed).check()
    }
}
