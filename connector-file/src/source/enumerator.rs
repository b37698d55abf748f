//! The enumerator: lists once or again and again, hands out one split per request.

use std::collections::HashSet;
use std::sync::Arc;
use std::task::Context;
use std::time::Duration;

use connector_api::env::Environment;
use connector_api::id::CheckpointId;
use connector_api::source::{EnumeratorCommand, EnumeratorContext, SplitEnumerator};
use connector_api::{Error, Result, Stored};
use connector_base::enumerator::PendingSplits;

use super::config::SourceConfig;
use super::discovery::{Discovery, Listing};
use super::disposal::{self, Disposal};
use super::kept::KeptFiles;
use super::listing::Found;
use super::metrics::{FILES_FOUND, LATE_FILES, count};
use super::seen::Seen;
use super::split::{FileSplit, RelativePath, cut};
use super::state::FileEnumeratorState;
use super::watch::{Horizon, LateFiles, Order};

/// Crash point: the files were listed, no reader and no checkpoint knows of them yet.
const AFTER_LISTING: &str = "file-enumerator/after-listing";

/// The places in the source where a test lets the process die, beside those of `connector_base::reader`. Those of
/// `file-disposal` are reached with `after_read` only.
pub const CRASH_POINTS: &[&str] =
    &[AFTER_LISTING, disposal::BEFORE, disposal::BEFORE_SYNC, disposal::AFTER_SYNC];

/// Finds the files and hands out their splits.
#[derive(Debug)]
pub struct FileEnumerator {
    config: Arc<SourceConfig>,
    env: Environment,
    discovery: Discovery,
    pending: PendingSplits<FileSplit>,
    listed: bool,
    total_bytes: u64,
    seen: Seen,
    newest: Duration,
    generations: u64,
    kept: KeptFiles,
    disposal: Disposal,
    /// Paths that were forgotten since the listing under way began, which may still have found them.
    gone: HashSet<RelativePath>,
}

impl FileEnumerator {
    pub(super) fn new(
        config: Arc<SourceConfig>,
        env: Environment,
        restored: Option<FileEnumeratorState>,
    ) -> Result<Self> {
        let state = restored.unwrap_or_default();
        let continuous = config.watch.interval.is_some();
        if continuous && state.listed && !state.remembers {
            let reason = "it is of a source without `discovery_interval`, which remembers no path: every file would be \
                          read again";
            return Err(Error::state(FileEnumeratorState::KIND, reason));
        }
        Ok(Self {
            discovery: Discovery::new(Arc::clone(&config), env.clone(), state.listed),
            pending: PendingSplits::new(state.pending, state.listed && !continuous),
            // What was found while files were disposed of is left where it is when they no longer are.
            kept: match config.watch.after_read {
                Some(_) => KeptFiles::restore(state.kept),
                None => KeptFiles::default(),
            },
            disposal: Disposal::new(Arc::clone(&config), env.clone()),
            config,
            env,
            listed: state.listed,
            total_bytes: state.total_bytes,
            seen: Seen::new(state.seen),
            newest: state.newest,
            generations: state.generations,
            gone: HashSet::new(),
        })
    }

    fn is_continuous(&self) -> bool {
        self.config.watch.interval.is_some()
    }

    /// Disposes of the files that may be, some at a time.
    fn dispose(&mut self) {
        if self.kept.any_done() && !self.disposal.is_running() {
            self.disposal.start(self.kept.take_done(disposal::BATCH));
        }
    }

    fn report(&self, context: &mut EnumeratorContext<FileSplit>) {
        context.report_busy(self.disposal.is_running());
        if self.pending.is_complete() {
            context.report_total_bytes(self.total_bytes);
        }
    }

    /// Takes the files of a listing that were not found before.
    fn take_in(&mut self, listing: Listing, context: &mut EnumeratorContext<FileSplit>) -> Result<()> {
        let mut new = if self.is_continuous() { self.unseen(&listing)? } else { listing.found };
        if self.config.watch.order == Order::Modified {
            // Stable: they come in the order of their paths.
            new.sort_by_key(|found| found.file.modified);
        }
        count(FILES_FOUND, new.len() as u64);
        let mut splits = Vec::new();
        for found in &new {
            let mut generation = 0;
            if self.config.watch.forgets() {
                self.generations += 1;
                generation = self.generations;
            }
            let size = self.config.read.split_size(found.path.as_path(), self.config.split_size);
            let cut = cut(&found.path, found.file, size, generation);
            if self.config.watch.after_read.is_some() {
                self.kept.add(&found.path, found.file, generation, &cut);
            }
            splits.extend(cut);
        }
        self.listed = true;
        if self.is_continuous() {
            self.pending.add_new(splits, context);
        } else {
            self.total_bytes = new.iter().map(|found| found.file.len).sum();
            self.pending.add_last(splits, context);
        }
        Ok(())
    }

    /// The files that were not found before and are to be read, in the order in which they are; remembers them.
    fn unseen(&mut self, listing: &Listing) -> Result<Vec<Found>> {
        let watch = &self.config.watch;
        let Some(youngest) = listing.at.checked_sub(watch.min_age) else { return Ok(Vec::new()) };
        let settled = |found: &&Found| watch.min_age.is_zero() || found.file.modified <= youngest;
        let mut new = Vec::new();
        for found in listing.found.iter().filter(settled) {
            if !self.seen.contains(&found.path) && !self.gone.contains(&found.path) {
                new.push(found.clone());
            }
        }
        let horizon = watch.horizon;
        if let Some(horizon) = horizon {
            self.sort_out_late(horizon, &mut new)?;
        }
        for found in &new {
            self.seen.insert(&found.path, found.file.modified);
        }
        self.gone.clear();
        if let Some(horizon) = horizon {
            self.forget(horizon, listing);
        }
        Ok(new)
    }

    /// Treats the files as late that may have been found before and forgotten.
    fn sort_out_late(&mut self, horizon: Horizon, new: &mut Vec<Found>) -> Result<()> {
        // What was forgotten so far was older than this.
        let bound = self.newest.saturating_sub(horizon.span);
        let is_late = |found: &Found| found.file.modified < bound;
        match horizon.late {
            LateFiles::Read => {}
            LateFiles::Fail => {
                if let Some(late) = new.iter().find(|found| is_late(found)) {
                    let behind = bound.saturating_sub(late.file.modified);
                    let reason = format!(
                        "the file is late: it was modified {behind:?} before the horizon, and whether it was read before is \
                         not remembered any more (see `late_files`)"
                    );
                    return Err(Error::data(late.path.to_string(), None, reason));
                }
            }
            LateFiles::Skip => {
                for late in new.iter().filter(|found| is_late(found)) {
                    tracing::warn!(file = %late.path, modified = ?late.file.modified, "late: skipped");
                    count(LATE_FILES, 1);
                    // So that it is skipped and counted once.
                    self.seen.insert(&late.path, late.file.modified);
                }
                new.retain(|found| !is_late(found));
            }
        }
        Ok(())
    }

    /// Forgets the paths that are gone and lie before the horizon.
    fn forget(&mut self, horizon: Horizon, listing: &Listing) {
        let there: HashSet<_> = listing.found.iter().map(|found| &found.path).collect();
        for found in &listing.found {
            if self.seen.contains(&found.path) {
                self.seen.insert(&found.path, found.file.modified);
                // A file of the future must not make all others late.
                self.newest = self.newest.max(found.file.modified.min(listing.at));
            }
        }
        let bound = self.newest.saturating_sub(horizon.span);
        self.seen.retain(|path, modified| modified >= bound || there.contains(path));
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
        match &command {
            EnumeratorCommand::Start if !self.pending.is_complete() => self.discovery.start(Duration::ZERO),
            EnumeratorCommand::SplitFinished(reader, split) => self.kept.reported(*reader, split),
            // One that is added begins anew.
            EnumeratorCommand::AddReader(reader) | EnumeratorCommand::RemoveReader(reader) => {
                self.kept.reader_is_gone(*reader);
            }
            EnumeratorCommand::AddSplitsBack(splits) => self.kept.given_back(splits),
            EnumeratorCommand::CheckpointComplete(checkpoint) => self.kept.completed(*checkpoint),
            _ => {}
        }
        // E-9: nothing is touched before `Start`, the first command.
        self.dispose();
        self.pending.handle(command, context)?;
        self.report(context);
        Ok(())
    }

    fn poll(&mut self, cx: &mut Context<'_>, context: &mut EnumeratorContext<FileSplit>) -> Result<()> {
        while let Some(listing) = self.discovery.poll(cx)? {
            self.env.crash.hit(AFTER_LISTING);
            self.take_in(listing, context)?;
        }
        while let Some(gone) = self.disposal.poll(cx)? {
            for done in &*gone {
                self.kept.forget(done);
                self.seen.forget(&done.path);
                self.gone.insert(done.path.clone());
            }
            self.dispose();
        }
        self.report(context);
        Ok(())
    }

    fn snapshot(&mut self, checkpoint: CheckpointId) -> Result<FileEnumeratorState> {
        Ok(FileEnumeratorState {
            listed: self.listed,
            pending: self.pending.to_vec(),
            total_bytes: self.total_bytes,
            remembers: self.is_continuous(),
            seen: self.seen.stored(),
            newest: self.newest,
            generations: self.generations,
            kept: self.kept.snapshot(checkpoint),
        })
    }
}
