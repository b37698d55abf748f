//! What a flaw does between the host and the probe source.

use std::collections::BTreeSet;
use std::num::NonZeroUsize;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::task::{Context, Poll, Waker};
use std::time::Duration;

use connector_api::env::Environment;
use connector_api::id::{CheckpointId, ReaderId, SplitId};
use connector_api::source::{
    Boundedness, BoxEnumerator, BoxReader, BoxSource, DynSource, DynSplit, DynState, EnumeratorAction,
    EnumeratorCommand, EnumeratorContext, EnumeratorSetup, ReaderCommand, ReaderContext, ReaderEvent,
    SourceReader, Split, SplitEnumerator,
};
use connector_api::{Batch, Result};
use futures::FutureExt;
use futures::future::BoxFuture;

use super::meddler::Flaw;

type Rows = Vec<String>;

pub(super) struct MeddledSource {
    inner: BoxSource<Rows>,
    flaw: Flaw,
    max_rows: Option<NonZeroUsize>,
    shared: Arc<Mutex<Shared>>,
}

/// What readers of one process share.
#[derive(Default)]
struct Shared {
    told: BTreeSet<ReaderId>,
    pot: Vec<DynSplit>,
    waker: Option<Waker>,
}

fn locked(shared: &Mutex<Shared>) -> MutexGuard<'_, Shared> {
    shared.lock().unwrap_or_else(PoisonError::into_inner)
}

impl MeddledSource {
    pub(super) fn over(
        inner: BoxSource<Rows>,
        flaw: Flaw,
        max_rows: Option<NonZeroUsize>,
    ) -> BoxSource<Rows> {
        Box::new(Self { inner, flaw, max_rows, shared: Arc::default() })
    }
}

impl DynSource<Rows> for MeddledSource {
    fn boundedness(&self) -> Boundedness {
        self.inner.boundedness()
    }

    fn enumerator(&self, mut setup: EnumeratorSetup, restored: Option<DynState>) -> Result<BoxEnumerator> {
        if self.flaw == Flaw::SameAttempt {
            setup.attempt.number = 1;
        }
        let parallelism = setup.parallelism;
        Ok(Box::new(MeddledEnumerator {
            inner: self.inner.enumerator(setup, restored)?,
            flaw: self.flaw,
            outbox: EnumeratorContext::new(parallelism),
            skip_poll: false,
            held: Vec::new(),
            waker: None,
            ahead: None,
            assigned: BTreeSet::new(),
            dropped: BTreeSet::new(),
        }))
    }

    fn reader(&self, mut context: ReaderContext) -> Result<BoxReader<Rows>> {
        let is_later = context.attempt.number > 1;
        if self.flaw == Flaw::SameAttempt {
            context.attempt.number = 1;
        }
        let (id, env) = (context.reader, context.env.clone());
        Ok(Box::new(MeddledReader {
            inner: self.inner.reader(context)?,
            id,
            env,
            flaw: self.flaw,
            max_rows: self.max_rows,
            shared: self.shared.clone(),
            skip_poll: false,
            pots: self.flaw == Flaw::OneReader && is_later,
            some_finished: false,
            rest: None,
            pause: None,
        }))
    }
}

type Outbox = EnumeratorContext<DynSplit>;

struct MeddledEnumerator {
    inner: BoxEnumerator,
    flaw: Flaw,
    /// The inner one's.
    outbox: Outbox,
    skip_poll: bool,
    held: Vec<EnumeratorAction<DynSplit>>,
    waker: Option<Waker>,
    /// A snapshot that was taken too early.
    ahead: Option<(CheckpointId, DynState)>,
    assigned: BTreeSet<SplitId>,
    dropped: BTreeSet<SplitId>,
}

impl MeddledEnumerator {
    fn pass(&mut self, context: &mut Outbox, by_poll: bool) {
        let mut actions = self.outbox.take_actions();
        for action in &actions {
            if let EnumeratorAction::Assign(_, splits) = action {
                self.assigned.extend(splits.iter().map(Split::id));
            }
        }
        if self.flaw == Flaw::SwapsActions {
            for at in 1..actions.len() {
                let pair = (&actions[at - 1], &actions[at]);
                if matches!(pair, (EnumeratorAction::ReaderEvent(..), EnumeratorAction::Assign(..))) {
                    actions.swap(at - 1, at);
                }
            }
        }
        self.held.append(&mut actions);
        if self.flaw == Flaw::DelaysActions && by_poll {
            return;
        }
        for action in self.held.drain(..) {
            match action {
                EnumeratorAction::Assign(reader, splits) => context.assign(reader, splits),
                EnumeratorAction::NoMoreSplits(reader) => context.no_more_splits(reader),
                EnumeratorAction::ReaderEvent(reader, event) => context.send(reader, event),
                EnumeratorAction::Backlog(is_backlog) => context.backlog(is_backlog),
            }
        }
    }

    fn forgive(&self, result: Result<()>) -> Result<()> {
        if self.flaw == Flaw::SwallowsErrors { Ok(()) } else { result }
    }
}

impl SplitEnumerator for MeddledEnumerator {
    type Split = DynSplit;
    type State = DynState;

    fn handle(&mut self, mut command: EnumeratorCommand<DynSplit>, context: &mut Outbox) -> Result<()> {
        match &mut command {
            EnumeratorCommand::AddReader(reader) => self.outbox.reader_added(*reader),
            EnumeratorCommand::RemoveReader(reader) => self.outbox.reader_removed(*reader),
            EnumeratorCommand::CheckpointAborted(_) if self.flaw == Flaw::DropsAborted => {
                self.dropped.append(&mut self.assigned);
            }
            EnumeratorCommand::AddSplitsBack(splits) => {
                if self.flaw == Flaw::DropsGivenBack {
                    return Ok(());
                }
                splits.retain(|split| !self.dropped.contains(&split.id()));
            }
            _ => {}
        }
        self.skip_poll = self.flaw == Flaw::NoPollOfEnumerator;
        let complete = match command {
            EnumeratorCommand::CheckpointComplete(id) => Some(id),
            _ => None,
        };
        let result = self.inner.handle(command, &mut self.outbox);
        self.forgive(result)?;
        self.pass(context, false);
        if let (Flaw::OvertakesBarrier, Some(CheckpointId(id))) = (self.flaw, complete) {
            let next = CheckpointId(id + 1);
            self.ahead = Some((next, self.inner.snapshot(next)?));
        }
        Ok(())
    }

    fn poll(&mut self, cx: &mut Context<'_>, context: &mut Outbox) -> Result<()> {
        if std::mem::take(&mut self.skip_poll) {
            return Ok(());
        }
        self.waker = Some(cx.waker().clone());
        // What was held back comes after the next snapshot, and before anything new.
        if self.flaw == Flaw::DelaysActions && self.ahead.take().is_some() {
            self.pass(context, false);
        }
        let result = self.inner.poll(cx, &mut self.outbox);
        self.forgive(result)?;
        self.pass(context, true);
        Ok(())
    }

    fn snapshot(&mut self, checkpoint: CheckpointId) -> Result<DynState> {
        if let Some((id, state)) = self.ahead.take()
            && id == checkpoint
            && self.flaw == Flaw::OvertakesBarrier
        {
            return Ok(state);
        }
        let state = self.inner.snapshot(checkpoint)?;
        if self.flaw == Flaw::DelaysActions {
            self.ahead = Some((checkpoint, state.clone()));
            self.waker.iter().for_each(Waker::wake_by_ref);
        }
        Ok(state)
    }
}

struct MeddledReader {
    inner: BoxReader<Rows>,
    id: ReaderId,
    env: Environment,
    flaw: Flaw,
    max_rows: Option<NonZeroUsize>,
    shared: Arc<Mutex<Shared>>,
    skip_poll: bool,
    /// Until the first poll of a later attempt: splits go to the first reader.
    pots: bool,
    some_finished: bool,
    /// What is left of a batch that is handed on in parts.
    rest: Option<(SplitId, Batch<Rows>)>,
    pause: Option<BoxFuture<'static, ()>>,
}

impl MeddledReader {
    fn drain_pot(&mut self) -> Result<()> {
        if self.flaw != Flaw::OneReader || self.id != ReaderId(0) {
            return Ok(());
        }
        let splits = std::mem::take(&mut locked(&self.shared).pot);
        if splits.is_empty() { Ok(()) } else { self.inner.handle(ReaderCommand::AddSplits(splits)) }
    }

    /// The next part of the batch in hand, a millisecond after the last.
    fn part(&mut self, cx: &mut Context<'_>) -> Poll<Option<ReaderEvent<Rows>>> {
        let (Some(max), Some((split, batch))) = (self.max_rows, &mut self.rest) else {
            return Poll::Ready(None);
        };
        if let Some(pause) = &mut self.pause
            && pause.poll_unpin(cx).is_pending()
        {
            return Poll::Pending;
        }
        self.pause = Some(self.env.clock.sleep(Duration::from_millis(1)));
        let split = split.clone();
        let batch = batch.take_front(max.get().min(batch.rows.len()));
        if self.rest.as_ref().is_some_and(|(_, rest)| rest.rows.is_empty()) {
            self.rest = None;
        }
        Poll::Ready(Some(ReaderEvent::Batch { split, batch }))
    }
}

impl SourceReader for MeddledReader {
    type Batch = Rows;
    type Split = DynSplit;

    fn handle(&mut self, command: ReaderCommand<DynSplit>) -> Result<()> {
        let command = match (self.flaw, command) {
            (Flaw::NoPollAfterCommand, command) => {
                self.skip_poll |=
                    matches!(command, ReaderCommand::AddSplits(_) | ReaderCommand::NoMoreSplits);
                command
            }
            (Flaw::OneReader, ReaderCommand::AddSplits(splits)) if self.pots && self.id != ReaderId(0) => {
                let mut shared = locked(&self.shared);
                shared.pot.extend(splits);
                shared.waker.take().into_iter().for_each(Waker::wake);
                return Ok(());
            }
            (Flaw::NoMoreOnce, ReaderCommand::NoMoreSplits) if !locked(&self.shared).told.insert(self.id) => {
                return Ok(());
            }
            (Flaw::EarlyCompletion, ReaderCommand::CheckpointComplete(id)) => {
                ReaderCommand::CheckpointComplete(CheckpointId(id.0 + 1))
            }
            (_, command) => command,
        };
        self.inner.handle(command)
    }

    fn poll_next(&mut self, cx: &mut Context<'_>) -> Poll<Result<ReaderEvent<Rows>>> {
        if std::mem::take(&mut self.skip_poll) {
            return Poll::Pending;
        }
        self.pots = false;
        self.drain_pot()?;
        if self.id == ReaderId(0) {
            locked(&self.shared).waker = Some(cx.waker().clone());
        }
        loop {
            match self.part(cx) {
                Poll::Pending => return Poll::Pending,
                Poll::Ready(Some(part)) => return Poll::Ready(Ok(part)),
                Poll::Ready(None) => {}
            }
            let event = match self.inner.poll_next(cx) {
                Poll::Ready(Ok(event)) => event,
                other => return other,
            };
            match (self.flaw, event) {
                (_, ReaderEvent::Batch { split, batch }) if self.max_rows.is_some() => {
                    self.rest = Some((split, batch));
                }
                (Flaw::KeepsFinished, ReaderEvent::Watermark { .. }) if self.some_finished => {}
                (Flaw::KeepsIdle, ReaderEvent::Idle(_) | ReaderEvent::Active(_)) => {}
                (Flaw::HighestWatermark, ReaderEvent::Watermark { millis, .. }) => {
                    return Poll::Ready(Ok(ReaderEvent::Watermark { split: None, millis }));
                }
                (_, event) => {
                    self.some_finished |= matches!(event, ReaderEvent::SplitFinished(_));
                    return Poll::Ready(Ok(event));
                }
            }
        }
    }

    fn snapshot(&mut self, checkpoint: CheckpointId, _: usize) -> Result<Vec<DynSplit>> {
        self.drain_pot()?;
        let rest = self.rest.as_ref().map_or(0, |(_, rest)| rest.rows.len());
        self.inner.snapshot(checkpoint, if self.flaw == Flaw::IgnoresUnemitted { 0 } else { rest })
    }

    fn poll_close(&mut self, cx: &mut Context<'_>) -> Poll<Result<()>> {
        if self.flaw == Flaw::ClosesNothing { Poll::Ready(Ok(())) } else { self.inner.poll_close(cx) }
    }
}
