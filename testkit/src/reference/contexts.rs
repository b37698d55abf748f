//! The connectors in memory as subjects of their own suites.

use async_trait::async_trait;
use connector_api::Result;
use connector_api::env::Environment;
use connector_api::sink::Sink;
use connector_api::source::{BoxSource, erase};

use super::{Ledger, Numbers, SinkFlaw, SourceFlaw};
use crate::capability::{Capabilities, Capability};
use crate::context::{Expiry, Faults, SinkContext, SourceContext};
use crate::rows::TestRow;

/// [`Numbers`] under test.
#[derive(Debug, Default)]
pub struct NumbersContext {
    numbers: Numbers,
    is_unbounded: bool,
}

impl NumbersContext {
    /// A bounded source with a flaw.
    pub fn new(flaw: SourceFlaw) -> Self {
        Self { numbers: Numbers::new().with(flaw), is_unbounded: false }
    }

    /// An unbounded source with a flaw.
    pub fn unbounded(flaw: SourceFlaw) -> Self {
        Self { numbers: Numbers::new().unbounded().with(flaw), is_unbounded: true }
    }
}

#[async_trait]
impl SourceContext for NumbersContext {
    type Batch = Vec<String>;

    fn capabilities(&self) -> Capabilities {
        if self.is_unbounded {
            Capabilities::of([Capability::Unbounded, Capability::Discovery, Capability::EventTimes])
        } else {
            Capabilities::of([Capability::Bounded, Capability::EventTimes])
        }
    }

    fn source(&self, _: &Environment) -> Result<BoxSource<Vec<String>>> {
        Ok(erase(self.numbers.source()))
    }

    async fn append(&mut self, _: &Environment, split: u32, rows: &[TestRow]) -> Result<()> {
        self.numbers.append(split, rows);
        Ok(())
    }

    fn faults(&mut self) -> Option<&mut dyn Faults> {
        Some(self)
    }
}

#[async_trait]
impl Faults for NumbersContext {
    async fn break_system(&mut self, _: &Environment) -> Result<()> {
        self.numbers.set_broken(true);
        Ok(())
    }

    async fn heal(&mut self, _: &Environment) -> Result<()> {
        self.numbers.set_broken(false);
        Ok(())
    }
}

/// [`Ledger`] under test.
#[derive(Debug, Default)]
pub struct LedgerContext {
    ledger: Ledger,
}

impl LedgerContext {
    /// A sink with a flaw.
    pub fn new(flaw: SinkFlaw) -> Self {
        Self { ledger: Ledger::new().with(flaw) }
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
