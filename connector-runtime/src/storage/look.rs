//! A look into a checkpoint directory that somebody else may hold.

use std::collections::BTreeMap;
use std::io::ErrorKind;
use std::path::Path;

use connector_api::env::FileSystem;
use connector_api::id::RunId;
use connector_api::sink::References;
use connector_api::{Error, Result};

use super::files::{self, LOCK, RUN};
use super::record::CheckpointRecord;
use super::run::RunRecord;

/// How often the directory is read again because a job replaced its checkpoints meanwhile.
const MOST_READINGS: usize = 20;

/// What a checkpoint directory says, read without its lock: nothing is made, changed or kept from its holder.
#[derive(Debug, Default)]
pub struct Look {
    /// The run that the directory is at; none before the first.
    pub run: Option<RunId>,
    /// The runs before this one, oldest first.
    pub ancestors: Vec<RunId>,
    /// The number of the run's newest attempt; 0 before the first.
    pub attempts: u64,
    /// The process that took the directory last, as its lock file says. It may have ended.
    pub holder: Option<u32>,
    /// The checkpoints and savepoints, oldest first.
    pub checkpoints: Vec<CheckpointRecord>,
}

impl Look {
    /// Reads a directory; one that is not there says nothing. Blocks.
    ///
    /// # Errors
    ///
    /// [`Error::State`] naming the file when one does not decode. The file system's, above all when checkpoints come and go
    /// faster than they can be read.
    pub fn at(fs: &dyn FileSystem, dir: &Path) -> Result<Self> {
        let run: Option<RunRecord> = files::load_if_there(fs, &dir.join(RUN))?;
        let holder = files::read(fs, &dir.join(LOCK)).ok();
        let holder = holder.and_then(|content| String::from_utf8_lossy(&content).trim().parse().ok());
        Ok(Self {
            run: run.as_ref().map(|run| run.run),
            ancestors: run.iter().flat_map(|run| &run.ancestors).map(|ancestor| ancestor.run).collect(),
            attempts: run.as_ref().map_or(0, |run| run.attempts),
            holder,
            checkpoints: checkpoints(fs, dir)?,
        })
    }

    /// Everything of the sink that the checkpoints refer to.
    pub fn references(&self) -> References {
        references(self.checkpoints.clone())
    }
}

/// Everything of a sink that these checkpoints refer to.
pub(super) fn references(records: Vec<CheckpointRecord>) -> References {
    let mut references = Vec::new();
    for record in records {
        references.extend(record.writers);
        references.extend(record.stages.into_values().flatten());
        references.extend(record.committer.into_iter().map(|committable| committable.bytes));
    }
    References::new(references)
}

/// The checkpoints of the directory at one moment: one that vanished since the listing was replaced by a later one, which
/// the next listing shows.
fn checkpoints(fs: &dyn FileSystem, dir: &Path) -> Result<Vec<CheckpointRecord>> {
    let mut known = BTreeMap::new();
    for _ in 0..MOST_READINGS {
        let listed = match files::list(fs, dir) {
            Err(Error::Io { source, .. }) if source.kind() == ErrorKind::NotFound => return Ok(Vec::new()),
            listed => listed?,
        };
        let mut all_there = true;
        for file in &listed {
            if !known.contains_key(file) {
                match files::load_if_there::<CheckpointRecord>(fs, &file.path)? {
                    Some(record) => drop(known.insert(file.clone(), record)),
                    None => all_there = false,
                }
            }
        }
        if all_there {
            known.retain(|file, _| listed.contains(file));
            return Ok(known.into_values().collect());
        }
    }
    let busy = std::io::Error::new(
        ErrorKind::ResourceBusy,
        "its checkpoints are replaced faster than they can be read",
    );
    Err(Error::io("read", dir)(busy))
}
