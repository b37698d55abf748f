//! The enumerator: follows a stream from segment to segment, so that every key stays in order.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;
use std::task::Context;

use connector_api::env::Environment;
use connector_api::id::{CheckpointId, ReaderId, SplitId};
use connector_api::source::{EnumeratorCommand, EnumeratorContext, EnumeratorSetup, SplitEnumerator};
use connector_api::{Error, Result};
use connector_base::enumerator::Background;
use segment_store::client::{StoreClient, Successor};
use segment_store::{SegmentId, SegmentName};

use super::config::SourceConfig;
use super::discovery::{Ask, Look, look};
use super::finished::Reading;
use super::keeping::confirmation;
use super::metrics::{SEGMENTS_FOUND, count};
use super::split::PravegaSplit;
use super::state::{PravegaEnumeratorState, Waiting};

/// Crash point: the first segments were found, no reader and no checkpoint knows of them yet.
const AFTER_DISCOVERY: &str = "pravega-enumerator/after-discovery";
/// Crash point: what follows on segments that are read was found.
const AFTER_SUCCESSORS: &str = "pravega-enumerator/after-successors";

/// The places in the source where a test lets the process die, beside those of `connector_base::reader`.
pub const CRASH_POINTS: &[&str] = &[AFTER_DISCOVERY, AFTER_SUCCESSORS];

/// Follows a stream from segment to segment.
///
/// # The life of a segment
///
/// 1. *Found.* At the first start all segments between start and stop (or the end as it is then) are found, with which of them follow on
///    which. This is stored: a restore resolves nothing anew. A later segment is found when one that it follows on is settled.
/// 2. *Waiting*, as long as a segment that it follows on is not settled. So a key is read from one segment at a time.
/// 3. *Pending*, until the reader is there that it belongs to: the segment that was found as number n belongs to reader n modulo
///    the number of readers. Another reader gets it if it asks, or when a checkpoint completes without that reader: then the job runs with fewer.
/// 4. *Reading*: a reader has it. It reads to the stop, or to the end of the sealed segment, and reports it finished.
/// 5. *Settled*, when a checkpoint is complete that was begun after the report. Not before: a restore from an earlier one reads rows of
///    this segment again, and those of its successors must not be out by then. Now its successors are looked for.
///
/// A checkpoint n that was begun after the report holds the segment at its end. So the state for n stores it as finished, and a restore from n
/// settles it at once, while an enumerator that lives on waits to hear that n is complete. A report may be on its way while checkpoints
/// come and go; therefore the reader keeps the segment in its snapshots until it is told that it is settled ([`PravegaSegments`]): whatever
/// checkpoint is restored, the segment is finished in this state or is with a reader, which reports it again. A report that no completed
/// checkpoint holds goes with its reader; the segment is then in the restored state, or is given back. A report of what is settled is
/// repetition, and confirmed once more.
///
/// [`PravegaSegments`]: super::PravegaSegments
///
/// It ends when nothing waits, is pending or can follow: at the stop, or when the stream is sealed.
pub struct PravegaEnumerator {
    config: Arc<SourceConfig>,
    env: Environment,
    client: Option<Arc<dyn StoreClient>>,
    readers: u32,
    is_started: bool,
    newest: u32,
    found: u32,
    /// By the reader that they belong to.
    pending: Vec<Vec<PravegaSplit>>,
    waiting: BTreeMap<SegmentId, (PravegaSplit, BTreeSet<SegmentId>)>,
    reading: Reading,
    /// Settled, and their successors are not known.
    settled: BTreeSet<SegmentId>,
    /// Readers that were told that no more will come.
    told: BTreeSet<ReaderId>,
    looking: Background<(Arc<dyn StoreClient>, Look)>,
}

impl std::fmt::Debug for PravegaEnumerator {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("PravegaEnumerator")
            .field("stream", &self.config.stream)
            .field("reading", &self.reading)
            .field("waiting", &self.waiting)
            .finish_non_exhaustive()
    }
}

impl PravegaEnumerator {
    pub(super) fn new(
        config: Arc<SourceConfig>,
        setup: EnumeratorSetup,
        restored: Option<PravegaEnumeratorState>,
    ) -> Self {
        let state = restored.unwrap_or_default();
        let readers = setup.parallelism.max(1);
        let waiting = state.waiting.into_iter().map(|Waiting { split, predecessors }| {
            (split.segment, (split, predecessors.into_iter().collect()))
        });
        let mut this = Self {
            config,
            env: setup.env,
            client: None,
            readers,
            is_started: state.is_started,
            newest: state.newest,
            found: state.found,
            pending: vec![Vec::new(); readers as usize],
            waiting: waiting.collect(),
            reading: Reading::of(state.reading),
            settled: state.finished.into_iter().collect(),
            told: BTreeSet::new(),
            looking: Background::idle(),
        };
        state.pending.into_iter().for_each(|split| this.keep(split));
        this
    }

    fn is_bounded(&self) -> bool {
        self.config.stop.is_some()
    }

    /// No reader has it, and one may.
    fn keep(&mut self, split: PravegaSplit) {
        self.reading.begin(split.segment);
        self.pending[(split.number % self.readers) as usize].push(split);
    }

    /// Looks for what there is to be found, unless it is being looked.
    fn look(&mut self) {
        if self.looking.is_running() {
            return;
        }
        let ask = match (self.is_started, self.is_bounded()) {
            (false, _) => Ask::First,
            (true, false) if !self.settled.is_empty() => {
                Ask::Successors(self.settled.iter().copied().collect())
            }
            (true, _) => return,
        };
        let work = look(self.env.clone(), self.config.clone(), self.client.clone(), ask);
        self.looking = Background::start(&self.env, "look for segments", work);
    }

    fn new_split(&mut self, segment: SegmentId, offset: u64, end: Option<u64>) -> PravegaSplit {
        let (stream, number) = (self.config.stream.clone(), self.found);
        self.found += 1;
        count(SEGMENTS_FOUND, 1);
        PravegaSplit { stream, segment, number, offset, end }
    }

    fn take_in(&mut self, found: Look) {
        match found {
            Look::First(parts) => {
                self.env.crash.hit(AFTER_DISCOVERY);
                for (part, predecessors) in parts {
                    let split = self.new_split(part.id, part.start, part.end);
                    self.newest = self.newest.max(part.id.epoch());
                    self.waiting.insert(part.id, (split, predecessors.into_iter().collect()));
                }
                self.is_started = true;
            }
            Look::Successors(found) => {
                self.env.crash.hit(AFTER_SUCCESSORS);
                for (segment, successors) in found {
                    successors.into_iter().for_each(|successor| self.successor(successor));
                    self.is_read(segment);
                }
            }
        }
        self.ready();
    }

    /// One that follows on a segment that is settled: waits for all others that it follows on.
    fn successor(&mut self, Successor { id, predecessors, .. }: Successor) {
        if id.epoch() > self.newest && !self.waiting.contains_key(&id) {
            let split = self.new_split(id, 0, None);
            self.waiting.insert(id, (split, predecessors.into_iter().collect()));
        }
    }

    /// Nobody waits for it any more.
    fn is_read(&mut self, segment: SegmentId) {
        self.settled.remove(&segment);
        for (_, predecessors) in self.waiting.values_mut() {
            predecessors.remove(&segment);
        }
    }

    fn ready(&mut self) {
        let ready: Vec<_> =
            self.waiting.iter().filter(|(_, (_, left))| left.is_empty()).map(|(&id, _)| id).collect();
        for id in ready {
            if let Some((split, _)) = self.waiting.remove(&id) {
                self.keep(split);
            }
        }
    }

    fn settle(&mut self, checkpoint: CheckpointId, context: &mut EnumeratorContext<PravegaSplit>) {
        for (segment, reader) in self.reading.completed(checkpoint) {
            self.settled.insert(segment);
            let name = SegmentName::new(self.config.stream.clone(), segment);
            context.send(reader, confirmation(&SplitId::new(name.to_string())));
        }
        self.settle_bounded();
    }

    /// Before a stop everything is known from the start.
    fn settle_bounded(&mut self) {
        if self.is_bounded() {
            for segment in std::mem::take(&mut self.settled) {
                self.is_read(segment);
            }
            self.ready();
        }
    }

    fn reported(
        &mut self,
        reader: ReaderId,
        split: &SplitId,
        context: &mut EnumeratorContext<PravegaSplit>,
    ) -> Result<()> {
        let name: SegmentName = split.as_str().parse().map_err(|e: segment_store::Error| {
            Error::contract("reader", format!("it finished {split}, which is no segment: {e}"))
        })?;
        if !self.reading.reported(reader, name.id) {
            context.send(reader, confirmation(split));
        }
        #[cfg(test)]
        self.settle(CheckpointId(0), context);
        Ok(())
    }

    /// A reader asks: it gets what belongs to one that is not there.
    fn give_one(&mut self, reader: ReaderId, context: &mut EnumeratorContext<PravegaSplit>) {
        let is_absent =
            |owner: usize| u32::try_from(owner).is_ok_and(|owner| !context.has_reader(ReaderId(owner)));
        let mut waiting = self.pending.iter_mut().enumerate().filter(|(owner, _)| is_absent(*owner));
        let split = waiting.find_map(|(_, pending)| pending.pop());
        match split {
            Some(split) if context.has_reader(reader) => context.assign(reader, vec![split]),
            Some(split) => self.keep(split),
            None => {}
        }
    }

    /// The readers that are there are all that there are: they get what belongs to others.
    fn give_all(&mut self, context: &mut EnumeratorContext<PravegaSplit>) {
        let present: Vec<_> = context.readers().collect();
        let absent = self.pending.iter_mut().enumerate().filter(|(owner, _)| {
            u32::try_from(*owner).is_ok_and(|owner| !present.contains(&ReaderId(owner)))
        });
        let left: Vec<_> = absent.flat_map(|(_, pending)| std::mem::take(pending)).collect();
        for split in left {
            match present.get(split.number as usize % present.len().max(1)) {
                Some(&reader) => context.assign(reader, vec![split]),
                None => self.keep(split),
            }
        }
    }

    /// Whether no segment will be assigned any more.
    fn is_all_out(&self) -> bool {
        self.is_started
            && self.pending.iter().all(Vec::is_empty)
            && self.waiting.is_empty()
            && self.settled.is_empty()
            && (self.is_bounded() || self.reading.is_empty())
    }

    /// Gives each reader that is there what belongs to it.
    fn deal(&mut self, context: &mut EnumeratorContext<PravegaSplit>) {
        let present: Vec<_> = context.readers().collect();
        for &reader in &present {
            let Some(pending) = self.pending.get_mut(reader.0 as usize) else { continue };
            if !pending.is_empty() {
                context.assign(reader, std::mem::take(pending));
            }
        }
        if self.is_all_out() {
            for reader in present {
                if self.told.insert(reader) {
                    context.no_more_splits(reader);
                }
            }
        }
        let unassigned = self.pending.iter().map(Vec::len).sum::<usize>() + self.waiting.len();
        context.report_unassigned(unassigned as u64);
    }
}

impl SplitEnumerator for PravegaEnumerator {
    type Split = PravegaSplit;
    type State = PravegaEnumeratorState;

    fn handle(
        &mut self,
        command: EnumeratorCommand<PravegaSplit>,
        context: &mut EnumeratorContext<PravegaSplit>,
    ) -> Result<()> {
        match command {
            EnumeratorCommand::Start => self.settle_bounded(),
            EnumeratorCommand::AddReader(reader) => {
                self.told.remove(&reader);
            }
            EnumeratorCommand::RemoveReader(reader) => {
                self.told.remove(&reader);
                self.reading.reader_is_gone(reader);
            }
            EnumeratorCommand::AddSplitsBack(splits) => splits.into_iter().for_each(|split| self.keep(split)),
            EnumeratorCommand::SplitFinished(reader, split) => self.reported(reader, &split, context)?,
            EnumeratorCommand::ReaderEvent(reader, _) => {
                let reason = format!("reader {reader} sent an event, and the source knows none");
                return Err(Error::contract("source", reason));
            }
            EnumeratorCommand::SplitRequest(reader) => self.give_one(reader, context),
            EnumeratorCommand::CheckpointComplete(checkpoint) => {
                self.settle(checkpoint, context);
                self.give_all(context);
            }
            EnumeratorCommand::CheckpointAborted(_) => {}
        }
        self.look();
        self.deal(context);
        Ok(())
    }

    fn poll(&mut self, cx: &mut Context<'_>, context: &mut EnumeratorContext<PravegaSplit>) -> Result<()> {
        while let Some((client, found)) = self.looking.poll(cx)? {
            self.client = Some(client);
            self.take_in(found);
            self.look();
            self.deal(context);
        }
        Ok(())
    }

    fn snapshot(&mut self, checkpoint: CheckpointId) -> Result<PravegaEnumeratorState> {
        let (reading, mut finished) = self.reading.snapshot(checkpoint);
        finished.extend(&self.settled);
        let waiting = self.waiting.values().map(|(split, predecessors)| Waiting {
            split: split.clone(),
            predecessors: predecessors.iter().copied().collect(),
        });
        Ok(PravegaEnumeratorState {
            is_started: self.is_started,
            newest: self.newest,
            found: self.found,
            pending: self.pending.concat(),
            waiting: waiting.collect(),
            reading,
            finished,
        })
    }
}
