//! The sweep of orphans.

use std::collections::BTreeSet;

use async_trait::async_trait;
use connector_api::sink::{References, SweepOrphans, WriterContext};
use connector_api::{Result, Stored};

use super::{Held, Ledger, OpenPart, SinkFlaw, Staged};

pub(super) struct Sweep(pub(super) Ledger);

impl Sweep {
    fn all<T: Stored>(&self, references: &References) -> Result<Vec<T>> {
        let all = references.all();
        if self.0.is(SinkFlaw::SweepsUndecoded) { Ok(all.unwrap_or_default()) } else { all }
    }

    /// The parts that a checkpoint counts on.
    fn named(&self, references: &References) -> Result<BTreeSet<String>> {
        let mut parts: Vec<Staged> = self.all(references)?;
        parts.extend(self.all(references)?.into_iter().map(|held: Held| held.part));
        let open = self.all(references)?.into_iter().map(|part: OpenPart| part.name);
        let closed = parts.into_iter().flat_map(|part| part.inputs.into_iter().chain([part.name]));
        Ok(open.chain(closed).collect())
    }
}

#[async_trait]
impl SweepOrphans for Sweep {
    async fn sweep(&self, context: WriterContext, references: References) -> Result<u64> {
        let named = self.named(&references)?;
        let flaw = self.0.flaw;
        let own = context.attempt;
        let mut outside = self.0.lock();
        if flaw == SinkFlaw::SweepsVisible {
            outside.visible.pop();
        }
        let before = outside.staged.len();
        outside.staged.retain(|name, part| {
            let is_ours = part.made_by.run == own.run || flaw == SinkFlaw::SweepsOtherRuns;
            let is_earlier = part.made_by.number < own.number || flaw == SinkFlaw::SweepsLaterAttempts;
            let is_named = named.contains(name) && flaw != SinkFlaw::SweepsReferenced;
            !(is_ours && is_earlier) || is_named || flaw == SinkFlaw::SweepsNothing
        });
        Ok((before - outside.staged.len()) as u64)
    }
}
