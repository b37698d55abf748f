//! What the user of a running job holds.

use std::sync::{Arc, Mutex, PoisonError};

use connector_api::{Error, Result};
use tokio::sync::{mpsc, oneshot};

use crate::report::{JobReport, Progress};
use crate::task::{Counts, LiveCounts};

/// What the user wants of a running job.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Control {
    Stop,
    Abort,
}

/// A running job. Dropping it gives the job up at once, as [`abort`](Self::abort) does.
#[derive(Debug)]
pub struct JobHandle {
    pub(super) control: mpsc::UnboundedSender<Control>,
    pub(super) board: Arc<Board>,
    pub(super) end: oneshot::Receiver<Result<JobReport>>,
}

impl JobHandle {
    /// Where the job stands. Cheap: for a progress bar.
    pub fn progress(&self) -> Progress {
        self.board.read()
    }

    /// Asks the job to stop with a savepoint. The sources stop reading, what was read is committed (but for what the sink's
    /// stages hold back, such as parts to be merged, which the savepoint holds), and [`wait`](Self::wait) returns
    /// [`JobEnd::Stopped`](crate::JobEnd::Stopped) with the savepoint's file.
    ///
    /// A job that ends or fails before the savepoint is complete says so instead.
    pub fn stop_with_savepoint(&self) {
        // The job is over already when nobody receives.
        let _ = self.control.send(Control::Stop);
    }

    /// Gives the job up at once, without a savepoint. Nothing that is committed is lost; a later start goes on from the
    /// last completed checkpoint. [`wait`](Self::wait) returns [`Error::Cancelled`].
    pub fn abort(&self) {
        let _ = self.control.send(Control::Abort);
    }

    /// Waits for the job's end. Cancel-safe; after it has returned once it returns [`Error::Cancelled`].
    ///
    /// # Errors
    ///
    /// Why the job failed, after everything the restart strategy allows.
    pub async fn wait(&mut self) -> Result<JobReport> {
        match (&mut self.end).await {
            Ok(end) => end,
            Err(_) => Err(Error::Cancelled("the job".into())),
        }
    }
}

impl Drop for JobHandle {
    fn drop(&mut self) {
        self.abort();
    }
}

/// Where a running job writes how it stands.
#[derive(Debug, Default)]
pub(crate) struct Board(Mutex<State>);

#[derive(Debug, Default)]
struct State {
    /// Without the counts of the attempt that runs.
    progress: Progress,
    live: Arc<LiveCounts>,
}

impl Board {
    pub(crate) fn read(&self) -> Progress {
        let state = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        let mut progress = state.progress.clone();
        let live = state.live.get();
        progress.records_in += live.records_in;
        progress.bytes_in += live.bytes_in;
        progress.records_out += live.records_out;
        progress.bytes_out += live.bytes_out;
        progress
    }

    /// An attempt begins: what it counts comes on top of what its checkpoint stands for.
    pub(crate) fn begin_attempt(&self, base: Counts, live: Arc<LiveCounts>) {
        let mut state = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        state.progress.records_in = base.records_in;
        state.progress.bytes_in = base.bytes_in;
        state.progress.records_out = base.records_out;
        state.progress.bytes_out = base.bytes_out;
        state.live = live;
    }

    pub(crate) fn update(&self, f: impl FnOnce(&mut Progress)) {
        f(&mut self.0.lock().unwrap_or_else(PoisonError::into_inner).progress);
    }
}
