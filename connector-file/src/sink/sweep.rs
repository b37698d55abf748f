//! Removes the hidden files and uploads that dead attempts of this run left and that no checkpoint needs.

use std::collections::HashSet;
use std::sync::Arc;

use async_trait::async_trait;
use connector_api::Result;
use connector_api::sink::{References, SweepOrphans, WriterContext};

use super::committable::{FileCommittable, Staged, StagedFile, WriterState};
use super::compaction::{CompactorState, CoordinatorState, Request};
use super::config::SinkConfig;
use super::place::SinkPlace;
use super::{local, objects};

/// Sweeps the sink's directory, or its prefix of an object store.
#[derive(Debug)]
pub(crate) struct FileSweep {
    pub(crate) config: Arc<SinkConfig>,
}

#[async_trait]
impl SweepOrphans for FileSweep {
    async fn sweep(&self, context: WriterContext, references: References) -> Result<u64> {
        let needed = needed(&references)?;
        let (env, config) = (context.env.clone(), self.config.clone());
        match &self.config.place {
            SinkPlace::Local => {
                let sweep = move || local::sweep(&env, &config, context.attempt, &needed);
                context.env.blocking("sweep orphans", sweep).await
            }
            SinkPlace::Objects(place) => {
                objects::sweep(&env, &config.names, &place.objects, context.attempt, &needed).await
            }
        }
    }
}

/// What stored values refer to.
#[derive(Debug, Default)]
pub(crate) struct Needed {
    /// Hidden names.
    pub(crate) names: HashSet<String>,
    /// Uploads: the name under which the object appears, and the id.
    pub(crate) uploads: HashSet<(String, String)>,
}

fn needed(references: &References) -> Result<Needed> {
    let mut needed = Needed::default();
    needed.names.extend(references.all::<WriterState>()?.into_iter().map(|state| state.staged));
    let committables = references.all::<FileCommittable>()?.into_iter();
    let mut files: Vec<StagedFile> = committables.filter_map(FileCommittable::into_file).collect();
    files.extend(references.all::<CoordinatorState>()?.into_iter().flat_map(|state| state.held));
    files.extend(references.all::<CompactorState>()?.into_iter().flat_map(|state| state.inputs));
    files.extend(references.all::<Request>()?.into_iter().flat_map(Request::into_files));
    for file in files {
        needed.names.extend(file.inputs);
        match file.staged {
            Staged::Hidden(name) => drop(needed.names.insert(name)),
            Staged::Upload { id, .. } => drop(needed.uploads.insert((file.name, id))),
        }
    }
    Ok(needed)
}
