//! Removes the hidden files that dead attempts of this run left and that no checkpoint needs.

use std::collections::HashSet;
use std::io::ErrorKind;
use std::sync::Arc;

use async_trait::async_trait;
use connector_api::env::Environment;
use connector_api::id::AttemptId;
use connector_api::sink::{References, SweepOrphans, WriterContext};
use connector_api::{Error, Result};

use super::committable::{FileCommittable, StagedFile, WriterState};
use super::compaction::{CompactorState, CoordinatorState, Request};
use super::config::SinkConfig;
use super::naming;

/// Sweeps the sink's directory.
#[derive(Debug)]
pub(crate) struct FileSweep {
    pub(crate) config: Arc<SinkConfig>,
}

#[async_trait]
impl SweepOrphans for FileSweep {
    async fn sweep(&self, context: WriterContext, references: References) -> Result<u64> {
        let needed = needed(&references)?;
        let (env, config) = (context.env.clone(), self.config.clone());
        context.env.blocking("sweep orphans", move || sweep(&env, &config, context.attempt, &needed)).await
    }
}

/// The hidden names that stored values refer to.
fn needed(references: &References) -> Result<HashSet<String>> {
    let mut needed = HashSet::new();
    needed.extend(references.all::<WriterState>()?.into_iter().map(|state| state.staged));
    let committables = references.all::<FileCommittable>()?.into_iter();
    let mut files: Vec<StagedFile> = committables.filter_map(FileCommittable::into_file).collect();
    files.extend(references.all::<CoordinatorState>()?.into_iter().flat_map(|state| state.held));
    files.extend(references.all::<CompactorState>()?.into_iter().flat_map(|state| state.inputs));
    files.extend(references.all::<Request>()?.into_iter().flat_map(Request::into_files));
    for file in files {
        needed.extend(file.hidden().map(str::to_owned));
        needed.extend(file.inputs);
    }
    Ok(needed)
}

fn sweep(
    env: &Environment,
    config: &SinkConfig,
    attempt: AttemptId,
    needed: &HashSet<String>,
) -> Result<u64> {
    let mut swept = 0;
    let mut left = vec![(config.dir.clone(), String::new())];
    while let Some((dir, bucket)) = left.pop() {
        let entries = match env.fs.list(&dir) {
            Ok(entries) => entries,
            Err(e) if e.kind() == ErrorKind::NotFound => continue,
            Err(e) => return Err(Error::io("list", &dir)(e)),
        };
        let mut removed = false;
        for entry in entries {
            // Names that we give are text.
            let Some(name) = entry.name.to_str().map(|name| naming::within(&bucket, name)) else { continue };
            if entry.is_dir {
                if !entry.name.as_encoded_bytes().starts_with(b".") {
                    left.push((dir.join(&entry.name), name));
                }
                continue;
            }
            let Some(owner) = config.names.owner(&name) else { continue };
            let dead = owner.0.run == attempt.run && owner.0.number < attempt.number;
            if !dead || needed.contains(&name) {
                continue;
            }
            env.crash.hit("file-sweep/before-remove");
            let path = dir.join(&entry.name);
            match env.fs.remove_file(&path) {
                Ok(()) => (swept, removed) = (swept + 1, true),
                Err(e) if e.kind() == ErrorKind::NotFound => {}
                Err(e) => return Err(Error::io("remove the orphan", &path)(e)),
            }
            tracing::info!(file = %path.display(), "removed an orphan of an earlier attempt");
        }
        if removed {
            env.crash.hit("file-sweep/before-sync");
            env.fs.sync_dir(&dir).map_err(Error::io("sync", &dir))?;
        }
    }
    Ok(swept)
}
