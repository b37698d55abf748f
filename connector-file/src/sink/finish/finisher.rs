//! Says in the directory of a bucket that nothing of it is missing.

use std::collections::BTreeMap;
use std::sync::Arc;

use async_trait::async_trait;
use connector_api::env::Environment;
use connector_api::id::CheckpointId;
use connector_api::sink::{Checkpoint, Operator, OperatorContext, Output, Prepare};
use connector_api::{Error, Result};

use super::OnFinished;
use super::manifest::{MANIFEST, Manifest, ManifestFile, SUCCESS};
use super::marks::{LocalMarks, MarkStore, ObjectMarks};
use super::state::FinisherState;
use crate::sink::committable::FileCommittable;
use crate::sink::config::SinkConfig;
use crate::sink::naming::{self, Uid};
use crate::sink::place::SinkPlace;

/// Counts what became visible, and writes when none of a bucket's parts is missing. What it writes is a set of names that
/// only grows, so it may be written again from any state.
#[derive(Debug)]
pub(crate) struct Finisher {
    env: Environment,
    config: Arc<SinkConfig>,
    on: OnFinished,
    marks: Arc<dyn MarkStore>,
    open: BTreeMap<String, FinisherState>,
    /// Names that nobody else gives: writers and compactors are numbered from below.
    uid: Uid,
    next: u64,
    ended: bool,
}

impl Finisher {
    /// Goes on with the buckets of these states.
    pub(crate) fn open(
        context: &OperatorContext,
        config: &Arc<SinkConfig>,
        on: OnFinished,
        states: Vec<FinisherState>,
    ) -> Self {
        let env = context.env.clone();
        let marks: Arc<dyn MarkStore> = match &config.place {
            SinkPlace::Local => Arc::new(LocalMarks { env: env.clone(), dir: config.dir.clone() }),
            SinkPlace::Objects(place) => Arc::new(ObjectMarks { objects: place.objects.clone() }),
        };
        let mut open: BTreeMap<String, FinisherState> = BTreeMap::new();
        for state in states {
            let known = open.entry(state.bucket.clone()).or_default();
            known.bucket = state.bucket;
            known.expected = known.expected.saturating_add(state.expected);
            known.visible = known.visible.saturating_add(state.visible);
            known.files.extend(state.files);
        }
        let uid = Uid { attempt: context.attempt, subtask: u32::MAX };
        Self { env, config: config.clone(), on, marks, open, uid, next: 0, ended: false }
    }

    fn bucket(&mut self, bucket: &str) -> &mut FinisherState {
        if !self.open.contains_key(bucket) {
            let state = FinisherState { bucket: bucket.to_owned(), ..FinisherState::default() };
            self.open.insert(bucket.to_owned(), state);
        }
        self.open.entry(bucket.to_owned()).or_default()
    }

    /// Finishes the buckets of which nothing is missing.
    async fn finish(&mut self) -> Result<()> {
        let complete = |state: &FinisherState| state.expected > 0 && state.visible >= state.expected;
        let mut work = Vec::new();
        for state in self.open.values().filter(|state| complete(state)) {
            let names = [self.next, self.next + 1].map(|n| self.config.names.part(self.uid, n));
            self.next += 2;
            work.push((state.bucket.clone(), state.files.clone(), names));
        }
        if work.is_empty() {
            return Ok(());
        }
        let (marks, on, env) = (self.marks.clone(), self.on.clone(), self.env.clone());
        let written = self.env.blocking("finish buckets", move || {
            env.crash.hit("file-bucket-finisher/before-write");
            work.into_iter()
                .try_for_each(|(bucket, files, names)| mark(&env, &*marks, &on, &bucket, files, &names))
        });
        written.await?;
        self.env.crash.hit("file-bucket-finisher/after-write");
        self.open.retain(|_, state| {
            if complete(state) {
                // More became visible than was counted on: late parts, of which word is still to come.
                state.visible -= state.expected;
                state.expected = 0;
                state.files.clear();
            }
            state.expected > 0 || state.visible > 0
        });
        Ok(())
    }
}

/// Writes the marks of one bucket. What is as it must be is left alone.
fn mark(
    env: &Environment,
    marks: &dyn MarkStore,
    on: &OnFinished,
    bucket: &str,
    files: Vec<ManifestFile>,
    names: &[String; 2],
) -> Result<()> {
    let within = |name: &str| naming::within(bucket, name);
    let [first, second] = names;
    if on.manifest {
        let mut there = Vec::with_capacity(files.len());
        for file in files {
            // After going back, what was committed may have become visible as part of another file.
            if marks.is_there(&within(&file.name))? {
                there.push(file);
            } else {
                tracing::warn!(file = %within(&file.name), "was committed and is not there: the manifest leaves it out");
            }
        }
        extend(marks, bucket, &there, &naming::hidden(&within(first)))?;
        env.crash.hit("file-bucket-finisher/after-manifest");
    }
    let name = within(SUCCESS);
    if on.success && !marks.is_there(&name)? {
        // Who was here first wrote the same.
        marks.put(&name, b"", None, &naming::hidden(&within(second)))?;
    }
    Ok(())
}

/// How often a manifest is read anew that somebody else wrote meanwhile. Only an attempt that was given up and still lives does.
const TRIES: usize = 5;

/// Adds files to the manifest of a bucket, which is made if it is not there.
fn extend(marks: &dyn MarkStore, bucket: &str, files: &[ManifestFile], hidden: &str) -> Result<()> {
    let name = naming::within(bucket, MANIFEST);
    for _ in 0..TRIES {
        let before = marks.read(&name)?;
        let mut manifest = match &before {
            Some(file) => Manifest::read(&file.content, &name)?,
            None => Manifest::new(bucket),
        };
        let lacks = manifest.extend(files.iter().cloned()) || before.is_none();
        if !lacks || marks.put(&name, &manifest.to_json()?, before.as_ref(), hidden)? {
            return Ok(());
        }
    }
    Err(Error::Cancelled(format!("the manifest {name}, which somebody else writes, too,").into()))
}

#[async_trait]
impl Operator for Finisher {
    type In = FileCommittable;
    type Out = FileCommittable;
    type State = FinisherState;

    async fn process(
        &mut self,
        committable: FileCommittable,
        _: CheckpointId,
        _: &mut Output<FileCommittable>,
    ) -> Result<()> {
        match committable {
            FileCommittable::File(file) => {
                let (bucket, name) = naming::split(&file.name);
                let listed = self.on.manifest;
                let state = self.bucket(bucket);
                state.visible = state.visible.saturating_add(u64::from(file.parts));
                if listed {
                    let name = name.to_owned();
                    state.files.push(ManifestFile { name, bytes: file.length, records: file.rows });
                }
            }
            FileCommittable::Finished(finished) => {
                let state = self.bucket(&finished.bucket);
                state.expected = state.expected.saturating_add(finished.parts);
            }
            FileCommittable::Mark(_) => {}
        }
        Ok(())
    }

    async fn prepare(&mut self, _: Prepare, _: &mut Output<FileCommittable>) -> Result<()> {
        self.finish().await?;
        if self.ended {
            for state in std::mem::take(&mut self.open).into_values() {
                tracing::warn!(
                    bucket = %state.bucket,
                    expected = state.expected,
                    visible = state.visible,
                    "is not marked as finished: parts of it were lost, or were staged before `on_finished` was set"
                );
            }
        }
        Ok(())
    }

    fn snapshot(&mut self, _: Checkpoint) -> Result<Vec<FinisherState>> {
        self.env.crash.hit("file-bucket-finisher/snapshot");
        Ok(self.open.values().cloned().collect())
    }

    /// Behind it nothing comes: what is missing now was lost.
    async fn end_of_input(&mut self, _: &mut Output<FileCommittable>) -> Result<()> {
        self.ended = true;
        Ok(())
    }
}
