//! Whether a checkpoint belongs to the job that is to go on from it.

use std::collections::{BTreeMap, BTreeSet};

use connector_api::sink::SinkPlan;
use connector_api::{Error, Result, RowBatch};

use super::record::CheckpointRecord;

impl CheckpointRecord {
    /// Refuses a job other than the one that wrote the checkpoint: `identity` is what the job is identified by now.
    ///
    /// # Errors
    ///
    /// [`Error::Config`] naming the key that differs.
    pub fn check_identity(&self, identity: &BTreeMap<String, String>) -> Result<()> {
        let keys: BTreeSet<&String> = self.identity.keys().chain(identity.keys()).collect();
        for key in keys {
            let (before, after) = (self.identity.get(key), identity.get(key));
            if before != after {
                let show = |value: Option<&String>| value.map_or("nothing".to_owned(), |v| format!("`{v}`"));
                let reason = format!(
                    "the checkpoint was written with {}, now it is {}: state can't be carried over; undo the change, use \
                     another checkpoint directory, or start a new run from nothing",
                    show(before),
                    show(after)
                );
                return Err(Error::config(key, reason));
            }
        }
        Ok(())
    }

    /// Refuses state that this sink would drop.
    ///
    /// # Errors
    ///
    /// [`Error::State`] naming the part of the sink that is missing, with the plan's hint if it has one.
    pub fn check_fits<B: RowBatch>(&self, plan: &SinkPlan<B>) -> Result<()> {
        let stages: BTreeSet<&str> =
            plan.pre_commit.iter().chain(&plan.post_commit).map(|s| s.uid.as_str()).collect();
        for (uid, state) in &self.stages {
            if !state.is_empty() && !stages.contains(uid.as_str()) {
                let hint = plan.absent.get(uid).cloned();
                let hint = hint.unwrap_or_else(|| "this pipeline has no such stage".to_owned());
                let reason =
                    format!("checkpoint {} holds {} entries of it: {hint}", self.checkpoint, state.len());
                return Err(Error::state(format!("stage {uid}"), reason));
            }
        }
        if !self.committer.is_empty() && plan.committer.is_none() {
            let reason =
                format!("{} committables wait, and this sink has no committer", self.committer.len());
            return Err(Error::state("committer", reason));
        }
        if !self.writers.is_empty() && !plan.has_state {
            return Err(Error::state(
                "writer",
                "the checkpoint holds writer state, and this sink's writers have none",
            ));
        }
        Ok(())
    }
}
