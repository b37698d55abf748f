//! An enumerator driven by hand, with the bookkeeping of a host: who is there, who has what, who was told.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;
use std::task::{Context, Waker};
use std::time::Duration;

use connector_api::id::{CheckpointId, ReaderId, SplitId};
use connector_api::source::{
    BoxEnumerator, DynSplit, DynState, EnumeratorAction, EnumeratorCommand, EnumeratorContext,
    EnumeratorSetup, Split, SplitEnumerator,
};
use tokio::sync::Notify;

use crate::broken::Broken;
use crate::context::SourceContext;
use crate::drive::Woken;
use crate::ensure;
use crate::lab::Subject;
use crate::meter::Meter;

/// How long nothing must happen until an enumerator counts as quiet: virtual time in the simulation.
const QUIET: Duration = Duration::from_secs(2);
/// How often one call may hand splits to readers that are not there.
const ROUNDS: u32 = 100;

/// A moment at which a checkpoint could have been triggered.
pub(super) struct Moment {
    pub(super) after: String,
    pub(super) state: DynState,
    /// Assigned, and not given back.
    pub(super) assigned: BTreeSet<SplitId>,
}

pub(super) struct Desk {
    enumerator: BoxEnumerator,
    context: EnumeratorContext<DynSplit>,
    meter: Meter,
    woken: Arc<Woken>,
    notify: Arc<Notify>,
    checkpoint: u64,
    /// Splits that readers have now.
    pub(super) held: BTreeMap<SplitId, (ReaderId, DynSplit)>,
    /// Every assignment, in order.
    pub(super) assignments: Vec<(ReaderId, DynSplit)>,
    /// Readers that were told that no more splits come, since they were added.
    pub(super) told: BTreeSet<ReaderId>,
    /// Where a snapshot was taken, when that is asked for.
    pub(super) moments: Option<Vec<Moment>>,
}

impl Desk {
    /// An enumerator that is not started.
    pub(super) fn new<C: SourceContext>(
        subject: &mut Subject<C>,
        parallelism: u32,
        restored: Option<DynState>,
    ) -> Result<Self, Broken> {
        let (env, attempt) = (subject.env(), subject.around.next_attempt());
        let source = subject.context.source(&env).map_err(Broken::by("K-4", "making the source"))?;
        let setup = EnumeratorSetup { env, parallelism, attempt };
        let made = source.enumerator(setup, restored).map_err(Broken::by("E-2", "making the enumerator"))?;
        let notify = Arc::new(Notify::new());
        Ok(Self {
            enumerator: made,
            context: EnumeratorContext::new(parallelism),
            meter: subject.around.meter().clone(),
            woken: Woken::new(notify.clone()),
            notify,
            checkpoint: 0,
            held: BTreeMap::new(),
            assignments: Vec::new(),
            told: BTreeSet::new(),
            moments: None,
        })
    }

    /// One that is started, with these readers.
    pub(super) async fn open<C: SourceContext>(
        subject: &mut Subject<C>,
        readers: u32,
        restored: Option<DynState>,
    ) -> Result<Self, Broken> {
        let mut desk = Self::new(subject, readers.max(1), restored)?;
        desk.tell("E-9", EnumeratorCommand::Start)?;
        for reader in 0..readers {
            desk.add_reader(reader)?;
        }
        desk.settle("E-3").await?;
        Ok(desk)
    }

    pub(super) fn context(&self) -> &EnumeratorContext<DynSplit> {
        &self.context
    }

    pub(super) fn add_reader(&mut self, reader: u32) -> Result<(), Broken> {
        self.context.reader_added(ReaderId(reader));
        self.told.remove(&ReaderId(reader));
        self.tell("E-4", EnumeratorCommand::AddReader(ReaderId(reader)))
    }

    /// The reader is gone; gives the splits that it had.
    pub(super) fn remove_reader(&mut self, reader: u32) -> Result<Vec<DynSplit>, Broken> {
        let reader = ReaderId(reader);
        self.context.reader_removed(reader);
        let had: Vec<DynSplit> =
            self.held.values().filter(|(who, _)| *who == reader).map(|(_, split)| split.clone()).collect();
        self.tell("E-6", EnumeratorCommand::RemoveReader(reader))?;
        Ok(had)
    }

    pub(super) fn give_back(&mut self, splits: Vec<DynSplit>) -> Result<(), Broken> {
        for split in &splits {
            self.held.remove(&split.id());
        }
        self.tell("E-4", EnumeratorCommand::AddSplitsBack(splits))
    }

    /// Passes a command on, and deals with all that is answered. An error breaks the rule.
    pub(super) fn tell(
        &mut self,
        rule: &'static str,
        command: EnumeratorCommand<DynSplit>,
    ) -> Result<(), Broken> {
        let name = format!("{command:?}");
        let name = name.split(['(', ' ']).next().unwrap_or_default().to_owned();
        self.call(rule, command, &name)?;
        self.woken.raise();
        self.drain(rule, &name)?;
        self.moment(&name)
    }

    fn call(
        &mut self,
        rule: &'static str,
        command: EnumeratorCommand<DynSplit>,
        name: &str,
    ) -> Result<(), Broken> {
        let (enumerator, context) = (&mut self.enumerator, &mut self.context);
        let told =
            self.meter.must_not_block("SplitEnumerator::handle", || enumerator.handle(command, context));
        told.map_err(Broken::by(rule, name))
    }

    fn drain(&mut self, rule: &'static str, name: &str) -> Result<(), Broken> {
        for _ in 0..ROUNDS {
            let actions = self.context.take_actions();
            if actions.is_empty() {
                return Ok(());
            }
            let mut returned = Vec::new();
            for action in actions {
                match action {
                    EnumeratorAction::Assign(reader, splits) if self.context.has_reader(reader) => {
                        for split in splits {
                            let before = self.held.insert(split.id(), (reader, split.clone()));
                            ensure!(
                                "E-1",
                                before.is_none(),
                                "split {} was assigned, and is again",
                                split.id()
                            );
                            self.assignments.push((reader, split));
                        }
                    }
                    EnumeratorAction::Assign(_, splits) => returned.extend(splits),
                    EnumeratorAction::NoMoreSplits(reader) => {
                        self.told.insert(reader);
                    }
                    EnumeratorAction::ReaderEvent(..) | EnumeratorAction::Backlog(_) => {}
                }
            }
            if !returned.is_empty() {
                self.call(rule, EnumeratorCommand::AddSplitsBack(returned), "AddSplitsBack")?;
            }
        }
        Err(Broken::new(
            "E-6",
            format!("after {name}: goes on assigning splits to readers that are not there"),
        ))
    }

    fn moment(&mut self, after: &str) -> Result<(), Broken> {
        if self.moments.is_some() {
            let state = self.snapshot()?;
            let assigned = self.held.keys().cloned().collect();
            let moment = Moment { after: after.to_owned(), state, assigned };
            self.moments.get_or_insert_default().push(moment);
        }
        Ok(())
    }

    pub(super) fn snapshot(&mut self) -> Result<DynState, Broken> {
        self.checkpoint += 1;
        let (enumerator, id) = (&mut self.enumerator, CheckpointId(self.checkpoint));
        let state = self.meter.must_not_block("SplitEnumerator::snapshot", || enumerator.snapshot(id));
        state.map_err(Broken::by("E-2", "a snapshot of the enumerator"))
    }

    /// Lets the enumerator do all that it has to do of its own.
    pub(super) async fn settle(&mut self, rule: &'static str) -> Result<(), Broken> {
        let until = tokio::time::Instant::now() + QUIET;
        loop {
            if self.woken.is_raised() {
                self.woken.lower();
                let waker = Waker::from(self.woken.clone());
                let mut cx = Context::from_waker(&waker);
                let (enumerator, context) = (&mut self.enumerator, &mut self.context);
                let polled =
                    self.meter.must_not_block("SplitEnumerator::poll", || enumerator.poll(&mut cx, context));
                polled.map_err(Broken::by(rule, "polling the enumerator"))?;
                self.drain(rule, "a poll")?;
                self.moment("a poll")?;
                tokio::task::yield_now().await;
            } else if tokio::time::timeout_at(until, self.notify.notified()).await.is_err() {
                return Ok(());
            }
            if tokio::time::Instant::now() >= until {
                return Ok(());
            }
        }
    }

    /// A reader asks for a split; says whether it was given one at once.
    pub(super) fn request(&mut self, reader: u32) -> Result<bool, Broken> {
        let before = self.assignments.len();
        self.tell("E-6", EnumeratorCommand::SplitRequest(ReaderId(reader)))?;
        Ok(self.assignments.len() > before)
    }

    /// All readers that are there ask in turn, until none is given anything.
    pub(super) async fn hand_out_all(&mut self) -> Result<(), Broken> {
        let readers: Vec<ReaderId> = self.context.readers().collect();
        let mut quiet = false;
        while !quiet {
            let before = self.assignments.len();
            for reader in &readers {
                if !self.told.contains(reader) {
                    self.request(reader.0)?;
                }
            }
            self.settle("E-3").await?;
            quiet = self.assignments.len() == before;
        }
        Ok(())
    }
}

/// The ids of splits.
pub(super) fn ids<'a>(splits: impl IntoIterator<Item = &'a DynSplit>) -> BTreeSet<SplitId> {
    splits.into_iter().map(Split::id).collect()
}

/// All splits of the source, as a first enumerator hands them out.
pub(super) async fn all_splits<C: SourceContext>(subject: &mut Subject<C>) -> Result<Vec<DynSplit>, Broken> {
    let mut desk = Desk::open(subject, 1, None).await?;
    desk.hand_out_all().await?;
    ensure!("E-1", !desk.assignments.is_empty(), "no split is handed out");
    Ok(desk.assignments.into_iter().map(|(_, split)| split).collect())
}
