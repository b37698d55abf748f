//! A sink in memory: rows are staged in parts and become visible when a part is committed.

mod committer;
mod flaw;
mod outside;
mod stages;
mod sweep;
mod writer;

use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use connector_api::sink::{
    Each, OperatorContext, Parallelism, Partition, Sink, SinkPlan, Topology, WriterContext,
};
use connector_api::{Error, Result, stored};
use serde::{Deserialize, Serialize};

pub use flaw::SinkFlaw;

use super::numbers::Down;
use crate::rows::TestBatch;
use committer::Commits;
use outside::Outside;
use stages::{Clean, Group};
use sweep::Sweep;
use writer::Writer;

/// The uid of the stage that groups parts.
pub const GROUP_UID: &str = "ledger-group";
/// The uid of the stage that removes what was merged.
pub const CLEAN_UID: &str = "ledger-clean";
const GROUP_HINT: &str = "parts wait to be merged: restore with the shape `Grouped`";

/// How rows become visible.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
#[non_exhaustive]
pub enum Shape {
    /// A part per checkpoint, visible by a commit.
    #[default]
    TwoPhase,
    /// Visible as soon as it is flushed; no committer.
    AtLeastOnce,
    /// A part goes on over checkpoints until it has [`ENOUGH`] rows.
    Open,
    /// Parts of several checkpoints are merged before they appear, and removed when they have.
    Grouped,
}

/// The rows with which an open part is closed.
pub const ENOUGH: usize = 16;

/// The system that the sink writes, and how it is written. Clones share the system; it outlives processes.
#[derive(Clone, Debug, Default)]
pub struct Ledger {
    outside: Arc<Mutex<Outside>>,
    shape: Shape,
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
        Self { flaw, ..self }
    }

    /// The same system, written in another way.
    #[must_use]
    pub fn shaped(self, shape: Shape) -> Self {
        Self { shape, ..self }
    }

    /// How it is written.
    pub fn shape(&self) -> Shape {
        self.shape
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
        self.outside.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Whether it breaks this rule.
    fn is(&self, flaw: SinkFlaw) -> bool {
        self.flaw == flaw
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

/// A closed part. Its name and length are enough to commit it.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
pub struct Staged {
    /// Its name outside.
    pub name: String,
    /// Its rows.
    pub rows: u64,
    /// The parts whose rows it holds, if it was merged.
    pub inputs: Vec<String>,
}
stored!(Staged, "ledger-staged");

/// A part that a checkpoint left open.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
struct OpenPart {
    name: String,
    /// The rows of it that belong to the checkpoint.
    rows: u64,
}
stored!(OpenPart, "ledger-open-part");

/// A part that waits for company.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
struct Held {
    part: Staged,
    checkpoint: u64,
}
stored!(Held, "ledger-held");

impl<B: TestBatch> Sink<B> for LedgerSink {
    fn plan(&self) -> Result<SinkPlan<B>> {
        let ledger = self.0.clone();
        let commit = move |context: OperatorContext| {
            let ledger = ledger.clone();
            async move { Ok(Each(Commits::new(ledger, context))) }
        };
        let ledger = self.0.clone();
        let fresh = move |context: WriterContext| Writer::open(ledger.clone(), context, Vec::new());
        let ledger = self.0.clone();
        let plan = match self.0.shape {
            Shape::AtLeastOnce => return Ok(SinkPlan::writer(fresh).at_least_once()),
            Shape::TwoPhase => SinkPlan::writer(fresh).committer(commit),
            Shape::Open => {
                SinkPlan::stateful(move |context, states| Writer::open(ledger.clone(), context, states))
                    .committer(commit)
            }
            Shape::Grouped => SinkPlan::writer(fresh)
                .pre_commit(self.0.group())
                .post_commit(self.0.clean())
                .committer(commit),
        };
        let plan = plan.sweep(Sweep(self.0.clone()));
        if self.0.shape == Shape::Grouped || self.0.is(SinkFlaw::HidesWhatIsAbsent) {
            return Ok(plan);
        }
        Ok(plan.absent(GROUP_UID, GROUP_HINT).absent(CLEAN_UID, GROUP_HINT))
    }
}

impl Ledger {
    fn group(&self) -> Topology<Staged, Staged> {
        let ledger = self.clone();
        let open = move |context, held| {
            let group = Group::new(ledger.clone(), context, held);
            async move { Ok(group) }
        };
        Topology::new().stage(GROUP_UID, Parallelism::One, Partition::Rebalance, open)
    }

    fn clean(&self) -> Topology<Staged, Staged> {
        let ledger = self.clone();
        let open = move |_, _| {
            let clean = Clean(ledger.clone());
            async move { Ok(clean) }
        };
        Topology::new().stage(CLEAN_UID, Parallelism::Same, Partition::Same, open)
    }
}
