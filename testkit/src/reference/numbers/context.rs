//! The source in memory as the subject of its own suite.

use async_trait::async_trait;
use connector_api::Result;
use connector_api::env::Environment;
use connector_api::source::{BoxSource, erase};

use super::disguise::disguise;
use super::{Numbers, SourceFlaw};
use crate::capability::{Capabilities, Capability};
use crate::context::{Faults, SourceContext};
use crate::crash::CrashTable;
use crate::meter::Meter;
use crate::reference::NUMBERS_CRASH_POINTS;
use crate::rows::TestRow;

const README: &str = "
| crash point | recovery | what the user sees |
|---|---|---|
| `numbers-enumerator/after-discovery` | discovers again | nothing |
| `numbers-reader/after-fetch` | the rows are read again from the position in the checkpoint | nothing |
";

/// [`Numbers`] under test.
#[derive(Debug, Default)]
pub struct NumbersContext {
    numbers: Numbers,
    is_unbounded: bool,
    flaw: SourceFlaw,
}

impl NumbersContext {
    /// A bounded source with a flaw.
    pub fn new(flaw: SourceFlaw) -> Self {
        Self { numbers: Numbers::new().with(flaw), is_unbounded: false, flaw }
    }

    /// An unbounded source with a flaw.
    pub fn unbounded(flaw: SourceFlaw) -> Self {
        Self { numbers: Numbers::new().unbounded().with(flaw), is_unbounded: true, flaw }
    }
}

#[async_trait]
impl SourceContext for NumbersContext {
    type Batch = Vec<String>;

    fn capabilities(&self) -> Capabilities {
        let ends = if self.is_unbounded {
            Capabilities::of([Capability::Unbounded, Capability::Discovery, Capability::Growth])
        } else {
            Capabilities::of([Capability::Bounded])
        };
        ends.with(Capability::EventTimes).with(Capability::Watermarks)
    }

    fn source(&self, _: &Environment) -> Result<BoxSource<Vec<String>>> {
        Ok(disguise(erase(self.numbers.source()), self.flaw))
    }

    async fn append(&mut self, _: &Environment, split: u32, rows: &[TestRow]) -> Result<()> {
        self.numbers.append(split, rows);
        Ok(())
    }

    fn faults(&mut self) -> Option<&mut dyn Faults> {
        Some(self)
    }

    fn crash_points(&self) -> Option<CrashTable> {
        let reached = NUMBERS_CRASH_POINTS.iter().copied().collect();
        (!self.is_unbounded).then_some(CrashTable { readme: README, reached })
    }

    fn read_ahead(&self) -> Option<u64> {
        // Nothing is read before it is asked for.
        Some(0)
    }

    fn bytes_read(&self, _: &Meter) -> u64 {
        self.numbers.bytes_read()
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
