//! What of restored state is still to be merged, after the job went back to an older checkpoint.

use std::sync::Arc;

use connector_api::Result;
use connector_api::sink::OperatorContext;

use crate::sink::committable::StagedFile;
use crate::sink::config::SinkConfig;
use crate::sink::local::{look, remove_visible};
use crate::sink::naming;
use crate::sink::objects;
use crate::sink::place::SinkPlace;

/// The files that are not visible yet. Looks only after going back: then what is gone has become visible, itself or as part
/// of a merged file, and so has what stands under its final name. This is settled when the state is opened, because the
/// next checkpoint, from which a later attempt goes on, is no longer one that was gone back to.
///
/// Hidden files of such parts that are still there, because the removal after their commit was cut short, are removed.
///
/// # Errors
///
/// Those of looking and removing.
pub(super) async fn still_hidden(
    context: &OperatorContext,
    config: &Arc<SinkConfig>,
    files: Vec<StagedFile>,
) -> Result<Vec<StagedFile>> {
    if !context.restored.is_some_and(|restored| restored.going_back) {
        return Ok(files);
    }
    if let SinkPlace::Objects(place) = &config.place {
        return objects::still_hidden(&place.objects, files).await;
    }
    let (env, config) = (context.env.clone(), config.clone());
    let looked = context.env.blocking("look for parts to merge", move || {
        let (mut hidden, mut stale) = (Vec::with_capacity(files.len()), Vec::new());
        for file in files {
            let Some(staged) = file.hidden().map(str::to_owned) else {
                hidden.push(file);
                continue;
            };
            let path = naming::path_in(&config.dir, &staged)?;
            let is_there = look(&env, &path)?.is_some();
            let is_visible = look(&env, &naming::path_in(&config.dir, &file.name)?)?.is_some();
            if is_there && !is_visible {
                hidden.push(file);
                continue;
            }
            tracing::warn!(
                part = %path.display(),
                "is not merged: it became visible after the checkpoint that the job went back to"
            );
            stale.push(staged);
            stale.extend(file.inputs);
        }
        remove_visible(&env, &config.dir, &stale)?;
        Ok(hidden)
    });
    looked.await
}
