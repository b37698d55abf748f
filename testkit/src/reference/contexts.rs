//! The sink in memory as the subject of its own suite.

use async_trait::async_trait;
use connector_api::Result;
use connector_api::env::Environment;
use connector_api::sink::Sink;

use super::{LEDGER_CRASH_POINTS, Ledger, Shape, SinkFlaw};
use crate::capability::Capabilities;
use crate::context::{Expiry, Faults, SinkContext};
use crate::crash::CrashTable;

/// [`Ledger`] under test.
#[derive(Debug, Default)]
pub struct LedgerContext {
    ledger: Ledger,
    has_crash_points: bool,
}

/// Where a process of the ledger dies, and what is seen then.
const CRASH_TABLE: &str = "\
| point | what is seen |
|---|---|
| `ledger-writer/before-stage`, `after-stage` | nothing |
| `ledger-committer/before-commit` | the parts of the batch that come before it |
| `ledger-committer/mid-commit`, `after-commit` | the rows of the part |
";
/// With merges there is one part in a batch.
const MERGED_CRASH_TABLE: &str = "\
| point | what is seen |
|---|---|
| `ledger-writer/before-stage`, `after-stage` | nothing |
| `ledger-committer/before-commit` | nothing |
| `ledger-committer/mid-commit`, `after-commit` | the rows of the part |
| `ledger-group/before-merge`, `after-merge` | nothing |
";

impl LedgerContext {
    /// A sink with a flaw.
    pub fn new(flaw: SinkFlaw) -> Self {
        Self::shaped(Shape::TwoPhase, flaw)
    }

    /// A sink of another shape, with a flaw.
    pub fn shaped(shape: Shape, flaw: SinkFlaw) -> Self {
        Self { ledger: Ledger::new().shaped(shape).with(flaw), has_crash_points: false }
    }

    /// The same, with the checks that let processes die at its crash points.
    #[must_use]
    pub fn with_crash_points(self) -> Self {
        Self { has_crash_points: true, ..self }
    }
}

#[async_trait]
impl SinkContext for LedgerContext {
    type Batch = Vec<String>;

    fn capabilities(&self) -> Capabilities {
        Capabilities::default()
    }

    fn sink(&self, _: &Environment) -> Result<Box<dyn Sink<Vec<String>>>> {
        Ok(Box::new(self.ledger.sink()))
    }

    fn variants(&self, _: &Environment) -> Result<Vec<Box<dyn Sink<Vec<String>>>>> {
        if self.ledger.shape() == Shape::AtLeastOnce {
            return Ok(Vec::new());
        }
        let shaped = |shape| Box::new(self.ledger.clone().shaped(shape).sink()) as Box<dyn Sink<_>>;
        Ok([Shape::TwoPhase, Shape::Open, Shape::Grouped].map(shaped).into())
    }

    fn crash_points(&self) -> Option<CrashTable> {
        let merges = self.ledger.shape() == Shape::Grouped;
        let points = LEDGER_CRASH_POINTS.iter().filter(|point| merges || !point.contains("merge"));
        let reached = points.copied().collect();
        let readme = if merges { MERGED_CRASH_TABLE } else { CRASH_TABLE };
        self.has_crash_points.then_some(CrashTable { readme, reached })
    }

    async fn visible(&mut self, _: &Environment) -> Result<Vec<String>> {
        Ok(self.ledger.visible())
    }

    async fn lingering(&mut self, _: &Environment) -> Result<Vec<String>> {
        Ok(self.ledger.lingering())
    }

    fn faults(&mut self) -> Option<&mut dyn Faults> {
        Some(self)
    }

    fn expiry(&mut self) -> Option<&mut dyn Expiry> {
        Some(self)
    }
}

#[async_trait]
impl Faults for LedgerContext {
    async fn break_system(&mut self, _: &Environment) -> Result<()> {
        self.ledger.set_broken(true);
        Ok(())
    }

    async fn heal(&mut self, _: &Environment) -> Result<()> {
        self.ledger.set_broken(false);
        Ok(())
    }
}

#[async_trait]
impl Expiry for LedgerContext {
    async fn expire(&mut self, _: &Environment) -> Result<()> {
        self.ledger.expire();
        Ok(())
    }
}
