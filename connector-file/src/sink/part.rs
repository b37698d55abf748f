//! A part that is being written: what it is, and the body that takes its bytes.

use std::fmt::Debug;
use std::time::Duration;

use async_trait::async_trait;
use bytes::Bytes;
use connector_api::Result;

use super::committable::{Staged, StagedFile, WriterState};
use super::job::Job;

/// Takes the bytes of one part, in a file or an object store.
#[async_trait]
pub(crate) trait Body: Send + Sync + Debug {
    /// Takes the next bytes; waits while too many are on their way.
    async fn hand_over(&mut self, chunks: Vec<Bytes>) -> Result<()>;

    /// Waits until [`sync`](Self::sync) and [`finish`](Self::finish) may be called. Cancel-safe.
    async fn settle(&mut self) -> Result<()>;

    /// Takes the next bytes and makes all durable, so that a later attempt can go on with the part; none when they are. Call
    /// [`settle`](Self::settle) before.
    fn sync(&mut self, chunks: Vec<Bytes>) -> Result<Option<Job<()>>>;

    /// Takes the last bytes and makes all durable. Call [`settle`](Self::settle) before.
    fn finish(self: Box<Self>, chunks: Vec<Bytes>) -> Finish;

    /// Waits for the end of work under way: nothing is written afterwards.
    async fn stop(&mut self) -> Result<()>;
}

/// The end of a part.
#[derive(Debug)]
pub(crate) enum Finish {
    /// It is durable.
    Done(Staged),
    /// It is going to be.
    Going(Job<Staged>),
}

/// The part that a writer writes to.
#[derive(Debug)]
pub(crate) struct Part {
    body: Box<dyn Body>,
    /// What it is, with the length that was gathered and handed over for it.
    state: WriterState,
    /// When its age is up, on the monotonic clock.
    deadline: Option<Duration>,
}

impl Part {
    pub(crate) fn new(body: Box<dyn Body>, state: WriterState, deadline: Option<Duration>) -> Self {
        Self { body, state, deadline }
    }

    pub(crate) fn state(&self) -> &WriterState {
        &self.state
    }

    pub(crate) fn deadline(&self) -> Option<Duration> {
        self.deadline
    }

    /// Counts what was gathered for it.
    pub(crate) fn grow(&mut self, bytes: u64, rows: u64) {
        self.state.length += bytes;
        self.state.rows += rows;
    }

    pub(crate) fn body(&mut self) -> &mut dyn Body {
        &mut *self.body
    }

    /// Ends the part with these bytes; gives what is to be committed, once it is durable.
    pub(crate) fn finish(self, chunks: Vec<Bytes>) -> (Finish, Closed) {
        let WriterState { staged: _, name, length, rows, created_at: _ } = self.state;
        (self.body.finish(chunks), Closed { name, length, rows })
    }
}

/// A part that takes no more rows.
#[derive(Debug)]
pub(crate) struct Closed {
    name: String,
    length: u64,
    rows: u64,
}

impl Closed {
    /// The part as it is committed.
    pub(crate) fn staged(self, staged: Staged) -> StagedFile {
        let Self { name, length, rows } = self;
        StagedFile { staged, name, length, rows, parts: 1, inputs: Vec::new() }
    }
}
