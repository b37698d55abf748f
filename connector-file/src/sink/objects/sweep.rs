//! Removes hidden objects, and aborts uploads by their markers.

use connector_api::env::Environment;
use connector_api::id::AttemptId;
use connector_api::{Error, Result, Stored};
use futures::TryStreamExt;

use super::marker::Marker;
use crate::place::{Object, Objects};
use crate::sink::naming::{self, PartNames};
use crate::sink::sweep::Needed;

/// Removes what dead attempts left and nothing needs; says how many objects and uploads that were.
pub(crate) async fn sweep(
    env: &Environment,
    names: &PartNames,
    objects: &Objects,
    attempt: AttemptId,
    needed: &Needed,
) -> Result<u64> {
    let mut swept = 0;
    let mut listed = objects.list()?;
    while let Some((name, _)) = listed.try_next().await? {
        let Some(owner) = names.owner(&name) else { continue };
        if owner.0.run != attempt.run || owner.0.number >= attempt.number {
            continue;
        }
        let object = objects.at(&name)?;
        if naming::is_marker(&name) {
            if !abort(env, names, objects, &name, &object, needed).await? {
                continue;
            }
        } else if needed.names.contains(&name) {
            continue;
        }
        env.crash.hit("file-sweep/before-remove");
        objects.remove(&object).await?;
        swept += 1;
        tracing::info!(object = %object.url, "removed an orphan of an earlier attempt");
    }
    Ok(swept)
}

/// Aborts the upload of a marker; says whether the marker may go.
async fn abort(
    env: &Environment,
    names: &PartNames,
    objects: &Objects,
    name: &str,
    object: &Object,
    needed: &Needed,
) -> Result<bool> {
    let Some(content) = objects.read_all(object).await? else { return Ok(true) };
    let marker =
        Marker::from_bytes(&content).map_err(|e| Error::data(object.url.clone(), None, e.to_string()))?;
    // An upload of this part, or of its hidden object: a marker leads to no other.
    let part = naming::part_of(&marker.name).unwrap_or_else(|| marker.name.clone());
    let is_its_own = names.marker(&part).as_deref() == Some(name);
    if !is_its_own {
        tracing::warn!(object = %object.url, upload = %marker.name, "marks an upload of another name, and is left alone");
        return Ok(false);
    }
    let upload = (marker.name, marker.id);
    if needed.uploads.contains(&upload) {
        return Ok(false);
    }
    env.crash.hit("file-sweep/before-abort");
    objects.abort_upload(&objects.at(&upload.0)?, &upload.1).await?;
    Ok(true)
}
