//! Publishing objects: complete the upload, or copy the hidden object; then remove what it stands for.

use std::collections::BTreeSet;
use std::time::Duration;

use connector_api::env::Environment;
use connector_api::{Error, Result};
use futures::future::BoxFuture;
use futures::{FutureExt, StreamExt};

use crate::place::{Completion, Object};
use crate::sink::committable::{Staged, StagedFile};
use crate::sink::committer::Found;
use crate::sink::naming::PartNames;
use crate::sink::place::ObjectPlace;

/// How long is waited before it is looked again for an object whose upload the store does not know: a completion whose answer was
/// lost may still be under way.
const LOOKS: [Duration; 3] = [Duration::ZERO, Duration::from_secs(1), Duration::from_secs(2)];

/// Publishes these files, a few at a time; says what became of each.
pub(crate) async fn publish(
    env: &Environment,
    names: &PartNames,
    place: &ObjectPlace,
    going_back: bool,
    files: &[StagedFile],
) -> Vec<Found> {
    let work = Publication { env, names, place, going_back };
    let work = &work;
    // In boxes: the compiler does not see through closures over borrowed futures.
    let found: Vec<BoxFuture<'_, Found>> = files
        .iter()
        .enumerate()
        .map(|(index, file)| {
            async move {
                if index > 0 {
                    env.crash.hit("file-committer/mid-commit");
                }
                work.publish(file).await.unwrap_or_else(Found::Failed)
            }
            .boxed()
        })
        .collect();
    futures::stream::iter(found).buffered(place.max_uploads).collect().await
}

struct Publication<'a> {
    env: &'a Environment,
    names: &'a PartNames,
    place: &'a ObjectPlace,
    going_back: bool,
}

impl Publication<'_> {
    async fn publish(&self, file: &StagedFile) -> Result<Found> {
        let object = self.place.objects.at(&file.name)?;
        let found = match (self.visible(&object, file).await?, &file.staged) {
            (Some(found), _) => found,
            (None, Staged::Upload { id, parts }) => self.complete(&object, file, id, parts).await?,
            (None, Staged::Hidden(hidden)) => self.copy(&object, file, hidden).await?,
        };
        if matches!(found, Found::Visible { .. }) {
            self.remove_staged(file).await?;
        }
        Ok(found)
    }

    /// What stands under the final name already.
    async fn visible(&self, object: &Object, file: &StagedFile) -> Result<Option<Found>> {
        Ok(match self.place.objects.look(object).await? {
            None => None,
            Some(found) if found.len == file.length => Some(Found::Visible { before: true }),
            Some(found) => {
                let reason = format!(
                    "has {} bytes, the file that was to appear there has {}: it is not ours, and is not touched",
                    found.len, file.length
                );
                Some(Found::Fatal(Error::data(object.url.clone(), None, reason)))
            }
        })
    }

    async fn complete(
        &self,
        object: &Object,
        file: &StagedFile,
        id: &str,
        parts: &[String],
    ) -> Result<Found> {
        self.env.crash.hit("file-committer/before-complete");
        let why = match self.place.objects.complete_upload(object, id, parts).await? {
            Completion::Done => {
                self.env.crash.hit("file-committer/after-complete");
                return Ok(Found::Visible { before: false });
            }
            Completion::Unknown(why) => why,
        };
        for wait in LOOKS {
            if !wait.is_zero() {
                self.env.clock.sleep(wait).await;
            }
            if let Some(found) = self.visible(object, file).await? {
                return Ok(found);
            }
        }
        Ok(Found::Lost(format!(
            "{} is not there, and the store does not have its upload {id:?} any more: {} bytes are gone ({why})",
            object.url, file.length
        )))
    }

    async fn copy(&self, object: &Object, file: &StagedFile, hidden: &str) -> Result<Found> {
        let objects = &self.place.objects;
        let staged = objects.at(hidden)?;
        match objects.look(&staged).await? {
            Some(at) if at.len == file.length => {}
            Some(at) => {
                let reason = format!(
                    "has {} bytes, its committable says {}: it was changed after it was closed",
                    at.len, file.length
                );
                return Ok(Found::Fatal(Error::data(staged.url, None, reason)));
            }
            None if self.going_back => {
                tracing::warn!(
                    object = %object.url,
                    "is not committed again: it became visible after the checkpoint that the job went back to, merged into another file"
                );
                return Ok(Found::Visible { before: true });
            }
            None => {
                return Ok(Found::Lost(format!(
                    "neither {} nor {} is there: {} bytes are gone",
                    staged.url, object.url, file.length
                )));
            }
        }
        self.env.crash.hit("file-committer/before-copy");
        let copied = objects.copy(&staged, object).await?;
        self.env.crash.hit("file-committer/after-copy");
        // Nothing is removed before the copy is seen, whole.
        match self.visible(object, file).await? {
            Some(Found::Visible { .. }) => Ok(Found::Visible { before: !copied }),
            Some(other) => Ok(other),
            None => Ok(Found::Failed(Error::Cancelled(
                format!("the copy to {}, which is not there,", object.url).into(),
            ))),
        }
    }

    /// Removes the hidden objects that the visible one stands for, and the marker of its upload.
    async fn remove_staged(&self, file: &StagedFile) -> Result<()> {
        let mut names: BTreeSet<String> = file.inputs.iter().cloned().collect();
        match &file.staged {
            Staged::Hidden(hidden) => names.insert(hidden.clone()),
            Staged::Upload { .. } => self.names.marker(&file.name).is_some_and(|marker| names.insert(marker)),
        };
        names.remove(&file.name);
        for name in &names {
            self.place.objects.remove(&self.place.objects.at(name)?).await?;
            self.env.crash.hit("file-committer/mid-delete");
        }
        self.env.crash.hit("file-committer/after-delete");
        Ok(())
    }
}
