//! The writer: rows into hidden parts.

use std::time::Duration;

use async_trait::async_trait;
use connector_api::sink::{Checkpoint, CommittingWriter, Flush, SinkWriter, StatefulWriter, WriterContext};
use connector_api::{Batch, Error, Result};

use super::{ENOUGH, Ledger, OpenPart, Shape, SinkFlaw, Staged};
use crate::rows::TestBatch;

/// How long rows wait for others before they are sent without a flush.
const LINGER: Duration = Duration::from_millis(5);

pub(super) struct Writer {
    ledger: Ledger,
    context: WriterContext,
    counter: u64,
    /// Rows that the system does not have yet.
    unsent: Vec<String>,
    open: Option<OpenPart>,
    closed: Vec<Staged>,
    /// Handed over at the last checkpoint.
    handed_over: Vec<Staged>,
}

impl Writer {
    /// Goes on with the first of these parts, and closes the others.
    pub(super) async fn open(ledger: Ledger, context: WriterContext, states: Vec<OpenPart>) -> Result<Self> {
        let (counter, closed) = (0, Vec::new());
        let (unsent, handed_over) = (Vec::new(), Vec::new());
        let mut this = Self { ledger, context, counter, unsent, open: None, closed, handed_over };
        let taken = if this.ledger.is(SinkFlaw::TakesOneState) { 1 } else { states.len() };
        for state in states.into_iter().take(taken) {
            this.close_part();
            this.go_on(state)?;
        }
        if this.ledger.is(SinkFlaw::LeaksTask) {
            drop(this.context.env.spawner.spawn("ledger-writer", Box::pin(std::future::pending())));
        }
        Ok(this)
    }

    fn go_on(&mut self, state: OpenPart) -> Result<()> {
        let mut outside = self.ledger.lock();
        if let Some(part) = outside.staged.get_mut(&state.name) {
            // Rows behind the checkpoint come again.
            part.rows.truncate(usize::try_from(state.rows).unwrap_or(usize::MAX));
            self.open = Some(state);
        } else if !outside.committed.contains(&state.name) {
            return Err(Error::Lost(format!("the open part {} is gone", state.name)));
        }
        Ok(())
    }

    fn new_name(&mut self) -> String {
        self.counter += 1;
        let (counter, attempt) = (self.counter, self.context.attempt);
        let subtask = self.context.subtask;
        match self.ledger.flaw {
            SinkFlaw::NamesWithoutAttempt => format!("{subtask}-{counter}"),
            SinkFlaw::NamesWithoutSubtask => format!("{attempt}-{counter}"),
            _ => format!("{attempt}-{subtask}-{counter}"),
        }
    }

    /// Hands rows to the system.
    fn send(&mut self, mut rows: Vec<String>) -> Result<()> {
        if rows.is_empty() {
            return Ok(());
        }
        let name = match &self.open {
            Some(part) => part.name.clone(),
            None => self.new_name(),
        };
        self.ledger.check("staging", &name)?;
        self.context.env.crash.hit("ledger-writer/before-stage");
        if self.ledger.shape == Shape::AtLeastOnce {
            self.ledger.lock().visible.extend(rows);
            return Ok(());
        }
        if self.ledger.is(SinkFlaw::PublishesEarly) {
            self.ledger.lock().visible.extend(rows.pop());
        }
        let rows = self.ledger.lock().append(&name, self.context.attempt, rows) as u64;
        self.open = Some(OpenPart { name, rows });
        self.context.env.crash.hit("ledger-writer/after-stage");
        Ok(())
    }

    fn close_part(&mut self) {
        if let Some(OpenPart { name, rows }) = self.open.take() {
            self.closed.push(Staged { name, rows, inputs: Vec::new() });
        }
    }

    fn stays_open(&self, why: Flush) -> bool {
        let may = match why {
            Flush::Checkpoint => true,
            Flush::Savepoint => self.ledger.is(SinkFlaw::ChangesSavepoint),
            Flush::EndOfInput => self.ledger.is(SinkFlaw::StaysOpenAtTheEnd),
        };
        let is_full = self.open.as_ref().is_some_and(|part| part.rows >= ENOUGH as u64);
        self.ledger.shape == Shape::Open && may && !is_full
    }
}

#[async_trait]
impl<B: TestBatch> SinkWriter<B> for Writer {
    async fn write(&mut self, batch: Batch<B>) -> Result<()> {
        self.unsent.extend(batch.rows.texts()?);
        Ok(())
    }

    async fn flush(&mut self, why: Flush) -> Result<()> {
        while self.ledger.is(SinkFlaw::WaitsForEver) && self.ledger.lock().broken {
            self.context.env.clock.sleep(LINGER).await;
        }
        let mut rows = std::mem::take(&mut self.unsent);
        if self.ledger.is(SinkFlaw::KeepsBack) && why == Flush::Checkpoint {
            self.unsent.extend(rows.pop());
        }
        let sent = self.send(rows);
        if !self.ledger.is(SinkFlaw::SwallowsErrors) {
            sent?;
        }
        if !self.stays_open(why) {
            self.close_part();
        }
        if why == Flush::EndOfInput && self.counter == 0 && self.ledger.is(SinkFlaw::OpensAtTheEnd) {
            self.open = Some(OpenPart { name: self.new_name(), rows: 0 });
        }
        Ok(())
    }

    async fn idle(&mut self) -> Result<()> {
        if self.unsent.is_empty() {
            return std::future::pending().await;
        }
        let forgotten = if self.ledger.is(SinkFlaw::IdleForgets) { self.unsent.pop() } else { None };
        self.context.env.clock.sleep(LINGER).await;
        self.unsent.extend(forgotten);
        // From here on nothing waits.
        let rows = std::mem::take(&mut self.unsent);
        self.send(rows)
    }

    async fn close(&mut self) -> Result<()> {
        if self.ledger.is(SinkFlaw::ClosePublishes)
            && let Some(OpenPart { name, .. }) = self.open.take()
        {
            let mut outside = self.ledger.lock();
            if let Some(part) = outside.staged.remove(&name) {
                outside.publish(&name, &[], part.rows);
            }
        }
        Ok(())
    }
}

#[async_trait]
impl<B: TestBatch> CommittingWriter<B> for Writer {
    type Committable = Staged;

    async fn prepare_commit(&mut self) -> Result<Vec<Staged>> {
        if self.ledger.is(SinkFlaw::UndoesAborted) {
            let mut outside = self.ledger.lock();
            self.handed_over.iter().for_each(|part| drop(outside.staged.remove(&part.name)));
        }
        self.handed_over = std::mem::take(&mut self.closed);
        Ok(self.handed_over.clone())
    }
}

impl<B: TestBatch> StatefulWriter<B> for Writer {
    type State = OpenPart;

    fn snapshot(&mut self, _: Checkpoint) -> Result<Vec<OpenPart>> {
        Ok(self.open.iter().cloned().collect())
    }
}
