//! The coordinator: gathers parts over writers and checkpoints, and says which are merged.

use std::collections::BTreeMap;
use std::sync::Arc;

use async_trait::async_trait;
use connector_api::Result;
use connector_api::env::Environment;
use connector_api::id::CheckpointId;
use connector_api::sink::{Checkpoint, Operator, OperatorContext, Output, Prepare};

use super::pack::pack;
use super::present::still_hidden;
use super::state::{CoordinatorState, Request};
use crate::sink::committable::{FileCommittable, StagedFile};
use crate::sink::config::{Compaction, SinkConfig};
use crate::sink::metrics::Backlog;
use crate::sink::naming;

/// Fires every so many checkpoints, counted from the first part that it holds; at once when no more input will come.
#[derive(Debug)]
pub(crate) struct Coordinator {
    env: Environment,
    config: Arc<SinkConfig>,
    /// How many checkpoints are merged together; 0 passes everything on.
    every: u32,
    size: Option<u64>,
    /// Parts of this length or more pass.
    kept: Option<u64>,
    backlog: Backlog,
    checkpoints: u32,
    held: Vec<StagedFile>,
    ended: bool,
}

impl Coordinator {
    /// Goes on with what these states hold.
    ///
    /// # Errors
    ///
    /// Those of [`still_hidden`].
    pub(crate) async fn open(
        context: OperatorContext,
        config: Arc<SinkConfig>,
        compaction: &Compaction,
        states: Vec<CoordinatorState>,
    ) -> Result<Self> {
        let (every, size, kept) = match compaction {
            Compaction::Merge(merge) => (merge.checkpoints, merge.size.map(|size| size.0), merge.kept()),
            Compaction::Drain => (0, None, None),
        };
        let checkpoints = states.iter().map(|state| state.checkpoints).max().unwrap_or(0);
        let held = states.into_iter().flat_map(|state| state.held).collect();
        let held = still_hidden(&context, &config, held).await?;
        let mut backlog = Backlog::default();
        backlog.set(&held);
        Ok(Self { env: context.env, config, every, size, kept, backlog, checkpoints, held, ended: false })
    }

    fn fire(&mut self, out: &mut Output<Request>) {
        self.checkpoints = 0;
        let mut held = std::mem::take(&mut self.held);
        self.backlog.set(&[]);
        let names = &self.config.names;
        held.sort_by_cached_key(|file| (names.parse(&file.name), file.name.clone()));
        // Only files of one bucket are merged.
        let mut buckets: BTreeMap<String, Vec<StagedFile>> = BTreeMap::new();
        for file in held {
            buckets.entry(naming::split(&file.name).0.to_owned()).or_default().push(file);
        }
        for mut group in buckets.into_values().flat_map(|files| pack(files, self.size, self.kept)) {
            match group.len() {
                1 => group.drain(..).for_each(|file| out.emit(Request::Pass(file.into()))),
                _ => out.emit(Request::Merge(group)),
            }
        }
        self.env.crash.hit("file-compaction-coordinator/after-fire");
    }
}

#[async_trait]
impl Operator for Coordinator {
    type In = FileCommittable;
    type Out = Request;
    type State = CoordinatorState;

    async fn process(
        &mut self,
        committable: FileCommittable,
        _: CheckpointId,
        out: &mut Output<Request>,
    ) -> Result<()> {
        match committable {
            FileCommittable::File(file)
                // An upload can't be read: it was made before compaction was switched on.
                if self.every > 0
                    && file.hidden().is_some()
                    && self.kept.is_none_or(|kept| file.length < kept) =>
            {
                self.held.push(file);
                self.backlog.set(&self.held);
            }
            other => out.emit(Request::Pass(other)),
        }
        Ok(())
    }

    async fn prepare(&mut self, how: Prepare, out: &mut Output<Request>) -> Result<()> {
        if self.held.is_empty() {
            return Ok(());
        }
        if self.every == 0 {
            self.held.drain(..).for_each(|file| out.emit(Request::Pass(file.into())));
            self.backlog.set(&[]);
            return Ok(());
        }
        self.checkpoints = self.checkpoints.saturating_add(1);
        if self.checkpoints >= self.every || self.ended || how == Prepare::Final {
            self.fire(out);
        }
        Ok(())
    }

    fn snapshot(&mut self, _: Checkpoint) -> Result<Vec<CoordinatorState>> {
        self.env.crash.hit("file-compaction-coordinator/snapshot");
        if self.held.is_empty() {
            return Ok(Vec::new());
        }
        Ok(vec![CoordinatorState { checkpoints: self.checkpoints, held: self.held.clone() }])
    }

    async fn end_of_input(&mut self, out: &mut Output<Request>) -> Result<()> {
        self.ended = true;
        self.prepare(Prepare::Final, out).await
    }
}
