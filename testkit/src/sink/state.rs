//! Checks of what a sink stores: committables, states of writers and of stages.

use std::cell::RefCell;

use bytes::Bytes;
use connector_api::id::CheckpointId;
use connector_api::sink::{Flush, Outcome, Restored};
use futures::FutureExt;

use super::committer::committer;
use super::hand::{Job, Opening, context, plan, requests, rows};
use crate::broken::Verdict;
use crate::capability::Capability;
use crate::check::Check;
use crate::context::SinkContext;
use crate::envelope;
use crate::lab::Lab;
use crate::surroundings::Death;

pub(super) fn checks<C: SinkContext>() -> Vec<Check<C>> {
    vec![Check {
        name: "sink::state::damaged_and_later_bytes_are_refused",
        rules: &["S-1", "S-2", "S-3"],
        source: "design: state outlives versions; FLINK-29627",
        failure: "a damaged checkpoint, or one of a newer build, is taken for another state: rows are lost without a word",
        needs: &[Capability::Committer],
        run: refused,
    }]
}

fn refused<C: SinkContext>(lab: &Lab<C>) -> Verdict {
    lab.once(async |subject| {
        let mut job = Job::open(subject, Opening::fresh(1)).await?;
        job.write(0, &rows(0, 0..3)).await?;
        let open = job.checkpoint(Flush::Checkpoint).await?;
        job.write(0, &rows(0, 3..5)).await?;
        let ended = job.end().await?;
        job.die(subject, Death::Crash);

        let attempt = subject.around.next_attempt();
        let restored = Restored { checkpoint: CheckpointId(99), going_back: false };
        let plan = plan(subject)?;
        let context = context(subject, attempt, 1, Some(restored));
        // Decoding comes before anything that waits: what is still under way has been decoded.
        for state in &open.writers {
            let decode = |bytes: &[u8]| {
                let opening = (plan.writer)(context.clone(), vec![Bytes::copy_from_slice(bytes)]);
                opening.now_or_never().map_or(Ok(()), |opened| opened.map(drop))
            };
            envelope::judge("the state of a writer", state, &decode)?;
        }
        for stage in plan.pre_commit.iter().chain(&plan.post_commit) {
            for state in open.stages.get(&stage.uid).into_iter().flatten() {
                let decode = |bytes: &[u8]| {
                    let opening = (stage.open)(context.clone(), vec![Bytes::copy_from_slice(bytes)]);
                    opening.now_or_never().map_or(Ok(()), |opened| opened.map(drop))
                };
                envelope::judge(&format!("the state of stage {}", stage.uid), state, &decode)?;
            }
        }
        let committer = RefCell::new(committer(subject, false).await?);
        for (checkpoint, committable) in &ended.committables {
            let decode = |bytes: &[u8]| {
                let due = requests(&[(*checkpoint, Bytes::copy_from_slice(bytes))]);
                let outcome = committer.borrow_mut().commit(due).now_or_never().and_then(|mut all| all.pop());
                match outcome {
                    Some(Outcome::Fatal(error)) => Err(error),
                    _ => Ok(()),
                }
            };
            envelope::judge("a committable", committable, &decode)?;
        }
        Ok(())
    })
}
