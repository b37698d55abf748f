//! A sink in memory: rows are staged under a name and become visible when that name is committed.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use async_trait::async_trait;
use connector_api::sink::{
    CommitRequest, Committer, CommittingWriter, Each, Flush, OperatorContext, Outcome, Proof, Sink, SinkPlan,
    SinkWriter, WriterContext,
};
use connector_api::{Batch, Error, Result, stored};
use serde::{Deserialize, Serialize};

use super::numbers::Down;
use crate::rows::TestBatch;

/// What makes [`Ledger`] break a rule.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
#[non_exhaustive]
pub enum SinkFlaw {
    /// It breaks none.
    #[default]
    None,
    /// W-4: a row is visible as soon as it is staged.
    PublishesEarly,
}

/// The system that the sink writes. Clones share it; it outlives processes.
#[derive(Clone, Debug, Default)]
pub struct Ledger(Arc<Mutex<Outside>>);

#[derive(Debug, Default)]
struct Outside {
    staged: BTreeMap<String, Vec<String>>,
    committed: BTreeSet<String>,
    visible: Vec<String>,
    broken: bool,
    flaw: SinkFlaw,
}

impl Ledger {
    /// A system with nothing in it.
    pub fn new() -> Self {
        Self::default()
    }

    /// The same, with a flaw.
    #[must_use]
    pub fn with(self, flaw: SinkFlaw) -> Self {
        self.lock().flaw = flaw;
        self
    }

    /// What is visible, in the order of the commits.
    pub fn visible(&self) -> Vec<String> {
        self.lock().visible.clone()
    }

    /// How many rows are visible.
    pub fn len(&self) -> usize {
        self.lock().visible.len()
    }

    /// Whether no row is visible.
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// What is staged and not visible.
    pub fn lingering(&self) -> Vec<String> {
        self.lock().staged.keys().cloned().collect()
    }

    /// From now on staging and committing fail, or work again.
    pub fn set_broken(&self, broken: bool) {
        self.lock().broken = broken;
    }

    /// Everything that is staged is gone.
    pub fn expire(&self) {
        self.lock().staged.clear();
    }

    /// The sink.
    pub fn sink(&self) -> LedgerSink {
        LedgerSink(self.clone())
    }

    fn lock(&self) -> MutexGuard<'_, Outside> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn check(&self, operation: &'static str, target: &str) -> Result<()> {
        if self.lock().broken {
            return Err(Error::connector(operation, target, None, Down("the system is broken")));
        }
        Ok(())
    }
}

/// Writes into a [`Ledger`].
#[derive(Clone, Debug)]
pub struct LedgerSink(Ledger);

/// The name of what was staged.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Staged(pub String);
stored!(Staged, "ledger-staged");

impl<B: TestBatch> Sink<B> for LedgerSink {
    fn plan(&self) -> Result<SinkPlan<B>> {
        let outside = self.0.clone();
        let open = move |context: WriterContext| {
            let outside = outside.clone();
            async move { Ok(Writer { outside, context, counter: 0, rows: Vec::new() }) }
        };
        let outside = self.0.clone();
        let commit = move |context: OperatorContext| {
            let outside = outside.clone();
            async move { Ok(Each(Commits { outside, context })) }
        };
        Ok(SinkPlan::writer(open).committer(commit))
    }
}

struct Writer {
    outside: Ledger,
    context: WriterContext,
    counter: u64,
    rows: Vec<String>,
}

#[async_trait]
impl<B: TestBatch> SinkWriter<B> for Writer {
    async fn write(&mut self, batch: Batch<B>) -> Result<()> {
        self.rows.extend(batch.rows.texts()?);
        Ok(())
    }

    async fn flush(&mut self, _: Flush) -> Result<()> {
        Ok(())
    }
}

#[async_trait]
impl<B: TestBatch> CommittingWriter<B> for Writer {
    type Committable = Staged;

    async fn prepare_commit(&mut self) -> Result<Vec<Staged>> {
        if self.rows.is_empty() {
            return Ok(Vec::new());
        }
        self.counter += 1;
        let name = format!("{}-{}-{}", self.context.attempt, self.context.subtask, self.counter);
        self.outside.check("staging", &name)?;
        self.context.env.crash.hit("ledger-writer/before-stage");
        let mut rows = std::mem::take(&mut self.rows);
        {
            let mut outside = self.outside.lock();
            if outside.flaw == SinkFlaw::PublishesEarly {
                outside.visible.extend(rows.drain(..1));
            }
            outside.staged.insert(name.clone(), rows);
        }
        self.context.env.crash.hit("ledger-writer/after-stage");
        Ok(vec![Staged(name)])
    }
}

struct Commits {
    outside: Ledger,
    context: OperatorContext,
}

#[async_trait]
impl Committer<Staged> for Commits {
    async fn commit(&mut self, request: &CommitRequest<Staged>) -> Outcome<Staged> {
        let name = &request.committable.0;
        if let Err(why) = self.outside.check("committing", name) {
            return Outcome::Retry { updated: None, after: None, why };
        }
        self.context.env.crash.hit("ledger-committer/before-commit");
        let outcome = {
            let mut outside = self.outside.lock();
            if outside.committed.contains(name) {
                Outcome::AlreadyCommitted { proof: Proof::TransactionCommitted }
            } else if let Some(rows) = outside.staged.remove(name) {
                outside.visible.extend(rows);
                outside.committed.insert(name.clone());
                Outcome::Committed
            } else {
                Outcome::Lost { reason: format!("{name} is not staged") }
            }
        };
        self.context.env.crash.hit("ledger-committer/after-commit");
        outcome
    }
}
