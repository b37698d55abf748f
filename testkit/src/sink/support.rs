//! What the checks of sinks share.

use async_trait::async_trait;
use connector_api::Result;
use connector_api::env::Environment;
use connector_api::sink::Sink;
use connector_api::source::{BoxSource, erase};

use crate::check::{Broken, Verdict};
use crate::context::SinkContext;
use crate::history;
use crate::lab::Subject;
use crate::lockstep::{self, Options, Pair, Ran};
use crate::reference::Numbers;
use crate::rows::TestRow;

/// Rows per split of the source in memory, and its splits.
pub(super) const ROWS: u64 = 40;
pub(super) const SPLITS: u32 = 3;

/// The sink under test, with a source in memory.
pub(super) struct SinkPair<'a, C> {
    pub(super) context: &'a mut C,
    pub(super) numbers: Numbers,
}

#[async_trait]
impl<C: SinkContext> Pair<C::Batch> for SinkPair<'_, C> {
    fn source(&mut self, _: &Environment) -> Result<BoxSource<C::Batch>> {
        Ok(erase(self.numbers.source()))
    }

    fn sink(&mut self, env: &Environment) -> Result<Box<dyn Sink<C::Batch>>> {
        self.context.sink(env)
    }

    async fn visible(&mut self, env: &Environment) -> Result<Option<Vec<String>>> {
        self.context.visible(env).await.map(Some)
    }
}

/// A source in memory with rows, and their texts.
pub(super) fn numbers() -> (Numbers, Vec<String>) {
    let numbers = Numbers::new();
    let mut texts = Vec::new();
    for split in 0..SPLITS {
        let rows = TestRow::range(split, 0..ROWS);
        numbers.append(split, &rows);
        texts.extend(rows.into_iter().map(|row| row.text));
    }
    (numbers, texts)
}

/// Runs the sink under the deterministic host; every row must become visible exactly once, and none before its commit.
pub(super) async fn run_whole<C: SinkContext>(
    subject: &mut Subject<C>,
    rule: &'static str,
    options: Options,
) -> Result<Ran, Broken> {
    let (numbers, expected) = numbers();
    let mut pair = SinkPair { context: &mut subject.context, numbers };
    let options = Options { rule, ..options };
    let ran = lockstep::run(&mut pair, &mut subject.around, options).await?;
    let env = subject.env();
    let visible = subject.context.visible(&env).await.map_err(Broken::by(rule, "reading the output"))?;
    with_log(history::exactly_once(rule, &expected, &visible), &ran)?;
    with_log(history::visibility(&ran.history), &ran)?;
    Ok(ran)
}

/// Adds the last steps to what a checker found.
pub(super) fn with_log(verdict: Verdict, ran: &Ran) -> Verdict {
    verdict.map_err(|broken| Broken {
        what: format!("{}\nthe last steps:\n{}\n", broken.what, ran.log.tail(25)),
        ..broken
    })
}
