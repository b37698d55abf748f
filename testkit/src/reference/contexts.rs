//! The sink in memory as the subject of its own suite.

use async_trait::async_trait;
use connector_api::Result;
use connector_api::env::Environment;
use connector_api::sink::Sink;

use super::{Ledger, SinkFlaw};
use crate::capability::Capabilities;
use crate::context::{Expiry, Faults, SinkContext};

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
