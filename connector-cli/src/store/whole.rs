//! Whether a store is whole, and what of a damaged one can be saved.

use connector_api::env::Environment;
use serde_json::json;

use super::args::{SalvageArgs, StoreArgs};
use super::failed;
use crate::failure::Failure;
use crate::output;

pub(super) fn verify(env: &Environment, args: &StoreArgs) -> Result<(), Failure> {
    let found = segment_store::verify(env, &args.dir).map_err(failed)?;
    if args.json {
        super::json(&json!({
            "frames": found.frames, "objects": found.objects, "segments": found.segments,
            "problems": found.problems,
        }))?;
    } else if found.problems.is_empty() {
        let (frames, objects, segments) = (found.frames, found.objects, found.segments);
        output::line(&format!("whole: {frames} frames, {objects} objects, {segments} segments"));
    }
    match &found.problems[..] {
        [] => Ok(()),
        problems => Err(Failure::Surroundings(problems.join("\n"))),
    }
}

pub(super) fn salvage(env: &Environment, args: &SalvageArgs) -> Result<(), Failure> {
    let saved = segment_store::salvage(env, &args.store.dir, &args.to).map_err(failed)?;
    if args.store.json {
        let (segments, bytes) = (saved.segments, saved.bytes);
        return super::json(&json!({ "segments": segments, "bytes": bytes, "lost": saved.lost }));
    }
    output::line(&format!(
        "saved {} bytes of {} segments into {}",
        saved.bytes,
        saved.segments,
        args.to.display()
    ));
    saved.lost.iter().for_each(|lost| output::line(&format!("lost: {lost}")));
    Ok(())
}
