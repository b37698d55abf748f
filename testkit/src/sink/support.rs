//! What the checks of sinks share.

use std::time::Duration;

use async_trait::async_trait;
use connector_api::env::Environment;
use connector_api::sink::Sink;
use connector_api::source::{BoxSource, erase};
use connector_api::{Error, Result};

use crate::broken::{Broken, Verdict};
use crate::context::SinkContext;
use crate::ensure;
use crate::fs::{Fault, Rule, SimFs};
use crate::history;
use crate::lab::Subject;
use crate::lockstep::{self, Options, Pair, Ran, with_log};
use crate::reference::Numbers;
use crate::rows::TestRow;

use super::hand::{plan, sound, visible};

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

/// Runs the sink under the deterministic host; every row must become visible exactly once (at least once, without a
/// committer), and none before its commit.
pub(super) async fn run_whole<C: SinkContext>(
    subject: &mut Subject<C>,
    rule: &'static str,
    options: Options,
) -> Result<Ran, Broken> {
    let (numbers, expected) = numbers();
    let mut pair = SinkPair { context: &mut subject.context, numbers };
    let options = Options { rule, ..options };
    let ran = lockstep::run(&mut pair, &mut subject.around, options).await?;
    judge_run(rule, subject, &expected, &ran).await?;
    Ok(ran)
}

/// Judges what a run left, and when it became visible.
pub(super) async fn judge_run<C: SinkContext>(
    rule: &'static str,
    subject: &mut Subject<C>,
    expected: &[String],
    ran: &Ran,
) -> Verdict {
    with_log(judge(rule, subject, expected).await, ran)?;
    if has_committer(subject)? {
        with_log(history::visibility(&ran.history), ran)?;
    }
    Ok(())
}

fn has_committer<C: SinkContext>(subject: &Subject<C>) -> Result<bool, Broken> {
    Ok(plan(subject)?.committer.is_some())
}

/// Every row is visible exactly once; at least once, when the sink has no committer.
pub(super) async fn judge<C: SinkContext>(
    rule: &'static str,
    subject: &mut Subject<C>,
    expected: &[String],
) -> Verdict {
    let seen = visible(subject).await?;
    if has_committer(subject)? {
        history::exactly_once(rule, expected, &seen)
    } else {
        history::at_least_once(rule, expected, &seen)
    }
}

/// No row is visible.
pub(super) async fn publishes_nothing<C: SinkContext>(
    rule: &'static str,
    doing: &str,
    subject: &mut Subject<C>,
) -> Verdict {
    let seen = visible(subject).await?;
    ensure!(rule, seen.is_empty(), "{doing} made {} rows visible, such as `{}`", seen.len(), seen[0]);
    Ok(())
}

/// No task runs, and no file is open, soon.
pub(super) async fn nothing_is_held<C: SinkContext>(rule: &'static str, subject: &Subject<C>) -> Verdict {
    let meter = subject.around.meter();
    for _ in 0..1_000 {
        if meter.tasks().is_empty() && meter.open_files() == 0 {
            return Ok(());
        }
        subject.env().clock.sleep(Duration::from_millis(10)).await;
    }
    let (tasks, files) = (meter.tasks(), meter.open_files());
    Err(Broken::new(
        rule,
        format!("everything is closed, and there are still {files} open files and the tasks {tasks:?}"),
    ))
}

/// From now on every operation of the sink fails.
pub(super) async fn break_system<C: SinkContext>(subject: &mut Subject<C>) -> Verdict {
    let (env, fs) = (subject.env(), subject.around.fs().cloned());
    break_it(&mut subject.context, &env, fs.as_ref()).await.map_err(Broken::by("F-2", "breaking the system"))
}

/// The system works again.
pub(super) async fn heal_system<C: SinkContext>(subject: &mut Subject<C>) -> Verdict {
    let (env, fs) = (subject.env(), subject.around.fs().cloned());
    heal_it(&mut subject.context, &env, fs.as_ref()).await.map_err(Broken::by("F-2", "healing the system"))
}

/// By the author's means, or by faults of the simulated files.
pub(super) async fn break_it<C: SinkContext>(
    context: &mut C,
    env: &Environment,
    fs: Option<&SimFs>,
) -> Result<()> {
    match (context.faults(), fs) {
        (Some(faults), _) => faults.break_system(env).await,
        (None, Some(fs)) => {
            fs.inject(Rule::on_any(Fault::Eio));
            Ok(())
        }
        (None, None) => {
            Err(Error::config("faults", "on real files the context itself must break the system"))
        }
    }
}

pub(super) async fn heal_it<C: SinkContext>(
    context: &mut C,
    env: &Environment,
    fs: Option<&SimFs>,
) -> Result<()> {
    match (context.faults(), fs) {
        (Some(faults), _) => faults.heal(env).await,
        (None, fs) => {
            fs.into_iter().for_each(SimFs::clear_faults);
            Ok(())
        }
    }
}

/// Everything that is staged is gone.
pub(super) async fn expire<C: SinkContext>(subject: &mut Subject<C>) -> Verdict {
    let env = subject.env();
    let Some(expiry) = subject.context.expiry() else {
        return Err(Broken::new("C-5", "the context can't let staged work expire any more"));
    };
    sound("C-5", "letting staged work expire", expiry.expire(&env)).await
}
