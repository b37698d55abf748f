//! The enumerator: looks for partitions, and deals them to readers by their numbers.

use std::collections::BTreeSet;
use std::sync::Arc;
use std::task::Context;
use std::time::Duration;

use connector_api::env::Environment;
use connector_api::id::{CheckpointId, ReaderId};
use connector_api::source::{EnumeratorCommand, EnumeratorContext, EnumeratorSetup, SplitEnumerator};
use connector_api::{Error, Result};
use connector_base::enumerator::Background;

use super::config::{OnRemoved, SourceConfig};
use super::discovery::{Known, Look, look};
use super::error::SourceError;
use super::metrics::{FAILED_DISCOVERIES, PARTITIONS_FOUND, PARTITIONS_REMOVED, count};
use super::offsets::TopicPartition;
use super::split::KafkaSplit;
use super::state::KafkaEnumeratorState;

/// Crash point: partitions were found, no reader and no checkpoint knows of them yet.
const AFTER_DISCOVERY: &str = "kafka-enumerator/after-discovery";

/// The places in the source where a test lets the process die, beside those of `connector_base::reader`.
pub const CRASH_POINTS: &[&str] = &[AFTER_DISCOVERY, super::client::BEFORE_COMMIT];

/// The pause before the first look is tried again.
const RETRY: Duration = Duration::from_millis(300);

/// Looks for partitions and deals them to readers.
///
/// 1. At `Start` it looks for the first time, in the background: partitions, where they begin, where they stop. What it finds
///    is resolved and stored, so that a restore begins where the first start did. What may pass is tried again for as long as
///    `request_timeout` says.
/// 2. The partition with number n (they are counted as they are found) belongs to reader n modulo the number of readers:
///    even over all topics, and the same for as long as the state lives. It is assigned as soon as its reader is there; until
///    then, another reader gets it if it asks.
/// 3. An unbounded source looks again after each `discovery_interval`. What is new is read from its first offset; what is gone
///    is treated as `on_removed_partition` says. A look that fails in a way that may pass is counted, and tried again.
#[derive(Debug)]
pub struct KafkaEnumerator {
    config: Arc<SourceConfig>,
    env: Environment,
    readers: u32,
    is_started: bool,
    found: u32,
    known: Known,
    /// Partitions that are gone and known to be.
    gone: BTreeSet<TopicPartition>,
    /// By the reader that they belong to.
    pending: Vec<Vec<KafkaSplit>>,
    /// Readers that were told that no more will come.
    told: BTreeSet<ReaderId>,
    looking: Background<Result<Look>>,
}

impl KafkaEnumerator {
    pub(super) fn new(
        config: Arc<SourceConfig>,
        setup: EnumeratorSetup,
        restored: Option<KafkaEnumeratorState>,
    ) -> Self {
        let state = restored.unwrap_or_default();
        let known = state.known.into_iter().map(|(topic, all)| (topic, all.into_iter().collect()));
        let readers = setup.parallelism.max(1);
        let mut this = Self {
            config,
            env: setup.env,
            readers,
            is_started: state.is_started,
            found: state.found,
            known: known.collect(),
            gone: BTreeSet::new(),
            pending: vec![Vec::new(); readers as usize],
            told: BTreeSet::new(),
            looking: Background::idle(),
        };
        state.pending.into_iter().for_each(|split| this.keep(split));
        this
    }

    fn keep(&mut self, split: KafkaSplit) {
        self.pending[(split.number % self.readers) as usize].push(split);
    }

    /// Looks, at once when it was never done, and else after a pause.
    fn look(&mut self, is_at_once: bool) {
        let pause = match (self.is_started, self.config.is_bounded, self.config.discovery_interval) {
            (false, ..) => None,
            (true, true, _) | (true, false, None) => return,
            (true, false, Some(_)) if is_at_once => None,
            (true, false, interval) => interval,
        };
        let (config, known) = (Arc::clone(&self.config), self.known.clone());
        let (env, is_first) = (self.env.clone(), !self.is_started);
        self.looking = Background::start(&self.env, "look for partitions", async move {
            if let Some(pause) = pause {
                env.clock.sleep(pause).await;
            }
            let begun = env.clock.monotonic();
            loop {
                let known = known.clone();
                let (config_of_look, env_of_look) = (Arc::clone(&config), env.clone());
                let work = move || Ok(look(&config_of_look, &env_of_look, &known, is_first));
                // The outer result is that of the task.
                match env.blocking("looking for partitions", work).await? {
                    // Leaders of new topics are not known at once. Later looks are made again anyway.
                    Err(error)
                        if is_first
                            && error.is_retryable()
                            && env.clock.monotonic() - begun < config.request_timeout =>
                    {
                        tracing::warn!(%error, "looking for partitions failed: it is tried again");
                        count(FAILED_DISCOVERIES, 1);
                        env.clock.sleep(RETRY).await;
                    }
                    result => return Ok(result),
                }
            }
        });
    }

    fn take_in(&mut self, look: Look) -> Result<()> {
        self.removed(look.gone)?;
        count(PARTITIONS_FOUND, look.new.len() as u64);
        if !self.is_started && look.new.is_empty() {
            tracing::warn!("there is no partition to read");
        }
        for new in look.new {
            let (topic, partition) = (new.at.topic, new.at.partition);
            if self.is_started {
                tracing::info!(%topic, partition, "a new partition");
            }
            self.known.entry(Arc::clone(&topic)).or_default().insert(partition);
            let split = KafkaSplit { topic, partition, number: self.found, next: new.next, stop: new.stop };
            self.found += 1;
            self.keep(split);
        }
        self.is_started = true;
        Ok(())
    }

    /// Treats partitions that are gone, each once. One that comes back is told again when it goes again.
    fn removed(&mut self, gone: BTreeSet<TopicPartition>) -> Result<()> {
        let newly: Vec<_> = gone.difference(&self.gone).cloned().collect();
        if let (OnRemoved::Fail, Some(first)) = (self.config.on_removed, newly.first()) {
            return Err(Error::connector("read", first.to_string(), None, SourceError::Removed));
        }
        for at in &newly {
            tracing::warn!(partition = %at, "the partition is gone");
            if self.config.on_removed == OnRemoved::Finish {
                for pending in &mut self.pending {
                    pending.retain(|split| split.topic_partition() != *at);
                }
            }
        }
        count(PARTITIONS_REMOVED, newly.len() as u64);
        self.gone = gone;
        Ok(())
    }

    /// A reader that asks gets a split that belongs to a reader which is not there. Readers of this source don't ask.
    fn give_one(&mut self, reader: ReaderId, context: &mut EnumeratorContext<KafkaSplit>) {
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

    /// Gives each reader that is there what belongs to it.
    fn deal(&mut self, context: &mut EnumeratorContext<KafkaSplit>) {
        let present: Vec<_> = context.readers().collect();
        for reader in present {
            let Some(pending) = self.pending.get_mut(reader.0 as usize) else { continue };
            if !pending.is_empty() {
                context.assign(reader, std::mem::take(pending));
            }
        }
        // As long as one waits for a reader that is not there, another may have to take it.
        if self.is_started && self.config.is_bounded && self.pending.iter().all(Vec::is_empty) {
            for reader in context.readers().collect::<Vec<_>>() {
                if self.told.insert(reader) {
                    context.no_more_splits(reader);
                }
            }
        }
        context.report_unassigned(self.pending.iter().map(|pending| pending.len() as u64).sum());
    }
}

impl SplitEnumerator for KafkaEnumerator {
    type Split = KafkaSplit;
    type State = KafkaEnumeratorState;

    fn handle(
        &mut self,
        command: EnumeratorCommand<KafkaSplit>,
        context: &mut EnumeratorContext<KafkaSplit>,
    ) -> Result<()> {
        match command {
            EnumeratorCommand::Start => self.look(true),
            // It begins anew.
            EnumeratorCommand::AddReader(reader) | EnumeratorCommand::RemoveReader(reader) => {
                self.told.remove(&reader);
            }
            EnumeratorCommand::AddSplitsBack(splits) => splits.into_iter().for_each(|split| self.keep(split)),
            EnumeratorCommand::ReaderEvent(reader, _) => {
                let reason = format!("reader {reader} sent an event, and the source knows none");
                return Err(Error::contract("source", reason));
            }
            EnumeratorCommand::SplitRequest(reader) => self.give_one(reader, context),
            EnumeratorCommand::SplitFinished(..)
            | EnumeratorCommand::CheckpointComplete(_)
            | EnumeratorCommand::CheckpointAborted(_) => {}
        }
        self.deal(context);
        Ok(())
    }

    fn poll(&mut self, cx: &mut Context<'_>, context: &mut EnumeratorContext<KafkaSplit>) -> Result<()> {
        while let Some(result) = self.looking.poll(cx)? {
            match result {
                Ok(look) => {
                    self.env.crash.hit(AFTER_DISCOVERY);
                    self.take_in(look)?;
                }
                // What was found stays; what is new is found later.
                Err(error) if self.is_started && error.is_retryable() => {
                    tracing::warn!(%error, "looking for partitions failed");
                    count(FAILED_DISCOVERIES, 1);
                }
                Err(error) => return Err(error),
            }
            self.look(false);
            self.deal(context);
        }
        Ok(())
    }

    fn snapshot(&mut self, _: CheckpointId) -> Result<KafkaEnumeratorState> {
        let known = self.known.iter().map(|(topic, all)| (Arc::clone(topic), all.iter().copied().collect()));
        Ok(KafkaEnumeratorState {
            is_started: self.is_started,
            found: self.found,
            known: known.collect(),
            pending: self.pending.concat(),
        })
    }
}
