//! Removes the hidden files that dead attempts of this run left and that no checkpoint needs.

use std::collections::HashSet;
use std::io::ErrorKind;
use std::sync::Arc;

use async_trait::async_trait;
use connector_api::env::Environment;
use connector_api::id::AttemptId;
use connector_api::sink::{References, SweepOrphans, WriterContext};
use connector_api::{Error, Result};

use super::committable::{FileCommittable, WriterState};
use super::compaction::{CompactorState, CoordinatorState, Request};
use super::config::SinkConfig;

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
    let mut need = |staged: &str, inputs: &[String]| {
        needed.insert(staged.to_owned());
        needed.extend(inputs.iter().cloned());
    };
    for state in references.all::<WriterState>()? {
        need(&state.staged, &[]);
    }
    let mut files = references.all::<FileCommittable>()?;
    files.extend(references.all::<CoordinatorState>()?.into_iter().flat_map(|state| state.held));
    files.extend(references.all::<CompactorState>()?.into_iter().flat_map(|state| state.inputs));
    files.extend(references.all::<Request>()?.into_iter().flat_map(Request::into_files));
    for file in files {
        need(&file.staged, &file.inputs);
    }
    Ok(needed)
}

fn sweep(
    env: &Environment,
    config: &SinkConfig,
    attempt: AttemptId,
    needed: &HashSet<String>,
) -> Result<u64> {
    let dir = &config.dir;
    let entries = match env.fs.list(dir) {
        Ok(entries) => entries,
        Err(e) if e.kind() == ErrorKind::NotFound => return Ok(0),
        Err(e) => return Err(Error::io("list", dir)(e)),
    };
    let mut swept = 0;
    for entry in entries.iter().filter(|entry| !entry.is_dir) {
        // Names that we give are text.
        let Some(name) = entry.name.to_str() else { continue };
        let Some(owner) = config.names.owner(name) else { continue };
        let dead = owner.0.run == attempt.run && owner.0.number < attempt.number;
        if !dead || needed.contains(name) {
            continue;
        }
        env.crash.hit("file-sweep/before-remove");
        let path = dir.join(name);
        match env.fs.remove_file(&path) {
            Ok(()) => swept += 1,
            Err(e) if e.kind() == ErrorKind::NotFound => {}
            Err(e) => return Err(Error::io("remove the orphan", &path)(e)),
        }
        tracing::info!(file = %path.display(), "removed an orphan of an earlier attempt");
    }
    if swept > 0 {
        env.crash.hit("file-sweep/before-sync");
        env.fs.sync_dir(dir).map_err(Error::io("sync", dir))?;
    }
    Ok(swept)
}
