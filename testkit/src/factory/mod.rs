//! Checks of factories: options, `create` and `check`.

mod checks;
mod ends;

use async_trait::async_trait;
use connector_api::env::Environment;
use connector_api::factory::ConnectorFactory;
use connector_api::{Result, RowBatch};
use serde_json::{Map, Value};

use crate::capability::{Capabilities, Capability};
use crate::check::Check;
use ends::End;

/// Options as a front end reads them.
pub type Values = Map<String, Value>;

/// A factory under test.
///
/// One value is made for each check; nothing outside may be shared with another.
#[async_trait]
pub trait FactorySubject: Send + 'static {
    /// What its source emits and its sink takes.
    type Batch: RowBatch;

    /// The factory.
    fn factory(&self) -> Box<dyn ConnectorFactory<Self::Batch>>;

    /// Options for the source; none when the factory makes sinks only.
    fn source(&self) -> Option<Example>;

    /// Options for the sink; none when the factory makes sources only.
    fn sink(&self) -> Option<Example>;

    /// Makes what the examples point at, so that a check of them succeeds.
    ///
    /// # Errors
    ///
    /// When the system can't be prepared.
    async fn prepare(&mut self, env: &Environment) -> Result<()>;
}

/// Options that are known to be right, and changes to them whose effect is known.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Example {
    /// Every required option, and best every other one too.
    pub options: Values,
    /// Put over `options`, they point at other data: stored state means nothing there.
    pub elsewhere: Values,
    /// Put over `options`, they change how the connector works and not on which data; may be empty.
    pub tuned: Values,
    /// Put over `options`, they point at what is not there or can't be used: a check must fail.
    pub unreachable: Values,
}

/// All checks of factories.
pub fn checks<C: FactorySubject>() -> Vec<Check<C>> {
    checks::checks()
}

/// What the subject shows: which ends it has, and whether they take secrets.
pub fn capabilities<C: FactorySubject>(subject: &C) -> Capabilities {
    let (source, sink) = (End::source(subject), End::sink(subject));
    let ends = [&source, &sink];
    let secrets = ends.iter().filter_map(|end| end.as_ref()).any(|end| end.secrets().next().is_some());
    let shown = [
        (source.is_some(), Capability::SourceFactory),
        (sink.is_some(), Capability::SinkFactory),
        (secrets, Capability::Secrets),
    ];
    Capabilities::of(shown.into_iter().filter(|(is_there, _)| *is_there).map(|(_, capability)| capability))
}
