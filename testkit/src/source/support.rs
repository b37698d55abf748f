//! What the checks of sources share.

use async_trait::async_trait;
use connector_api::Result;
use connector_api::env::Environment;
use connector_api::sink::Sink;
use connector_api::source::BoxSource;

use crate::check::{Broken, Verdict};
use crate::context::SourceContext;
use crate::lab::Subject;
use crate::lockstep::{self, Options, Pair, Ran};
use crate::reference::Ledger;
use crate::rows::TestRow;
use crate::{Capability, history};

/// Rows per split that most checks write.
pub(super) const ROWS: u64 = 40;

/// Appends `rows` rows to every split; gives the texts of all.
pub(super) async fn fill<C: SourceContext>(
    subject: &mut Subject<C>,
    rows: std::ops::Range<u64>,
) -> Result<Vec<String>, Broken> {
    let env = subject.env();
    let mut texts = Vec::new();
    for split in 0..subject.context.splits() {
        let rows = TestRow::range(split, rows.clone());
        let appended = subject.context.append(&env, split, &rows).await;
        appended.map_err(Broken::by("E-2", "appending test data"))?;
        texts.extend(rows.into_iter().map(|row| row.text));
    }
    Ok(texts)
}

/// The source under test, with a sink in memory.
pub(super) struct SourcePair<'a, C> {
    pub(super) context: &'a mut C,
    pub(super) ledger: Ledger,
    /// How many rows an unbounded source is expected to give.
    pub(super) expected: usize,
}

#[async_trait]
impl<C: SourceContext> Pair<C::Batch> for SourcePair<'_, C> {
    fn source(&mut self, env: &Environment) -> Result<BoxSource<C::Batch>> {
        self.context.source(env)
    }

    fn sink(&mut self, _: &Environment) -> Result<Box<dyn Sink<C::Batch>>> {
        Ok(Box::new(self.ledger.sink()))
    }

    fn is_enough(&mut self, _: &history::History) -> bool {
        !self.context.capabilities().has(Capability::Bounded) && self.ledger.len() >= self.expected
    }
}

/// Fills all splits and runs the source under the deterministic host; every row must arrive exactly once.
pub(super) async fn run_whole<C: SourceContext>(
    subject: &mut Subject<C>,
    rule: &'static str,
    options: Options,
) -> Result<Ran, Broken> {
    let expected = fill(subject, 0..ROWS).await?;
    let ledger = Ledger::new();
    let mut pair =
        SourcePair { context: &mut subject.context, ledger: ledger.clone(), expected: expected.len() };
    let options = Options { rule, ..options };
    let ran = lockstep::run(&mut pair, &mut subject.around, options).await?;
    let judged = history::exactly_once(rule, &expected, &ledger.visible());
    with_log(judged, &ran)?;
    Ok(ran)
}

/// Adds the last steps to what a checker found.
pub(super) fn with_log(verdict: Verdict, ran: &Ran) -> Verdict {
    verdict.map_err(|broken| Broken {
        what: format!("{}\nthe last steps:\n{}\n", broken.what, ran.log.tail(25)),
        ..broken
    })
}
