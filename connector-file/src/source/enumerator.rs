//! The enumerator: lists once, hands out one split per request.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::task::Context;

use connector_api::Result;
use connector_api::env::Environment;
use connector_api::id::CheckpointId;
use connector_api::source::{EnumeratorCommand, EnumeratorContext, SplitEnumerator};
use connector_base::enumerator::{Background, PendingSplits};
use serde::{Deserialize, Serialize};

use super::config::SourceConfig;
use super::listing::{Found, list};
use super::split::{FileSplit, RelativePath, cut};

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
    pending: PendingSplits<FileSplit>,
    total_bytes: u64,
    listing: Background<Vec<Found>>,
    /// The listing itself can't be aborted: it looks here from time to time.
    cancelled: Arc<AtomicBool>,
}

impl Drop for FileEnumerator {
    fn drop(&mut self) {
        self.cancelled.store(true, Ordering::Relaxed);
    }
}

impl FileEnumerator {
    pub(super) fn new(
        config: Arc<SourceConfig>,
        env: Environment,
        restored: Option<FileEnumeratorState>,
    ) -> Self {
        let FileEnumeratorState { listed, pending, total_bytes } = restored.unwrap_or_default();
        let pending = PendingSplits::new(pending, listed);
        let (listing, cancelled) = (Background::idle(), Arc::new(AtomicBool::new(false)));
        Self { config, env, pending, total_bytes, listing, cancelled }
    }

    fn start_listing(&mut self) {
        let (config, fs) = (Arc::clone(&self.config), Arc::clone(&self.env.fs));
        let stop = Arc::clone(&self.cancelled);
        let work = move || list(&config.selection, &*fs, &stop);
        self.listing = Background::blocking(&self.env, "list files", work);
    }

    fn report(&self, context: &mut EnumeratorContext<FileSplit>) {
        if self.pending.is_complete() {
            context.report_total_bytes(self.total_bytes);
        }
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
        if command == EnumeratorCommand::Start && !self.pending.is_complete() {
            self.start_listing();
        }
        self.pending.handle(command, context)?;
        self.report(context);
        Ok(())
    }

    fn poll(&mut self, cx: &mut Context<'_>, context: &mut EnumeratorContext<FileSplit>) -> Result<()> {
        let Some(found) = self.listing.poll(cx)? else { return Ok(()) };
        self.env.crash.hit(AFTER_LISTING);
        self.total_bytes = found.iter().map(|f| f.file.len).sum();
        let size = |path: &RelativePath| self.config.read.split_size(path.as_path(), self.config.split_size);
        let splits = found.iter().flat_map(|f| cut(&f.path, f.file, size(&f.path)));
        self.pending.add_last(splits, context);
        self.report(context);
        Ok(())
    }

    fn snapshot(&mut self, _: CheckpointId) -> Result<FileEnumeratorState> {
        Ok(FileEnumeratorState {
            listed: self.pending.is_complete(),
            pending: self.pending.to_vec(),
            total_bytes: self.total_bytes,
        })
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::super::split::FileState;
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
