//! What the checks of sources share.

use async_trait::async_trait;
use connector_api::env::Environment;
use connector_api::sink::Sink;
use connector_api::source::BoxSource;
use connector_api::{Error, Result};

use crate::broken::Broken;
use crate::context::SourceContext;
use crate::fs::{Fault, Rule, SimFs};
use crate::lab::Subject;
use crate::lockstep::{self, Options, Pair, Ran, with_log};
use crate::reference::Ledger;
use crate::rows::TestRow;
use crate::surroundings::Surroundings;
use crate::{Capability, history};

/// Rows per split that most checks write.
pub(super) const ROWS: u64 = 40;

/// Appends these rows to every split; gives the texts of all.
pub(super) async fn fill<C: SourceContext>(
    subject: &mut Subject<C>,
    rows: std::ops::Range<u64>,
) -> Result<Vec<String>, Broken> {
    let mut texts = Vec::new();
    for split in 0..subject.context.splits() {
        texts.extend(fill_split(subject, split, rows.clone()).await?);
    }
    Ok(texts)
}

/// Appends these rows to one split; gives their texts.
pub(super) async fn fill_split<C: SourceContext>(
    subject: &mut Subject<C>,
    split: u32,
    rows: std::ops::Range<u64>,
) -> Result<Vec<String>, Broken> {
    let (env, rows) = (subject.env(), TestRow::range(split, rows));
    let appended = subject.context.append(&env, split, &rows).await;
    appended.map_err(Broken::by("E-2", "appending test data"))?;
    Ok(rows.into_iter().map(|row| row.text).collect())
}

/// Lets every operation of the connector fail, by the author's means or in the simulated files.
pub(super) async fn break_system<C: SourceContext>(subject: &mut Subject<C>) -> Result<(), Broken> {
    outage(&mut subject.context, &subject.around, true)
        .await
        .map_err(Broken::by("R-11", "breaking the system"))
}

/// The system works again.
pub(super) async fn heal<C: SourceContext>(subject: &mut Subject<C>) -> Result<(), Broken> {
    outage(&mut subject.context, &subject.around, false)
        .await
        .map_err(Broken::by("R-11", "healing the system"))
}

async fn outage<C: SourceContext>(context: &mut C, around: &Surroundings, breaks: bool) -> Result<()> {
    set_broken(context, around.env(), around.fs(), breaks).await
}

async fn set_broken<C: SourceContext>(
    context: &mut C,
    env: &Environment,
    fs: Option<&SimFs>,
    breaks: bool,
) -> Result<()> {
    match (context.faults(), fs) {
        (Some(faults), _) if breaks => faults.break_system(env).await?,
        (Some(faults), _) => faults.heal(env).await?,
        (None, Some(fs)) if breaks => fs.inject(Rule::on_any(Fault::Eio)),
        (None, Some(fs)) => fs.clear_faults(),
        (None, None) => {}
    }
    Ok(())
}

/// What happens outside while a job runs.
pub(super) enum Event {
    Append(u32, std::ops::Range<u64>),
    Break,
    Heal,
}

/// What happens outside, and at which step.
#[derive(Default)]
pub(super) struct Scene {
    pub(super) events: Vec<(u64, Event)>,
}

/// The source under test, with a sink in memory.
pub(super) struct SourcePair<'a, C> {
    context: &'a mut C,
    /// Where faults are injected, in the simulation.
    fs: Option<SimFs>,
    ledger: Ledger,
    scene: Scene,
    /// What was appended so far.
    appended: Vec<String>,
    /// How many rows an unbounded source is expected to give.
    expected: usize,
    is_broken: bool,
    /// Errors that an outage caused may come later than it ended.
    was_broken: bool,
}

#[async_trait]
impl<C: SourceContext> Pair<C::Batch> for SourcePair<'_, C> {
    fn source(&mut self, env: &Environment) -> Result<BoxSource<C::Batch>> {
        self.context.source(env)
    }

    fn sink(&mut self, _: &Environment) -> Result<Box<dyn Sink<C::Batch>>> {
        Ok(Box::new(self.ledger.sink()))
    }

    async fn meanwhile(&mut self, env: &Environment, steps: u64) -> Result<()> {
        let (due, later) =
            std::mem::take(&mut self.scene.events).into_iter().partition(|(at, _)| *at <= steps);
        self.scene.events = later;
        let due: Vec<(u64, Event)> = due;
        for (_, event) in due {
            match event {
                Event::Append(split, rows) => {
                    let rows = TestRow::range(split, rows);
                    self.context.append(env, split, &rows).await?;
                    self.appended.extend(rows.into_iter().map(|row| row.text));
                }
                Event::Break | Event::Heal => {
                    self.is_broken = matches!(event, Event::Break);
                    self.was_broken = true;
                    set_broken(self.context, env, self.fs.as_ref(), self.is_broken).await?;
                }
            }
        }
        Ok(())
    }

    fn is_enough(&mut self, _: &history::History) -> bool {
        !self.context.capabilities().has(Capability::Bounded) && self.ledger.len() >= self.expected
    }

    fn excuses(&mut self, _: &Error) -> bool {
        self.is_broken || self.was_broken
    }
}

/// Fills all splits and runs the source under the deterministic host; every row must arrive exactly once.
pub(super) async fn run_whole<C: SourceContext>(
    subject: &mut Subject<C>,
    rule: &'static str,
    options: Options,
) -> Result<Ran, Broken> {
    let events = (0..subject.context.splits()).map(|split| (0, Event::Append(split, 0..ROWS))).collect();
    run_scene(subject, Scene { events }, Options { rule, ..options }).await
}

/// Runs the source under the deterministic host while the scene goes on outside; every row must arrive exactly once. What
/// happens at step 0 happens before the start.
pub(super) async fn run_scene<C: SourceContext>(
    subject: &mut Subject<C>,
    scene: Scene,
    options: Options,
) -> Result<Ran, Broken> {
    let rule = options.rule;
    let rows = |event: &(u64, Event)| match &event.1 {
        Event::Append(_, rows) => rows.clone().count(),
        Event::Break | Event::Heal => 0,
    };
    let (env, ledger) = (subject.env(), Ledger::new());
    let mut pair = SourcePair {
        expected: scene.events.iter().map(rows).sum(),
        context: &mut subject.context,
        fs: subject.around.fs().cloned(),
        ledger: ledger.clone(),
        scene,
        appended: Vec::new(),
        is_broken: false,
        was_broken: false,
    };
    pair.meanwhile(&env, 0).await.map_err(Broken::by(rule, "appending test data"))?;
    let ran = lockstep::run(&mut pair, &mut subject.around, options).await?;
    with_log(history::exactly_once(rule, &pair.appended, &ledger.visible()), &ran)?;
    Ok(ran)
}
