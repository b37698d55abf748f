//! Disposing of objects. Blocks.
//!
//! A store moves nothing: an object is copied, then removed. Whoever dies between finds the copy, and tells by its content that it
//! is one.

use connector_api::env::CrashPoints;
use connector_api::{Error, Result};
use futures::{FutureExt, StreamExt, TryStreamExt};

use super::{AFTER_SYNC, AfterRead, BEFORE, BEFORE_SYNC, onto_itself};
use crate::place::{Object, Objects, wait};
use crate::source::kept::Done;
use crate::source::objects::{locate, text};
use crate::source::select::Selection;
use crate::source::split::FileState;

/// How many objects are under way at once.
const AT_ONCE: usize = 16;
/// What is compared at once of two objects.
const STRETCH: u64 = 4 << 20;

pub(super) struct Disposing<'a> {
    pub(super) after: &'a AfterRead,
    /// All objects of the store.
    pub(super) all: &'a Objects,
    pub(super) selection: &'a Selection,
    pub(super) crash: &'a CrashPoints,
}

impl Disposing<'_> {
    pub(super) fn all(&self, files: &[Done]) -> Result<()> {
        let mut work = Vec::with_capacity(files.len());
        for done in files {
            let object = self.all.at(&locate(self.selection, self.all, done.path.as_path())?)?;
            let target = match self.after {
                AfterRead::Delete => None,
                AfterRead::Move(dir) => Some(self.all.at(text(&dir.join(done.path.as_path()))?)?),
            };
            // In boxes: the compiler does not see through closures over borrowed futures.
            work.push(async move { self.one(&object, &done.file, target.as_ref()).await }.boxed_local());
        }
        wait(futures::stream::iter(work).buffer_unordered(AT_ONCE).try_collect::<()>())??;
        self.crash.hit(BEFORE_SYNC);
        self.crash.hit(AFTER_SYNC);
        Ok(())
    }

    /// Deletes or moves an object, unless that was done before.
    async fn one(&self, object: &Object, file: &FileState, target: Option<&Object>) -> Result<()> {
        self.crash.hit(BEFORE);
        if !self.is_as_read(object, file).await? {
            return Ok(());
        }
        if let Some(target) = target {
            if target == object {
                return Err(onto_itself(&object.url));
            }
            self.copy(object, target, file).await?;
            // Copied was perhaps another, which is in the place of ours since.
            if !self.is_as_read(object, file).await? {
                return Ok(());
            }
        }
        self.all.remove(object).await
    }

    /// Whether the object that was read is there still.
    async fn is_as_read(&self, object: &Object, file: &FileState) -> Result<bool> {
        let Some(now) = self.all.look(object).await? else { return Ok(false) };
        if now.file_id != file.file_id {
            tracing::warn!(object = %object.url, "another object bears the name of one that was read; it is left");
            return Ok(false);
        }
        match file.difference(&now) {
            None => Ok(true),
            Some(difference) => {
                let reason = format!("{difference}, after it was read; so it is left as it is");
                Err(Error::data(object.url.clone(), None, reason))
            }
        }
    }

    async fn copy(&self, from: &Object, to: &Object, file: &FileState) -> Result<()> {
        if self.all.copy(from, to).await? {
            let copied = self.all.look(to).await?;
            if copied.is_some_and(|copied| copied.len == file.len) {
                return Ok(());
            }
            return Err(Error::Cancelled(
                format!("the copy to {}, which is not there whole,", to.url).into(),
            ));
        }
        if self.is_same(from, to, file.len).await? {
            // An attempt before us died between the copy and the removal, or its answer was lost.
            return Ok(());
        }
        let reason = format!("it was read and is to be moved to {}, where an object is already", to.url);
        Err(Error::data(from.url.clone(), None, reason))
    }

    /// Whether both objects have this content.
    async fn is_same(&self, one: &Object, other: &Object, len: u64) -> Result<bool> {
        if self.all.look(other).await?.is_none_or(|there| there.len != len) {
            return Ok(false);
        }
        let mut done = 0;
        while done < len {
            let end = len.min(done + STRETCH);
            let (a, b) = (self.all.read(one, done, end).await?.0, self.all.read(other, done, end).await?.0);
            if a != b {
                return Ok(false);
            }
            done = end;
        }
        Ok(true)
    }
}

#[cfg(test)]
mod tests;
